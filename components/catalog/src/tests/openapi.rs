//! The OpenAPI document against the running service.

use serde_json::{Value, json};
use service::testing::{Contract, INTERNAL_SECRET};

use super::shop::{Shop, price};
use crate::routes::OPENAPI;

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::with_internal_secret(INTERNAL_SECRET);
    let mut contract = Contract::new(OPENAPI, &shop.instance());
    contract.describes_routes_of(include_str!("../routes.rs"));

    let product =
        json!({"title": "Pan", "categories": ["home"], "variants": [{"sku": "p", "price": price(1), "stock": 9}]});
    contract.ask("post", "/api/categories", json!({"name": "Home"}));
    contract.ask("get", "/api/categories", Value::Null);
    contract.ask("get", "/api/categories/home", Value::Null);
    contract.ask("put", "/api/categories/home", json!({"name": "House"}));
    contract.ask("post", "/api/products", product.clone());
    contract.ask("get", "/api/products?facets=true&q=pan", Value::Null);
    contract.ask("get", "/api/products/pan", Value::Null);
    contract.ask("put", "/api/products/pan", product);
    contract.ask_as("patch", "/api/products/pan", "application/merge-patch+json", r#"{"brand": "Holm"}"#);
    contract.ask("post", "/api/products/pan/variants/p/stock", json!({"delta": 1, "reason": "found"}));

    let lines = json!([{"sku": "p", "quantity": 1}]);
    contract.ask("get", "/internal/variants?sku=p", Value::Null);
    contract.ask("post", "/internal/reservations", json!({"order_id": "o-1", "lines": lines}));
    contract.ask("post", "/internal/reservations", json!({"order_id": "o-2", "lines": lines}));
    contract.ask("get", "/internal/reservations/o-1", Value::Null);
    contract.ask("post", "/internal/reservations/o-1/commit", Value::Null);
    contract.ask("post", "/internal/reservations/o-2/release", Value::Null);
    contract.ask("post", "/internal/reservations/sweep", Value::Null);
    contract.ask("get", "/internal/reservations?after=&limit=2", Value::Null);
    contract.ask("get", "/internal/stock/audit", Value::Null);
    contract.ask("post", "/internal/restocks", json!({"restock_id": "r-1", "order_id": "o-1", "lines": lines}));

    let spring = json!({
        "title": "Spring", "coupon": "SPRING", "reward": {"kind": "percentage", "basis_points": 1000},
        "scope": {"kind": "categories", "categories": ["home"]}, "usage_max": 5,
    });
    let made = contract.ask("post", "/api/promotions", spring).json();
    let promotion = format!("/api/promotions/{}", made["id"].as_str().unwrap());
    let rate = |tax_class: &str| json!({"name": "VAT", "country": "DE", "tax_class": tax_class, "rate": 190_000, "applies_to_shipping": true});
    let made = contract.ask("post", "/api/tax-rates", rate("standard")).json();
    let tax_rate = format!("/api/tax-rates/{}", made["id"].as_str().unwrap());
    let included = json!({"prices_include_tax": {"default": false, "exceptions": [{"country": "DE"}]}});
    contract.ask("get", "/api/promotions", Value::Null);
    contract.ask("get", "/api/tax-rates?limit=1", Value::Null);
    contract.ask("get", "/api/tax-settings", Value::Null);
    contract.ask("put", "/api/tax-settings", included);
    contract.ask("get", "/internal/pricing-rules", Value::Null);
    contract.ask("post", "/internal/redemptions", json!({"order_id": "o-1", "coupons": ["spring"]}));
    contract.ask("post", "/internal/redemptions/o-1/release", Value::Null);
    contract.ask("get", &promotion, Value::Null);
    contract.ask("put", &promotion, json!({"title": "Free delivery", "reward": {"kind": "free_shipping"}}));
    contract.ask("delete", &promotion, Value::Null);
    contract.ask("get", &tax_rate, Value::Null);
    contract.ask("put", &tax_rate, rate("reduced"));
    contract.ask("delete", &tax_rate, Value::Null);

    contract.ask("post", "/api/catalog/import", json!([{"title": "Pot", "sku": "q", "price": 1}, {}]));
    contract.ask("get", "/api/catalog/export?format=csv", Value::Null);
    contract.ask("get", "/api/catalog/openapi.json", Value::Null);
    contract.ask("delete", "/api/products/pan", Value::Null);
    contract.finish();
}
