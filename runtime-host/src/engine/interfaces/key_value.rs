//! Key-value stores for guests: `spin:key-value@3.0.0` and `fermyon:spin/key-value@2.0.0`.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::pages::{self, NextPage, Pages};
use crate::engine::state::{GuestState, STORES_OPEN_MAX};
use crate::stores::key_value::{self, KeyValue, Keys};
use crate::telemetry::metrics::{ComponentMetrics, StoreOperation};

/// `variant error`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum Error {
    #[component(name = "store-table-full")]
    StoreTableFull,
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// An open store of one component.
#[derive(Clone)]
pub(super) struct OpenStore {
    pub(super) store: Arc<dyn KeyValue>,
    metrics: Arc<ComponentMetrics>,
}

impl OpenStore {
    /// Waits for an answer of the store and counts it.
    pub(super) async fn timed<T, E>(
        &self,
        operation: StoreOperation,
        answer: impl Future<Output = Result<T, key_value::Error>>,
    ) -> Result<T, E>
    where
        E: From<key_value::Error>,
    {
        let timer = self.metrics.store_timer(operation);
        let result = answer.await;
        timer.finish(result.is_ok());
        result.map_err(E::from)
    }
}

type Handle = Resource<OpenStore>;

/// Opens the store that the manifest grants under `label`. The inner errors are the guest's, the outer one ends the instance.
pub(super) fn open(state: &mut GuestState, label: &str) -> wasmtime::Result<Result<Handle, OpenRefused>> {
    let Some(store) = state.component.key_value_stores.get(label) else {
        return Ok(Err(OpenRefused::NotGranted));
    };
    if state.stores_open == STORES_OPEN_MAX {
        return Ok(Err(OpenRefused::TableFull));
    }
    let open = OpenStore { store: store.clone(), metrics: state.component.metrics.clone() };
    let handle = state.table.push(open)?;
    state.stores_open += 1;
    Ok(Ok(handle))
}

/// The store behind a handle.
pub(super) fn opened(state: &GuestState, handle: &Handle) -> wasmtime::Result<OpenStore> {
    Ok(state.table.get(handle)?.clone())
}

/// Closes a store that [`open`] opened.
pub(super) fn close(state: &mut GuestState, rep: u32) -> wasmtime::Result<()> {
    state.table.delete(Handle::new_own(rep))?;
    state.stores_open -= 1;
    Ok(())
}

/// Why a store was not opened.
pub(super) enum OpenRefused {
    NotGranted,
    TableFull,
}

impl From<OpenRefused> for Error {
    fn from(refused: OpenRefused) -> Self {
        match refused {
            OpenRefused::NotGranted => Self::AccessDenied,
            OpenRefused::TableFull => Self::StoreTableFull,
        }
    }
}

impl From<key_value::Error> for Error {
    fn from(error: key_value::Error) -> Self {
        Self::Other(error.to_string())
    }
}

const OLDER: &str = "fermyon:spin/key-value@2.0.0";
const NEWER: &str = "spin:key-value/key-value@3.0.0";

