//! Offers as the catalog's JSON has them, and carts priced by the rules of the shop.

mod catalog;
mod offers;

use serde_json::{Value, json};

/// A variant of a product in `outdoor/boots` that costs 50.00 EUR, 8 in stock, with changes.
fn variant(sku: &str, changes: Value) -> Value {
    let mut variant = json!({
        "sku": sku, "product_id": "0190a3c0-7b5e-7000-8000-000000000000", "slug": "boot", "title": "Boot",
        "image": "/boot.jpg", "attributes": {"size": "42"}, "price": euro(5000), "available": 8,
        "categories": ["outdoor/boots"], "tax_class": "standard", "weight_g": 900, "archived": false,
    });
    variant.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    variant
}

/// 10 % off boots by the code TEN, and VAT in Germany, where prices include it.
fn rules() -> Value {
    json!({
        "version": 7,
        "prices_include_tax": {"default": false, "exceptions": [{"country": "DE"}, {"country": "US", "region": "NY"}]},
        "promotions": [{
            "id": "p1", "title": "10 % off boots", "coupon": "TEN",
            "reward": {"kind": "percentage", "basis_points": 1000},
            "scope": {"kind": "categories", "categories": ["outdoor"]}, "customer_groups": [], "min_subtotal": null,
            "starts_at": null, "ends_at": null, "priority": 0, "stacking": {"kind": "stackable"},
        }],
        "tax_rates": [{
            "name": "VAT", "country": "DE", "region": null, "postcode_prefix": null, "tax_class": "standard",
            "rate": 190_000, "applies_to_shipping": true,
        }],
    })
}

fn euro(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}
