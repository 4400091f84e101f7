//! Zones and methods: who may change them, what is refused, and that quotes follow.

use axum::http::{Method, header};
use serde_json::{Value, json};
use service::testing::Ask;

use super::shop::{Shop, euro, method, parcel, text};

#[test]
fn the_closest_zone_serves_a_destination() {
    let shop = Shop::open();
    let islands = shop.zone("Islands", json!([{"country": "DE", "postcode": {"from": "25", "to": "27"}}]));
    let one_island = shop.zone("Heligoland", json!([{"country": "DE", "postcode": {"prefix": "27498"}}]));
    shop.method(&islands, json!({"name": "Ferry"}));
    shop.method(
        &one_island,
        json!({"name": "Ship", "by": "value", "brackets": [{"up_to": null, "price": euro(1900)}]}),
    );
    let prices = |postcode: &str| shop.prices(json!({"country": "DE", "postcode": postcode}), parcel(1001, 100));
    assert_eq!(prices("25980"), [("Ferry".to_owned(), 900)]);
    assert_eq!(prices("27498"), [("Ship".to_owned(), 1900)]);
    assert_eq!(prices("28195")[0].0, "Standard");
}

#[test]
fn an_edit_names_what_it_saw() {
    let shop = Shop::open();
    let zone = shop.zone("Alps", json!([{"country": "AT"}]));
    let path = format!("/api/shipping/methods/{}", shop.method(&zone, json!({})));
    let seen = shop.get(&path);
    let edit = |tag: &str, price: i64| {
        let body = method(json!({"brackets": [{"up_to": null, "price": euro(price)}]}));
        shop.ask(Method::PUT, &path).staff().header("if-match", tag).json(body)
    };
    let changed = edit(seen.header(header::ETAG), 700);
    assert_eq!(changed.is(200)["zone_id"], zone.as_str());
    edit(seen.header(header::ETAG), 100).is_problem(
        412,
        "precondition-failed",
        "it was changed since you read it",
        json!({}),
    );
    edit(changed.header(header::ETAG), 800).is(200);
    assert_eq!(shop.prices(json!({"country": "AT"}), parcel(9_999, 1)), [("Parcel".to_owned(), 800)]);
    shop.edit(Method::PUT, &path, method(json!({"active": false}))).is(200);
    assert_eq!(shop.prices(json!({"country": "AT"}), parcel(1, 1)), []);
}

#[test]
fn a_method_with_a_gap_or_a_foreign_price_is_refused() {
    let shop = Shop::open();
    let zone = shop.zone("Alps", json!([{"country": "AT"}]));
    let dollars = json!({"amount": 1, "currency": "USD"});
    let brackets = json!([{"up_to": 5000, "price": euro(1)}, {"up_to": 1000, "price": dollars}]);
    let ascending = "more than in the bracket before, and absent only in the last one";
    shop.post(&format!("/api/shipping/zones/{zone}/methods"), method(json!({"brackets": brackets}))).is_problem(
        422,
        "invalid",
        "2 rules are broken",
        json!({"errors": [
            {"field": "brackets[1].up_to", "rule": ascending},
            {"field": "brackets[1].price", "rule": "0 or more EUR"},
        ]}),
    );
    assert_eq!(shop.get(&format!("/api/shipping/zones/{zone}/methods")).is(200)["items"], json!([]));
    let nowhere = format!("/api/shipping/zones/{}/methods", commerce::Id::new());
    shop.post(&nowhere, method(json!({}))).is(404);
}

#[test]
fn a_zone_in_use_stays() {
    let shop = Shop::open();
    let zone = shop.zone("Alps", json!([{"country": "AT"}]));
    shop.method(&zone, json!({}));
    let path = format!("/api/shipping/zones/{zone}");
    shop.edit(Method::DELETE, &path, Value::Null).is_problem(
        409,
        "zone-in-use",
        "the zone has 1 methods; delete them first",
        json!({}),
    );
    shop.get(&path).is(200);
}

#[test]
fn a_repeated_post_makes_one_zone() {
    let shop = Shop::open();
    let post = |name: &str| {
        let body = json!({"name": name, "areas": [{"country": "AT"}]});
        shop.ask(Method::POST, "/api/shipping/zones").staff().header("idempotency-key", "k").json(body)
    };
    let first = post("Alps");
    assert_eq!(post("Alps").is(201), first.is(201));
    post("Andes").is(422);
    assert_eq!(shop.get("/api/shipping/zones").is(200)["items"].as_array().unwrap().len(), 3);
    assert_eq!(shop.get(first.header(header::LOCATION)).is(200), first.json());
}

#[test]
fn lists_go_on_where_a_page_ended() {
    let shop = Shop::open();
    let first = shop.get("/api/shipping/zones?limit=1").is(200);
    let second = shop.get(&format!("/api/shipping/zones?limit=1&cursor={}", text(&first["next_cursor"]))).is(200);
    assert_eq!(first["items"][0]["name"], "Domestic");
    assert_eq!(second["items"][0]["name"], "Rest of the world");
    let third = shop.get(&format!("/api/shipping/zones?limit=1&cursor={}", text(&second["next_cursor"]))).is(200);
    assert_eq!(third, json!({"items": [], "next_cursor": null}));
    shop.get("/api/shipping/zones?state=packed").is(400);
}

#[test]
fn a_price_in_another_currency_is_not_quoted() {
    let shop = Shop::open();
    // As after the merchant has changed the shop's currency.
    let database = shop.database();
    let changed = "UPDATE methods SET body = replace(body, 'EUR', 'USD') RETURNING id";
    assert_eq!(database.read(changed, &[]).unwrap().len(), 3);
    let asked = json!({"destination": {"country": "DE"}, "parcel": parcel(1, 1)});
    let answer = Ask::new(&shop.router, Method::POST, "/api/shipping/quotes").json(asked);
    assert_eq!(answer.is(200), json!({"quotes": []}));
}
