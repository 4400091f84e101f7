//! What one promotion takes off a cart, of which earlier ones may have taken something already.

use commerce::Quantity;

use crate::allocation::allocate;
use crate::amount::Amount;
use crate::cart::Basket;
use crate::problem::Problem;
use crate::promotion::{Promotion, Reward};
use crate::rate::BasisPoints;
use crate::rounding::fraction;

/// An amount of each line, in the order of the basket, and one of shipping.
#[derive(Clone, Debug)]
pub(crate) struct Amounts {
    pub(crate) lines: Vec<Amount>,
    pub(crate) shipping: Amount,
}

impl Amounts {
    /// The listed prices.
    pub(crate) fn listed(basket: &Basket<'_>) -> Result<Self, Problem> {
        let lines = basket.lines.iter().map(|line| line.subtotal()).collect::<Result<_, _>>()?;
        let shipping = basket.cart.shipping.as_ref().map_or(Amount::ZERO, |shipping| shipping.price);
        Ok(Self { lines, shipping })
    }

    /// All of them together.
    pub(crate) fn total(&self) -> Result<Amount, Problem> {
        Amount::sum(self.lines.iter().copied().chain([self.shipping]))
    }

    /// What is left when `taken` is gone.
    pub(crate) fn less(&self, taken: &Self) -> Self {
        let lines = self.lines.iter().zip(&taken.lines).map(|(left, taken)| left.less(*taken)).collect();
        Self { lines, shipping: self.shipping.less(taken.shipping) }
    }
}

/// What `promotion` takes off what is `left` to pay, never more than that. It must hold for the cart.
pub(crate) fn reward(promotion: &Promotion, basket: &Basket<'_>, left: &Amounts) -> Result<Amounts, Problem> {
    let in_scope = basket.lines.iter().zip(&left.lines);
    let in_scope = in_scope.map(|(line, left)| promotion.scope.has(line).then_some(*left)).collect();
    let in_scope = Basis { basket, lines: in_scope };
    let lines = match &promotion.reward {
        Reward::Percentage { basis_points } | Reward::ThresholdPercentage { basis_points, .. } => {
            in_scope.part(*basis_points)?
        }
        Reward::FixedTotal { amount } | Reward::ThresholdFixed { amount, .. } => in_scope.once(*amount)?,
        Reward::FixedEach { amount } => in_scope.each(*amount),
        Reward::BuyXGetY { buy, get, basis_points } => in_scope.cheapest(*buy, *get)?.part(*basis_points)?,
        Reward::FreeShipping {} => {
            return Ok(Amounts { lines: vec![Amount::ZERO; basket.lines.len()], shipping: left.shipping });
        }
    };
    Ok(Amounts { lines, shipping: Amount::ZERO })
}

/// What may become cheaper of each line; none of a line that is out of scope.
struct Basis<'a> {
    basket: &'a Basket<'a>,
    lines: Vec<Option<Amount>>,
}

impl Basis<'_> {
    /// A part of all of it, rounded once.
    fn part(&self, rate: BasisPoints) -> Result<Vec<Amount>, Problem> {
        let whole = self.total()?;
        Ok(self.spread(fraction(whole, rate.get().into(), BasisPoints::WHOLE.into())?))
    }

    /// An amount, or all of it if that is less.
    fn once(&self, amount: Amount) -> Result<Vec<Amount>, Problem> {
        Ok(self.spread(amount.min(self.total()?)))
    }

    /// An amount for each unit, or all that is left of the line if that is less.
    fn each(&self, amount: Amount) -> Vec<Amount> {
        let lines = self.basket.lines.iter().zip(&self.lines);
        let taken = lines.map(|(line, left)| {
            let left = left.unwrap_or_default();
            // What is too much to compute is more than any line costs.
            amount.times(line.quantity.get()).map_or(left, |amount| amount.min(left))
        });
        taken.collect()
    }

    /// Only the units that are the cheapest by listed price, `get` for each `buy` + `get`. Units of a line share what
    /// is left of it equally.
    fn cheapest(&self, buy: Quantity, get: Quantity) -> Result<Self, Problem> {
        let lines = &self.basket.lines;
        let mut by_price: Vec<usize> = (0..lines.len()).filter(|index| self.lines[*index].is_some()).collect();
        by_price.sort_by_key(|index| lines[*index].unit_price);
        let units: u64 = by_price.iter().map(|index| u64::from(lines[*index].quantity.get())).sum();
        let mut cheaper = units / u64::from(buy.get() + get.get()) * u64::from(get.get());

        let mut basis = vec![None; lines.len()];
        for index in by_price {
            let quantity = u64::from(lines[index].quantity.get());
            let taken = quantity.min(cheaper);
            cheaper -= taken;
            basis[index] = self.lines[index].map(|left| fraction(left, taken, quantity)).transpose()?;
        }
        Ok(Self { basket: self.basket, lines: basis })
    }

    fn total(&self) -> Result<Amount, Problem> {
        Amount::sum(self.lines.iter().flatten().copied())
    }

    /// An amount that is not above the total, over the lines in proportion to what they cost.
    fn spread(&self, amount: Amount) -> Vec<Amount> {
        let weights: Vec<_> = self.lines.iter().map(|line| line.unwrap_or_default().minor().unsigned_abs()).collect();
        allocate(amount, &weights)
    }
}
