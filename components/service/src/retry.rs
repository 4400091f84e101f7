//! How long to wait before something is tried again whose outcome is not known.

/// Waits that double from one attempt to the next, up to a bound.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The wait after the first attempt, in milliseconds.
    pub first_ms: i64,
    /// The longest wait, in milliseconds.
    pub max_ms: i64,
}

/// Doublings after which every wait is at its bound; more of them would overflow.
const DOUBLINGS_MAX: u32 = 20;

impl Retry {
    /// When to try again after this many attempts, the one that has just ended included.
    pub fn at_ms(self, attempts: u32, now_ms: i64) -> i64 {
        let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
        now_ms + (self.first_ms << doublings).min(self.max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let retry = Retry { first_ms: 1_000, max_ms: 60_000 };
        let waits = [0, 1, 2, 3, 6, 7, u32::MAX].map(|attempts| retry.at_ms(attempts, 5) - 5);
        assert_eq!(waits, [1_000, 1_000, 2_000, 4_000, 32_000, 60_000, 60_000]);
    }
}
