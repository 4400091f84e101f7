//! The worker threads, each with a single-threaded runtime and its own handler.

use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::accept::Accepted;
use super::connection::Server;
use super::drain::Drain;
use super::{Handler, Limits, ListenError};

/// The number of open connections of each worker.
#[derive(Debug, Clone)]
pub struct OpenConnections(Arc<[AtomicUsize]>);

impl OpenConnections {
    pub(super) fn new(workers: NonZeroUsize) -> Self {
        Self((0..workers.get()).map(|_| AtomicUsize::new(0)).collect())
    }

    /// Connections open at this moment, over all workers.
    pub fn count(&self) -> usize {
        self.0.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    fn fewest(&self) -> usize {
        let by_count = |index: &usize| self.0[*index].load(Ordering::Relaxed);
        (0..self.0.len()).min_by_key(by_count).unwrap_or_default()
    }

    fn add(&self, worker: usize) -> OpenConnection {
        self.0[worker].fetch_add(1, Ordering::Relaxed);
        OpenConnection { open: self.clone(), worker }
    }
}

/// Counts as one open connection until it is dropped.
struct OpenConnection {
    open: OpenConnections,
    worker: usize,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.0[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection on its way to its worker. The socket belongs to no runtime meanwhile.
struct Handover {
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    counted: OpenConnection,
}

/// All workers, seen from the acceptor.
pub(super) struct Workers {
    queues: Vec<mpsc::UnboundedSender<Handover>>,
    open: OpenConnections,
    /// Closes when no worker serves any more.
    serving: mpsc::Receiver<()>,
}

impl Workers {
    /// Starts one worker for each counter in `open` and waits until their handlers are made.
    pub(super) async fn start<H: Handler>(
        make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
        limits: Limits,
        tls: Option<TlsAcceptor>,
        open: OpenConnections,
        drain: Drain,
    ) -> Result<Self, ListenError> {
        let make_handler = Arc::new(make_handler);
        let (serves, serving) = mpsc::channel(1);
        let mut queues = Vec::new();
        let mut starting = Vec::new();
        for index in 0..open.0.len() {
            let failed = |source| ListenError::Worker { index, source };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            // Unbounded, and yet bounded by the places for connections.
            let (queue, incoming) = mpsc::unbounded_channel();
            let (started, start) = oneshot::channel();
            let (make_handler, tls, drain, serves) = (make_handler.clone(), tls.clone(), drain.clone(), serves.clone());
            let work = move || {
                let handler = {
                    let _context = runtime.enter();
                    make_handler(index)
                };
                // The listener may have failed to start another worker and gone: then the queue is closed too.
                let _ = started.send(());
                work(runtime, Server { handler, limits, tls, drain, busy_poll: Arc::default() }, incoming, serves);
            };
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(work).map_err(failed)?;
            queues.push(queue);
            starting.push(start);
        }
        for (index, start) in starting.into_iter().enumerate() {
            let panicked =
                |_| ListenError::Worker { index, source: std::io::Error::other("making its handler panicked") };
            start.await.map_err(panicked)?;
        }
        Ok(Self { queues, open, serving })
    }

    /// Hands a connection to the worker that has the fewest.
    pub(super) fn dispatch(&self, accepted: Accepted) {
        let Accepted { socket, peer, place } = accepted;
        let worker = self.open.fewest();
        match socket.into_std() {
            // A worker outlives its queue, so sending cannot fail.
            Ok(socket) => {
                drop(self.queues[worker].send(Handover { socket, peer, place, counted: self.open.add(worker) }))
            }
            Err(error) => tracing::warn!(%peer, %error, "connection lost on its way to a worker"),
        }
    }

    /// Says that no further connections come.
    pub(super) fn close(&mut self) {
        self.queues.clear();
    }

    /// Waits until every worker has served its last connection. Their threads go on until the drain ends.
    pub(super) async fn done(&mut self) {
        while self.serving.recv().await.is_some() {}
    }
}

/// Serves what comes in until no more can come and all connections are done, and stays until the drain has ended: what the
/// handler runs on this thread may be at work for a connection of another one. `serves` is dropped in between.
fn work<H: Handler>(
    runtime: Runtime,
    server: Server<H>,
    mut incoming: mpsc::UnboundedReceiver<Handover>,
    serves: mpsc::Sender<()>,
) {
    runtime.block_on(async {
        let drain = server.drain.clone();
        let busy_poll = server.busy_poll.clone();
        tokio::spawn(async move { busy_poll.run().await });
        let mut connections = JoinSet::new();
        let serving = async {
            loop {
                tokio::select! {
                    handover = incoming.recv() => match handover {
                        Some(handover) => drop(connections.spawn(serve(server.clone(), handover))),
                        None => break,
                    },
                    Some(ended) = connections.join_next() => report(ended),
                }
            }
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
            drop(serves);
            std::future::pending().await
        };
        tokio::select! {
            () = serving => {}
            () = drain.ended() => {}
        }
    });
    // What the handler left running is of no use without its connections.
    runtime.shutdown_background();
}

async fn serve<H: Handler>(server: Server<H>, handover: Handover) {
    let Handover { socket, peer, place: _place, counted: _counted } = handover;
    match tokio::net::TcpStream::from_std(socket) {
        Ok(socket) => server.serve(socket, peer).await,
        Err(error) => tracing::warn!(%peer, %error, "connection lost on its way to a worker"),
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task panicked");
    }
}