/// Defines a method of both generations: in the older one the call blocks its instance, in the newer one it does not.
macro_rules! method {
    ($linker:ident, $name:literal, $operation:expr, |$store:ident $(, $param:ident: $type:ty)*| $call:expr) => {
        $linker.instance(OLDER)?.func_wrap_async(
            concat!("[method]store.", $name),
            |context: StoreContextMut<'_, GuestState>, (handle, $($param),*): (Handle, $($type),*)| {
                Box::new(async move {
                    let open = opened(context.data(), &handle)?;
                    let $store = &open.store;
                    Ok((open.timed::<_, Error>($operation, $call).await,))
                })
            },
        )?;
        $linker.instance(NEWER)?.func_wrap_concurrent(
            concat!("[method]store.", $name),
            |accessor: &Accessor<GuestState>, (handle, $($param),*): (Handle, $($type),*)| {
                Box::pin(async move {
                    let open = accessor.with(|mut access| opened(access.get(), &handle))?;
                    let $store = &open.store;
                    Ok((open.timed::<_, Error>($operation, $call).await,))
                })
            },
        )?;
    };
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for name in [OLDER, NEWER] {
        linker
            .instance(name)?
            .resource("store", ResourceType::host::<OpenStore>(), |mut store, rep| close(store.data_mut(), rep))?;
    }
    linker.instance(OLDER)?.func_wrap(
        "[static]store.open",
        |mut store: StoreContextMut<'_, GuestState>, (label,): (String,)| {
            Ok((open(store.data_mut(), &label)?.map_err(Error::from),))
        },
    )?;
    linker.instance(NEWER)?.func_wrap_concurrent(
        "[static]store.open",
        |accessor: &Accessor<GuestState>, (label,): (String,)| {
            Box::pin(async move { Ok((accessor.with(|mut access| open(access.get(), &label))?.map_err(Error::from),)) })
        },
    )?;
    method!(linker, "get", StoreOperation::KeyValueGet, |store, key: String| store.get(&key));
    method!(linker, "set", StoreOperation::KeyValueSet, |store, key: String, value: Vec<u8>| store.set(key, value));
    method!(linker, "delete", StoreOperation::KeyValueDelete, |store, key: String| store.delete(key));
    method!(linker, "exists", StoreOperation::KeyValueExists, |store, key: String| store.exists(&key));
    linker.instance(OLDER)?.func_wrap_async(
        "[method]store.get-keys",
        |context: StoreContextMut<'_, GuestState>, (handle,): (Handle,)| {
            Box::new(async move {
                let open = opened(context.data(), &handle)?;
                Ok((open.timed::<_, Error>(StoreOperation::KeyValueKeys, key_value::all_keys(&*open.store)).await,))
            })
        },
    )?;
    linker.instance(NEWER)?.func_wrap_concurrent(
        "[method]store.get-keys",
        |accessor: &Accessor<GuestState>, (handle,): (Handle,)| {
            Box::pin(async move {
                let open = accessor.with(|mut access| opened(access.get(), &handle))?;
                let first = KeyPages::fetch(open.clone(), None).await;
                let streamed = accessor.with(|access| match first {
                    Ok(first) => pages::stream(access, KeyPages::new(open, first)),
                    Err(error) => pages::failed(access, error),
                })?;
                Ok((streamed,))
            })
        },
    )
}

/// The keys of a store. The first page is there from the beginning, the others are fetched as the guest reads on.
struct KeyPages {
    open: OpenStore,
    /// Keys that were fetched and not handed out.
    keys: Vec<String>,
    /// What to ask the next page with.
    cursor: Option<String>,
    /// The page that is being fetched.
    next: Option<BoxFuture<'static, Result<Keys, Error>>>,
}

impl KeyPages {
    fn new(open: OpenStore, first: Keys) -> Self {
        Self { open, keys: first.keys, cursor: first.cursor, next: None }
    }

    fn fetch(open: OpenStore, cursor: Option<String>) -> BoxFuture<'static, Result<Keys, Error>> {
        Box::pin(async move { open.timed(StoreOperation::KeyValueKeys, open.store.keys(cursor)).await })
    }
}

impl Pages for KeyPages {
    type Item = String;
    type Error = Error;

    fn poll_page(&mut self, cx: &mut Context<'_>) -> NextPage<String, Error> {
        while self.keys.is_empty() {
            if let Some(cursor) = self.cursor.take() {
                self.next = Some(Self::fetch(self.open.clone(), Some(cursor)));
            }
            let Some(next) = &mut self.next else { return Poll::Ready(None) };
            let page = ready!(next.as_mut().poll(cx));
            self.next = None;
            match page {
                Ok(Keys { keys, cursor }) => (self.keys, self.cursor) = (keys, cursor),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(Some(Ok(std::mem::take(&mut self.keys))))
    }

    fn has_ended(&self) -> bool {
        self.cursor.is_none() && self.next.is_none()
    }

    fn is_complete(&self) -> bool {
        self.keys.is_empty() && self.has_ended()
    }
}
