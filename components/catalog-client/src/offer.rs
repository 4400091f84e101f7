//! What the shop sells, and by which rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::{Currency, Money, Sku};
use pricing_client::{Amount, Cart, Destination, Shipping, Timestamp};

use crate::{Line, Parcel, ParcelError, PricingRules, Variant, Wish};

/// What the shop sells, as far as it was asked about, and the rules by which it is priced.
#[derive(Clone, Debug)]
pub struct Offer {
    currency: Currency,
    variants: BTreeMap<Sku, Variant>,
    rules: Arc<PricingRules>,
}

/// What else a price depends on. The default is a stranger who takes part in nothing and goes nowhere yet.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The group that the shopper belongs to; empty for none.
    pub customer_group: String,
    /// Where the goods go. While it is not known, no tax is due.
    pub destination: Option<Destination>,
    /// The codes that the shopper has entered, at most [`pricing_client::COUPONS_MAX`].
    pub coupons: Vec<String>,
    /// The delivery that the shopper has chosen.
    pub shipping: Option<Shipping>,
    /// When it is priced.
    pub now: Timestamp,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            customer_group: String::new(),
            destination: None,
            coupons: Vec::new(),
            shipping: None,
            now: Timestamp::now(),
        }
    }
}

impl Offer {
    /// What the catalog answered about SKUs, and its rules. Prices in another currency are none.
    pub fn new(currency: Currency, variants: Vec<Variant>, rules: Arc<PricingRules>) -> Self {
        let variants = variants.into_iter().map(|variant| (variant.sku.clone(), variant)).collect();
        Self { currency, variants, rules }
    }

    /// The currency of all prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// What the catalog knows under a SKU that it was asked about.
    pub fn variant(&self, sku: &Sku) -> Option<&Variant> {
        self.variants.get(sku)
    }

    /// What one costs of a SKU that the catalog was asked about, if the shop sells it.
    pub fn price(&self, sku: &Sku) -> Option<Money> {
        let variant = self.variants.get(sku).filter(|variant| !variant.archived)?;
        self.price_of(variant).map(|_| variant.price)
    }

    /// Holds wishes against the offer, each SKU of which the catalog was asked about; in their order.
    pub fn check(&self, wishes: impl IntoIterator<Item = Wish>) -> Vec<Line> {
        let line = |wish: Wish| {
            let variant = self.variants.get(&wish.sku).cloned();
            Line::new(wish, variant, |variant| self.price_of(variant))
        };
        wishes.into_iter().map(line).collect()
    }

    /// What the calculator prices: the lines that the shop sells, in their order, each under its SKU as the id. Lines
    /// that are only short are priced as wanted.
    pub fn cart(&self, lines: &[Line], terms: Terms) -> Cart {
        Cart {
            currency: self.currency,
            lines: lines.iter().filter_map(|line| self.priced(line)).collect(),
            customer_group: terms.customer_group,
            coupons: terms.coupons,
            shipping: terms.shipping,
            promotions: self.rules.promotions.clone(),
            tax_rates: self.rules.tax_rates.clone(),
            prices_include_tax: self.rules.prices_include_tax(terms.destination.as_ref()),
            destination: terms.destination,
            now: terms.now,
        }
    }

    /// What is to be carried of the lines that the shop sells.
    pub fn parcel(&self, lines: &[Line]) -> Result<Parcel, ParcelError> {
        Parcel::of(lines, self.currency)
    }

    fn priced(&self, line: &Line) -> Option<pricing_client::Line> {
        let variant = line.variant.as_ref().filter(|_| line.is_sold())?;
        Some(pricing_client::Line {
            id: line.sku.as_str().to_owned(),
            sku: line.sku.clone(),
            product: variant.product_id.to_string(),
            categories: variant.categories.clone(),
            quantity: line.quantity,
            unit_price: self.price_of(variant)?,
            tax_class: variant.tax_class.clone(),
        })
    }

    fn price_of(&self, variant: &Variant) -> Option<Amount> {
        let price = variant.price;
        Amount::try_from(price.minor()).ok().filter(|_| price.currency() == self.currency)
    }
}
