//! A cart is priced by the calculator that the app is composed with: ours, or a merchant's own.

use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tests::programs;
use tests::shop::json_of;

const CALCULATORS: [&str; 2] = ["pricing", "flat-pricing"];

/// A host whose `/priced/...` has carts priced by this calculator, another component of the app.
async fn host(calculator: &str) -> Host {
    let source = programs::component(calculator);
    let dependency = format!(
        "[component.priced.dependencies]\n\
         \"bodega:pricing/calculator@1.0.0\" = {{ component = \"{calculator}\" }}"
    );
    let app = App::new().guest("priced", &dependency);
    app.append(&format!("[component.{calculator}]\nsource = {source:?}\n")).start().await
}

/// Two boots for 50.00 each, a hat for 9.99, shipping, VAT, a coupon that is good and one that is not.
fn cart() -> Value {
    let line = |id: &str, sku: &str, quantity: u32, unit_price: i64| json!({ "id": id, "sku": sku, "quantity": quantity, "unit_price": unit_price, "tax_class": "standard" });
    json!({
        "currency": "EUR",
        "lines": [line("1", "BOOT-42", 2, 5000), line("2", "HAT", 1, 999)],
        "destination": { "country": "DE", "postcode": "10115" },
        "coupons": ["ten", "gone"],
        "shipping": { "method": "post", "price": 490, "tax_class": "standard" },
        "promotions": [
            { "id": "p1", "title": "10 % off", "coupon": "TEN", "reward": { "kind": "percentage", "basis_points": 1000 } },
            { "id": "p2", "title": "Summer", "coupon": "GONE", "ends_at": "2026-09-01T00:00:00Z",
              "reward": { "kind": "fixed_total", "amount": 500 } },
        ],
        "tax_rates": [{
            "name": "VAT", "country": "DE", "tax_class": "standard", "rate": 190000, "applies_to_shipping": true
        }],
        "prices_include_tax": true,
        "now": "2027-01-15T08:00:00Z"
    })
}

async fn price(host: &Host, cart: &Value, status: u16) -> String {
    let answer = host.post("/priced").body(cart.to_string()).send().await.expect("an answer");
    let found = answer.status();
    let text = answer.text().await.expect("the body is complete");
    assert_eq!(found.as_u16(), status, "{text}");
    text
}

async fn quote(host: &Host, cart: &Value) -> Value {
    json_of(host.post("/priced").body(cart.to_string()).send().await.expect("an answer"), 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_calculator_prices_by_the_rules_of_the_shop() {
    let quote = quote(&host("pricing").await, &cart()).await;
    // 109.99 less 10 % (10.999, so 11.00, of which the hat has 1.00), and the shipping.
    assert_eq!(quote["subtotal"], 10_999, "{quote}");
    assert_eq!(quote["discount_total"], 1_100);
    assert_eq!(quote["lines"][1]["discounts"][0]["amount"], 100);
    assert_eq!(quote["discounts"][0]["reason"], "10 % off");
    assert_eq!(quote["total"], 10_389);
    // Of 90.00, 8.99 and 4.90: 14.37, 1.44 and 0.78.
    assert_eq!(quote["taxes"], json!([{ "name": "VAT", "rate": 190_000, "base": 8_730, "amount": 1_659 }]));
    assert_eq!(quote["rejected_coupons"], json!([{ "code": "gone", "reason": "ended" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_may_bring_a_calculator() {
    let quote = quote(&host("flat-pricing").await, &cart()).await;
    assert_eq!(quote["total"], 1_500, "three units for 5.00 each, in {quote}");
    assert_eq!(quote["lines"][0]["gross"], 1_000);
    assert_eq!(quote["shipping"]["gross"], 0);
    assert_eq!(quote["rejected_coupons"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_cannot_be_priced_says_why() {
    let host = host("pricing").await;
    let mut twice = cart();
    twice["lines"][1]["id"] = json!("1");
    let reason = price(&host, &twice, 422).await;
    assert_eq!(reason, "the cart cannot be priced: the line \"1\" is there twice");
    let mut huge = cart();
    huge["lines"][0]["unit_price"] = json!(1_000_000_000_000_i64);
    assert!(price(&host, &huge, 422).await.starts_with("an amount of the quote would be above"));
    quote(&host, &cart()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calculator_that_cannot_add_up_is_not_believed() {
    let host = host("flat-pricing").await;
    let mut cart = cart();
    cart["currency"] = json!("XTS");
    let reason = price(&host, &cart, 422).await;
    assert_eq!(
        reason,
        "the calculator is not to be trusted: the total of the quote should be 1500 minor units and is 1501"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_cart_is_priced() {
    let mut cart = cart();
    let line = cart["lines"][0].take();
    let lines = (0..500).map(|id| {
        let mut line = line.clone();
        line["id"] = json!(format!("{id:03}"));
        line
    });
    cart["lines"] = lines.collect();
    for (calculator, total) in CALCULATORS.into_iter().zip([500 * 9_000 + 490, 500 * 1_000]) {
        let quote = quote(&host(calculator).await, &cart).await;
        assert_eq!(quote["total"], total);
        assert_eq!(quote["lines"].as_array().map(Vec::len), Some(500));
    }
}
