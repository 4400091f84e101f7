//! Logging in with an account elsewhere, against an issuer that checks what a real one checks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use service::Transport;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::desk::{Answered, Desk, PASSWORD, Setup, tokens};

const CODE: &str = "code-1";
const CALLBACK: &str = "https://shop.example/api/auth/oidc/acme/callback";

/// What the issuer knows of the login that is under way, and what it is to say of the person.
#[derive(Default)]
struct Issuer {
    authorization: BTreeMap<String, String>,
    claims: Value,
    discovered: u32,
}

struct Login {
    desk: Desk,
    issuer: Arc<Mutex<Issuer>>,
}

impl Login {
    fn open() -> Self {
        let issuer = Arc::new(Mutex::new(Issuer { claims: person(), ..Issuer::default() }));
        let shared = issuer.clone();
        let transport: Transport = Arc::new(move |request| {
            let answer = shared.lock().unwrap().answer(&request);
            Box::pin(async move { Ok(answer) })
        });
        let issuers = json!([{"name": "acme", "issuer": "https://id.acme.example", "client_id": "shop",
            "client_secret": "s3cret/+", "redirect_uri": CALLBACK}]);
        Self { desk: Desk::set_up(Setup { issuers, transport, ..Setup::default() }), issuer }
    }

    /// Begins a login and gives the cookie of the browser and the state.
    fn start(&self) -> (String, String) {
        let answer = self.desk.get("/api/auth/oidc/acme/start");
        assert_eq!(answer.status, 302);
        let location = Url::parse(answer.header(header::LOCATION)).unwrap();
        assert!(location.as_str().starts_with("https://id.acme.example/authorize?"), "{location}");
        let asked: BTreeMap<String, String> = location.query_pairs().into_owned().collect();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "shop"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid email profile"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], value, "{name}");
        }
        let state = asked["state"].clone();
        self.issuer.lock().unwrap().authorization = asked;
        let cookie = answer.header(header::SET_COOKIE);
        assert!(
            cookie.ends_with("; Path=/api/auth/oidc/acme; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
            "{cookie}"
        );
        (cookie.split(';').next().unwrap().to_owned(), state)
    }

    fn callback(&self, cookie: &str, query: &str) -> Answered {
        let ask = self.desk.request(Method::GET, &format!("/api/auth/oidc/acme/callback?{query}"));
        ask.header("cookie", &format!("theme=dark; {cookie}")).send()
    }

    fn log_in(&self) -> Answered {
        let (cookie, state) = self.start();
        self.callback(&cookie, &format!("code={CODE}&state={state}"))
    }

    /// Has the issuer say something else of the person.
    fn claim(&self, name: &str, value: Value) {
        self.issuer.lock().unwrap().claims[name] = value;
    }
}

impl Issuer {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let answer = match request.uri().path() {
            "/.well-known/openid-configuration" => {
                self.discovered += 1;
                Some(json!({
                    "issuer": "https://id.acme.example",
                    "authorization_endpoint": "https://id.acme.example/authorize",
                    "token_endpoint": "https://id.acme.example/token",
                }))
            }
            "/token" => self.exchange(request.headers(), request.body()),
            _ => None,
        };
        let status = if answer.is_some() { 200 } else { 400 };
        Response::builder().status(status).body(answer.unwrap_or_default().to_string().into()).unwrap()
    }

    fn exchange(&self, headers: &HeaderMap, body: &[u8]) -> Option<Value> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        let client = format!("Basic {}", STANDARD.encode("shop:s3cret%2F%2B"));
        let good = headers.get(header::AUTHORIZATION)? == client.as_str()
            && form["grant_type"] == "authorization_code"
            && form["code"] == CODE
            && form["redirect_uri"] == CALLBACK
            && challenge == self.authorization["code_challenge"];
        let mut claims = self.claims.clone();
        claims["iat"] = commerce::unix_s().into();
        claims["exp"] = (commerce::unix_s() + 3600).into();
        if claims["nonce"].is_null() {
            claims["nonce"] = self.authorization["nonce"].clone().into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let id_token = format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(&claims));
        good.then(|| json!({"access_token": "theirs", "token_type": "Bearer", "id_token": id_token}))
    }
}

