//! What a store returns in pages, as a guest gets it: a stream of items, and a future that says how the stream ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::channel::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, Destination, FutureReader, Lift, Lower, StreamProducer, StreamReader, StreamResult, VecBuffer,
};

use crate::engine::state::GuestState;

/// A page, later; `None` after the last one.
pub(super) type NextPage<T, E> = Poll<Option<Result<Vec<T>, E>>>;
/// What the guest gets.
pub(super) type Streamed<T, E> = (StreamReader<T>, FutureReader<Result<(), E>>);

/// Items that come page by page.
pub(super) trait Pages: Unpin + Send + 'static {
    type Item: Lift + Lower + Send + Sync + 'static;
    type Error: Lift + Lower + Send + Sync + 'static;

    /// The next page, or an error when there will be no more although there should be.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> NextPage<Self::Item, Self::Error>;

    /// Whether every item is at hand, so that nothing can fail any more.
    fn has_ended(&self) -> bool;

    /// Whether every item was handed out.
    fn is_complete(&self) -> bool;
}

/// The stream, and the future that is done when all pages have been fetched.
///
/// A guest may wait for the future before it reads a single item. That works as long as all of them are at hand; more are
/// fetched only as they are read, as their number has no bound.
pub(super) fn stream<P: Pages>(
    mut access: Access<'_, GuestState>,
    pages: P,
) -> wasmtime::Result<Streamed<P::Item, P::Error>> {
    let (finished, outcome) = oneshot::channel();
    let mut producer = PageProducer { pages, finished: Some(finished) };
    if producer.pages.has_ended() {
        producer.end_with(Ok(()));
    }
    let items = StreamReader::new(&mut access, producer)?;
    // A producer that is dropped early was not asked for the rest: that is no error.
    let outcome = async move { Ok::<_, wasmtime::Error>(outcome.await.unwrap_or(Ok(()))) };
    let outcome = FutureReader::new(&mut access, Box::pin(outcome))?;
    Ok((items, outcome))
}

/// No items, because fetching them failed at once.
pub(super) fn failed<T, E>(mut access: Access<'_, GuestState>, error: E) -> wasmtime::Result<Streamed<T, E>>
where
    T: Lift + Lower + Send + Sync + Unpin + 'static,
    E: Lift + Lower + Send + Sync + 'static,
{
    let items = StreamReader::new(&mut access, Vec::new())?;
    let outcome = FutureReader::new(&mut access, std::future::ready(wasmtime::error::Ok(Err(error))))?;
    Ok((items, outcome))
}

/// Hands pages to the guest as it reads them.
struct PageProducer<P: Pages> {
    pages: P,
    finished: Option<oneshot::Sender<Result<(), P::Error>>>,
}

impl<P: Pages> PageProducer<P> {
    fn end_with(&mut self, outcome: Result<(), P::Error>) {
        if let Some(finished) = self.finished.take() {
            // The guest may have dropped the future; then nobody asks.
            let _ = finished.send(outcome);
        }
    }

    fn finish(&mut self, outcome: Result<(), P::Error>) -> Poll<wasmtime::Result<StreamResult>> {
        self.end_with(outcome);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<P: Pages> StreamProducer<GuestState> for PageProducer<P> {
    type Item = P::Item;
    type Buffer = VecBuffer<P::Item>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, GuestState>,
        mut destination: Destination<'a, P::Item, VecBuffer<P::Item>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let page = match self.pages.poll_page(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            pending => ready!(pending),
        };
        match page {
            Some(Ok(items)) => {
                destination.set_buffer(items.into());
                if self.pages.is_complete() {
                    return self.finish(Ok(()));
                }
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Some(Err(error)) => self.finish(Err(error)),
            None => self.finish(Ok(())),
        }
    }
}
