//! Quotes: what they say, and that nobody but the shop decides it.

use axum::http::Method;
use serde_json::{Value, json};
use service::testing::Ask;

use super::shop::{Shop, euro, parcel, text};

fn verify(shop: &Shop, token: &str, destination: Value, parcel: Value) -> service::testing::Answered {
    let claim = json!({"token": token, "destination": destination, "parcel": parcel});
    shop.ask(Method::POST, "/internal/quotes/verify").json(claim)
}

#[test]
fn a_new_shop_quotes_at_once() {
    let shop = Shop::open();
    let domestic = shop.prices(json!({"country": "DE", "postcode": "10115"}), parcel(800, 2000));
    assert_eq!(domestic, [("Standard".to_owned(), 400), ("Express".to_owned(), 900)]);
    let abroad = shop.prices(json!({"country": "JP", "postcode": "100-0001"}), parcel(800, 2000));
    assert_eq!(abroad, [("International".to_owned(), 1400)]);
    let large = shop.prices(json!({"country": "DE"}), parcel(800, 6000));
    assert_eq!(large[0], ("Standard".to_owned(), 0));
    assert_eq!(shop.prices(json!({"country": "DE"}), parcel(30_001, 2000)), []);
}

#[test]
fn deleted_defaults_stay_away() {
    let shop = Shop::open();
    for zone in shop.get("/api/shipping/zones").is(200)["items"].as_array().unwrap() {
        let zone = format!("/api/shipping/zones/{}", text(&zone["id"]));
        for method in shop.get(&format!("{zone}/methods")).is(200)["items"].as_array().unwrap() {
            let method = format!("/api/shipping/methods/{}", text(&method["id"]));
            shop.edit(Method::DELETE, &method, Value::Null).is(204);
        }
        shop.edit(Method::DELETE, &zone, Value::Null).is(204);
    }
    let asked = json!({"destination": {"country": "DE"}, "parcel": parcel(1, 1)});
    let later = Ask::new(&shop.instance(60), Method::POST, "/api/shipping/quotes").json(asked);
    assert_eq!(later.is(200), json!({"quotes": []}));
}

#[test]
fn a_quote_is_verified_as_it_was_given() {
    let shop = Shop::open();
    let (berlin, box_) = (json!({"country": "DE", "city": "Berlin", "postcode": "10115"}), parcel(800, 2000));
    let quote = shop.quotes(berlin, box_.clone()).remove(0);
    let expires_at = commerce::parse_rfc3339(&text(&quote["expires_at"])).unwrap();
    let ttl_ms = expires_at - commerce::unix_ms();
    assert!((1_790_000..=1_800_000).contains(&ttl_ms), "{ttl_ms}");

    let (token, same_place) = (text(&quote["token"]), json!({"country": "de", "postcode": "10 115"}));
    let mut promised = quote.clone();
    promised.as_object_mut().unwrap().retain(|name, _| name != "token" && name != "expires_at");
    assert_eq!(verify(&shop, &token, same_place.clone(), box_.clone()).is(200), promised);

    // The shop keeps its word, whatever becomes of the tariff.
    let method = format!("/api/shipping/methods/{}", text(&quote["method"]));
    shop.edit(Method::DELETE, &method, Value::Null).is(204);
    assert_eq!(verify(&shop, &token, same_place, box_).is(200), promised);
}

#[test]
fn a_quote_for_something_else_is_refused() {
    let shop = Shop::open();
    let (berlin, box_) = (json!({"country": "DE", "postcode": "10115"}), parcel(800, 2000));
    let token = text(&shop.quotes(berlin.clone(), box_.clone())[0]["token"]);
    for (destination, parcel, is_renewed) in [
        (json!({"country": "AT", "postcode": "10115"}), box_.clone(), false),
        (json!({"country": "DE", "postcode": "10116"}), box_, false),
        (berlin.clone(), parcel(801, 2000), true),
        (berlin.clone(), parcel(800, 2001), true),
        (berlin, parcel(20_000_000, 2000), false),
    ] {
        let refused = verify(&shop, &token, destination.clone(), parcel.clone());
        let renewed = refused.json()["renewed"].clone();
        let detail = "the quote is for another destination, weight or value; ask for a new one";
        refused.is_problem(422, "quote-differs", detail, json!({"renewed": renewed}));
        assert_eq!(renewed.is_object(), is_renewed, "{renewed}");
        if is_renewed {
            let kept = verify(&shop, &text(&renewed["token"]), destination, parcel).is(200);
            assert_eq!((&kept["method"], &kept["price"]), (&renewed["method"], &renewed["price"]));
        }
    }
}

#[test]
fn a_cheaper_price_cannot_be_written_into_a_token() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let shop = Shop::open();
    let (berlin, box_) = (json!({"country": "DE", "postcode": "10115"}), parcel(800, 2000));
    let token = text(&shop.quotes(berlin.clone(), box_.clone())[0]["token"]);
    let (payload, mac) = token.split_once('.').unwrap();
    let mut promise: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    promise["price"]["amount"] = json!(1);
    let altered = format!("{}.{mac}", URL_SAFE_NO_PAD.encode(promise.to_string()));
    verify(&shop, &altered, berlin, box_).is_problem(
        422,
        "quote-altered",
        "the quote was not made by this shop, or was changed since; ask for a new one",
        json!({}),
    );
}

#[test]
fn an_expired_quote_is_refused() {
    let shop = Shop::open();
    let (berlin, box_) = (json!({"country": "DE", "postcode": "10115"}), parcel(800, 2000));
    let asked = json!({"destination": berlin, "parcel": box_});
    let short = Ask::new(&shop.instance(0), Method::POST, "/api/shipping/quotes").json(asked).is(200);
    verify(&shop, &text(&short["quotes"][0]["token"]), berlin, box_).is_problem(
        422,
        "quote-expired",
        "the quote's time is up; ask for a new one",
        json!({}),
    );
}

#[test]
fn a_parcel_in_another_currency_or_beyond_the_bounds_is_refused() {
    let shop = Shop::open();
    let ask = |parcel: Value| {
        let asked = json!({"destination": {"country": "DE"}, "parcel": parcel});
        shop.ask(Method::POST, "/api/shipping/quotes").json(asked)
    };
    let dollars = json!({"weight_g": 10_000_001, "value": {"amount": 1, "currency": "USD"}});
    let errors = json!({"errors": [
        {"field": "parcel.weight_g", "rule": "at most 10000000 grams"},
        {"field": "parcel.value", "rule": "0 or more EUR"},
    ]});
    ask(dollars).is_problem(422, "invalid", "2 rules are broken", errors);
    ask(json!({"weight_g": -1, "value": euro(1)})).is(422);
    let nowhere = json!({"destination": {"country": "UK"}, "parcel": parcel(1, 1)});
    let refused = shop.ask(Method::POST, "/api/shipping/quotes").json(nowhere).is(422);
    assert_eq!(refused["errors"][0]["rule"], "\"UK\" is not an ISO 3166-1 country code such as DE");
}
