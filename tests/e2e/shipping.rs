//! Shipping through the gateway: a price that a client cannot choose, and a parcel on its way.

use reqwest::Method;
use serde_json::{Value, json};
use tests::host::Host;
use tests::shop::{Shop, json_of};
use tests::visitor::Visitor;

const ORDER: &str = "01890000-0000-7000-8000-000000000001";

fn parcel() -> Value {
    json!({ "weight_g": 800, "value": { "amount": 2_000, "currency": "USD" } })
}

fn boston() -> Value {
    json!({ "country": "US", "region": "MA", "postcode": "02108" })
}

async fn post(host: &Host, path: &str, body: &Value, status: u16) -> Value {
    json_of(host.post(path).json(body).send().await.expect("an answer"), status).await
}

async fn quotes(host: &Host) -> Value {
    post(host, "/api/shipping/quotes", &json!({ "destination": boston(), "parcel": parcel() }), 200).await
}

async fn verify(host: &Host, token: &str, status: u16) -> Value {
    let claim = json!({ "token": token, "destination": boston(), "parcel": parcel() });
    post(host, "/internal/quotes/verify", &claim, status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_shop_quotes_and_knows_its_quotes_again_after_a_restart() {
    let mut shop = Shop::start_with_internal_routes_of("shipping", |app| app).await;
    let quote = quotes(&shop.host).await["quotes"][0].clone();
    assert_eq!(quote["price"], json!({ "amount": 400, "currency": "USD" }), "{quote}");
    let token = quote["token"].as_str().expect("a token").to_owned();

    assert_eq!(shop.host.stop().await.code(), Some(0));
    shop.host.restart().await;
    let verified = verify(&shop.host, &token, 200).await;
    assert_eq!((&verified["price"], &verified["method"]), (&quote["price"], &quote["method"]));

    // The shop's secret is its own: another shop's quotes are nothing to it.
    let other = Shop::start_with_internal_routes_of("shipping", |app| app).await;
    assert_eq!(verify(&other.host, &token, 422).await["type"], "urn:bodega:problem:quote-altered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_quote_is_refused() {
    let shop = Shop::start_with_internal_routes_of("shipping", |app| app).await;
    let quotes = quotes(&shop.host).await;
    let token = quotes["quotes"][0]["token"].as_str().expect("a token");
    let last = token.len() - 1;
    let altered = [&token[..last], if token.ends_with('A') { "B" } else { "A" }].concat();
    assert_eq!(verify(&shop.host, &altered, 422).await["type"], "urn:bodega:problem:quote-altered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_quote_is_refused() {
    let one_second = |app: tests::app::App| app.environment("SPIN_VARIABLE_SHIPPING_QUOTE_TTL_S", "1");
    let shop = Shop::start_with_internal_routes_of("shipping", one_second).await;
    let quotes = quotes(&shop.host).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let token = quotes["quotes"][0]["token"].as_str().expect("a token");
    assert_eq!(verify(&shop.host, token, 422).await["type"], "urn:bodega:problem:quote-expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_does_not_start_with_a_short_secret() {
    let short = |app: tests::app::App| app.environment("SPIN_VARIABLE_SHIPPING_QUOTE_SECRET", "short");
    let shop = Shop::start_with_internal_routes_of("shipping", short).await;
    let asked = json!({ "destination": boston(), "parcel": parcel() });
    assert_eq!(post(&shop.host, "/api/shipping/quotes", &asked, 503).await["type"], "urn:bodega:problem:not-ready");
    shop.host.log_line(&["quote_secret", "32 bytes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_is_moved_by_staff_and_not_called_back_from_the_carrier() {
    let shop = Shop::start_with_internal_routes_of("shipping", |app| app).await;
    let host = &shop.host;
    let wanted = json!({
        "order_id": ORDER, "method": ORDER, "lines": [{ "sku": "P-1", "quantity": 1 }],
        "address": { "name": "Ann", "line1": "1 Road", "city": "Boston", "postcode": "02108", "country": "US" },
    });
    let made = post(host, "/internal/shipments", &wanted, 200).await;
    assert_eq!(post(host, "/internal/shipments", &wanted, 200).await, made);
    let path = format!("/api/shipping/shipments/{}", made["id"].as_str().expect("an id"));
    let events = format!("{path}/events");

    let stranger = host.post(&events).json(&json!({ "state": "packed" })).send().await.expect("an answer");
    assert_eq!(stranger.status(), 401);
    for event in [
        json!({ "state": "packed" }),
        json!({ "state": "handed_over", "tracking_number": "T-1" }),
        json!({ "state": "in_transit", "note": "left the depot" }),
    ] {
        let report = shop.staff(host.post(&events)).json(&event).send().await.expect("an answer");
        let after = json_of(report, 200).await;
        assert_eq!(after["state"], event["state"]);
    }
    let refused = post(host, &format!("/internal/shipments/{ORDER}/cancel"), &Value::Null, 409).await;
    assert_eq!(refused["type"], "urn:bodega:problem:shipment-state");

    let shown = host.json(&format!("/internal/shipments/{ORDER}")).await;
    assert_eq!((&shown["state"], &shown["tracking_number"]), (&json!("in_transit"), &json!("T-1")));
    let told = host.json("/internal/outbox").await;
    let kinds: Vec<&str> =
        told["items"].as_array().expect("events").iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(
        kinds,
        ["created", "packed", "handed_over", "in_transit"].map(|state| format!("bodega.shipment.{state}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_follows_its_parcel() {
    let shop = Shop::start().await.with_products(1).await;
    let (ann, staff) = (Visitor::registered(&shop, "ann@example.com").await, Visitor::staff(&shop));
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 1 }), 200).await;
    let order = ann.check_out("first").await;
    let path = format!("/api/orders/{}", order["id"].as_str().expect("an id"));
    let parcels = staff.get("/api/shipping/shipments").await;
    let parcel = format!("/api/shipping/shipments/{}/events", parcels["items"][0]["id"].as_str().expect("an id"));
    for (event, state) in [
        (json!({ "state": "packed" }), "packed"),
        (json!({ "state": "handed_over", "tracking_number": "T-1" }), "shipped"),
        (json!({ "state": "in_transit" }), "shipped"),
        (json!({ "state": "delivered" }), "delivered"),
    ] {
        staff.ask(Method::POST, &parcel, &event, 200).await;
        assert_eq!(ann.get(&path).await["state"], state, "{event}");
    }
    assert_eq!(ann.get(&path).await["tracking"], "T-1");
    shop.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_list_of_places_is_imported_and_searched() {
    const PLACES: usize = 20_000;
    let shop = Shop::start().await;
    let list: String = (0..PLACES).map(|n| format!("DE\t{:05}\tÖrtchen {n}\tBayern\n", 10_000 + n)).collect();
    let path = "/api/shipping/places/import?columns=country,postcode,name,region";
    let import = shop.staff(shop.host.post(path)).header("content-type", "text/tab-separated-values").body(list);
    let report = json_of(import.send().await.expect("an answer"), 200).await;
    assert_eq!((&report["imported"], &report["failed"]), (&json!(PLACES), &json!(0)), "{report}");
    let found = shop.host.json("/api/shipping/cities?country=DE&q=ortchen%2019999").await;
    assert_eq!(found["items"][0]["name"], "Örtchen 19999", "{found}");
    let found = shop.host.json("/api/shipping/postcodes?country=DE&postcode=29999").await;
    assert_eq!(found["items"][0]["name"], "Örtchen 19999", "{found}");
}
