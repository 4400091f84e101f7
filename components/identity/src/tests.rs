//! What is let in, and above all what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commerce::Problem;
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_800_000_000;

fn signer() -> Signer {
    Signer::new("key-1", [7; 32])
}

fn settings() -> Settings {
    Settings { jwks: signer().jwks(), ..Settings::default() }
}

fn claims() -> Claims {
    Claims { iat: NOW_S, exp: NOW_S + 60, ..Claims::access(&settings(), "ann", &[Role::Staff], 60) }
}

fn authenticate(token: &str) -> Result<Principal, IdentityError> {
    let identity = Identity::new(&settings(), no_fetch).unwrap();
    block_on(identity.authenticate_at(&bearer(token), NOW_S))
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

/// A token with a header of the test's own, over the payload and signature of a good one.
fn with_header(header: Value) -> String {
    let good = signer().sign(&claims());
    let (_, rest) = good.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[test]
fn a_good_token_gives_its_principal() {
    let principal = authenticate(&signer().sign(&claims())).unwrap();
    assert_eq!(principal.subject(), "ann");
    assert_eq!(principal.require(Role::Customer), Ok(()));
    assert_eq!(principal.require(Role::Admin), Err(IdentityError::Forbidden(Role::Admin)));
}

#[test]
fn every_claim_is_checked() {
    let wrong = [
        (Claims { exp: NOW_S - LEEWAY_S, ..claims() }, "the token has expired"),
        (Claims { exp: i64::MIN, ..claims() }, "the token has expired"),
        (Claims { nbf: Some(NOW_S + LEEWAY_S + 1), ..claims() }, "the token is not valid yet"),
        (Claims { iss: "other".into(), ..claims() }, "the token is from another issuer"),
        (Claims { aud: vec!["other".into()], ..claims() }, "the token is for another audience"),
        (Claims { aud: vec![], ..claims() }, "the token is for another audience"),
        (Claims { typ: "refresh".into(), ..claims() }, "the token is not an access token"),
    ];
    for (claims, reason) in wrong {
        assert_eq!(authenticate(&signer().sign(&claims)), Err(IdentityError::Invalid(reason)));
    }
    for fine in [
        Claims { exp: NOW_S - LEEWAY_S + 1, ..claims() },
        Claims { nbf: Some(NOW_S + LEEWAY_S), ..claims() },
        Claims { aud: vec!["other".into(), "bodega".into()], ..claims() },
    ] {
        assert!(authenticate(&signer().sign(&fine)).is_ok());
    }
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    for alg in ["none", "None", "HS256", "ES256", "RS256", ""] {
        assert_eq!(
            authenticate(&with_header(json!({"alg": alg, "kid": "key-1"}))),
            Err(IdentityError::Invalid("the token is not signed with EdDSA")),
        );
    }
    let unsigned = with_header(json!({"alg": "none", "kid": "key-1"}));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    assert!(authenticate(&unsigned).is_err());
    let critical = with_header(json!({"alg": "EdDSA", "kid": "key-1", "crit": ["exp"]}));
    assert!(matches!(authenticate(&critical), Err(IdentityError::Invalid(reason)) if reason.contains("extension")));
}

#[test]
fn only_the_named_key_counts() {
    let stranger = Signer::new("key-2", [8; 32]).sign(&claims());
    assert_eq!(authenticate(&stranger), Err(IdentityError::Invalid("the token is signed with an unknown key")));
    let impostor = Signer::new("key-1", [8; 32]).sign(&claims());
    assert_eq!(authenticate(&impostor), Err(IdentityError::Invalid("the signature is not from that key")));
}

#[test]
fn other_headers_are_no_token() {
    let identity = Identity::new(&settings(), no_fetch).unwrap();
    for value in ["", "Basic YTpi", "Bearer", signer().sign(&claims()).as_str()] {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(block_on(identity.authenticate_at(&headers, NOW_S)), Err(IdentityError::Missing), "{value}");
    }
    assert_eq!(authenticate(&"x".repeat(TOKEN_BYTES_MAX + 1)), Err(IdentityError::Invalid("the token is too long")));
}

#[test]
fn without_keys_no_token_counts() {
    let identity = Identity::new(&Settings::default(), no_fetch).unwrap();
    let token = signer().sign(&claims());
    assert!(block_on(identity.authenticate_at(&bearer(&token), NOW_S)).is_err());
}

#[test]
fn unusable_settings_are_refused() {
    let with = |jwks: &str, jwks_url: &str| {
        let settings = Settings { jwks: jwks.into(), jwks_url: jwks_url.into(), ..Settings::default() };
        Identity::new(&settings, no_fetch).map(|_| ()).map_err(|error| error.to_string())
    };
    assert!(with("{}", "").unwrap_err().contains("not a JWKS"));
    assert!(with(r#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#, "").unwrap_err().contains("no Ed25519"));
    let identity_point =
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AQ{}"}}]}}"#, "A".repeat(41));
    assert!(with(&identity_point, "").unwrap_err().contains("no Ed25519"));
}

/// A key source that can be switched to another answer, and counts how often it is asked.
fn source(answers: Vec<Result<Vec<u8>, String>>) -> (Identity, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let settings = Settings { jwks_url: "http://auth/jwks.json".into(), ..Settings::default() };
    let fetch = move |_| -> Fetched {
        let answer = answers[counter.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone();
        Box::pin(async move { answer })
    };
    (Identity::new(&settings, fetch).unwrap(), asked)
}

#[test]
fn fetched_keys_are_kept_and_outlive_their_source() {
    let (identity, asked) = source(vec![Ok(signer().jwks().into_bytes()), Err("down".into())]);
    let token = signer().sign(&Claims { exp: NOW_S * 2, ..claims() });
    let at = |now_s| block_on(identity.authenticate_at(&bearer(&token), now_s)).map(|_| ());
    for now_s in [NOW_S, NOW_S + 1, NOW_S + JWKS_FRESH_S - 1] {
        assert_eq!(at(now_s), Ok(()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for now_s in [NOW_S + JWKS_FRESH_S, NOW_S + JWKS_FRESH_S + 1, NOW_S + 100 * JWKS_FRESH_S] {
        assert_eq!(at(now_s), Ok(()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_new_key_is_fetched_but_strangers_cannot_make_us_fetch_at_will() {
    let rotated = Signer::new("key-2", [8; 32]);
    let (identity, asked) = source(vec![Ok(signer().jwks().into_bytes()), Ok(rotated.jwks().into_bytes())]);
    let at = |signer: &Signer, now_s| {
        block_on(identity.authenticate_at(&bearer(&signer.sign(&claims())), now_s)).map(|_| ())
    };
    assert_eq!(at(&signer(), NOW_S), Ok(()));
    let stranger = Signer::new("key-9", [9; 32]);
    for _ in 0..100 {
        assert!(at(&stranger, NOW_S + 1).is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(at(&rotated, NOW_S + FETCH_PAUSE_S), Ok(()));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn fixed_keys_and_those_of_the_url_count_side_by_side() {
    let issuer = Signer::new("key-2", [8; 32]);
    // What the URL says of a fixed key's id does not count.
    let impostor = Signer::new("key-1", [9; 32]);
    let body = json!({ "keys": [issuer.jwk(), impostor.jwk()] }).to_string().into_bytes();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let settings = Settings { jwks: signer().jwks(), jwks_url: "http://auth/jwks.json".into(), ..Settings::default() };
    let fetch = move |_| -> Fetched {
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(body.clone())))
    };
    let identity = Identity::new(&settings, fetch).unwrap();
    let at = |signer: &Signer| block_on(identity.authenticate_at(&bearer(&signer.sign(&claims())), NOW_S)).map(|_| ());
    assert_eq!(at(&signer()), Ok(()));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(at(&issuer), Ok(()));
    assert_eq!(at(&impostor), Err(IdentityError::Invalid("the signature is not from that key")));
    let stranger = Signer::new("key-3", [8; 32]);
    assert_eq!(at(&stranger), Err(IdentityError::Invalid("the token is signed with an unknown key")));
}

#[test]
fn fixed_keys_count_while_the_url_is_down() {
    let settings = Settings { jwks_url: "http://auth/jwks.json".into(), ..settings() };
    let identity = Identity::new(&settings, no_fetch).unwrap();
    let at = |signer: &Signer| block_on(identity.authenticate_at(&bearer(&signer.sign(&claims())), NOW_S)).map(|_| ());
    assert_eq!(at(&Signer::new("key-2", [8; 32])), Err(IdentityError::Unavailable));
    assert_eq!(at(&signer()), Ok(()));
}

#[test]
fn keys_that_never_came_are_a_503_and_are_not_fetched_for_every_token() {
    let (identity, asked) = source(vec![Err("down".into()), Ok(b"<html>".to_vec()), Ok(signer().jwks().into_bytes())]);
    let token = signer().sign(&claims());
    for failures in 0..2 {
        let tried_at_s = NOW_S + failures * FETCH_PAUSE_S;
        for now_s in [tried_at_s, tried_at_s + 1, tried_at_s + FETCH_PAUSE_S - 1] {
            let error = block_on(identity.authenticate_at(&bearer(&token), now_s)).unwrap_err();
            assert_eq!(error, IdentityError::Unavailable);
            assert_eq!(Problem::from(error).status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(asked.load(Ordering::SeqCst), failures as usize + 1);
    }
    assert!(block_on(identity.authenticate_at(&bearer(&token), NOW_S + 2 * FETCH_PAUSE_S)).is_ok());
}

#[test]
fn answers_carry_the_challenge() {
    let response = Problem::from(IdentityError::Missing).into_response();
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let response = Problem::from(IdentityError::Invalid("the token has expired")).into_response();
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    assert_eq!(
        Problem::from(IdentityError::Forbidden(Role::Staff)).to_json(),
        json!({
            "type": "urn:bodega:problem:forbidden",
            "title": "The role does not allow this",
            "status": 403,
            "detail": "this takes the role Staff",
        })
    );
}

#[test]
fn the_internal_secret_is_asked_for_only_when_set() {
    let with = |secret: &str| HeaderMap::from_iter([(INTERNAL_SECRET_HEADER, secret.parse().unwrap())]);
    assert!(InternalSecret::new("").check(&HeaderMap::new()).is_ok());
    assert!(InternalSecret::new("hush").check(&with("hush")).is_ok());
    for headers in [HeaderMap::new(), with(""), with("hus"), with("hushh"), with("HUSH")] {
        assert!(InternalSecret::new("hush").check(&headers).is_err());
    }
}

proptest! {
    /// Flipping any one bit of a token makes it worthless.
    #[test]
    fn no_bit_may_change(position in any::<prop::sample::Index>(), bit in 0..7_u32) {
        let mut token = signer().sign(&claims()).into_bytes();
        let position = position.index(token.len());
        token[position] ^= 1 << bit;
        let token = String::from_utf8(token).unwrap();
        // Control characters cannot stand in a header at all.
        if let Ok(value) = format!("Bearer {token}").parse() {
            let identity = Identity::new(&settings(), no_fetch).unwrap();
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            prop_assert!(block_on(identity.authenticate_at(&headers, NOW_S)).is_err());
        }
    }
}
