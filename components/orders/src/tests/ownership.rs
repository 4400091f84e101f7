//! Who may see and do what, over every route.

use axum::http::Method;
use identity::Role;
use serde_json::{Value, json};
use service::testing::Ask;

use super::shop::{Shop, nobody, text};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Ann,
    Bob,
    Staff,
    Admin,
    /// Has the token of the guest's order.
    Guest,
    /// Has a token of no order.
    Forger,
}

const ALL: [Who; 7] = [Who::Anonymous, Who::Ann, Who::Bob, Who::Staff, Who::Admin, Who::Guest, Who::Forger];

fn asks(ask: Ask, who: Who, token: &str) -> Ask {
    match who {
        Who::Anonymous => ask,
        Who::Ann => ask.account("ann", Role::Customer),
        Who::Bob => ask.account("bob", Role::Customer),
        Who::Staff => ask.account("sue", Role::Staff),
        Who::Admin => ask.account("amy", Role::Admin),
        Who::Guest => ask.header("x-order-token", token),
        Who::Forger => ask.header("x-order-token", &token.chars().rev().collect::<String>()),
    }
}

#[test]
fn an_order_is_its_owners_and_the_shops() {
    let shop = Shop::open();
    let of_ann = shop.ordered_by("ann", &[("MUG", 1)], "tok_approve");
    let of_guest = shop.ordered(&[("MUG", 1)], "tok_approve");
    let token = text(&of_guest["order_token"]).to_owned();
    for (order, owner) in [(&of_ann, Who::Ann), (&of_guest, Who::Guest)] {
        for (method, path, body) in [
            (Method::GET, "", Value::Null),
            (Method::GET, "/history", Value::Null),
            (Method::POST, "/cancel", json!({"reason": "r"})),
            (Method::POST, "/refunds", json!({"reason": "r", "restock": true})),
            (Method::POST, "/transitions", json!({"to": "packed"})),
        ] {
            for key in [&order["id"], &order["number"]] {
                for who in ALL {
                    let ask = shop.request(method.clone(), &format!("/api/orders/{}{path}", text(key)));
                    let status = asks(ask, who, &token).json(body.clone()).status.as_u16();
                    let is_staff = matches!(who, Who::Staff | Who::Admin);
                    let has_account = !matches!(who, Who::Anonymous | Who::Guest | Who::Forger);
                    let for_staff = matches!(path, "/refunds" | "/transitions");
                    let expected = match (for_staff, is_staff) {
                        // Who may, is asked for the version that they have read, or for a key.
                        (true, true) => {
                            if path == "/refunds" {
                                400
                            } else {
                                428
                            }
                        }
                        (true, false) => {
                            if has_account {
                                403
                            } else {
                                401
                            }
                        }
                        (false, _) if who == Who::Anonymous => 401,
                        (false, _) if who == owner || is_staff => {
                            if path == "/cancel" {
                                428
                            } else {
                                200
                            }
                        }
                        (false, _) => 404,
                    };
                    assert_eq!(status, expected, "{who:?} {method} {path} of {owner:?}");
                }
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

#[test]
fn only_the_shops_services_and_admins_get_in() {
    let shop = Shop::with_internal_secret("between-us");
    for (method, path) in [
        (Method::POST, "/internal/orders/sweep"),
        (Method::POST, "/internal/payments/changed"),
        (Method::GET, "/internal/outbox"),
    ] {
        let ask = || shop.request(method.clone(), path);
        assert_eq!(ask().json(json!({"order_id": nobody()})).status, 401, "{path}");
        let known = ask().header("x-internal-secret", "between-us").json(json!({"order_id": nobody()}));
        assert_ne!(known.status, 401, "{path}");
    }
    for (role, status) in [(Role::Customer, 403), (Role::Staff, 403), (Role::Admin, 200)] {
        assert_eq!(shop.get("/api/orders/audit").role(role).send().status.as_u16(), status);
    }
}
