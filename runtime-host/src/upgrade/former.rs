//! The former process's side of an upgrade.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout, timeout_at};

use super::new::FormerEnd;
use super::{DESCRIPTORS, FromFormer, FromNew, MESSAGE_BYTES_MAX, UpgradeError, VARIABLE};
use crate::app::App;
use crate::app::schedule::TurnOver;
use crate::listener::Drain;
use crate::service_manager;
use crate::stores::Stores;

/// How long a new process that has closed its socket may take to end, so that its exit status can be told.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// The program; by default the one that this process was started from, as it is at its path now.
    pub program: Option<PathBuf>,
    /// How long the new process may take until it answers requests.
    pub timeout: Duration,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What a process consists of that can be taken over from.
pub struct Parts {
    /// The application.
    pub app: Arc<App>,
    /// Its stores.
    pub stores: Stores,
    /// The public socket.
    pub public: Weak<TcpListener>,
    /// The admin socket.
    pub admin: Weak<TcpListener>,
    /// The end of this process.
    pub drain: Drain,
    /// The process that this one took over from.
    pub former: Option<FormerEnd>,
    /// Tells when no scheduled run goes on.
    pub chores: TurnOver,
}

/// Starts the process that goes on.
pub struct Upgrader {
    /// Found at the start: later the path may be another program's, and the system says that this one was deleted.
    program: io::Result<PathBuf>,
    app: Arc<App>,
    stores: Stores,
    public: Weak<TcpListener>,
    admin: Weak<TcpListener>,
    drain: Drain,
    former: Option<FormerEnd>,
    chores: Mutex<Option<TurnOver>>,
    /// Held by the one upgrade that goes on.
    turn: tokio::sync::Mutex<()>,
}

/// A new process that has not taken over yet.
struct Successor {
    child: Child,
    says: Lines<BufReader<Take<OwnedReadHalf>>>,
    hears: OwnedWriteHalf,
}

