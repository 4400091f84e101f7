//! Another process of the host goes on where this one stands, with no connection refused (`bodega upgrade`).
//!
//! The former process starts the new one with its own arguments and sends it the listening sockets and the lock on the state folder,
//! over a socket that the new one has as standard input. They are the very same sockets, so what waits in their queues is not lost.
//!
//! 1. The new one loads everything as at a start, and says `FromNew::Ready`. It writes nothing down but migrations of stores, which
//!    the revisions of the former one have to stand anyway.
//! 2. The former one stops changing revisions and making backups, and says `FromFormer::Go`.
//! 3. The new one writes down what its start has decided, begins to take connections, and says `FromNew::Serving`.
//! 4. The former one takes no more connections. What it has begun, it finishes; once no scheduled run goes on there it says
//!    `FromFormer::ChoresDone`, and the new one's schedules begin.
//! 5. The former one ends, which the new one sees by the end of the socket.
//!
//! Until 3. is done the former one can go on as if nothing had been asked; what the new one has written down about revisions, the
//! former one then undoes. The new one's rollouts go on, and webhooks are told what its start has decided, from then on.

pub mod former;
pub mod new;

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use former::{Order, Upgrader};
pub use new::{Former, Handover};

/// Tells a process that it is to take over from the one behind its standard input.
const VARIABLE: &str = "BODEGA_TAKES_OVER";
/// The public socket, the admin socket, and the lock.
const DESCRIPTORS: usize = 3;
/// A message, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;
/// How long a new process may take to start, where nothing is said.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// What the former process says, a line of JSON each.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum FromFormer {
    /// Take over.
    Go {
        /// Who wants it.
        who: String,
        /// Why.
        why: String,
    },
    /// No scheduled run goes on any more.
    ChoresDone,
}

/// What the new process says.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum FromNew {
    /// Everything is loaded.
    Ready,
    /// Connections are taken.
    Serving,
    /// It is not going to be.
    Failed {
        /// Why not.
        reason: String,
    },
}

/// No other process goes on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// One upgrade at a time.
    #[error("an upgrade goes on already")]
    GoesOn,
    /// The end has begun.
    #[error("the host is about to end")]
    Ending,
    /// The process that this one took over from is still there.
    #[error("the process before this one still finishes its requests; try again, or give --timeout")]
    FormerDrains,
    /// With it, all processes of a container would end.
    #[error("the host is process 1, whose end ends its container; replace the container instead")]
    FirstProcess,
    /// The program cannot be run.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The new process has ended.
    #[error("the new process ended ({0}) before it answered requests; its last lines in the host's log may say why")]
    Ended(ExitStatus),
    /// The new process has given up.
    #[error("the new process does not start: {0}")]
    Failed(String),
    /// The new process is too slow.
    #[error("the new process was not ready within {0:?}, and was ended")]
    TooSlow(Duration),
    /// The former process has not handed over.
    #[error("{0}; try again")]
    HandOver(#[from] crate::app::HandOverError),
    /// The two do not understand each other.
    #[error("the new process is not understood: {0}")]
    Protocol(#[source] io::Error),
}
