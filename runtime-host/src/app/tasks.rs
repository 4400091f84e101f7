//! Work on tasks and threads of its own, for those who wait for it.

/// Does work to its end, even if nobody waits for it any more: what is on disk and what answers must not part in the middle.
pub(super) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            // A bug, which goes on as one.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The threads end, and whoever waits with them.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Does work that blocks on a thread for such work.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never aborted, so it has panicked: a bug, which goes on as one.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
