//! `wasi:keyvalue@0.2.0-draft2` for guests: store, atomics and batch.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::key_value::{OpenRefused, OpenStore, close, open, opened};
use crate::engine::state::GuestState;
use crate::stores::key_value::{self, Cas, Swap};
use crate::telemetry::metrics::StoreOperation;

/// `variant error`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// `variant cas-error`.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    StoreError(Error),
    #[component(name = "cas-failed")]
    CasFailed(Resource<OpenCas>),
}

/// `record key-response`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<String>,
}

/// Compare-and-swaps that one instance may have in progress.
const SWAPS_OPEN_MAX: usize = 1_024;
/// Size of the keys and values that these remember, in bytes; any single one fits.
const SWAPS_BYTES_MAX: usize = 32 << 20;

const TOO_MANY: &str = "too many compare-and-swaps are open; drop some first";

/// A compare-and-swap in progress.
struct OpenCas {
    bucket: OpenStore,
    cas: Cas,
}

/// What the compare-and-swaps of one instance take, which the guest's own memory does not show.
#[derive(Debug, Default)]
pub(in crate::engine) struct SwapBudget {
    open: usize,
    bytes: usize,
}

impl SwapBudget {
    /// Makes room for one more; false when there is none.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.open < SWAPS_OPEN_MAX && self.bytes + bytes <= SWAPS_BYTES_MAX;
        if fits {
            self.open += 1;
            self.bytes += bytes;
        }
        fits
    }

    /// Makes room for another value of an open one; false, and nothing is changed, when there is none.
    fn change(&mut self, before: usize, after: usize) -> bool {
        let fits = self.bytes - before + after <= SWAPS_BYTES_MAX;
        if fits {
            self.bytes = self.bytes - before + after;
        }
        fits
    }

    fn give_back(&mut self, bytes: usize) {
        self.open -= 1;
        self.bytes -= bytes;
    }
}

/// Gives the guest a handle of a swap, if it may have another one.
fn keep(state: &mut GuestState, swap: OpenCas) -> wasmtime::Result<Result<Resource<OpenCas>, Error>> {
    if !state.swaps.take(swap.cas.bytes()) {
        return Ok(Err(Error::Other(TOO_MANY.to_owned())));
    }
    Ok(Ok(state.table.push(swap)?))
}

/// Has the swap expect the value that its guest is shown now, as in Spin.
fn expect(
    state: &mut GuestState,
    handle: &Resource<OpenCas>,
    cas: Cas,
) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
    let swap = state.table.get_mut(handle)?;
    if !state.swaps.change(swap.cas.bytes(), cas.bytes()) {
        return Ok(Err(Error::Other(TOO_MANY.to_owned())));
    }
    swap.cas = cas;
    Ok(Ok(swap.cas.current().map(<[u8]>::to_vec)))
}

/// Takes a handle back that [`keep`] gave.
fn release(state: &mut GuestState, handle: Resource<OpenCas>) -> wasmtime::Result<OpenCas> {
    let swap = state.table.delete(handle)?;
    state.swaps.give_back(swap.cas.bytes());
    Ok(swap)
}

type Bucket = Resource<OpenStore>;
type Context<'a> = StoreContextMut<'a, GuestState>;

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_store(&mut linker.instance("wasi:keyvalue/store@0.2.0-draft2")?)?;
    add_batch(&mut linker.instance("wasi:keyvalue/batch@0.2.0-draft2")?)?;
    add_atomics(&mut linker.instance("wasi:keyvalue/atomics@0.2.0-draft2")?)
}

fn add_store(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.resource("bucket", ResourceType::host::<OpenStore>(), |mut store, rep| close(store.data_mut(), rep))?;
    instance.func_wrap("open", |mut context: Context<'_>, (label,): (String,)| {
        Ok((open(context.data_mut(), &label)?.map_err(Error::from),))
    })?;
    instance.func_wrap_async("[method]bucket.get", |context: Context<'_>, (handle, key): (Bucket, String)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueGet, open.store.get(&key)).await,))
        })
    })?;
    instance.func_wrap_async(
        "[method]bucket.set",
        |context: Context<'_>, (handle, key, value): (Bucket, String, Vec<u8>)| {
            Box::new(async move {
                let open = opened(context.data(), &handle)?;
                Ok((open.timed::<_, Error>(StoreOperation::KeyValueSet, open.store.set(key, value)).await,))
            })
        },
    )?;
    instance.func_wrap_async("[method]bucket.delete", |context: Context<'_>, (handle, key): (Bucket, String)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueDelete, open.store.delete(key)).await,))
        })
    })?;
    instance.func_wrap_async("[method]bucket.exists", |context: Context<'_>, (handle, key): (Bucket, String)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueExists, open.store.exists(&key)).await,))
        })
    })?;
    instance.func_wrap_async(
        "[method]bucket.list-keys",
        |context: Context<'_>, (handle, cursor): (Bucket, Option<String>)| {
            Box::new(async move {
                let open = opened(context.data(), &handle)?;
                let page = open.timed::<_, Error>(StoreOperation::KeyValueKeys, open.store.keys(cursor)).await;
                Ok((page.map(|page| KeyResponse { keys: page.keys, cursor: page.cursor }),))
            })
        },
    )
}

