//! Accounts: a shopper registers, logs in and stays logged in; guessing is slowed down; the shop gets its first admin.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use tests::host::Host;
use tests::shop::{Shop, json_of};

const PASSWORD: &str = "correct horse";

async fn shop() -> Host {
    Shop::host_with_its_own_keys(|app| app).await
}

async fn post(host: &Host, path: &str, body: Value) -> Response {
    host.post(path).json(&body).send().await.expect("an answer")
}

async fn register(host: &Host, email: &str) {
    let answer = post(host, "/api/auth/register", json!({ "email": email, "password": PASSWORD })).await;
    json_of(answer, 202).await;
}

async fn login(host: &Host, email: &str, password: &str) -> Value {
    json_of(post(host, "/api/auth/login", json!({ "email": email, "password": password })).await, 200).await
}

async fn refresh(host: &Host, token: &Value) -> Response {
    post(host, "/api/auth/refresh", json!({ "refresh_token": token })).await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Has the owner of an access token add a product; returns the status.
async fn add_product(host: &Host, access: &Value) -> u16 {
    static PRODUCTS: AtomicU32 = AtomicU32::new(1);
    let name = format!("Tea-{}", PRODUCTS.fetch_add(1, Ordering::Relaxed));
    let variant = json!({ "sku": name, "price": { "amount": 100, "currency": "USD" } });
    let product = json!({ "title": name, "variants": [variant] });
    let request = host.post("/api/products").bearer_auth(text(access)).json(&product);
    request.send().await.expect("an answer").status().as_u16()
}

/// Runs `bodega admin create` and returns the password that it made, or what it said on failing.
async fn create_admin(host: &Host, email: &str) -> Result<String, String> {
    let state = host.app().state_dir();
    let arguments = ["admin", "create", "--email", email, "--state-dir", state.to_str().expect("UTF-8")];
    let output = host.app().command(&arguments).await.expect("the host's binary runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => {
            let line = printed.lines().find_map(|line| line.strip_prefix("password (shown this once): "));
            Ok(line.expect("a password").to_owned())
        }
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_registers_logs_in_and_stays_logged_in() {
    let mut host = shop().await;
    register(&host, "ann@example.com").await;
    let first = login(&host, "Ann@example.com", PASSWORD).await;
    let me = host.request("/api/auth/me").bearer_auth(text(&first["access_token"])).send().await;
    let me = json_of(me.expect("an answer"), 200).await;
    assert_eq!((text(&me["email"]), text(&me["role"])), ("ann@example.com", "customer"));

    // The answer was a promise, also when the host dies without warning.
    let second = json_of(refresh(&host, &first["refresh_token"]).await, 200).await;
    host.kill_9().await;
    host.restart().await;
    let third = json_of(refresh(&host, &second["refresh_token"]).await, 200).await;
    assert_eq!(third["account_id"], first["account_id"]);

    // Somebody took a token that is spent by now: the session is over for both.
    assert_eq!(refresh(&host, &first["refresh_token"]).await.status(), 401);
    assert_eq!(refresh(&host, &third["refresh_token"]).await.status(), 401);
    host.log_line(&["a spent refresh token came back"]).await;

    let log = host.log().join("\n");
    for secret in [PASSWORD, text(&first["access_token"]), text(&first["refresh_token"])] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_a_password_is_slowed_down() {
    let host = shop().await;
    register(&host, "ann@example.com").await;
    let guess =
        |email: &'static str| post(&host, "/api/auth/login", json!({ "email": email, "password": "Password1" }));
    for email in ["ann@example.com", "nobody@example.com"] {
        let mut refused = guess(email).await;
        let mut guesses = 1;
        while refused.status() == 401 && guesses < 8 {
            refused = guess(email).await;
            guesses += 1;
        }
        assert_eq!(refused.status(), 429, "{email} after {guesses} guesses");
        assert!(guesses > 5, "{guesses}");
        assert!(refused.headers()["retry-after"].to_str().is_ok_and(|value| value.parse::<u32>().is_ok()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_runs_the_shop() {
    let host = shop().await;
    let password = create_admin(&host, "root@example.com").await.expect("an admin");
    let again = create_admin(&host, "root@example.com").await.expect_err("the address is taken");
    assert!(again.contains("\"root@example.com\" is taken"), "{again}");
    let no_address = create_admin(&host, "root").await.expect_err("it is no address");
    assert!(no_address.contains("email is not an email address"), "{no_address}");

    let root = login(&host, "root@example.com", &password).await;
    assert_eq!(add_product(&host, &root["access_token"]).await, 201);
    register(&host, "ann@example.com").await;
    let ann = login(&host, "ann@example.com", PASSWORD).await;
    assert_eq!(add_product(&host, &ann["access_token"]).await, 403);

    let role = format!("/api/auth/accounts/{}/role", text(&ann["account_id"]));
    let promote = |access: &Value| {
        let request = host.client().put(host.url(&role)).bearer_auth(text(access)).header("if-match", "*");
        request.json(&json!({ "role": "staff" })).send()
    };
    assert_eq!(promote(&ann["access_token"]).await.expect("an answer").status(), 403);
    assert_eq!(promote(&root["access_token"]).await.expect("an answer").status(), 200);
    assert_eq!(add_product(&host, &ann["access_token"]).await, 403, "the role is in the token");
    let ann = login(&host, "ann@example.com", PASSWORD).await;
    assert_eq!(add_product(&host, &ann["access_token"]).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_stay_good_while_the_keys_are_rotated() {
    let host = shop().await;
    let password = create_admin(&host, "root@example.com").await.expect("an admin");
    let root = login(&host, "root@example.com", &password).await;
    assert_eq!(host.json("/.well-known/jwks.json").await["keys"].as_array().map(Vec::len), Some(1));
    let rotate = host.post("/api/auth/keys/rotate").bearer_auth(text(&root["access_token"])).json(&json!({}));
    let rotated = json_of(rotate.send().await.expect("an answer"), 200).await;
    assert_eq!(rotated["rotation"], "begun");
    assert_eq!(host.json("/.well-known/jwks.json").await["keys"].as_array().map(Vec::len), Some(2));
    for _ in 0..3 {
        assert_eq!(add_product(&host, &root["access_token"]).await, 201);
    }
    let next = json_of(refresh(&host, &root["refresh_token"]).await, 200).await;
    assert_eq!(add_product(&host, &next["access_token"]).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_tokens_for_its_key() {
    let host = shop().await;
    let password = create_admin(&host, "root@example.com").await.expect("an admin");
    let root = login(&host, "root@example.com", &password).await;
    let create = host.post("/api/auth/api-keys").bearer_auth(text(&root["access_token"]));
    let create = create.json(&json!({ "name": "import", "role": "staff" })).send().await;
    let key = json_of(create.expect("an answer"), 201).await;
    let token = || {
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}", text(&key["id"]), text(&key["key"]));
        let request = host.post("/api/auth/token").header("content-type", "application/x-www-form-urlencoded");
        request.body(form).send()
    };
    let machine = json_of(token().await.expect("an answer"), 200).await;
    assert_eq!(add_product(&host, &machine["access_token"]).await, 201);
    let path = format!("/api/auth/api-keys/{}", text(&key["id"]));
    let revoke = host.client().delete(host.url(&path)).bearer_auth(text(&root["access_token"]));
    assert_eq!(revoke.send().await.expect("an answer").status(), 204);
    assert_eq!(token().await.expect("an answer").status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_routes_are_not_public() {
    let host = shop().await;
    for path in ["/internal/outbox", "/internal/accounts/x"] {
        assert_eq!(host.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chore_that_finds_nothing_to_do_holds_up_nobody() {
    const SESSIONS: usize = 8;
    const ROUNDS: usize = 40;
    let shop = Shop::start_with_internal_routes_of("auth", |app| app).await;
    let host = &shop.host;
    register(host, "ann@example.com").await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(login(host, "ann@example.com", PASSWORD).await["refresh_token"].clone());
    }
    // Both begin a transaction; the one of the chore is given up, for a key that is young.
    let stay = sessions.into_iter().map(async |mut token| {
        for _ in 0..ROUNDS {
            token = json_of(refresh(host, &token).await, 200).await["refresh_token"].clone();
        }
    });
    let rotate = (0..SESSIONS).map(async |_| {
        for _ in 0..ROUNDS {
            let rotated = host.post("/internal/keys/rotate").send().await.expect("an answer");
            assert_eq!(json_of(rotated, 200).await["rotation"], "not_due");
        }
    });
    tokio::join!(join_all(stay), join_all(rotate));
}
