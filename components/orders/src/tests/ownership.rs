//! Whose an order is, and what a caller learns of other people's.

use axum::http::Method;
use identity::Role;
use serde_json::{Value, json};
use service::testing::Ask;

use super::shop::{Shop, nobody, text};

#[test]
fn a_guests_order_is_whose_token_fits() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let token = text(&order["order_token"]);
    let forged: String = token.chars().rev().collect();
    for (method, path, body, may) in [
        (Method::GET, "", Value::Null, 200),
        (Method::GET, "/history", Value::Null, 200),
        // Who may, is asked for the version that they have read.
        (Method::POST, "/cancel", json!({"reason": "r"}), 428),
    ] {
        for key in [&order["id"], &order["number"]] {
            let path = format!("/api/orders/{}{path}", text(key));
            let ask = || shop.request(method.clone(), &path);
            for (who, ask, expected) in [
                ("nobody", ask(), 401),
                ("the guest", ask().header("x-order-token", token), may),
                ("a forger", ask().header("x-order-token", &forged), 404),
                ("another customer", ask().account("bob", Role::Customer), 404),
                ("staff", ask().staff(), may),
            ] {
                assert_eq!(ask.json(body.clone()).status, expected, "{method} {path} by {who}");
            }
        }
    }
}

#[test]
fn what_is_not_there_looks_like_what_is_somebody_elses() {
    let shop = Shop::open();
    let order = shop.ordered_by("ann", &[("MUG", 1)], "tok_approve");
    let ask = |key: &Value| shop.get(&format!("/api/orders/{}", text(key))).account("bob", Role::Customer).send();
    for key in [&order["id"], &order["number"], &nobody(), &json!("B-222222"), &json!("garbage")] {
        let detail = format!("there is no order {:?}", text(key));
        ask(key).is_problem(404, "not-found", &detail, json!({}));
    }
    let lower = json!(text(&order["number"]).to_lowercase());
    let path = format!("/api/orders/{}", text(&lower));
    assert_eq!(shop.get(&path).account("ann", Role::Customer).send().is(200)["id"], order["id"]);
}

#[test]
fn a_list_has_the_callers_own_orders_and_for_staff_all() {
    let shop = Shop::open();
    let ids = |ask: Ask| -> Vec<Value> {
        let list = ask.send().is(200);
        list["items"].as_array().unwrap().iter().map(|order| order["id"].clone()).collect()
    };
    let ann: Vec<Value> = (0..3).map(|_| shop.ordered_by("ann", &[("MUG", 1)], "tok_approve")["id"].clone()).collect();
    let bob = shop.ordered_by("bob", &[("MUG", 1)], "tok_approve")["id"].clone();
    let guest = shop.ordered(&[("MUG", 1)], "tok_approve")["id"].clone();
    shop.transition(&ann[1], "packed").is(200);
    let newest = |ids: &[Value]| ids.iter().rev().cloned().collect::<Vec<_>>();
    let of = |query: &str, who: &str| shop.get(&format!("/api/orders{query}")).account(who, Role::Customer);
    assert_eq!(ids(of("", "ann")), newest(&ann));
    assert_eq!(ids(of("", "bob")), std::slice::from_ref(&bob));
    assert_eq!(ids(of("", "eve")), [Value::Null; 0]);
    assert_eq!(ids(of("?state=packed", "ann")), [ann[1].clone()]);

    let staff = |query: &str| shop.get(&format!("/api/orders{query}")).staff();
    assert_eq!(ids(staff("")).len(), 5);
    assert_eq!(ids(staff("?customer=bob")), [bob]);
    assert_eq!(ids(staff("?email=GUEST@example.com")), [guest]);
    assert_eq!(ids(staff("?customer=ann&state=paid")), [ann[2].clone(), ann[0].clone()]);
    let created = shop.order(&ann[1])["created_at"].clone();
    assert!(ids(staff(&format!("?created_from={}", text(&created)))).len() < 5);
    assert!(ids(staff(&format!("?created_until={}", text(&created)))).contains(&ann[0]));

    let first = of("?limit=2", "ann").send().is(200);
    let next = format!("?limit=2&cursor={}", text(&first["next_cursor"]));
    let second = of(&next, "ann").send().is(200);
    assert_eq!((&second["items"][0]["id"], &second["next_cursor"]), (&ann[0], &Value::Null));
    let item = &first["items"][0];
    assert_eq!((&item["line_count"], &item["first_title"]), (&json!(1), &json!("The MUG")));
    for wrong in
        ["?customer=bob", "?email=a@b.com", "?state=lost", "?limit=0", "?created_from=today", "?page=2", "?cursor=x"]
    {
        assert_eq!(of(wrong, "ann").send().status, 400, "{wrong}");
    }
    assert_eq!(shop.get("/api/orders").send().status, 401);
}

#[test]
fn a_guests_token_is_kept_as_its_digest() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let token = text(&order["order_token"]).as_bytes().to_vec();
    let files = shop.files();
    let holds = |text: &[u8]| files.windows(text.len()).any(|window| window == text);
    assert!(!holds(&token));
    assert!(holds(text(&order["id"]).as_bytes()), "the search finds what is stored");
    // What the payment and the cart were known by is gone with the task that needed it.
    let of_tasks = shop.count("SELECT count(*) FROM tasks WHERE data IS NOT NULL");
    assert_eq!(of_tasks, 0);
    let shown = shop.order(&order["id"]);
    assert_eq!(shown.get("order_token"), None, "the shop itself has no use for it");
}

#[test]
fn an_account_that_shows_a_guests_token_sees_the_order_too() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let ask = shop.get(&format!("/api/orders/{}", text(&order["id"]))).account("bob", Role::Customer);
    ask.header("x-order-token", text(&order["order_token"])).send().is(200);
}

#[test]
fn an_order_that_was_read_is_not_sent_again() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let path = format!("/api/orders/{}", text(&order["id"]));
    let first = shop.get(&path).staff().send();
    assert_eq!(first.headers["cache-control"], "private, no-cache");
    let again = shop.get(&path).staff().header("if-none-match", first.header("etag".parse().unwrap())).send();
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}
