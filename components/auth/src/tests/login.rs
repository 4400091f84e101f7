//! Logging in: what a right and a wrong password get, and how alike wrong ones are.

use axum::http::header;
use serde_json::{Value, json};

use super::desk::{Desk, PASSWORD};

#[test]
fn a_login_gives_a_token_that_services_accept() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    let answer = desk.try_login("ann@example.com", PASSWORD);
    let body = answer.is(200);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(600)));
    let access = body["access_token"].as_str().unwrap();
    let me = desk.with(access, axum::http::Method::GET, "/api/auth/me").send().is(200);
    assert_eq!((&me["id"], &me["role"]), (&body["account_id"], &json!("customer")));

    // Another service knows nothing but the published keys.
    let jwks = desk.get("/.well-known/jwks.json").text();
    let settings = identity::Settings { jwks, ..identity::Settings::default() };
    let service = identity::Identity::new(&settings, identity::no_fetch).unwrap();
    let bearer = |token: &str| {
        let headers =
            header::HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
        futures::executor::block_on(service.authenticate(&headers))
    };
    let principal = bearer(access).unwrap();
    assert_eq!(principal.subject(), body["account_id"]);
    assert!(principal.require(identity::Role::Staff).is_err());
    // A refresh token opens nothing.
    let refresh = body["refresh_token"].as_str().unwrap();
    assert!(bearer(refresh).is_err());
    desk.with(refresh, axum::http::Method::GET, "/api/auth/me").send().is(401);
}

#[test]
fn an_unknown_account_and_a_wrong_password_get_the_same_answer() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    let answer = |email: &str, password: &str| {
        let answer = desk.try_login(email, password);
        (answer.status, answer.headers.clone(), answer.text())
    };
    let wrong = answer("ann@example.com", "wrong password");
    assert_eq!(wrong.0, 401);
    for (email, password) in
        [("bob@example.com", PASSWORD), ("no address", PASSWORD), ("", ""), ("ann@example.com", "")]
    {
        assert_eq!(answer(email, password), wrong, "{email}");
    }
    desk.try_login("ann@example.com", "wrong password").is_problem(
        401,
        "invalid-credentials",
        "the email address or the password is wrong, or the address has yet to be verified",
        Value::Object(Default::default()),
    );
}

/// Both are hashed with the same parameters; the bounds are wide, since tests share the machine.
#[test]
fn an_unknown_account_takes_as_long_as_a_wrong_password() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    let shortest = |email: &str| {
        let times = (0..4).map(|_| {
            let begun = std::time::Instant::now();
            assert_eq!(desk.try_login(email, "wrong password").status, 401);
            begun.elapsed()
        });
        times.min().unwrap().as_secs_f64()
    };
    let ratio = shortest("bob@example.com") / shortest("ann@example.com");
    assert!((0.4..2.5).contains(&ratio), "{ratio}");
}

#[test]
fn a_hash_of_former_parameters_is_renewed_at_login() {
    use argon2::password_hash::SaltString;
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

    let desk = Desk::open();
    desk.register("ann@example.com");
    let former = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8 * 1024, 1, 1, None).unwrap());
    let salt = SaltString::encode_b64(&[7; 16]).unwrap();
    let hash = former.hash_password(PASSWORD.as_bytes(), &salt).unwrap().to_string();
    let database = desk.database();
    database.read("UPDATE accounts SET password = ?1", &[hash.as_str().into()]).unwrap();
    let kept = || {
        let rows = database.read("SELECT password FROM accounts", &[]);
        rows.unwrap().pop().unwrap().take::<String>(0).unwrap()
    };
    assert_eq!(desk.try_login("ann@example.com", "wrong password").status, 401);
    assert_eq!(kept(), hash, "a wrong password renews nothing");
    desk.login("ann@example.com", PASSWORD);
    assert!(kept().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept());
    desk.login("ann@example.com", PASSWORD);
}
