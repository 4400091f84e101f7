//! A thread of low priority beside a worker thread: it runs the instances of components that compute for many milliseconds at
//! once. On the worker thread itself everybody else would have to wait for a turn; here the system interrupts it for them.

use std::convert::Infallible;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::engine::stand_back;

/// How far the thread stands back, as `nice` counts: of a core that requests want all the time it gets about a tenth. With less, it
/// could be left standing for seconds with a lock that others wait for.
const NICENESS: i32 = 10;

/// The thread; it ends when this is dropped, and what still runs there ends with it.
pub(super) struct QuietThread {
    runtime: Handle,
    _ends: oneshot::Sender<Infallible>,
}

impl QuietThread {
    /// The thread of the worker `index`. Where none can be had, the log says so, and its work is for the worker thread.
    pub(super) fn start(index: usize) -> Option<Self> {
        let started = Self::try_start(index);
        started.inspect_err(|error| tracing::error!("a thread of low priority cannot be started: {error}")).ok()
    }

    fn try_start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("quiet-{index}")).spawn(move || {
            stand_back(NICENESS);
            // Nothing is ever sent: the other end is dropped with the worker.
            let _: Result<Infallible, _> = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _ends: ends })
    }

    /// Where its work is spawned.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
