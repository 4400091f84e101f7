//! The streams between two pipelines, by baton.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stores::sqlite::{Connection, Database};

/// Streams that are open at once between two pipelines.
const STREAMS_MAX: usize = 4_096;
/// How long a stream is kept without a pipeline. Its transaction has a limit of its own, from its beginning on.
pub const STREAM_IDLE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often idle streams are looked for.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Bytes of randomness in a baton.
const BATON_BYTES: usize = 24;
/// Texts that a stream may have stored.
pub(super) const STORED_TEXTS_MAX: usize = 256;

/// A client's handle on a database.
pub(super) struct Stream {
    pub(super) connection: Connection,
    label: String,
    /// SQL by the numbers under which the client stored it.
    pub(super) texts: HashMap<i32, String>,
}

/// A stream cannot be used or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("the stream is closed: nobody used it for {} s, or this server started anew; its transaction was rolled back", STREAM_IDLE_TIME_MAX.as_secs())]
    Unknown,
    #[error("{STREAMS_MAX} streams are open; close some first")]
    TooMany,
    #[error("the operating system gives no random bytes")]
    Random,
}

/// The streams that wait for their next pipeline.
#[derive(Default)]
pub(super) struct Streams(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    stream: Stream,
    since: Instant,
}

impl Streams {
    /// The stream of a baton, which is of no use from then on; or a new one.
    pub(super) fn take(
        &self,
        label: &str,
        database: &Arc<Database>,
        baton: Option<&str>,
    ) -> Result<Stream, Unavailable> {
        let Some(baton) = baton else {
            if self.count() >= STREAMS_MAX {
                return Err(Unavailable::TooMany);
            }
            return Ok(Stream { connection: database.connect(), label: label.to_owned(), texts: HashMap::new() });
        };
        // Batons are random and of one use, so looking one up tells nothing about others.
        let waiting = self.waiting().remove(baton).ok_or(Unavailable::Unknown)?;
        if waiting.stream.label == label { Ok(waiting.stream) } else { Err(Unavailable::Unknown) }
    }

    /// Keeps a stream until its next pipeline, and makes the baton of that.
    pub(super) fn keep(&self, stream: Stream) -> Result<String, Unavailable> {
        let mut bytes = [0; BATON_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| Unavailable::Random)?;
        let baton = hex::encode(bytes);
        let mut waiting = self.waiting();
        if waiting.len() >= STREAMS_MAX {
            return Err(Unavailable::TooMany);
        }
        waiting.insert(baton.clone(), Waiting { stream, since: Instant::now() });
        Ok(baton)
    }

    pub(super) fn count(&self) -> usize {
        self.waiting().len()
    }

    pub(super) async fn close_idle(&self) -> ! {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            let now = Instant::now();
            let is_idle = |waiting: &Waiting| now.duration_since(waiting.since) > STREAM_IDLE_TIME_MAX;
            // Dropped without the lock: their ends are told to writers.
            let idle: Vec<_> = self.waiting().extract_if(|_, waiting| is_idle(waiting)).collect();
            drop(idle);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        // Each change of the table is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
