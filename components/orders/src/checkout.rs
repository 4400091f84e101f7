//! Placing an order: priced first, then written down, and from then on a saga that is carried through whoever dies.
//!
//! Who asks and the key that they chose name the order for good: the same request finds the order that it placed and
//! goes on with it, or tells how it ended.

use commerce::{Id, unix_ms};
use identity::guest;
use service::Error;

use crate::app::App;
use crate::error::Refusal;
use crate::number::Number;
use crate::order::{Actor, Content, Order};
use crate::priced::Priced;
use crate::quoting;
use crate::request::{Means, Request};
use crate::saga::Saga;
use crate::state::State;
use crate::store::journal::{self, Move};
use crate::store::orders::{self, Inserted, Key};
use crate::store::tasks;
use crate::task::{Kind, Task};
use crate::wish::Wish;
use crate::work;

/// How long a request works on an order before it leaves the rest to the sweep, so that it answers before the host's
/// deadline: every call that it waits for is bounded too.
pub(crate) const LIVE_MS_MAX: i64 = 20_000;
/// Numbers that are drawn for an order at most, until one is free.
const NUMBERS_MAX: u32 = 8;

/// The order that this request placed before, if it did, after going on with it.
pub(crate) async fn find(app: &App, request: &Request) -> Result<Option<Order>, Error> {
    let Some(order) = orders::find(&app.database, Key::Request(&request.actor, &request.key))? else {
        return Ok(None);
    };
    if order.fingerprint != request.fingerprint {
        return Err(Error::KeyReused);
    }
    if order.state != State::Pending {
        return Ok(Some(order));
    }
    let now_ms = unix_ms();
    if tasks::is_checkout_held(&app.database, order.id, now_ms)? {
        return Err(Refusal::InProgress.into());
    }
    work::run(app, tasks::claim_of(&app.database, order.id, now_ms).await?, now_ms + LIVE_MS_MAX).await;
    orders::get(&app.database, order.id).map(Some)
}

/// Places an order, and carries its checkout as far as it goes.
pub(crate) async fn place(app: &App, request: &Request, wish: Wish) -> Result<Order, Error> {
    let priced = quoting::quote(app, request, &wish).await?;
    let means = Means {
        payment_method: wish.payment_method.clone(),
        return_url: wish.return_url.clone(),
        cart: request.cart.clone(),
    };
    let mut order = new_order(app, request, wish, priced)?;
    for _ in 0..NUMBERS_MAX {
        match write(app, request, &order, &means).await? {
            Written::Begun(task) => {
                work::run(app, task.into_iter().collect(), order.created_at_ms + LIVE_MS_MAX).await;
                return orders::get(&app.database, order.id);
            }
            // The same request came twice at once, and the other one was quicker.
            Written::KeyTaken => break,
            Written::NumberTaken => order.number = draw()?,
        }
    }
    find(app, request).await?.ok_or_else(|| Refusal::InProgress.into())
}

enum Written {
    Begun(Option<Task>),
    KeyTaken,
    NumberTaken,
}

async fn write(app: &App, request: &Request, order: &Order, means: &Means) -> Result<Written, Error> {
    let now_ms = order.created_at_ms;
    let by = orders::Request { actor: &request.actor, key: &request.key };
    let transaction = app.database.begin().await?;
    match orders::insert(&transaction, order, &by).await? {
        Inserted::Yes => {}
        Inserted::KeyTaken => return Ok(Written::KeyTaken),
        Inserted::NumberTaken => return Ok(Written::NumberTaken),
    }
    let actor = request.customer.clone().map_or(Actor::Guest, Actor::Customer);
    let step = Move { to: State::Pending, actor: &actor, reason: None };
    journal::record(&transaction, order, None, &step, now_ms).await?;
    let data = serde_json::to_string(means)?;
    let task = tasks::open(&transaction, order.id, Kind::Checkout, "", Some(&data), now_ms).await?;
    transaction.commit().await?;
    Ok(Written::Begun(task))
}

fn new_order(app: &App, request: &Request, wish: Wish, priced: Priced) -> Result<Order, Error> {
    let (id, now_ms) = (Id::new(), unix_ms());
    Ok(Order {
        id,
        number: draw()?,
        customer: request.customer.clone(),
        email: wish.email,
        token_digest: request.customer.is_none().then(|| guest::token_digest(&app.tokens.of(id))),
        fingerprint: request.fingerprint.clone(),
        state: State::Pending,
        step: Some(Saga::FIRST),
        version: 1,
        content: Content {
            priced,
            shipping_address: wish.shipping_address,
            billing_address: wish.billing_address,
            note: wish.note,
        },
        refunded: 0,
        refund_pending: 0,
        next_action: None,
        failure: None,
        tracking: None,
        created_at_ms: now_ms,
        paid: None,
        updated_at_ms: now_ms,
    })
}

fn draw() -> Result<Number, Error> {
    Number::draw().map_err(|error| Refusal::Random(error).into())
}
