//! Spreads an amount so that its parts add up to it.

use crate::amount::Amount;

/// Splits `amount` in proportion to `weights`, by largest remainder.
///
/// Each part is its exact share, rounded down, and the units that are left over go to the parts that lost most; on a
/// tie, to the earlier one. So a part is less than one unit away from its share, and none exceeds its weight if all
/// of them together do not. If all weights are zero, all parts are zero.
pub(crate) fn allocate(amount: Amount, weights: &[u64]) -> Vec<Amount> {
    let total: i128 = weights.iter().copied().map(i128::from).sum();
    if total == 0 {
        return vec![Amount::ZERO; weights.len()];
    }
    let shares = weights.iter().map(|weight| i128::from(amount.minor()) * i128::from(*weight));
    let (mut parts, remainders): (Vec<i128>, Vec<i128>) = shares.map(|share| (share / total, share % total)).unzip();
    // The remainders add up to a multiple of the total: one unit for each, and fewer than there are parts.
    let left = remainders.iter().sum::<i128>() / total;
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(remainders[*index]));
    for index in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[index] += 1;
    }
    // No part is larger than the amount.
    parts.into_iter().map(|part| Amount::computed(part).unwrap_or(amount)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(amount: i64, weights: &[u64]) -> Vec<i64> {
        let parts = allocate(Amount::try_from(amount).unwrap(), weights);
        parts.into_iter().map(Amount::minor).collect()
    }

    #[test]
    fn what_is_left_over_goes_to_the_largest_remainder() {
        assert_eq!(split(100, &[1, 1, 1]), [34, 33, 33]);
        // Exact shares 33.3, 33.3 and 33.4.
        assert_eq!(split(100, &[333, 333, 334]), [33, 33, 34]);
        // Exact shares 0.3, 1.2 and 3.5.
        assert_eq!(split(5, &[6, 24, 70]), [0, 1, 4]);
        // Two units for two equal remainders of three.
        assert_eq!(split(5, &[1, 1, 1]), [2, 2, 1]);
        assert_eq!(split(7, &[0, 5, 0]), [0, 7, 0]);
        assert_eq!(split(0, &[1, 2]), [0, 0]);
        assert_eq!(split(7, &[0, 0]), [0, 0]);
        assert_eq!(split(7, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_stay_near_their_share(
            amount in 0..=commerce::AMOUNT_MAX,
            weights in prop::collection::vec(0..=1_000_000_000_000_u64, 1..20),
        ) {
            let total: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            prop_assume!(total > 0);
            let parts = split(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            for (part, weight) in parts.iter().zip(&weights) {
                let distance = i128::from(*part) * total - i128::from(amount) * i128::from(*weight);
                prop_assert!(distance.abs() < total);
                if i128::from(amount) <= total {
                    prop_assert!(i128::from(*part) <= i128::from(*weight));
                }
            }
        }
    }
}
