//! The OpenAPI document against the running service.

use commerce::Id;
use serde_json::{Value, json};
use service::testing::{Contract, INTERNAL_SECRET};

use super::shop::{Shop, euro, method, parcel, text};
use crate::routes::OPENAPI;

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::with_internal_secret(INTERNAL_SECRET);
    let mut contract = Contract::new(OPENAPI, &shop.router);
    contract.describes_routes_of(include_str!("../routes.rs"));

    let (berlin, box_) = (json!({"country": "DE", "postcode": "10115"}), parcel(800, 2000));
    let quotes = contract.ask("post", "/api/shipping/quotes", json!({"destination": berlin, "parcel": box_}));
    let quote = quotes.json()["quotes"][0].clone();
    let claim = json!({"token": quote["token"], "destination": berlin, "parcel": box_});
    contract.ask("post", "/internal/quotes/verify", claim);

    contract.ask("get", "/api/shipping/cities?country=DE&q=b", Value::Null);
    contract.ask("get", "/api/shipping/postcodes?country=DE&postcode=10", Value::Null);
    contract.ask_as("post", "/api/shipping/places/import", "text/csv", "country,name\nDE,Ulm\nZZ,Ulm\n");

    let areas = json!([
        {"country": null}, {"country": "AT", "region": "Tirol", "postcode": {"prefix": "60"}},
        {"country": "AT", "postcode": {"from": "10", "to": "12"}},
    ]);
    let zone = json!({"name": "Alps", "areas": areas});
    let zone_path = path_of("zones", &contract.ask("post", "/api/shipping/zones", zone.clone()).json());
    contract.ask("get", "/api/shipping/zones", Value::Null);
    contract.ask("get", &zone_path, Value::Null);
    contract.ask("put", &zone_path, zone);
    let paid = method(json!({"free_from": euro(5000)}));
    let method_path = path_of("methods", &contract.ask("post", &format!("{zone_path}/methods"), paid.clone()).json());
    contract.ask("get", &format!("{zone_path}/methods"), Value::Null);
    contract.ask("get", &method_path, Value::Null);
    contract.ask("put", &method_path, paid);
    contract.ask("delete", &method_path, Value::Null);
    contract.ask("delete", &zone_path, Value::Null);

    let order_id = Id::new();
    let shipment = json!({
        "order_id": order_id, "method": quote["method"], "lines": [{"sku": "a", "quantity": 1}],
        "address": {"name": "Ann", "line1": "Weg 1", "city": "Ulm", "postcode": "89073", "country": "DE"},
    });
    let path = path_of("shipments", &contract.ask("post", "/internal/shipments", shipment).json());
    contract.ask("get", &format!("/internal/shipments/{order_id}"), Value::Null);
    contract.ask("get", "/api/shipping/shipments", Value::Null);
    contract.ask("get", &path, Value::Null);
    contract.ask("post", &format!("{path}/events"), json!({"state": "packed", "note": "a box"}));
    contract.ask("post", &format!("/internal/shipments/{order_id}/events"), json!({"state": "packed"}));
    contract.ask("post", &format!("/internal/shipments/{order_id}/cancel"), Value::Null);
    contract.ask("post", "/internal/shipments/sweep", Value::Null);
    contract.ask("get", "/internal/outbox", Value::Null);
    shop.database().read("UPDATE outbox SET type = 'bodega.shipment.shaved' WHERE seq = 1", &[]).unwrap();
    let audit = contract.ask("get", "/internal/outbox/audit?after=&through=zzz", Value::Null);
    assert_eq!(audit.is(200)["total"], 2);
    contract.ask("get", "/api/shipping/openapi.json", Value::Null);
    contract.finish();
}

fn path_of(kind: &str, made: &Value) -> String {
    format!("/api/shipping/{kind}/{}", text(&made["id"]))
}
