//! Keeps a worker thread awake for a moment after each answer, to hear a client that asks again at once: to wake a
//! sleeping thread takes the operating system longer than most answers take.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long after an answer the thread stays awake.
const AWAKE_TIME_MAX: Duration = Duration::from_micros(50);

/// Knows when a worker has answered.
#[derive(Default)]
pub(crate) struct BusyPoll {
    answered: Notify,
}

impl BusyPoll {
    /// An answer has been made.
    pub(crate) fn answered(&self) {
        self.answered.notify_one();
    }

    /// Keeps the thread that polls this awake whenever there was an answer just now.
    pub(crate) async fn run(&self) {
        loop {
            self.answered.notified().await;
            let began = Instant::now();
            while began.elapsed() < AWAKE_TIME_MAX {
                // Whoever else wants this core goes first, other threads as well as other tasks.
                std::thread::yield_now();
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    const LONG: Duration = Duration::from_millis(100);

    /// How often a thread that has nothing else to do comes around to `busy_poll` within a long time.
    async fn turns(busy_poll: &BusyPoll) -> u32 {
        let mut turns = 0;
        let mut run = pin!(busy_poll.run());
        let counted = poll_fn(|cx| {
            turns += 1;
            run.as_mut().poll(cx)
        });
        let _ = tokio::time::timeout(LONG, counted).await;
        turns
    }

    #[tokio::test]
    async fn a_worker_stays_awake_after_an_answer_and_sleeps_otherwise() {
        // One turn at the beginning, and one when the time is up.
        const ASLEEP: u32 = 2;
        let busy_poll = BusyPoll::default();
        assert_eq!(turns(&busy_poll).await, ASLEEP);
        busy_poll.answered();
        assert!(turns(&busy_poll).await > ASLEEP);
        assert_eq!(turns(&busy_poll).await, ASLEEP);
    }
}
