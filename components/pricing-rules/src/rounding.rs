//! The one rounding rule: to the nearest minor unit, a half goes up.

use crate::amount::Amount;
use crate::problem::Problem;

/// `numerator` in `denominator` parts of an amount, rounded half up. Parts of nothing are nothing.
pub(crate) fn fraction(amount: Amount, numerator: u64, denominator: u64) -> Result<Amount, Problem> {
    let (value, denominator) = (i128::from(amount.minor()) * i128::from(numerator), i128::from(denominator));
    if denominator == 0 {
        return Ok(Amount::ZERO);
    }
    // Nothing is negative here, so that half up is also half away from zero.
    Amount::computed((2 * value + denominator) / (2 * denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_goes_up() {
        let cases = [(5, 1, 2, 3), (4, 1, 2, 2), (1, 1, 3, 0), (2, 1, 3, 1), (1, 1, 2, 1), (0, 1, 2, 0), (7, 3, 2, 11)];
        for (amount, numerator, denominator, expected) in cases {
            let amount = Amount::try_from(amount).unwrap();
            let rounded = fraction(amount, numerator, denominator).unwrap().minor();
            assert_eq!(rounded, expected, "{numerator}/{denominator} of {amount:?}");
        }
    }

    #[test]
    fn the_largest_amounts_are_exact() {
        let largest = Amount::try_from(commerce::AMOUNT_MAX).unwrap();
        assert_eq!(fraction(largest, u64::MAX, u64::MAX), Ok(largest));
        assert_eq!(fraction(largest, 999_999, 1_000_000).map(Amount::minor), Ok(999_999_000_000));
        assert_eq!(fraction(largest, 1_000_001, 1_000_000), Err(Problem::Overflow));
    }
}
