//! One change of a cart against all others: read, change, compare-and-swap, and again if somebody was faster.

use catalog_client::Offer;
use commerce::{Sku, unix_ms};
use service::Error;

use crate::app::App;
use crate::asked::Asked;
use crate::attempt::Condition;
use crate::cart::{Cart, LINES_MAX, State};
use crate::error::Refusal;
use crate::owner::Owner;
use crate::view::{Shown, shown};

/// How often a change is tried before the cart counts as busy. Each try that fails is a change that somebody else made.
pub(crate) const TRIES_MAX: u32 = 32;
/// Largest document, in bytes. The limits on what is in it keep it below.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// What is under a key: the cart, and the document that a swap compares with.
pub(crate) struct Stored {
    pub(crate) cart: Cart,
    document: Option<Vec<u8>>,
}

impl Stored {
    /// The cart of an owner in whatever state; an account's is there even if it was never written. None for a guest
    /// whose cart is not there, or whose time is up.
    pub(crate) fn find(app: &App, owner: &Owner) -> Result<Option<Self>, Error> {
        let document = app.store.get(owner.key())?;
        let cart = document.as_deref().map(serde_json::from_slice::<Cart>).transpose()?;
        let cart = match (owner, cart) {
            (Owner::Guest(_), None) => return Ok(None),
            (Owner::Guest(_), Some(cart)) if cart.is_expired(unix_ms()) => return Ok(None),
            (Owner::Account { .. }, Some(cart)) if cart.is_expired(unix_ms()) => cart.emptied(),
            (_, cart) => cart.unwrap_or_default(),
        };
        Ok(Some(Self { cart, document }))
    }

    /// The cart of an owner, to be looked at. One that is on its way into another is still shown, so that nobody takes
    /// it for lost.
    pub(crate) fn read(app: &App, owner: &Owner) -> Result<Self, Error> {
        let there = |stored: &Self| matches!(stored.cart.state, State::Open | State::Merging { .. });
        Ok(Self::find(app, owner)?.filter(there).ok_or(Refusal::NoSuchCart)?)
    }

    /// The cart of an owner, to be changed.
    pub(crate) fn open(app: &App, owner: &Owner) -> Result<Self, Error> {
        let stored = Self::read(app, owner)?;
        match stored.cart.state {
            State::Merging { .. } => Err(Refusal::Merging.into()),
            _ => Ok(stored),
        }
    }

    /// Puts `next` in its place, if it still is there.
    pub(crate) fn swap(&self, app: &App, owner: &Owner, next: &Cart) -> Result<bool, Error> {
        let document = serde_json::to_vec(next)?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Refusal::Full(LINES_MAX).into());
        }
        Ok(app.store.swap(owner.key(), self.document.as_deref(), &document)?)
    }
}

/// Makes a change that needs nothing but the cart, and gives the cart as it is then.
pub(crate) fn change_alone(
    app: &App,
    owner: &Owner,
    condition: &Condition,
    change: impl Fn(&mut Cart),
) -> Result<Cart, Error> {
    for _ in 0..TRIES_MAX {
        let stored = Stored::open(app, owner)?;
        condition.check(stored.cart.version)?;
        let mut next = stored.cart.clone();
        change(&mut next);
        if next == stored.cart {
            return Ok(next);
        }
        next.touch(unix_ms());
        if stored.swap(app, owner, &next)? {
            return Ok(next);
        }
    }
    Err(Refusal::Busy.into())
}

/// Makes a change with what the catalog says about the cart and about `sku`, and shows the cart as it is then. The cart
/// is priced before it is written: if that fails, nothing has changed.
pub(crate) async fn change(
    app: &App,
    owner: &Owner,
    condition: &Condition,
    sku: Option<&Sku>,
    change: impl Fn(&mut Cart, &Offer) -> Result<(), Error>,
) -> Result<Shown, Error> {
    let mut asked = Asked::new(&app.catalog);
    for _ in 0..TRIES_MAX {
        let stored = Stored::open(app, owner)?;
        let offer = asked.about(stored.cart.skus().chain(sku.cloned())).await?;
        let mut next = stored.cart.clone();
        let is_repeat = match &condition.attempt {
            Some(attempt) => attempt.is_among(next.attempts.iter())?,
            None => false,
        };
        // A repeat may carry the version from before its first time.
        if !is_repeat {
            condition.check(next.version)?;
            change(&mut next, &offer)?;
            condition.attempt.iter().for_each(|attempt| next.attempts.push(attempt.clone()));
        }
        if next == stored.cart {
            return shown(&next, owner, &offer);
        }
        next.touch(unix_ms());
        let shown = shown(&next, owner, &offer)?;
        if stored.swap(app, owner, &next)? {
            return Ok(shown);
        }
    }
    Err(Refusal::Busy.into())
}
