//! Promotions and tax rates, and the rules that carts are priced by.

use axum::http::{Method, StatusCode, header};
use pricing_rules::{Promotion, TaxRate};
use serde_json::{Value, json};

use super::shop::{Answer, Shop};

fn promotion() -> Value {
    json!({
        "title": "Ten percent off boots", "coupon": "Boots10", "reward": {"kind": "percentage", "basis_points": 1000},
        "scope": {"kind": "categories", "categories": ["outdoor/boots"]}, "ends_at": "2030-01-01T00:00:00Z",
        "usage_max": 3,
    })
}

fn tax_rate(country: &str, rate: u32) -> Value {
    json!({"name": "VAT", "country": country, "tax_class": "standard", "rate": rate, "applies_to_shipping": true})
}

fn make(shop: &Shop, path: &str, rule: Value) -> (String, Answer) {
    let made = shop.post(path, rule);
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    (format!("{path}/{}", made.json()["id"].as_str().unwrap()), made)
}

fn staff(shop: &Shop, method: Method, path: &str, etag: &str) -> super::shop::Ask {
    shop.request(method, path).staff().header("if-match", etag)
}

fn book(shop: &Shop) -> Value {
    shop.get("/internal/pricing-rules").is(200)
}

#[test]
fn a_promotion_is_kept_as_staff_write_it() {
    let shop = Shop::open();
    let (path, made) = make(&shop, "/api/promotions", promotion());
    let mut expected = promotion();
    for (field, value) in [
        ("id", made.json()["id"].clone()),
        ("customer_groups", json!([])),
        ("min_subtotal", Value::Null),
        ("starts_at", Value::Null),
        ("ends_at", json!("2030-01-01T00:00:00.000Z")),
        ("priority", json!(0)),
        ("stacking", json!({"kind": "stackable"})),
        ("usage_max_per_customer", Value::Null),
        ("used", json!(0)),
    ] {
        expected[field] = value;
    }
    assert_eq!(made.json(), expected);
    assert_eq!(made.header(header::LOCATION), path);
    let shown = shop.request(Method::GET, &path).staff().send();
    assert_eq!((shown.json(), shown.header(header::ETAG)), (expected, made.header(header::ETAG)));

    let other = json!({"title": "Delivery is on us", "reward": {"kind": "free_shipping"}, "priority": 7});
    staff(&shop, Method::PUT, &path, "\"7-0\"").json(other.clone()).is(412);
    shop.request(Method::PUT, &path).staff().json(other.clone()).is(428);
    let changed = staff(&shop, Method::PUT, &path, made.header(header::ETAG)).json(other);
    assert_eq!((&changed.is(200)["coupon"], &changed.json()["priority"]), (&Value::Null, &json!(7)));
    assert_ne!(changed.header(header::ETAG), made.header(header::ETAG));
    staff(&shop, Method::DELETE, &path, made.header(header::ETAG)).send().is(412);
    assert_eq!(staff(&shop, Method::DELETE, &path, "*").send().is(200), changed.json());
    shop.request(Method::GET, &path).staff().send().is(404);

    let audit = "SELECT group_concat(change || ' by ' || actor, ', ' ORDER BY seq) FROM rule_changes WHERE at_ms > 0";
    let mut row = shop.database().read(audit, &[]).unwrap().pop().unwrap();
    assert_eq!(row.take::<String>(0).unwrap(), "made by tester, changed by tester, removed by tester");
}

#[test]
fn making_a_rule_again_with_the_same_key_makes_one() {
    let shop = Shop::open();
    let post =
        |rule: Value| shop.request(Method::POST, "/api/promotions").staff().header("idempotency-key", "k").json(rule);
    assert_eq!(post(promotion()).is(201), post(promotion()).is(201));
    post(json!({"title": "Other", "reward": {"kind": "free_shipping"}})).is(422);
    assert_eq!(book(&shop)["promotions"].as_array().unwrap().len(), 1);
}

