//! Placing an order: what is answered, what is taken, and what is left behind.

use identity::Role;
use serde_json::{Value, json};

use super::shop::{DELIVERY, Shop, text, usd};

/// Nothing was placed, taken or held.
fn nothing_happened(shop: &Shop) {
    assert_eq!((shop.orders().len(), shop.money(), shop.units("MUG")), (0, 0, (10, 0)));
    assert!(shop.world.books().payments.intents.is_empty());
}

#[test]
fn a_guest_buys_what_is_in_the_cart() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 2), ("PAN", 1)]);
    let answer = shop.check_out("k", &shop.wish(&cart, "tok_approve"));
    let order = answer.is(201);
    assert_eq!((&order["state"], &order["totals"]["total"]), (&json!("paid"), &usd(4500 + DELIVERY)));
    assert_eq!(answer.header("location".parse().unwrap()), format!("/api/orders/{}", text(&order["id"])));
    assert_eq!(answer.header("etag".parse().unwrap()), "\"2-0\"");
    let line = &order["lines"][0];
    assert_eq!((&line["sku"], &line["title"], &line["quantity"]), (&json!("MUG"), &json!("The MUG"), &json!(2)));
    assert_eq!((&line["unit_price"], &line["gross"]), (&usd(1000), &usd(2000)));
    assert_eq!((&order["shipping"]["name"], &order["shipping"]["gross"]), (&json!("Post"), &usd(DELIVERY)));
    assert_eq!((&order["customer"], &order["email"]), (&Value::Null, &json!("guest@example.com")));

    assert_eq!((shop.units("MUG"), shop.units("PAN")), ((8, 0), (9, 0)));
    assert_eq!(shop.money(), 4500 + DELIVERY);
    assert!(shop.world.books().carts.0[&cart].lines.is_empty(), "what was ordered has left the cart");
    assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "created");
    assert_eq!(shop.tasks(), [""; 0]);
    assert_eq!(shop.findings(), [Value::Null; 0]);
    let digest = identity::guest::token_digest(text(&order["order_token"]));
    assert_eq!(owner(&shop, &order), (Value::Null, json!(digest)), "by which they go on with the payment");
}

/// The account, or the digest of the token, by which payments knows whose an order is.
fn owner(shop: &Shop, order: &Value) -> (Value, Value) {
    let books = shop.world.books();
    let intent = &books.payments.intents[text(&order["id"])];
    (intent.customer.clone(), intent.order_token_digest.clone())
}

#[test]
fn an_account_buys_what_is_in_its_own_cart() {
    let shop = Shop::open();
    let order = shop.ordered_by("ann", &[("MUG", 1)], "tok_approve");
    assert_eq!((&order["customer"], &order["email"], order.get("order_token")), (&json!("ann"), &Value::Null, None));
    assert!(shop.world.books().carts.0["account ann"].lines.is_empty());
    assert_eq!(owner(&shop, &order), (json!("ann"), Value::Null));

    // Or what it has put together as a guest.
    let cart = shop.cart(&[("PAN", 1)]);
    let ask = shop.checkout("k").account("ann", Role::Customer);
    let order = ask.json(shop.wish(&cart, "tok_approve")).is(201);
    assert_eq!((&order["customer"], &order["lines"][0]["sku"]), (&json!("ann"), &json!("PAN")));
    assert!(shop.world.books().carts.0[&cart].lines.is_empty());
}

#[test]
fn the_same_request_has_the_same_answer_whatever_became_of_the_order() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 2)]);
    let wish = shop.wish(&cart, "tok_approve");
    let first = shop.check_out("k", &wish);
    let order = first.is(201);
    for to in ["packed", "shipped"] {
        shop.transition(&order["id"], to).is(200);
    }
    shop.refund(&order["id"], json!({"reason": "sent back", "restock": true})).is(201);
    let again = shop.check_out("k", &wish);
    assert_eq!((again.is(201), again.headers.get("etag")), (order.clone(), first.headers.get("etag")));
    assert_eq!(shop.order(&order["id"])["state"], "refunded");

    let mut other = wish.clone();
    other["note"] = json!("Ring twice.");
    let detail = "repeat the first request unchanged, or choose a new key";
    shop.check_out("k", &other).is_problem(422, "idempotency-key-reused", detail, json!({}));
    // The key is the cart's own: with another cart it is another key.
    let other = shop.wish(&shop.cart(&[("PAN", 1)]), "tok_approve");
    assert_ne!(shop.check_out("k", &other).is(201)["id"], order["id"]);
    shop.post("/api/checkout").json(wish).is_problem(
        400,
        "idempotency-key-required",
        "send a key of your choice, and the same one when you repeat the request",
        json!({}),
    );
}

