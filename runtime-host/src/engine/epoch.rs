//! The thread that advances the engine's epoch, by which a guest that computes without pause is made to yield.
//!
//! It sleeps while no guest computes, so that an idle host wakes up for nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// How long a guest may compute before it yields to its neighbours on the same thread.
const EPOCH_PERIOD: Duration = Duration::from_millis(1);
/// Periods without a computing guest before the thread sleeps, so that a guest that computes now and then wakes it seldom.
const QUIET_PERIODS_MAX: u32 = 100;

/// Ticks while guests compute, until dropped.
pub(super) struct EpochTicker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    /// Whether a guest computed since the last tick.
    computing: AtomicBool,
    stop: AtomicBool,
}

impl EpochTicker {
    /// Starts the thread; it calls `tick` once in each period.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = shared.clone();
            move || shared.run(&tick)
        });
        Self { shared, thread: thread.thread().clone() }
    }

    /// Awaits `work`, in which a guest computes. Each of its turns sees the epoch advance if it lasts for long enough.
    pub(super) async fn ticking<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.computes();
            work.as_mut().poll(cx)
        })
        .await
    }

    /// A guest is about to compute: at least one tick follows.
    ///
    /// Costs no more than a look at what another thread rarely writes, once the thread is awake.
    pub(super) fn computes(&self) {
        // What is read as true here is taken back before a tick that is still to come.
        if !self.shared.computing.load(Ordering::Relaxed) && !self.shared.computing.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Shared {
    fn run(&self, tick: &impl Fn()) {
        let mut quiet_periods = 0;
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(EPOCH_PERIOD);
            if self.computing.swap(false, Ordering::AcqRel) {
                quiet_periods = 0;
            } else {
                quiet_periods += 1;
            }
            // Always after the flag is taken back, so that whoever saw it set is followed by a tick.
            tick();
            if quiet_periods >= QUIET_PERIODS_MAX {
                // Returns at once if a guest has begun to compute in between.
                thread::park();
                quiet_periods = 0;
            }
        }
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::time::Instant;

    use wasmtime::{Config, Engine, Module, Store, UpdateDeadline};

    use super::*;

    /// Longer than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn counting() -> (EpochTicker, Arc<AtomicUsize>) {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counter = ticks.clone();
        let ticker = EpochTicker::start(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (ticker, ticks)
    }

    fn until_asleep(ticks: &AtomicUsize) -> usize {
        let started = Instant::now();
        let mut last = ticks.load(Ordering::Relaxed);
        loop {
            thread::sleep(50 * EPOCH_PERIOD);
            let now = ticks.load(Ordering::Relaxed);
            if now == last && now > 0 {
                return now;
            }
            assert!(started.elapsed() < PATIENCE, "it ticks for nobody: {now} times");
            last = now;
        }
    }

    #[test]
    fn it_sleeps_while_nobody_computes_and_wakes_for_who_does() {
        let (ticker, ticks) = counting();
        let asleep = until_asleep(&ticks);
        ticker.computes();
        let started = Instant::now();
        while ticks.load(Ordering::Relaxed) == asleep {
            assert!(started.elapsed() < PATIENCE, "no tick");
            thread::sleep(EPOCH_PERIOD);
        }
        until_asleep(&ticks);
    }

    #[test]
    fn whoever_begins_to_compute_gets_a_tick_at_whatever_moment() {
        let (ticker, ticks) = counting();
        // Waits of all lengths around the moment at which the thread goes to sleep.
        for wait in 0..60 {
            thread::sleep((QUIET_PERIODS_MAX - 30) * EPOCH_PERIOD + wait * EPOCH_PERIOD);
            let before = ticks.load(Ordering::Relaxed);
            ticker.computes();
            let started = Instant::now();
            while ticks.load(Ordering::Relaxed) == before {
                assert!(started.elapsed() < PATIENCE, "no tick after {wait}");
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_guest_that_never_pauses_is_interrupted_again_and_again() {
        const INTERRUPTIONS: u32 = 5;
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
            let ticker = EpochTicker::start({
                let engine = engine.clone();
                move || engine.increment_epoch()
            });
            let module = Module::new(&engine, wat::parse_str("(module (func (export \"f\") (loop (br 0))))").unwrap());
            let mut store = Store::new(&engine, 0);
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|mut store| {
                *store.data_mut() += 1;
                match *store.data() {
                    INTERRUPTIONS => wasmtime::bail!("enough"),
                    _ => Ok(UpdateDeadline::Yield(1)),
                }
            });
            thread::sleep(2 * QUIET_PERIODS_MAX * EPOCH_PERIOD);
            let looping = async {
                let instance = wasmtime::Instance::new_async(&mut store, &module.unwrap(), &[]).await?;
                instance.get_typed_func::<(), ()>(&mut store, "f")?.call_async(&mut store, ()).await
            };
            let error = futures::executor::block_on(ticker.ticking(looping)).unwrap_err();
            done.send(format!("{error:#}")).unwrap();
        });
        let error = ended.recv_timeout(PATIENCE).expect("the guest is interrupted");
        assert!(error.contains("enough"), "{error}");
    }
}