impl Upgrader {
    /// Of this process.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { app, stores, public, admin, drain, former, chores } = parts;
        let (program, chores, turn) =
            (std::env::current_exe(), Mutex::new(Some(chores)), tokio::sync::Mutex::default());
        Arc::new(Self { program, app, stores, public, admin, drain, former, chores, turn })
    }

    /// Has a new process take over, and returns its id once it takes connections. This one ends when its requests are answered.
    /// After an error it goes on, and the new process is gone.
    pub async fn upgrade(self: &Arc<Self>, order: Order) -> Result<u32, UpgradeError> {
        // On a task of its own, because whoever asks may go away in between.
        let upgrader = self.clone();
        let upgrading = tokio::spawn(async move { upgrader.upgrade_in_turn(&order).await });
        // It is never aborted, so it has panicked: a bug, which goes on as one.
        upgrading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn upgrade_in_turn(&self, order: &Order) -> Result<u32, UpgradeError> {
        let _turn = self.turn.try_lock().map_err(|_| UpgradeError::GoesOn)?;
        if self.drain.has_begun() {
            return Err(UpgradeError::Ending);
        }
        if std::process::id() == 1 {
            return Err(UpgradeError::FirstProcess);
        }
        let deadline = Instant::now() + order.timeout;
        if let Some(former) = &self.former {
            // At most two processes have the stores.
            timeout_at(deadline, former.gone()).await.map_err(|_| UpgradeError::FormerDrains)?;
        }
        let changes = self.app.revision_changes();
        let mut successor = self.start(order)?;
        let taken_over = tokio::select! {
            taken_over = timeout_at(deadline, self.pass_on(order, changes, &mut successor)) => {
                taken_over.unwrap_or(Err(UpgradeError::TooSlow(order.timeout)))
            }
            () = self.drain.begun() => Err(UpgradeError::Ending),
        };
        match taken_over {
            Ok(backups) => Ok(self.end(successor, backups)),
            Err(error) => {
                // First, so that at no time two decide.
                successor.kill().await;
                self.app.take_back_over(&error.to_string()).await;
                Err(error)
            }
        }
    }

    fn start(&self, order: &Order) -> Result<Successor, UpgradeError> {
        let program = match (&order.program, &self.program) {
            (Some(program), _) | (None, Ok(program)) => program,
            (None, Err(error)) => {
                let source = io::Error::new(error.kind(), error.to_string());
                return Err(UpgradeError::Start { program: "the host's own program".to_owned(), source });
            }
        };
        let failed = |source| UpgradeError::Start { program: program.display().to_string(), source };
        let (Some(public), Some(admin)) = (self.public.upgrade(), self.admin.upgrade()) else {
            return Err(UpgradeError::Ending);
        };
        let (own, theirs) = StdUnixStream::pair().map_err(failed)?;
        let descriptors = [public.as_fd(), admin.as_fd(), self.stores.lock().as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&own, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::empty())
            .map_err(|error| failed(error.into()))?;

        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().map_err(failed)?;
        own.set_nonblocking(true).map_err(failed)?;
        let (reads, hears) = UnixStream::from_std(own).map_err(failed)?.into_split();
        Ok(Successor { child, says: BufReader::new(reads.take(MESSAGE_BYTES_MAX)).lines(), hears })
    }

    /// Until the new process takes connections. No backup begins while the guard lives.
    async fn pass_on(
        &self,
        order: &Order,
        changes: u64,
        successor: &mut Successor,
    ) -> Result<OwnedMutexGuard<()>, UpgradeError> {
        successor.says(FromNew::Ready).await?;
        let backups = self.stores.hold_backups().await;
        self.app.hand_over(changes).await?;
        let Order { who, why, .. } = order.clone();
        successor.hears(&FromFormer::Go { who, why }).await?;
        successor.says(FromNew::Serving).await?;
        Ok(backups)
    }

    /// Ends this process, as the new one serves.
    fn end(&self, successor: Successor, backups: OwnedMutexGuard<()>) -> u32 {
        let Successor { child, mut hears, says } = successor;
        // It was not waited for, so it still has one.
        let pid = child.id().unwrap_or_default();
        tracing::info!(pid, "another process has taken over; this one finishes what it has begun");
        service_manager::notify_main_process(pid);
        self.drain.hand_over();
        let chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner).take();
        tokio::spawn(async move {
            if let Some(chores) = chores {
                chores.wait().await;
            }
            // One that is gone has no schedules.
            let _ = write(&mut hears, &FromFormer::ChoresDone).await;
            // Until the end of this process, which the new one sees by the end of the socket.
            std::future::pending::<()>().await;
            drop((backups, hears, says, child));
        });
        pid
    }
}

impl Successor {
    /// Waits until it says `expected`.
    async fn says(&mut self, expected: FromNew) -> Result<(), UpgradeError> {
        // An error is an end too: the socket is reset if the new process has not read all.
        let Some(line) = self.says.next_line().await.unwrap_or_default() else {
            return Err(match timeout(EXIT_TIMEOUT, self.child.wait()).await {
                Ok(Ok(status)) => UpgradeError::Ended(status),
                Ok(Err(error)) => UpgradeError::Protocol(error),
                Err(_) => UpgradeError::Protocol(io::ErrorKind::UnexpectedEof.into()),
            });
        };
        match serde_json::from_str(&line).map_err(|error| UpgradeError::Protocol(error.into()))? {
            said if said == expected => Ok(()),
            FromNew::Failed { reason } => Err(UpgradeError::Failed(reason)),
            _ => Err(UpgradeError::Protocol(io::ErrorKind::InvalidData.into())),
        }
    }

    async fn hears(&mut self, message: &FromFormer) -> Result<(), UpgradeError> {
        write(&mut self.hears, message).await.map_err(UpgradeError::Protocol)
    }

    async fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }
}

async fn write(hears: &mut OwnedWriteHalf, message: &FromFormer) -> io::Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    hears.write_all(line.as_bytes()).await
}