#[test]
fn a_price_that_changed_is_told_with_the_new_quote() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 2)]);
    let mut wish = shop.wish(&cart, "tok_approve");
    shop.world.books().catalog.variants.get_mut("MUG").unwrap().price = 1100;
    let refused = shop.check_out("k", &wish).is(409);
    assert_eq!(refused["type"], "urn:bodega:problem:price-changed");
    let quote = &refused["quote"];
    assert_eq!((&quote["totals"]["total"], &quote["lines"][0]["unit_price"]), (&usd(2200 + DELIVERY), &usd(1100)));
    nothing_happened(&shop);

    // Who agrees buys at once, with the shipping quote that came with it.
    wish["expected_total"] = quote["totals"]["total"].clone();
    wish["shipping_quote"] = refused["shipping_quote"].clone();
    assert_eq!(shop.check_out("k2", &wish).is(201)["totals"]["total"], usd(2200 + DELIVERY));
    assert_eq!(shop.money(), 2200 + DELIVERY);
}

#[test]
fn a_total_that_the_client_made_up_buys_nothing() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 2)]);
    for total in [usd(1), usd(2000 + DELIVERY + 1), json!({"amount": 2000 + DELIVERY, "currency": "EUR"})] {
        let mut wish = shop.wish(&cart, "tok_approve");
        wish["expected_total"] = total;
        let refused = shop.check_out(&shop.key(), &wish).is(409);
        assert_eq!(refused["type"], "urn:bodega:problem:price-changed");
        assert_eq!((&refused["quote"]["totals"]["total"], &refused["shipping_quote"]), (&usd(2490), &Value::Null));
    }
    nothing_happened(&shop);
}

#[test]
fn what_the_shop_cannot_send_is_named() {
    let shop = Shop::open();
    let refused = |cart: &str, wish: Value| {
        let answer = shop.check_out(&shop.key(), &wish).is(409);
        nothing_happened(&shop);
        (text(&answer["type"]).rsplit(':').next().unwrap().to_owned(), answer, cart.len())
    };
    let cart = shop.cart(&[("POT", 4), ("MUG", 1)]);
    let (kind, answer, _) = refused(&cart, shop.wish(&cart, "tok_approve"));
    let short = json!([{"sku": "POT", "requested": 4, "available": 3}]);
    assert_eq!((kind.as_str(), &answer["short"]), ("out-of-stock", &short));

    let cart = shop.cart(&[("MUG", 1)]);
    let mut wish = shop.wish(&cart, "tok_approve");
    for (quote, expected) in [
        (format!("expired.1000.US.{}", "q".repeat(40)), "quote-expired"),
        ("made-up".repeat(10), "quote-altered"),
        (super::world::quote(500, 1000, "CA"), "quote-differs"),
    ] {
        wish["shipping_quote"] = json!(quote);
        let (kind, answer, _) = refused(&cart, wish.clone());
        assert_eq!(kind, expected);
        assert_eq!(answer["parcel"], json!({"weight_g": 500, "value": usd(1000)}));
    }

    let wish = shop.wish(&cart, "tok_approve");
    shop.world.books().catalog.variants.get_mut("MUG").unwrap().archived = true;
    let (kind, answer, _) = refused(&cart, wish);
    assert_eq!(kind, "not-for-sale");
    assert_eq!(answer["lines"], json!([{"sku": "MUG", "problems": [{"kind": "archived"}]}]));

    let cart = shop.cart(&[]);
    let wish = shop.wish(&cart, "tok_approve");
    assert_eq!(refused(&cart, wish.clone()).0, "cart-empty");
    shop.world.books().carts.0.clear();
    assert_eq!(refused(&cart, wish).0, "cart-gone");
}

