//! Everybody's accounts, as staff and admins see them.

use axum::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::Role;
use serde_json::{Value, json};

use super::desk::{Answered, Desk, PASSWORD};

fn create(desk: &Desk, email: &str, role: &str) -> Answered {
    let ask = desk.request(Method::POST, "/api/auth/accounts").role(Role::Admin);
    ask.json(json!({"email": email, "password": PASSWORD, "role": role}))
}

fn set_role(desk: &Desk, id: &str, tag: &str, role: &str) -> Answered {
    let ask = desk.request(Method::PUT, &format!("/api/auth/accounts/{id}/role")).role(Role::Admin);
    ask.header("if-match", tag).json(json!({"role": role}))
}

#[test]
fn an_admin_makes_accounts_of_any_role() {
    let desk = Desk::open();
    let made = create(&desk, "root@example.com", "admin");
    let account = made.is(201);
    assert_eq!((&account["role"], &account["email_verified"]), (&json!("admin"), &json!(true)));
    assert_eq!(made.header(header::LOCATION), format!("/api/auth/accounts/{}", account["id"].as_str().unwrap()));
    let root = desk.login("root@example.com", PASSWORD);
    let shown = desk.with(&root.access, Method::GET, made.header(header::LOCATION)).send().is(200);
    assert_eq!(shown, account);
    create(&desk, "Root@example.com", "staff").is_problem(
        409,
        "taken",
        "the email address \"Root@example.com\" is taken",
        json!({}),
    );
    create(&desk, "x@example.com", "owner").is(422);
    let as_staff = desk.request(Method::POST, "/api/auth/accounts").staff();
    as_staff.json(json!({"email": "y@example.com", "password": PASSWORD})).is(403);
}

#[test]
fn accounts_are_listed_page_by_page() {
    let desk = Desk::open();
    for name in ["a", "b", "c"] {
        create(&desk, &format!("{name}@example.com"), "customer").is(201);
    }
    let list = |query: &str| desk.request(Method::GET, &format!("/api/auth/accounts{query}")).staff().send();
    let emails = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["email"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = list("?limit=2").is(200);
    assert_eq!(emails(&first), ["a@example.com", "b@example.com"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = list(&format!("?limit=2&cursor={cursor}")).is(200);
    assert_eq!((emails(&second), &second["next_cursor"]), (vec!["c@example.com".to_owned()], &Value::Null));
    assert_eq!(emails(&list("?email=B@example.com").is(200)), ["b@example.com"]);
    for query in ["?limit=0", "?cursor=AAAA", "?role=admin"] {
        list(query).is(400);
    }
    assert_eq!(desk.get("/api/auth/accounts").status, 401);
    assert_eq!(desk.request(Method::GET, "/api/auth/accounts").role(Role::Customer).send().status, 403);
}

#[test]
fn another_role_ends_the_sessions_and_shows_in_the_next_token() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let may_list = |access: &str| desk.with(access, Method::GET, "/api/auth/accounts").send().status == 200;
    let changed = set_role(&desk, &ann.account_id, "\"1-0\"", "staff");
    assert_eq!(changed.is(200)["role"], "staff");
    assert_eq!(changed.header(header::ETAG), "\"2-0\"");
    assert!(!may_list(&ann.access));
    desk.refresh(&ann.refresh).is(401);
    assert!(may_list(&desk.login("ann@example.com", PASSWORD).access));
    assert_eq!(desk.event_types().last().unwrap(), "role_changed");
    assert_eq!(set_role(&desk, &ann.account_id, "\"1-0\"", "admin").status, 412);
    assert_eq!(set_role(&desk, "absent", "*", "admin").status, 404);
}

#[test]
fn the_last_admin_stays_one() {
    let desk = Desk::open();
    let first = create(&desk, "first@example.com", "admin").is(201);
    let id = first["id"].as_str().unwrap();
    set_role(&desk, id, "*", "staff").is_problem(
        409,
        "last-admin",
        "this is the last admin; make another one first",
        json!({}),
    );
    let tokens = desk.login("first@example.com", PASSWORD);
    let delete = || desk.with(&tokens.access, Method::DELETE, "/api/auth/me").json(json!({"password": PASSWORD}));
    assert_eq!(delete().status, 409);
    create(&desk, "second@example.com", "admin").is(201);
    set_role(&desk, id, "*", "staff").is(200);
    delete().is(204);
}

#[test]
fn staff_unlock_an_account() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    for _ in 0..5 {
        desk.try_login("ann@example.com", "wrong password").is(401);
    }
    assert_eq!(desk.try_login("ann@example.com", PASSWORD).status, 429);
    let unlock = |id: &str| desk.request(Method::POST, &format!("/api/auth/accounts/{id}/unlock")).staff().send();
    unlock(&ann.account_id).is(204);
    desk.login("ann@example.com", PASSWORD);
    assert_eq!(unlock("absent").status, 404);
}

#[test]
fn staff_puts_an_account_into_a_group_and_its_next_tokens_say_so() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let put = |tag: &str, group: Value| {
        let path = format!("/api/auth/accounts/{}/customer-group", ann.account_id);
        desk.request(Method::PUT, &path).staff().header("if-match", tag).json(json!({"customer_group": group}))
    };
    let group_in = |access: &str| claims(access)["customer_group"].clone();
    assert_eq!(group_in(&ann.access), Value::Null);
    let changed = put("\"1-0\"", json!("trade"));
    assert_eq!((&changed.is(200)["customer_group"], changed.header(header::ETAG)), (&json!("trade"), "\"2-0\""));
    let told = desk.events().pop().unwrap();
    assert_eq!(
        (&told["type"], &told["subject"]),
        (&json!("bodega.account.customer_group_changed"), &json!(ann.account_id))
    );
    assert_eq!(told["data"]["customer_group"], "trade");
    assert_eq!(put("*", json!("trade")).header(header::ETAG), "\"2-0\"", "it is in that group");
    assert_eq!(put("\"1-0\"", json!("staff")).status, 412);

    let me = |access: &str| desk.with(access, Method::GET, "/api/auth/me").send().is(200);
    assert_eq!(me(&ann.access)["customer_group"], "trade");
    let next = desk.refresh(&ann.refresh).is(200);
    assert_eq!(group_in(next["access_token"].as_str().unwrap()), "trade", "the session goes on");
    assert_eq!(group_in(&desk.login("ann@example.com", PASSWORD).access), "trade");
    put("*", Value::Null).is(200);
    assert_eq!(group_in(&desk.login("ann@example.com", PASSWORD).access), Value::Null);

    for wrong in [json!({}), json!({"customer_group": ""}), json!({"customer_group": " trade"}), json!({"group": "x"})]
    {
        let path = format!("/api/auth/accounts/{}/customer-group", ann.account_id);
        desk.request(Method::PUT, &path).staff().header("if-match", "*").json(wrong).is(422);
    }
    let absent = desk.request(Method::PUT, "/api/auth/accounts/absent/customer-group").staff().header("if-match", "*");
    absent.json(json!({"customer_group": "trade"})).is(404);
    // What an account says of itself is not for it to say.
    let patch = desk.with(&ann.access, Method::PATCH, "/api/auth/me").header("if-match", "*");
    patch.json(json!({"customer_group": "trade"})).is(422);
}

/// The claims of a token.
fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
