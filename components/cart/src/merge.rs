//! A guest logs in, and the guest's cart becomes part of the account's.
//!
//! Two documents cannot be written at once, so it goes in three steps: the guest's cart is frozen for this account,
//! the account's takes it in and remembers that it did, and of the guest's cart only that remains. Whoever dies in
//! between has lost nothing: the same request again goes on where it ended, and once more does nothing.

use commerce::unix_ms;
use service::Error;

use crate::app::App;
use crate::asked::Asked;
use crate::attempt::Condition;
use crate::cart::{Cart, State};
use crate::changes::{Stored, TRIES_MAX};
use crate::error::Refusal;
use crate::owner::Owner;
use crate::taking_in::LeftOut;
use crate::view::{Shown, shown};

/// Merges the cart of `guest` into that of `account`, and shows the account's, with what found no place in it.
pub(crate) async fn merge(
    app: &App,
    account: &Owner,
    guest: &Owner,
    condition: &Condition,
) -> Result<(Shown, Vec<LeftOut>), Error> {
    let mut asked = Asked::new(&app.catalog);
    let Some(frozen) = freeze(app, account, guest, condition, &mut asked).await? else {
        let cart = Stored::read(app, account)?.cart;
        let offer = asked.about(cart.skus()).await?;
        return Ok((shown(&cart, account, &offer)?, Vec::new()));
    };
    let merged = take_in(app, account, guest, &frozen, &mut asked).await?;
    finish(app, account, guest)?;
    Ok(merged)
}

/// Freezes the guest's cart for this account; none if it was merged into it before.
async fn freeze(
    app: &App,
    account: &Owner,
    guest: &Owner,
    condition: &Condition,
    asked: &mut Asked<'_>,
) -> Result<Option<Cart>, Error> {
    let into = account.key().to_owned();
    for _ in 0..TRIES_MAX {
        let stored = Stored::find(app, guest)?.ok_or(Refusal::NoSuchCart)?;
        match &stored.cart.state {
            State::Open => {}
            State::Merging { into: other } if *other == into => return Ok(Some(stored.cart)),
            State::Merged { into: other } if *other == into => return Ok(None),
            State::Merging { .. } | State::Merged { .. } | State::Discarded => return Err(Refusal::NoSuchCart.into()),
        }
        let own = Stored::open(app, account)?.cart;
        condition.check(own.version)?;
        // All that can be refused or fail is tried before the guest's cart is touched.
        let offer = asked.about(own.skus().chain(stored.cart.skus())).await?;
        shown(&stored.cart, account, &offer)?;
        let mut frozen = Cart { state: State::Merging { into: into.clone() }, ..stored.cart.clone() };
        frozen.touch(unix_ms());
        if stored.swap(app, guest, &frozen)? {
            return Ok(Some(frozen));
        }
    }
    Err(Refusal::Busy.into())
}

/// Has the account's cart take in the frozen one.
async fn take_in(
    app: &App,
    account: &Owner,
    guest: &Owner,
    frozen: &Cart,
    asked: &mut Asked<'_>,
) -> Result<(Shown, Vec<LeftOut>), Error> {
    for _ in 0..TRIES_MAX {
        let stored = Stored::open(app, account)?;
        let offer = asked.about(stored.cart.skus().chain(frozen.skus())).await?;
        let mut next = stored.cart.clone();
        let available = |sku: &_| offer.price(sku).and(offer.variant(sku)).map_or(0, |variant| variant.available);
        let left_out = next.take_in(frozen, guest.key(), available);
        if next == stored.cart {
            return Ok((shown(&next, account, &offer)?, left_out));
        }
        next.touch(unix_ms());
        let shown = shown(&next, account, &offer)?;
        if stored.swap(app, account, &next)? {
            return Ok((shown, left_out));
        }
    }
    Err(Refusal::Busy.into())
}

/// Leaves of the guest's cart only where it went. If another request was faster, it did just that.
fn finish(app: &App, account: &Owner, guest: &Owner) -> Result<(), Error> {
    let Some(stored) = Stored::find(app, guest)? else { return Ok(()) };
    if let State::Merging { .. } = stored.cart.state {
        let mut merged = Cart { state: State::Merged { into: account.key().to_owned() }, ..stored.cart.emptied() };
        merged.touch(unix_ms());
        stored.swap(app, guest, &merged)?;
    }
    Ok(())
}
