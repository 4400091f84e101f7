//! Carts whose time is up, for hosts whose stores do not let entries expire by themselves.
//!
//! A guest's cart is deleted: nobody writes to a token again whose time is up. An account's cart could be written at
//! any moment, and no store deletes only what has not changed, so its document stays and is emptied by a swap.

use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use serde::{Deserialize, Serialize};
use service::Error;

use crate::app::App;
use crate::cart::Cart;
use crate::owner::Owner;

/// Carts after which a sweep writes down where it is, so that one that is cut off has not looked in vain.
pub(crate) const CARTS_PER_PIECE: usize = 500;
/// A sweep looks at nothing new after this time, so that it ends before the host's deadline.
pub(crate) const SWEEP_MS_MAX: i64 = 10_000;
/// How long after its time a cart is swept, in milliseconds: the clocks of instances may differ.
const GRACE_MS: i64 = 60 * 60 * 1000;
/// Where the next sweep begins is kept under this key.
const PLACE: &str = "sweep";

/// Where a sweep ended.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    /// The page.
    cursor: Option<String>,
    /// The last key of the page that was looked at, in the order of keys.
    after: Option<String>,
}

/// What a sweep did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Swept {
    /// Carts that were looked at.
    pub(crate) examined: usize,
    /// Carts that were deleted or emptied.
    pub(crate) expired: usize,
    /// Whether it came to the last cart; the next sweep begins with the first one.
    pub(crate) finished: bool,
}

/// Looks at the carts from where the last sweep ended, up to the last one or until it has gone on for long enough by this
/// clock. In between others of the instance have their turn, whom a call of the store would hold up.
pub(crate) async fn sweep(app: &App, clock: impl Fn() -> i64) -> Result<Swept, Error> {
    let started_ms = clock();
    let mut known = app.store.get(PLACE)?;
    // A place that cannot be read is as good as none.
    let mut place: Place = known.as_deref().and_then(|place| serde_json::from_slice(place).ok()).unwrap_or_default();
    let mut swept = Swept::default();
    while !swept.finished {
        let page = app.store.keys(place.cursor.as_deref())?;
        let mut keys: Vec<String> = page.keys.into_iter().filter(|key| Some(key) > place.after.as_ref()).collect();
        keys.sort_unstable();
        for key in keys {
            let Some(owner) = Owner::of_key(&key) else { continue };
            // At least one, so that sweeps come to an end however slow the store is.
            if swept.examined > 0 && clock() - started_ms >= SWEEP_MS_MAX {
                keep(app, &mut known, &place)?;
                return Ok(swept);
            }
            swept.examined += 1;
            swept.expired += usize::from(end(app, &owner, started_ms)?);
            place.after = Some(key);
            if swept.examined % CARTS_PER_PIECE == 0 && !keep(app, &mut known, &place)? {
                return Ok(swept);
            }
            others_first().await;
        }
        swept.finished = page.cursor.is_none();
        place = Place { cursor: page.cursor, after: None };
    }
    keep(app, &mut known, &place)?;
    Ok(swept)
}

/// Writes down where the next sweep begins, unless another one has meanwhile: then that goes on, and this one need not.
fn keep(app: &App, known: &mut Option<Vec<u8>>, place: &Place) -> Result<bool, Error> {
    let next = serde_json::to_vec(place)?;
    let is_kept = app.store.swap(PLACE, known.as_deref(), &next)?;
    *known = Some(next);
    Ok(is_kept)
}

/// Waits until everybody else had a turn.
async fn others_first() {
    let mut waited = false;
    poll_fn(|context| {
        if mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ends a cart if its time is up, and says whether it did.
fn end(app: &App, owner: &Owner, now_ms: i64) -> Result<bool, Error> {
    let Some(document) = app.store.get(owner.key())? else { return Ok(false) };
    let cart: Cart = match serde_json::from_slice(&document) {
        Ok(cart) => cart,
        Err(error) => {
            // One that cannot be read must not hold up the others.
            eprintln!("the cart {} is not readable: {error}", owner.key());
            return Ok(false);
        }
    };
    if !cart.is_expired(now_ms - GRACE_MS) {
        return Ok(false);
    }
    match owner {
        Owner::Guest(key) => app.store.delete(key).map(|()| true).map_err(Into::into),
        Owner::Account { .. } if cart == cart.emptied() => Ok(false),
        Owner::Account { key, .. } => {
            Ok(app.store.swap(key, Some(&document), &serde_json::to_vec(&cart.emptied())?)?)
        }
    }
}
