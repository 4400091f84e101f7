//! Carts whose time is up, for hosts whose stores do not let entries expire by themselves.
//!
//! A guest's cart is deleted: nobody writes to a token again whose time is up. An account's cart could be written at
//! any moment, and no store deletes only what has not changed, so its document stays and is emptied by a swap.

use commerce::unix_ms;
use serde::{Deserialize, Serialize};
use service::Error;

use crate::app::App;
use crate::cart::Cart;
use crate::owner::Owner;

/// Carts that one sweep looks at.
pub(crate) const CARTS_MAX: usize = 500;
/// A sweep looks at nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;
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
    examined: usize,
    /// Carts that were deleted or emptied.
    expired: usize,
    /// Whether it came to the last cart; the next sweep begins with the first one.
    finished: bool,
}

/// Looks at some carts, from where the last sweep ended.
pub(crate) fn sweep(app: &App) -> Result<Swept, Error> {
    let started_ms = unix_ms();
    let known = app.store.get(PLACE)?;
    // A place that cannot be read is as good as none.
    let mut place: Place = known.as_deref().and_then(|place| serde_json::from_slice(place).ok()).unwrap_or_default();
    let page = app.store.keys(place.cursor.as_deref())?;
    let mut keys: Vec<String> = page.keys.into_iter().filter(|key| Some(key) > place.after.as_ref()).collect();
    keys.sort_unstable();

    let mut swept = Swept::default();
    let mut left = keys.into_iter().peekable();
    while let Some(key) = left.next_if(|_| swept.examined < CARTS_MAX && unix_ms() - started_ms < SWEEP_MS_MAX) {
        if let Some(owner) = Owner::of_key(&key) {
            swept.examined += 1;
            swept.expired += usize::from(end(app, &owner, started_ms)?);
        }
        place.after = Some(key);
    }
    if left.peek().is_none() {
        swept.finished = page.cursor.is_none();
        place = Place { cursor: page.cursor, after: None };
    }
    // Whoever swept at the same time did the same.
    app.store.swap(PLACE, known.as_deref(), &serde_json::to_vec(&place)?)?;
    Ok(swept)
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
