//! A shopper logs in with an account that they have elsewhere: OpenID Connect, through a real issuer on this machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::host::Host;
use tests::shop::{Shop, json_of};
use tokio::net::TcpListener;

const CALLBACK: &str = "http://localhost/api/auth/oidc/acme/callback";
const CODE: &str = "code-1";

type Parameters = BTreeMap<String, String>;

/// An issuer with one user, who always agrees.
#[derive(Clone)]
struct Issuer {
    origin: String,
    /// What the last browser was sent with.
    asked: Arc<Mutex<Parameters>>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let issuer = Self { origin, asked: Arc::default() };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discover))
            .route("/authorize", get(authorize))
            .route("/token", post(exchange))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    async fn shop(&self) -> Host {
        let issuers = json!([{ "name": "acme", "issuer": self.origin, "client_id": "shop", "redirect_uri": CALLBACK }]);
        Shop::host_with_its_own_keys(|app| {
            app.environment("SPIN_VARIABLE_OIDC_ISSUERS", issuers.to_string())
                .environment("SPIN_VARIABLE_OIDC_ORIGIN", &self.origin)
        })
        .await
    }
}

async fn discover(State(issuer): State<Issuer>) -> Json<Value> {
    Json(json!({
        "issuer": issuer.origin,
        "authorization_endpoint": format!("{}/authorize", issuer.origin),
        "token_endpoint": format!("{}/token", issuer.origin),
    }))
}

async fn authorize(State(issuer): State<Issuer>, Query(asked): Query<Parameters>) -> Redirect {
    let back = format!("{}?code={CODE}&state={}", asked["redirect_uri"], asked["state"]);
    *issuer.asked.lock().expect("nobody panics with it") = asked;
    Redirect::to(&back)
}

/// Gives the id_token only to whoever began the login, as PKCE has it.
async fn exchange(State(issuer): State<Issuer>, Form(form): Form<Parameters>) -> Result<Json<Value>, StatusCode> {
    let asked = issuer.asked.lock().expect("nobody panics with it").clone();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    if form["code"] != CODE || form["client_id"] != "shop" || challenge != asked["code_challenge"] {
        return Err(StatusCode::BAD_REQUEST);
    }
    let claims = json!({
        "iss": issuer.origin, "aud": "shop", "sub": "u-1", "nonce": asked["nonce"], "exp": 4_000_000_000_u64,
        "iat": 1_700_000_000, "email": "ann@example.com", "email_verified": true, "name": "Ann",
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(claims));
    Ok(Json(json!({ "access_token": "theirs", "token_type": "Bearer", "id_token": id_token })))
}

/// Goes to the issuer and comes back, as a browser does; gives the cookie and the way back.
async fn to_the_issuer_and_back(browser: &Client, host: &Host) -> (String, String) {
    let get = |url: String| browser.get(url).send();
    let location = |answer: &Response| answer.headers()["location"].to_str().expect("a URL").to_owned();
    let start = get(host.url("/api/auth/oidc/acme/start")).await.expect("an answer");
    assert_eq!(start.status(), 302);
    let cookie = start.headers()["set-cookie"].to_str().expect("a cookie").to_owned();
    let there = get(location(&start)).await.expect("the issuer answers");
    let back = location(&there).replace("http://localhost", &host.url(""));
    (cookie.split(';').next().expect("a pair").to_owned(), back)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_logs_in_by_another_issuer() {
    let issuer = Issuer::start().await;
    let host = issuer.shop().await;
    let browser = tests::client::builder().redirect(Policy::none()).build().expect("a client");
    let mut accounts = Vec::new();
    for _ in 0..2 {
        let (cookie, back) = to_the_issuer_and_back(&browser, &host).await;
        // Somebody who only saw the way back has not the browser that began.
        assert_eq!(browser.get(&back).send().await.expect("an answer").status(), 400);
        let answer = browser.get(&back).header("cookie", &cookie).send().await.expect("an answer");
        let tokens = json_of(answer, 200).await;
        let me = host.request("/api/auth/me").bearer_auth(tokens["access_token"].as_str().expect("a token"));
        let me = json_of(me.send().await.expect("an answer"), 200).await;
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("ann@example.com"), &json!(true)));
        accounts.push(me["id"].clone());
        let again = browser.get(&back).header("cookie", &cookie).send().await.expect("an answer");
        assert_eq!(again.status(), 400, "a login ends once");
    }
    assert_eq!(accounts[0], accounts[1]);
}
