//! The new process's side of an upgrade.

use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, bail, ensure};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines, Take};
use tokio::sync::watch;

use super::{DESCRIPTORS, FromFormer, FromNew, MESSAGE_BYTES_MAX, VARIABLE};
use crate::service_manager::PassedSockets;

/// The process to take over from.
#[derive(Debug)]
pub struct Former {
    stream: UnixStream,
    sockets: Option<PassedSockets>,
    lock: Option<File>,
}

/// Who wants the upgrade, and why.
#[derive(Debug)]
pub struct Handover {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// How far the former process has come with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    ChoresDone,
    Gone,
}

/// Tells how far the former process has come with its end.
#[derive(Debug, Clone)]
pub struct FormerEnd(watch::Receiver<Stage>);

impl Former {
    /// The process that has started this one to take over, if one has. Standard input is empty from here on.
    pub fn find() -> anyhow::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let [public, admin, lock] = receive(&stream).with_context(|| {
            format!(
                "{VARIABLE} is set, but no host has started this one to take over; unset it, or use `bodega upgrade`"
            )
        })?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let sockets = PassedSockets { public: Some(public.into()), admin: Some(admin.into()) };
        Ok(Some(Self { stream, sockets: Some(sockets), lock: Some(lock.into()) }))
    }

    /// The listening sockets. Once.
    pub fn take_sockets(&mut self) -> PassedSockets {
        self.sockets.take().unwrap_or_default()
    }

    /// The lock on the state folder. Once.
    pub fn take_lock(&mut self) -> Option<File> {
        self.lock.take()
    }

    /// Says that everything is loaded, and waits to be told to go on.
    pub async fn ready(&self) -> anyhow::Result<(Handover, FormerEnd)> {
        let lost = "the former process is gone, or has given up the upgrade";
        self.say(&FromNew::Ready).context(lost)?;
        self.stream.set_nonblocking(true)?;
        let reading = tokio::net::UnixStream::from_std(self.stream.try_clone()?)?;
        let mut lines = BufReader::new(reading.take(MESSAGE_BYTES_MAX)).lines();
        let Some(FromFormer::Go { who, why }) = next(&mut lines).await? else { bail!(lost) };
        let (stage, end) = watch::channel(Stage::Serving);
        tokio::spawn(async move {
            // An error on the socket is an end of it as well.
            while let Ok(Some(message)) = next(&mut lines).await {
                if message == FromFormer::ChoresDone {
                    stage.send_replace(Stage::ChoresDone);
                }
            }
            stage.send_replace(Stage::Gone);
        });
        Ok((Handover { who, why }, FormerEnd(end)))
    }

    /// Says that connections are taken.
    pub fn serving(&self) {
        if let Err(error) = self.say(&FromNew::Serving) {
            tracing::warn!("the former process cannot be told that this one serves: {error}");
        }
    }

    /// Says that this process gives up.
    pub fn failed(&self, error: &anyhow::Error) {
        // One that is gone needs not know.
        let _ = self.say(&FromNew::Failed { reason: format!("{error:#}") });
    }

    fn say(&self, message: &FromNew) -> io::Result<()> {
        let mut line = serde_json::to_string(message)?;
        line.push('\n');
        // The few messages fit the socket's buffer, so this never waits.
        (&self.stream).write_all(line.as_bytes())
    }
}

impl FormerEnd {
    /// Waits until no scheduled run goes on in the former process.
    pub async fn chores_done(&self) {
        self.reached(Stage::ChoresDone).await;
    }

    /// Waits until the former process is gone.
    pub async fn gone(&self) {
        self.reached(Stage::Gone).await;
    }

    async fn reached(&self, stage: Stage) {
        // Whoever tells it says that the process is gone before it ends itself.
        let _ = self.0.clone().wait_for(|current| *current >= stage).await;
    }
}

type Messages = Lines<BufReader<Take<tokio::net::UnixStream>>>;

async fn next(lines: &mut Messages) -> io::Result<Option<FromFormer>> {
    let line = lines.next_line().await?;
    line.map(|line| serde_json::from_str(&line).map_err(io::Error::from)).transpose()
}

/// The descriptors that come with the first byte.
fn receive(stream: &UnixStream) -> anyhow::Result<[OwnedFd; DESCRIPTORS]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    ensure!(received.bytes == 1, "nothing comes from standard input");
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    <[OwnedFd; DESCRIPTORS]>::try_from(descriptors)
        .map_err(|descriptors| anyhow::anyhow!("{} descriptors came, and not {DESCRIPTORS}", descriptors.len()))
}