#[test]
fn who_is_too_late_is_told_and_leaves_a_failed_order() {
    let shop = Shop::open();
    let wish = shop.wish(&shop.cart(&[("MUG", 2)]), "tok_approve");
    shop.world.books().catalog.sold_out_when_asked = true;
    let refused = shop.check_out("k", &wish);
    let order = shop.orders()[0].clone();
    let short = json!([{"sku": "MUG", "requested": 2, "available": 0}]);
    let members = json!({"short": short, "order_id": order["id"], "number": order["number"]});
    let detail = "Something in the cart is sold out. Nothing was charged.";
    refused.is_problem(409, "out-of-stock", detail, members.clone());
    shop.world.books().catalog.sold_out_when_asked = false;
    shop.check_out("k", &wish).is_problem(409, "out-of-stock", detail, members);
    shop.came_to_nothing("failed");
    assert_eq!(shop.order(&order["id"])["failure"], json!({"code": "out_of_stock", "message": detail}));
}

#[test]
fn a_coupon_takes_off_what_it_promised_or_the_order_fails() {
    let shop = Shop::open();
    shop.coupon("TEN", 1);
    let with_coupon = || {
        let cart = shop.cart(&[("MUG", 2)]);
        shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned(), "GONE".to_owned()];
        shop.wish(&cart, "tok_approve")
    };
    let order = shop.check_out("k1", &with_coupon()).is(201);
    assert_eq!((&order["totals"]["discount_total"], &order["coupons"]), (&usd(200), &json!(["TEN"])));
    let discount = json!([{"promotion": "TEN", "reason": "10 % off", "coupon": "TEN", "amount": usd(200)}]);
    assert_eq!((&order["discounts"], &order["lines"][0]["discounts"]), (&discount, &discount));
    assert_eq!(shop.world.books().catalog.coupons["TEN"], 0);

    let refused = shop.check_out("k2", &with_coupon());
    let failed = shop.orders()[0].clone();
    let coupons = json!([{"coupon": "TEN", "reason": "used-up"}]);
    let members = json!({"coupons": coupons, "order_id": failed["id"], "number": failed["number"]});
    let detail = "A coupon can no longer be used. Nothing was charged.";
    refused.is_problem(409, "coupon-refused", detail, members);
    assert_eq!((&failed["state"], shop.units("MUG")), (&json!("failed"), (8, 0)));
    assert_eq!(shop.findings(), [Value::Null; 0]);
}

#[test]
fn what_is_free_needs_no_payment() {
    let shop = Shop::open();
    let promotion = |id: &str, reward: Value| {
        json!({
            "id": id, "title": "A gift", "coupon": null, "reward": reward, "scope": {"kind": "all"},
            "customer_groups": [], "min_subtotal": null, "starts_at": null, "ends_at": null, "priority": 0,
            "stacking": {"kind": "stackable"},
        })
    };
    let gifts = [json!({"kind": "percentage", "basis_points": 10_000}), json!({"kind": "free_shipping"})];
    for (index, reward) in gifts.into_iter().enumerate() {
        shop.world.books().catalog.promotions.push(promotion(&format!("gift-{index}"), reward));
    }
    let mut wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
    wish["expected_total"] = usd(0);
    let order = shop.check_out("k", &wish).is(201);
    assert_eq!((&order["state"], &order["totals"]["total"]), (&json!("paid"), &usd(0)));
    assert!(shop.world.books().payments.intents.is_empty());
    assert_eq!((shop.units("MUG"), shop.findings()), ((9, 0), vec![]));
    assert_eq!(shop.cancel(&order["id"]).is(200)["state"], "cancelled");
    assert_eq!((shop.units("MUG"), shop.findings()), ((10, 0), vec![]));
}

