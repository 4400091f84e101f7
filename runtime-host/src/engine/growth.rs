//! How one instance grows from request to request.

use super::component::GrowthObserver;

/// Requests that are told of together where nothing grows, so that threads seldom meet over the counters.
const REQUESTS_TOLD_TOGETHER: u64 = 16;

/// The growth of one instance.
#[derive(Default)]
pub(super) struct Growth {
    requests: u64,
    told: u64,
    largest_bytes: u64,
}

impl Growth {
    /// A request has ended, at which the instance has this much linear memory.
    pub(super) fn request_ended(&mut self, bytes: usize, observer: &dyn GrowthObserver) {
        let bytes = bytes as u64;
        self.requests += 1;
        let grown = bytes.saturating_sub(self.largest_bytes);
        if grown > 0 || self.requests.is_multiple_of(REQUESTS_TOLD_TOGETHER) {
            observer.requests_ended(self.requests, self.requests - self.told, grown, bytes);
            self.told = self.requests;
            self.largest_bytes += grown;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<(u64, u64, u64)>>);

    impl GrowthObserver for Told {
        fn requests_ended(&self, last: u64, count: u64, grown_bytes: u64, _: u64) {
            self.0.lock().unwrap().push((last, count, grown_bytes));
        }
    }

    #[test]
    fn growth_is_told_at_once_and_the_rest_together() {
        let told = Told::default();
        let mut growth = Growth::default();
        for request in 1..=40 {
            let bytes = if request < 20 { 100 } else { 164 };
            growth.request_ended(bytes, &told);
        }
        assert_eq!(*told.0.lock().unwrap(), [(1, 1, 100), (16, 15, 0), (20, 4, 64), (32, 12, 0)]);
    }
}
