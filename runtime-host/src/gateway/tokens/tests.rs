//! Tokens that count and tokens that do not, and sources of keys that fail.

use std::sync::Mutex;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;

const KEY_ID: &str = "one";

/// A source that answers what it is told to, and counts how often it is asked.
#[derive(Default)]
struct Published {
    answers: Mutex<Vec<Result<String, String>>>,
    asked: Mutex<usize>,
}

impl KeySource for Published {
    fn fetch(self: Arc<Self>, _: Uri) -> BoxFuture<'static, Result<Bytes, String>> {
        *self.asked.lock().unwrap() += 1;
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Err("it is down".into()));
        Box::pin(async move { answer.map(Bytes::from) })
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn jwks(keys: &[(&str, u8)]) -> String {
    let jwk = |(id, seed): &(&str, u8)| {
        let x = BASE64_URL_SAFE_NO_PAD.encode(key(*seed).verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": x })
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

fn token(header: Value, claims: &Value, seed: u8) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key(seed).sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

fn header(id: &str) -> Value {
    json!({ "alg": "EdDSA", "kid": id })
}

fn claims() -> Value {
    let now = now_s();
    json!({ "iss": "shop", "aud": ["shop", "x"], "sub": "ann", "typ": "access", "roles": ["staff"], "scope": "a b",
        "iat": now, "exp": now + 60 })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn tokens(jwks: String, url: Option<&str>) -> Arc<Tokens> {
    Arc::new(Tokens::new(TokenSettings {
        issuer: "shop".into(),
        audience: "shop".into(),
        jwks,
        jwks_url: url.map(|url| url.parse().unwrap()),
        claims: BTreeMap::from([("typ".into(), "access".into())]),
    }))
}

async fn bearer(tokens: &Arc<Tokens>, token: &str, source: &Arc<Published>) -> Result<Arc<Principal>, TokenError> {
    let headers = [(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())].into_iter().collect();
    let source: Arc<dyn KeySource> = source.clone();
    tokens.authenticate(&headers, &source).await
}

#[tokio::test]
async fn a_good_token_says_who_asks_and_is_remembered_until_it_expires() {
    let (tokens, nowhere) = (tokens(jwks(&[(KEY_ID, 1)]), None), Arc::default());
    let good = token(header(KEY_ID), &claims(), 1);
    for _ in 0..2 {
        let principal = bearer(&tokens, &good, &nowhere).await.unwrap();
        assert_eq!(principal.subject(), "ann");
        assert!(principal.has_role("staff") && !principal.has_role("admin"));
        assert!(principal.has_scope("b") && !principal.has_scope("c"));
    }
    assert_eq!(tokens.verified.len(), 1);
    let digest = |token: &str| *blake3::hash(token.as_bytes()).as_bytes();
    let known = tokens.verified.get(&digest(&good)).unwrap();
    let expired = token(header(KEY_ID), &changed("exp", json!(1)), 1);
    tokens.verified.insert(digest(&expired), Verified { expires_at_s: 1, ..known });
    assert_eq!(bearer(&tokens, &expired, &nowhere).await, Err(TokenError::Invalid), "although it was verified before");
    let lowercase = [(AUTHORIZATION, format!("bearer {good}").parse().unwrap())].into_iter().collect();
    let nowhere: Arc<dyn KeySource> = nowhere;
    assert!(tokens.authenticate(&lowercase, &nowhere).await.is_ok());
}

#[tokio::test]
async fn tokens_that_nobody_may_believe_are_refused() {
    let (tokens, nowhere) = (tokens(jwks(&[(KEY_ID, 1)]), None), Arc::default());
    let now = now_s();
    let good = token(header(KEY_ID), &claims(), 1);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (own_header, _) = signed.split_once('.').unwrap();
    let forged = |header: Value, claims: Value| token(header, &claims, 1);
    let table = [
        ("another's signature", token(header(KEY_ID), &claims(), 2)),
        ("no signature", format!("{signed}.")),
        ("a cut signature", format!("{signed}.{}", &signature[..40])),
        (
            "other claims",
            format!(
                "{own_header}.{}.{signature}",
                BASE64_URL_SAFE_NO_PAD.encode(changed("sub", json!("bob")).to_string())
            ),
        ),
        ("alg none", forged(json!({ "alg": "none", "kid": KEY_ID }), claims())),
        ("alg HS256", forged(json!({ "alg": "HS256", "kid": KEY_ID }), claims())),
        ("alg ES256", forged(json!({ "alg": "ES256", "kid": KEY_ID }), claims())),
        ("an unknown key", forged(header("two"), claims())),
        ("a critical extension", forged(json!({ "alg": "EdDSA", "kid": KEY_ID, "crit": ["b64"] }), claims())),
        ("expired", forged(header(KEY_ID), changed("exp", json!(now - LEEWAY_S - 1)))),
        ("without expiry", forged(header(KEY_ID), changed("exp", Value::Null))),
        ("not yet", forged(header(KEY_ID), changed("nbf", json!(now + LEEWAY_S + 5)))),
        ("not yet in words", forged(header(KEY_ID), changed("nbf", json!("tomorrow")))),
        ("another issuer", forged(header(KEY_ID), changed("iss", json!("x")))),
        ("without issuer", forged(header(KEY_ID), changed("iss", Value::Null))),
        ("for others", forged(header(KEY_ID), changed("aud", json!("x")))),
        ("for nobody", forged(header(KEY_ID), changed("aud", Value::Null))),
        ("a refresh token", forged(header(KEY_ID), changed("typ", json!("refresh")))),
        ("without kind", forged(header(KEY_ID), changed("typ", Value::Null))),
        ("without subject", forged(header(KEY_ID), changed("sub", Value::Null))),
        ("no token", "x".into()),
        ("nothing", String::new()),
        ("too long", "x".repeat(TOKEN_BYTES_MAX + 1)),
    ];
    for (what, token) in table {
        assert_eq!(bearer(&tokens, &token, &nowhere).await, Err(TokenError::Invalid), "{what}");
    }
    assert!(tokens.verified.is_empty(), "nothing of this is remembered");
    let source: Arc<dyn KeySource> = nowhere;
    let of = async |headers: HeaderMap| tokens.authenticate(&headers, &source).await;
    assert_eq!(of(HeaderMap::new()).await, Err(TokenError::Missing));
    assert_eq!(
        of([(AUTHORIZATION, "Basic YTpi".parse().unwrap())].into_iter().collect()).await,
        Err(TokenError::Invalid)
    );
    let mut twice = HeaderMap::new();
    for _ in 0..2 {
        twice.append(AUTHORIZATION, format!("Bearer {good}").parse().unwrap());
    }
    assert_eq!(of(twice).await, Err(TokenError::Invalid));
}

#[tokio::test]
async fn keys_come_from_their_source_and_stay_when_it_is_down() {
    let source = Arc::new(Published::default());
    let tokens = tokens(String::new(), Some("http://auth.spin.internal/jwks"));
    let good = token(header(KEY_ID), &claims(), 1);
    assert_eq!(bearer(&tokens, &good, &source).await, Err(TokenError::Unavailable), "it is down from the start");
    assert_eq!(bearer(&tokens, &good, &source).await, Err(TokenError::Unavailable));
    assert_eq!(*source.asked.lock().unwrap(), 1, "it is not asked again so soon");

    let tokens = self::tokens(String::new(), Some("http://auth.spin.internal/jwks"));
    source.answers.lock().unwrap().push(Ok(jwks(&[(KEY_ID, 1)])));
    assert!(bearer(&tokens, &good, &source).await.is_ok());
    for _ in 0..20 {
        let unknown = token(header("unknown"), &claims(), 1);
        assert_eq!(bearer(&tokens, &unknown, &source).await, Err(TokenError::Invalid));
    }
    assert_eq!(*source.asked.lock().unwrap(), 2, "unknown keys do not make it asked without end");
    assert!(bearer(&tokens, &good, &source).await.is_ok());

    let tokens = self::tokens(String::new(), Some("http://auth.spin.internal/jwks"));
    for answer in ["", "{\"keys\": []}"] {
        source.answers.lock().unwrap().push(Ok(answer.into()));
        assert_eq!(bearer(&tokens, &good, &source).await, Err(TokenError::Unavailable), "no keys are no answer");
    }
}

#[tokio::test]
async fn who_goes_away_does_not_make_the_source_asked_again() {
    let source = Arc::new(Published::default());
    source.answers.lock().unwrap().push(Ok(jwks(&[(KEY_ID, 1)])));
    let tokens = tokens(String::new(), Some("http://auth.spin.internal/jwks"));
    let good = token(header(KEY_ID), &claims(), 1);
    for _ in 0..10 {
        // Polled once, and dropped.
        let _: Option<_> = futures::future::FutureExt::now_or_never(bearer(&tokens, &good, &source));
    }
    tokio::task::yield_now().await;
    assert!(bearer(&tokens, &good, &source).await.is_ok(), "what the first one asked for has come");
    assert_eq!(*source.asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_counts_no_more() {
    let source = Arc::new(Published::default());
    let tokens = tokens(String::new(), Some("http://auth.spin.internal/jwks"));
    source.answers.lock().unwrap().push(Ok(jwks(&[(KEY_ID, 1)])));
    let good = token(header(KEY_ID), &claims(), 1);
    assert!(bearer(&tokens, &good, &source).await.is_ok());
    tokens.keys.refresh_now(&jwks(&[("two", 2)]));
    assert_eq!(bearer(&tokens, &good, &source).await, Err(TokenError::Invalid), "although it was verified before");
    assert!(bearer(&tokens, &token(header("two"), &claims(), 2), &source).await.is_ok());
}

#[test]
fn sets_that_are_none_or_too_large_are_refused_and_odd_keys_left_out() {
    assert!(check_jwks("").is_ok());
    assert!(check_jwks("{}").is_err());
    assert!(check_jwks("<html>").is_err());
    let many: Vec<Value> = (0..65).map(|_| json!({})).collect();
    assert!(check_jwks(&json!({ "keys": many }).to_string()).is_err());
    let mut set: Value = serde_json::from_str(&jwks(&[(KEY_ID, 1), ("encrypts", 2), ("confused", 3)])).unwrap();
    set["keys"][1]["use"] = json!("enc");
    set["keys"][2]["alg"] = json!("ES256");
    set["keys"].as_array_mut().unwrap().push(json!({ "kty": "oct", "k": "AAAA", "kid": "secret" }));
    let keys = keys::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1, "only keys that sign, with the algorithm that they say");
}
