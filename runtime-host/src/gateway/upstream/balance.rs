//! Which server of an upstream is asked.

/// By what a server is chosen among those that are available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::gateway) enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastRequests,
    /// Always the same for the same client, as long as it is there.
    Hash,
}

/// What the choice needs to know of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What stands for it in hashes.
    pub(super) id: u64,
    pub(super) weight: u32,
    pub(super) requests: u32,
}

/// 2^64 divided by the golden ratio: its multiples are spread as evenly as can be, however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Balance {
    /// The place of the server for the request with this number, which counts up, and with this key of its client.
    pub(super) fn choose(self, candidates: &[Candidate], number: u64, key: u64) -> Option<usize> {
        match self {
            Self::RoundRobin => in_turn(candidates, number),
            Self::LeastRequests => least(candidates, number),
            Self::Hash => highest(candidates, key),
        }
    }
}

/// Each as often as its weight says, and those with a large one not in a row.
fn in_turn(candidates: &[Candidate], number: u64) -> Option<usize> {
    let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
    if total == candidates.len() as u64 {
        // All alike: the plain order is the most even one.
        return usize::try_from(number % total.max(1)).ok().filter(|place| *place < candidates.len());
    }
    let point = (u128::from(number.wrapping_mul(GOLDEN)) * u128::from(total)) >> 64;
    let mut end = 0;
    candidates.iter().position(|candidate| {
        end += u128::from(candidate.weight);
        point < end
    })
}

fn least(candidates: &[Candidate], number: u64) -> Option<usize> {
    // From another place each time, so that those alike take turns.
    let count = candidates.len();
    let start = usize::try_from(number % count.max(1) as u64).unwrap_or_default();
    let places = (0..count).map(|offset| (start + offset) % count);
    // a / b < c / d without division: every server is asked for one more.
    let load = |place: &usize| u64::from(candidates[*place].requests) + 1;
    places.min_by(|a, b| {
        let (left, right) = (load(a) * u64::from(candidates[*b].weight), load(b) * u64::from(candidates[*a].weight));
        left.cmp(&right)
    })
}

/// Rendezvous hashing: when a server comes or goes, only the clients that it gets or had change theirs.
fn highest(candidates: &[Candidate], key: u64) -> Option<usize> {
    let score = |candidate: &Candidate| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.to_le_bytes()).update(&candidate.id.to_le_bytes());
        let hash = hasher.finalize();
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        // In (0, 1]: 53 bits are what a float holds.
        let uniform = ((u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        -f64::from(candidate.weight) / uniform.ln()
    };
    let scores = candidates.iter().map(score).enumerate();
    scores.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let candidate = |(place, weight): (usize, &u32)| Candidate { id: place as u64, weight: *weight, requests: 0 };
        weights.iter().enumerate().map(candidate).collect()
    }

    fn counts(balance: Balance, candidates: &[Candidate], requests: u64) -> Vec<u64> {
        let mut counts = vec![0; candidates.len()];
        for number in 0..requests {
            // Keys of clients are hashes.
            counts[balance.choose(candidates, number, number.wrapping_mul(GOLDEN)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn nobody_is_chosen_of_none() {
        for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
            assert_eq!(balance.choose(&[], 7, 7), None);
        }
    }

    #[test]
    fn each_is_chosen_as_often_as_its_weight_says() {
        assert_eq!(counts(Balance::RoundRobin, &candidates(&[1, 1, 1]), 9), [3, 3, 3]);
        let counted = counts(Balance::RoundRobin, &candidates(&[5, 3, 2]), 1000);
        assert!(counted.iter().zip([500, 300, 200]).all(|(is, should)| is.abs_diff(should) <= 3), "{counted:?}");
        // Four standard deviations of so many draws.
        let counted = counts(Balance::Hash, &candidates(&[5, 3, 2]), 20_000);
        assert!(counted.iter().zip([10_000, 6000, 4000]).all(|(is, should)| is.abs_diff(should) < 290), "{counted:?}");
    }

    #[test]
    fn a_large_weight_does_not_come_in_a_row() {
        let candidates = candidates(&[3, 1]);
        let chosen: Vec<_> = (0..400).map(|number| Balance::RoundRobin.choose(&candidates, number, 0)).collect();
        assert!(chosen.windows(5).all(|five| five.contains(&Some(1))), "the small one waits for five at most");
    }

    #[test]
    fn the_one_with_the_least_to_do_for_its_weight_is_chosen() {
        let mut candidates = candidates(&[1, 1, 2]);
        (candidates[0].requests, candidates[1].requests, candidates[2].requests) = (2, 1, 2);
        assert!((0..10).all(|number| Balance::LeastRequests.choose(&candidates, number, 0) == Some(2)));
        candidates[2].requests = 4;
        assert!((0..10).all(|number| Balance::LeastRequests.choose(&candidates, number, 0) == Some(1)));
        candidates[0].requests = 1;
        let counted = counts(Balance::LeastRequests, &candidates, 300);
        assert!(counted[0] >= 100 && counted[1] >= 100 && counted[2] == 0, "{counted:?}");
    }

    #[test]
    fn a_client_stays_where_it_is_unless_its_server_goes() {
        let all = candidates(&[1, 1, 1, 1]);
        let fewer: Vec<_> = all.iter().filter(|candidate| candidate.id != 2).copied().collect();
        for key in (0..2000u64).map(|client| client.wrapping_mul(GOLDEN)) {
            let before = all[Balance::Hash.choose(&all, key, key).unwrap()].id;
            let after = fewer[Balance::Hash.choose(&fewer, 0, key).unwrap()].id;
            assert!(before == 2 || before == after);
        }
    }
}