fn person() -> Value {
    json!({"iss": "https://id.acme.example", "aud": "shop", "sub": "u-1",
        "email": "Ann@example.com", "email_verified": true, "name": "Ann"})
}

#[test]
fn a_newcomer_gets_an_account_and_keeps_it() {
    let login = Login::open();
    let answer = login.log_in();
    let ann = tokens(&answer.is(200));
    assert!(answer.header(header::SET_COOKIE).starts_with("bodega_login=; "), "the cookie goes");
    let me = login.desk.with(&ann.access, Method::GET, "/api/auth/me").send().is(200);
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("Ann@example.com"), &json!(true)));
    assert_eq!((&me["name"], &me["has_password"], &me["role"]), (&json!("Ann"), &json!(false), &json!("customer")));
    // By the subject, whatever the address has become.
    login.claim("email", json!("ann@elsewhere.example"));
    assert_eq!(tokens(&login.log_in().is(200)).account_id, ann.account_id);
    assert_eq!(login.issuer.lock().unwrap().discovered, 1);
    // There is no password to guess.
    assert_eq!(login.desk.try_login("ann@example.com", "").status, 401);
}

#[test]
fn an_account_is_joined_only_by_an_address_that_both_sides_verified() {
    let login = Login::open();
    login.desk.register("ann@example.com");
    assert_eq!(login.log_in().status, 409, "somebody else may have registered it");
    let token = login.desk.mailed_token("verification_requested");
    login.desk.post("/api/auth/email/verifications", json!({"token": token})).is(204);
    login.claim("email_verified", json!(false));
    assert_eq!(login.log_in().status, 403);
    login.claim("email_verified", json!(true));
    let joined = tokens(&login.log_in().is(200));
    assert_eq!(joined.account_id, login.desk.login("ann@example.com", PASSWORD).account_id);
}

#[test]
fn a_login_ends_only_in_the_browser_in_which_it_began_and_once() {
    let login = Login::open();
    let (cookie, state) = login.start();
    let query = format!("code={CODE}&state={state}");
    let detail = "the login was not begun here, is too old, or was finished already; begin again";
    for (cookie, query) in [
        ("", query.as_str()),
        ("bodega_login=", &query),
        (&cookie, &format!("code={CODE}&state=other")),
        (&cookie, &format!("code={CODE}")),
        ("bodega_login=", &format!("code={CODE}&state=")),
    ] {
        login.callback(cookie, query).is_problem(400, "login-state", detail, json!({}));
    }
    login.callback(&cookie, &query).is(200);
    login.callback(&cookie, &query).is(400);
    let (cookie, state) = login.start();
    login.desk.wait_ms(10 * 60 * 1_000);
    login.callback(&cookie, &format!("code={CODE}&state={state}")).is(400);
}

#[test]
fn what_the_issuer_refuses_or_cannot_prove_is_no_login() {
    let login = Login::open();
    let (cookie, state) = login.start();
    let refused = login.callback(&cookie, &format!("error=access_denied%0d%0a&state={state}"));
    refused.is_problem(403, "login-refused", "the issuer refused the login: access_denied", json!({}));
    let (cookie, state) = login.start();
    assert_eq!(login.callback(&cookie, &format!("code=another&state={state}")).status, 502);
    for (name, value) in [("nonce", json!("another")), ("aud", json!("other")), ("iss", json!("https://evil.example"))]
    {
        login.claim(name, value);
        assert_eq!(login.log_in().status, 502, "{name}");
        *login.issuer.lock().unwrap() = Issuer { claims: person(), ..Issuer::default() };
    }
    assert_eq!(login.log_in().status, 200);
    assert_eq!(login.desk.get("/api/auth/oidc/absent/start").status, 404);
}

#[test]
fn an_issuer_that_is_down_is_named_as_the_cause() {
    let issuers =
        json!([{"name": "acme", "issuer": "https://id.acme.example", "client_id": "shop", "redirect_uri": CALLBACK}]);
    let desk = Desk::set_up(Setup { issuers, ..Setup::default() });
    let answer = desk.get("/api/auth/oidc/acme/start");
    let detail = "the issuer does not answer as it should: there is nothing outside";
    answer.is_problem(502, "issuer-failed", detail, json!({}));
}