#[test]
fn lists_go_page_by_page() {
    let shop = Shop::open();
    let made: Vec<Value> =
        ["AT", "BE", "CH"].map(|country| make(&shop, "/api/tax-rates", tax_rate(country, 1)).1.json()).into();
    let page = |query: &str| shop.request(Method::GET, &format!("/api/tax-rates{query}")).staff().send().is(200);
    let first = page("?limit=2");
    assert_eq!(first["items"], json!(made[..2]));
    let second = page(&format!("?limit=2&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!((&second["items"], &second["next_cursor"]), (&json!(made[2..]), &Value::Null));
    shop.request(Method::GET, "/api/tax-rates?page=2").staff().send().is(400);
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let shop = Shop::open();
    make(&shop, "/api/promotions", promotion());
    let mut same_coupon = promotion();
    same_coupon["coupon"] = json!("bOOts10");
    shop.post("/api/promotions", same_coupon).is_problem(409, "taken", "the promotion \"BOOTS10\" is taken", json!({}));
    let (path, _) = make(&shop, "/api/tax-rates", tax_rate("DE", 190_000));
    shop.post("/api/tax-rates", tax_rate("DE", 70_000)).is(409);
    make(&shop, "/api/tax-rates", tax_rate("FR", 200_000));
    staff(&shop, Method::PUT, &path, "*").json(tax_rate("FR", 1)).is(409);
    staff(&shop, Method::PUT, &path, "*").json(tax_rate("DE", 160_000)).is(200);
    assert_eq!(book(&shop)["tax_rates"].as_array().unwrap().len(), 2);
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let shop = Shop::open();
    let refused = |path: &str, change: &[(&str, Value)]| {
        let mut rule = if path == "/api/promotions" { promotion() } else { tax_rate("DE", 1) };
        for (field, value) in change {
            rule[*field] = value.clone();
        }
        let problem = shop.post(path, rule).is(422);
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    let refused = |path: &str, change: &[(&str, Value)]| -> Vec<String> { refused(path, change) };
    for (change, fields) in [
        (vec![("title", json!(" "))], vec!["title"]),
        (vec![("coupon", json!("a b"))], vec!["coupon"]),
        (vec![("coupon", json!(null))], vec!["usage_max"]),
        (
            vec![("coupon", json!(null)), ("usage_max", json!(null)), ("usage_max_per_customer", json!(1))],
            vec!["usage_max_per_customer"],
        ),
        (vec![("usage_max", json!(0))], vec!["usage_max"]),
        (vec![("starts_at", json!("2030-01-01T00:00:00Z"))], vec!["ends_at"]),
        (vec![("customer_groups", json!(["trade", ""]))], vec!["customer_groups"]),
        (vec![("customer_groups", json!([" trade"]))], vec!["customer_groups"]),
        (vec![("customer_groups", json!(["ü".repeat(65)]))], vec!["customer_groups"]),
        (vec![("id", json!("mine"))], vec!["id"]),
        (vec![("reward", json!({"kind": "percentage", "basis_points": 10_001}))], vec![""]),
        (vec![("reward", json!({"kind": "a_hug"}))], vec![""]),
        (vec![("cupon", json!("typo"))], vec![""]),
    ] {
        assert_eq!(refused("/api/promotions", &change), fields, "{change:?}");
    }
    for (change, fields) in [
        (vec![("name", json!("")), ("tax_class", json!("a b"))], vec!["name", "tax_class"]),
        (vec![("country", json!("Germany"))], vec![""]),
        (vec![("rate", json!(1_000_001))], vec![""]),
        (vec![("rate", json!(0.19))], vec![""]),
    ] {
        assert_eq!(refused("/api/tax-rates", &change), fields, "{change:?}");
    }
    assert_eq!(book(&shop)["promotions"], json!([]));
}

#[test]
fn carts_are_priced_by_what_the_calculator_reads() {
    let shop = Shop::open();
    make(&shop, "/api/promotions", promotion());
    make(&shop, "/api/tax-rates", tax_rate("DE", 190_000));
    let settings = json!({"prices_include_tax": {"default": false, "exceptions": [{"country": "DE", "region": null}]}});
    staff(&shop, Method::PUT, "/api/tax-settings", "\"1-0\"").json(settings.clone()).is(200);
    staff(&shop, Method::PUT, "/api/tax-settings", "\"1-0\"").json(settings.clone()).is(412);

    let book = book(&shop);
    assert_eq!(book["prices_include_tax"], settings["prices_include_tax"]);
    let promotions: Vec<Promotion> = serde_json::from_value(book["promotions"].clone()).unwrap();
    assert_eq!(promotions[0].coupon.as_deref(), Some("Boots10"));
    let rates: Vec<TaxRate> = serde_json::from_value(book["tax_rates"].clone()).unwrap();
    assert_eq!(rates[0].rate.get(), 190_000);
}

#[test]
fn known_rules_are_not_sent_again() {
    let shop = Shop::open();
    let read = |etag: &str| shop.request(Method::GET, "/internal/pricing-rules").header("if-none-match", etag).send();
    let etag = |shop: &Shop| shop.get("/internal/pricing-rules").header(header::ETAG).to_owned();
    let (path, _) = make(&shop, "/api/promotions", promotion());
    let mut known = etag(&shop);
    let unchanged = read(&known);
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(unchanged.header(header::ETAG), known);
    let changes: [&dyn Fn(); 4] = [
        &|| drop(staff(&shop, Method::PUT, &path, "*").json(promotion()).is(200)),
        &|| drop(make(&shop, "/api/tax-rates", tax_rate("DE", 1))),
        &|| {
            drop(
                staff(&shop, Method::PUT, "/api/tax-settings", "*")
                    .json(json!({"prices_include_tax": {"default": true}}))
                    .is(200),
            )
        },
        &|| drop(staff(&shop, Method::DELETE, &path, "*").send().is(200)),
    ];
    for change in changes {
        change();
        assert_eq!(read(&known).status, StatusCode::OK);
        known = etag(&shop);
        assert_eq!(read(&known).status, StatusCode::NOT_MODIFIED);
    }
}
