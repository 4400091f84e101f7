//! What one connection is doing, and the watchdog that ends it when it does that for too long.
//!
//! One timer serves every timeout of a connection and is moved only when it has to fire earlier or has fired,
//! so that an ordinary request touches no timer at all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::Limits;

/// Notes from the layers of a connection. All of them run on one thread, so the atomics are never contended.
#[derive(Debug, Default)]
pub(super) struct Activity {
    started: AtomicU64,
    finished: AtomicU64,
    head_begun: AtomicBool,
    writes: AtomicU64,
    write_blocked: AtomicBool,
    body_unread: AtomicBool,
}

impl Activity {
    /// A request head was read; the request counts as open until the guard is dropped.
    pub(super) fn request_started(self: &Arc<Self>) -> OpenRequest {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        OpenRequest(self.clone())
    }

    /// Bytes came from the client.
    pub(super) fn bytes_read(&self) {
        self.head_begun.store(true, Ordering::Relaxed);
    }

    /// The client took bytes.
    pub(super) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.write_blocked.store(false, Ordering::Relaxed);
    }

    /// There are bytes that the client does not take for now.
    pub(super) fn write_blocked(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
    }

    /// A request was answered without reading its body to the end.
    pub(super) fn leave_body_unread(&self) {
        self.body_unread.store(true, Ordering::Relaxed);
    }

    /// Whether the client may still be sending what nobody reads.
    pub(super) fn has_unread_input(&self) -> bool {
        self.body_unread.load(Ordering::Relaxed) || self.head_begun.load(Ordering::Relaxed)
    }

    fn phase(&self) -> Phase {
        let started = self.started.load(Ordering::Relaxed);
        if started != self.finished.load(Ordering::Relaxed) {
            // Bytes that come now are the body's or a pipelined request's; they say nothing about the next head.
            self.head_begun.store(false, Ordering::Relaxed);
            Phase::Busy
        } else if self.head_begun.load(Ordering::Relaxed) {
            Phase::ReadingHead { after: started }
        } else {
            Phase::Idle { after: started }
        }
    }
}

/// Keeps its connection from counting as idle.
pub(super) struct OpenRequest(Arc<Activity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of requests so far tells one idle time from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle { after: u64 },
    ReadingHead { after: u64 },
    Busy,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Idle,
    HeaderRead,
    Write,
}

/// Watches over one connection.
pub(super) struct Watchdog {
    limits: Limits,
    /// HTTP/2 clients send pings and settings between requests, which begin no header section.
    heads_are_timed: bool,
    /// The end was asked for and should not take as long as an idle connection may.
    closing: bool,
    phase: (Phase, Instant),
    /// After how many writes the client stopped taking bytes, and when.
    write_blocked: Option<(u64, Instant)>,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    /// For a connection whose first bytes have come.
    pub(super) fn new(limits: Limits, heads_are_timed: bool) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(now + limits.header_read_timeout));
        let phase = (Phase::ReadingHead { after: 0 }, now);
        Self { limits, heads_are_timed, closing: false, phase, write_blocked: None, timer }
    }

    /// Leaves the connection as long as a header section may take for an orderly end.
    pub(super) fn hasten(&mut self) {
        self.closing = true;
        self.phase.1 = Instant::now();
    }

    /// To be polled after the connection: ready when the connection has stood still for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<Expired> {
        self.observe(activity);
        let Some((deadline, expired)) = self.deadline() else { return Poll::Pending };
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(expired);
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn observe(&mut self, activity: &Activity) {
        let phase = match activity.phase() {
            Phase::ReadingHead { after } if !self.heads_are_timed => Phase::Idle { after },
            phase => phase,
        };
        if phase != self.phase.0 {
            self.phase = (phase, Instant::now());
        }
        let blocked = activity.write_blocked.load(Ordering::Relaxed);
        let blocked_after = blocked.then(|| activity.writes.load(Ordering::Relaxed));
        if blocked_after != self.write_blocked.map(|(writes, _)| writes) {
            self.write_blocked = blocked_after.map(|writes| (writes, Instant::now()));
        }
    }

    fn deadline(&self) -> Option<(Instant, Expired)> {
        let (phase, since) = self.phase;
        let reading = match phase {
            Phase::Busy => None,
            Phase::ReadingHead { .. } => Some((since + self.limits.header_read_timeout, Expired::HeaderRead)),
            Phase::Idle { .. } if self.closing => Some((since + self.limits.header_read_timeout, Expired::Idle)),
            Phase::Idle { .. } => Some((since + self.limits.idle_timeout, Expired::Idle)),
        };
        let writing = self.write_blocked.map(|(_, since)| (since + self.limits.write_timeout, Expired::Write));
        [reading, writing].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}
