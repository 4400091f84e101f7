//! From the wish of a shopper to what it costs: what is in the cart, what the shop sells of it and for how much, what
//! shipping promised, and the price of it all. Nothing is written down, here or elsewhere, so a refusal leaves nothing
//! behind.

use axum::http::{HeaderValue, StatusCode, header};
use catalog_client::{Fault, Line, Offer, Terms};
use commerce::Problem;
use pricing_client::{Amount, Quote, Shipping};
use serde_json::{Value, json};
use service::Error;

use crate::app::App;
use crate::error::Refusal;
use crate::failure::out_of_stock;
use crate::peers::cart;
use crate::peers::shipping::{self, Verified};
use crate::priced::{Priced, Promise, rejected};
use crate::request::Request;
use crate::wish::Wish;

/// Most lines of an order; no reservation and no parcel has more.
const LINES_MAX: usize = 100;

/// What the cart costs, which is what the shopper agreed to.
pub(crate) async fn quote(app: &App, request: &Request, wish: &Wish) -> Result<Priced, Error> {
    let basket = cart::resolve(&app.peers.cart, &request.cart).await?;
    let coupons = basket.coupons.clone();
    let wishes = basket.wishes();
    if wishes.len() > LINES_MAX {
        return Err(Error::invalid("cart", format!("at most {LINES_MAX} lines")));
    }
    let offer = app.peers.offers.offer(wishes.iter().map(|wish| wish.sku.clone())).await?;
    let lines = offer.check(wishes);
    check(&lines)?;

    let parcel = offer.parcel(&lines).map_err(|error| Error::invalid("cart", error))?;
    let verified = shipping::verify(&app.peers.shipping, &wish.shipping_quote, &wish.shipping_address, parcel).await?;
    let (promise, renewed) = match verified {
        Verified::Kept(promise) => (promise, None),
        Verified::Renewed { promise, token } => (promise, Some(token)),
    };
    let terms = Terms {
        customer_group: request.customer_group.clone(),
        destination: Some(wish.shipping_address.destination()),
        coupons,
        shipping: Some(delivery(&promise)?),
        ..Terms::default()
    };
    let quote = price(&offer, &lines, terms)?;
    let priced = Priced::new(&lines, &promise, &quote).map_err(unpriced)?;
    match priced.totals.total == wish.expected_total {
        true => Ok(priced),
        false => Err(price_changed(&priced, &quote, renewed.as_deref()).into()),
    }
}

/// Passes lines that the shop sells and has enough of. Whether it still has when the order is placed, the reservation
/// tells.
fn check(lines: &[Line]) -> Result<(), Error> {
    let not_sold: Vec<Value> = lines
        .iter()
        .filter(|line| !line.is_sold())
        .map(|line| json!({"sku": line.sku, "problems": line.faults}))
        .collect();
    if !not_sold.is_empty() {
        return Err(Refusal::NotForSale(not_sold.into()).into());
    }
    let short = |line: &Line| {
        let available = line.faults.iter().find_map(|fault| match fault {
            Fault::SoldOut => Some(0),
            Fault::Short { available } => Some(*available),
            _ => None,
        })?;
        Some(json!({"sku": line.sku, "requested": line.quantity, "available": available}))
    };
    let short: Vec<Value> = lines.iter().filter_map(short).collect();
    match short.len() {
        0 => Ok(()),
        count => Err(out_of_stock(short.into()).detail(format!("{count} SKUs are short")).into()),
    }
}

fn delivery(promise: &Promise) -> Result<Shipping, Error> {
    Ok(Shipping {
        method: promise.method.to_string(),
        price: Amount::try_from(promise.price.minor()).map_err(unpriced)?,
        tax_class: promise.tax_class.clone(),
    })
}

fn price(offer: &Offer, lines: &[Line], terms: Terms) -> Result<Quote, Error> {
    pricing_client::price(&offer.cart(lines, terms)).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        unpriced(format!("{error}{}", source.unwrap_or_default()))
    })
}

/// What is wrong with the calculator or the shop's rules is for the log.
fn unpriced(reason: impl std::fmt::Display) -> Error {
    eprintln!("the order was not priced: {reason}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "pricing-failed", "The cart cannot be priced now")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .into()
}

/// The answer to a shopper who agreed to another price, with the price of now. Where the promise of shipping was for
/// another parcel, there is one for this one.
fn price_changed(priced: &Priced, quote: &Quote, shipping_quote: Option<&str>) -> Problem {
    let mut now = json!(priced);
    now["rejected_coupons"] = rejected(&quote.rejected_coupons, quote.currency).into();
    Problem::new(StatusCode::CONFLICT, "price-changed", "The price has changed")
        .detail("show the shopper the new price; to buy for it, check out with its total and a new key")
        .member("quote", now)
        .member("shipping_quote", shipping_quote)
}
