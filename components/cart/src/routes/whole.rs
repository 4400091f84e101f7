//! The cart as a whole: made, shown, thrown away, sent somewhere, merged.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use commerce::{not_modified, unix_ms};
use pricing_client::Destination;
use serde::Deserialize;
use serde_json::json;
use service::request::{parse, read_body};
use service::{Error, figures};

use super::{HEADERS, Reply, about, now};
use crate::app::App;
use crate::asked::Asked;
use crate::attempt::Condition;
use crate::cart::{Cart, State as Stage};
use crate::changes::{Stored, change, change_alone};
use crate::error::Refusal;
use crate::merge::merge as merge_carts;
use crate::owner::{Owner, Token};
use crate::view::{Shown, shown};

/// The counter of guests' carts.
pub(crate) const OPENED: &str = "carts_opened_total";
/// Longest region, in characters.
const REGION_CHARS_MAX: usize = 100;
/// Longest postcode, in letters and digits.
const POSTCODE_CHARS_MAX: usize = 10;

/// `POST /api/cart`: a new cart for a guest, with the token that is shown this once; or the account's cart.
pub(crate) async fn open(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    if headers.contains_key(header::AUTHORIZATION) {
        let owner = Owner::from_headers(&app.access, &headers).await?;
        let shown = read(&app, &owner).await?;
        return Ok(about(StatusCode::OK, &json!({"cart": shown.cart, "token": null}), &shown.etag));
    }
    let token = Token::random()?;
    let owner = Owner::guest(token.as_str());
    let mut cart = Cart::default();
    cart.touch(unix_ms());
    let shown = shown(&cart, &owner, &Asked::new(&app.catalog).about(cart.skus()).await?)?;
    if !app.store.swap(owner.key(), None, &serde_json::to_vec(&cart)?)? {
        return Err(Refusal::Busy.into());
    }
    figures::count(OPENED, 1);
    let body = json!({"cart": shown.cart, "token": token.as_str()});
    Ok(([(header::LOCATION, "/api/cart")], about(StatusCode::CREATED, &body, &shown.etag)).into_response())
}

/// `GET /api/cart`: priced and checked now.
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let shown = read(&app, &owner).await?;
    match not_modified(&headers, &shown.etag) {
        true => Ok((StatusCode::NOT_MODIFIED, HEADERS, [(header::ETAG, shown.etag)]).into_response()),
        false => now(Ok(shown)),
    }
}

/// `DELETE /api/cart`: a guest's cart is gone with its token, an account's is empty. It takes no catalog.
pub(crate) async fn discard(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let condition = Condition::from_headers(&headers)?;
    match &owner {
        Owner::Account { .. } => {
            change_alone(&app, &owner, &condition, Cart::empty)?;
        }
        Owner::Guest(key) => {
            let discard = |cart: &mut Cart| *cart = Cart { state: Stage::Discarded, ..cart.emptied() };
            change_alone(&app, &owner, &condition, discard)?;
            // Nobody changes it any more, so what is deleted is what was discarded.
            app.store.delete(key)?;
        }
    }
    Ok((StatusCode::NO_CONTENT, HEADERS).into_response())
}

/// `PUT /api/cart/destination`: where the goods are to go, which decides about taxes.
pub(crate) async fn send_to(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let condition = Condition::from_headers(&headers)?;
    let destination: Destination = parse(&read_body(body).await?)?;
    let chars = |text: Option<String>| text.map_or(0, |text| text.chars().count());
    if chars(destination.region.clone().map(Into::into)) > REGION_CHARS_MAX {
        return Err(Error::invalid("region", format!("at most {REGION_CHARS_MAX} characters")));
    }
    if chars(destination.postcode.clone().map(Into::into)) > POSTCODE_CHARS_MAX {
        return Err(Error::invalid("postcode", format!("at most {POSTCODE_CHARS_MAX} letters and digits")));
    }
    let send = |cart: &mut Cart, _: &_| {
        cart.destination = Some(destination.clone());
        Ok(())
    };
    now(change(&app, &owner, &condition, None, send).await)
}

/// The token of a guest's cart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guest {
    token: String,
}

/// `POST /api/cart/merge`: takes a guest's cart into the account's. The token makes a repeat recognizable, so there is
/// no need for another key.
pub(crate) async fn merge(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let account = Owner::principal(&app.access.principal(&headers).await?);
    let condition = Condition::from_headers(&headers)?;
    let Guest { token } = parse(&read_body(body).await?)?;
    let (shown, left_out) = merge_carts(&app, &account, &Owner::guest(&token), &condition).await?;
    Ok(about(StatusCode::OK, &json!({"cart": shown.cart, "left_out": left_out}), &shown.etag))
}

async fn read(app: &App, owner: &Owner) -> Result<Shown, Error> {
    let cart = Stored::read(app, owner)?.cart;
    shown(&cart, owner, &Asked::new(&app.catalog).about(cart.skus()).await?)
}