fn add_batch(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap_async("get-many", |context: Context<'_>, (handle, keys): (Bucket, Vec<String>)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueGetMany, open.store.get_many(keys)).await,))
        })
    })?;
    instance.func_wrap_async(
        "set-many",
        |context: Context<'_>, (handle, pairs): (Bucket, Vec<(String, Vec<u8>)>)| {
            Box::new(async move {
                let open = opened(context.data(), &handle)?;
                Ok((open.timed::<_, Error>(StoreOperation::KeyValueSetMany, open.store.set_many(pairs)).await,))
            })
        },
    )?;
    instance.func_wrap_async("delete-many", |context: Context<'_>, (handle, keys): (Bucket, Vec<String>)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueDeleteMany, open.store.delete_many(keys)).await,))
        })
    })
}

fn add_atomics(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.resource("cas", ResourceType::host::<OpenCas>(), |mut store, rep| {
        release(store.data_mut(), Resource::new_own(rep)).map(drop)
    })?;
    instance.func_wrap_async("[static]cas.new", |mut context: Context<'_>, (handle, key): (Bucket, String)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            let cas = open.timed::<_, Error>(StoreOperation::KeyValueGet, open.store.compare(key)).await;
            Ok((match cas {
                Ok(cas) => keep(context.data_mut(), OpenCas { bucket: open, cas })?,
                Err(error) => Err(error),
            },))
        })
    })?;
    instance.func_wrap_async("[method]cas.current", |mut context: Context<'_>, (handle,): (Resource<OpenCas>,)| {
        Box::new(async move {
            let OpenCas { bucket, cas } = context.data().table.get(&handle)?;
            let (bucket, key) = (bucket.clone(), cas.key().to_owned());
            let cas = bucket.timed::<_, Error>(StoreOperation::KeyValueGet, bucket.store.compare(key)).await;
            Ok((match cas {
                Ok(cas) => expect(context.data_mut(), &handle, cas)?,
                Err(error) => Err(error),
            },))
        })
    })?;
    instance.func_wrap_async("increment", |context: Context<'_>, (handle, key, delta): (Bucket, String, i64)| {
        Box::new(async move {
            let open = opened(context.data(), &handle)?;
            Ok((open.timed::<_, Error>(StoreOperation::KeyValueIncrement, open.store.increment(key, delta)).await,))
        })
    })?;
    instance.func_wrap_async("swap", |mut context: Context<'_>, (handle, value): (Resource<OpenCas>, Vec<u8>)| {
        Box::new(async move {
            let OpenCas { bucket, cas } = release(context.data_mut(), handle)?;
            let swap = bucket.timed::<_, Error>(StoreOperation::KeyValueSwap, bucket.store.swap(cas, value)).await;
            Ok((match swap {
                Ok(Swap::Done) => Ok(()),
                Ok(Swap::Changed(cas)) => Err(match keep(context.data_mut(), OpenCas { bucket, cas })? {
                    Ok(fresh) => CasError::CasFailed(fresh),
                    Err(error) => CasError::StoreError(error),
                }),
                Err(error) => Err(CasError::StoreError(error)),
            },))
        })
    })
}

impl From<OpenRefused> for Error {
    fn from(refused: OpenRefused) -> Self {
        match refused {
            OpenRefused::NotGranted => Self::AccessDenied,
            OpenRefused::TableFull => Self::Other("too many stores are open".to_owned()),
        }
    }
}

impl From<key_value::Error> for Error {
    fn from(error: key_value::Error) -> Self {
        Self::Other(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::key_value::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

    #[test]
    fn compare_and_swaps_are_bounded_by_number_and_by_size() {
        let mut many = SwapBudget::default();
        assert!((0..SWAPS_OPEN_MAX).all(|_| many.take(1)));
        assert!(!many.take(1));
        many.give_back(1);
        assert!(many.take(1));

        let largest = KEY_BYTES_MAX + VALUE_BYTES_MAX;
        let mut large = SwapBudget::default();
        let count = (0..SWAPS_OPEN_MAX).take_while(|_| large.take(largest)).count();
        assert_eq!(count, SWAPS_BYTES_MAX / largest);
        assert!(!large.change(1, largest) && large.change(largest, 1) && large.change(1, largest));
        large.give_back(largest);
        assert!(large.take(largest) && !large.take(largest), "the refused one took nothing");
    }
}