#[test]
fn what_is_for_a_group_is_sold_to_its_members_alone() {
    let shop = Shop::open();
    shop.world.books().catalog.promotions.push(json!({
        "id": "trade", "title": "Trade", "coupon": null, "reward": {"kind": "percentage", "basis_points": 1000},
        "scope": {"kind": "all"}, "customer_groups": ["trade"], "min_subtotal": null, "starts_at": null,
        "ends_at": null, "priority": 0, "stacking": {"kind": "stackable"},
    }));
    shop.fill("account tom", &[("MUG", 1)]);
    shop.fill("account bob", &[("MUG", 1)]);
    let mut wish = shop.wish_of("account tom", "tok_approve");
    wish["expected_total"] = usd(900 + DELIVERY);
    let refused = shop.checkout("k").account("bob", Role::Customer).json(wish.clone());
    assert_eq!(refused.is(409)["quote"]["totals"]["total"], usd(1000 + DELIVERY), "{}", refused.text());
    let order = shop.checkout("k").member("tom", "trade").json(wish.clone()).is(201);
    assert_eq!(order["totals"]["total"], usd(900 + DELIVERY));
    // It was bought as a member; who has left the group since is told what became of it.
    let again = shop.checkout("k").account("tom", Role::Customer).json(wish).is(201);
    assert_eq!(again["id"], order["id"]);
}

#[test]
fn a_service_that_is_down_is_told_before_and_waited_for_after() {
    use super::faults::Fault;
    for (call, status) in [
        ("carts/resolve", 503),
        ("internal/variants", 503),
        ("pricing-rules", 503),
        ("quotes/verify", 503),
        ("internal/reservations", 202),
        ("internal/intents", 202),
        ("/commit", 202),
        ("/capture", 202),
        ("checked-out", 201),
        ("internal/shipments", 201),
    ] {
        let shop = Shop::open();
        let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
        shop.world.faults.next(call, Fault::Fails);
        assert_eq!(shop.check_out("k", &wish).status.as_u16(), status, "{call}");
        if status == 503 {
            nothing_happened(&shop);
        }
        assert_eq!(shop.check_out("k", &wish).is(201)["state"], "paid", "{call}");
        shop.settle();
        assert_eq!((shop.findings(), shop.orders().len()), (vec![], 1), "{call}");
        assert!(shop.world.books().carts.0.values().all(|cart| cart.lines.is_empty()), "{call}");
    }
}

#[test]
fn what_breaks_rules_is_named() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 1)]);
    let mut wish = shop.wish(&cart, "tok_approve");
    wish["email"] = json!(null);
    wish["shipping_address"]["city"] = json!("");
    let refused = shop.check_out("k", &wish).is(422);
    let fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| text(&error["field"])).collect();
    assert_eq!(fields, ["email", "shipping_address.city"]);

    let mut wish = shop.wish(&cart, "tok_approve");
    wish["total"] = usd(1);
    assert!(text(&shop.check_out("k", &wish).is(422)["errors"][0]["rule"]).contains("unknown field `total`"));
    nothing_happened(&shop);
}

#[test]
fn who_has_neither_an_account_nor_a_cart_buys_nothing() {
    let shop = Shop::open();
    let mut wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
    let forged = shop.checkout("k").header("authorization", "Bearer forged");
    assert_eq!(forged.json(wish.clone()).status, 401);
    wish.as_object_mut().unwrap().remove("cart");
    assert_eq!(shop.check_out("k", &wish).status, 401);
    nothing_happened(&shop);
}

#[test]
fn a_card_number_is_refused_and_never_stored() {
    const CARD: &str = "4242424242424242";
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 1)]);
    for (member, value) in [
        ("payment_method", json!(CARD)),
        ("note", json!("my card is 4242 4242 4242 4242")),
        ("card", json!({"number": CARD, "cvc": "123"})),
        ("shipping_address", json!({"name": CARD, "lines": ["1 Road"], "city": "Springfield", "country": "US"})),
    ] {
        let mut wish = shop.wish(&cart, "tok_approve");
        wish[member] = value;
        let refused = shop.check_out(&shop.key(), &wish);
        assert!(!refused.text().contains("4242"), "{}", refused.text());
        let detail = "card numbers are not accepted; send a token of the payment provider";
        refused.is_problem(422, "card-number", detail, json!({}));
    }
    shop.check_out("k", &shop.wish(&cart, "tok_approve")).is(201);
    let files = shop.files();
    assert!(!files.windows(CARD.len()).any(|window| window == CARD.as_bytes()));
    assert!(files.windows(5).any(|window| window == b"k-tok" || window == b"Sprin"), "the search finds what is stored");
}
