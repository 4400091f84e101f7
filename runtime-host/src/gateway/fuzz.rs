//! Requests of any headers: who sent them, who asks, and how they are changed.
//!
//! An input is a list of changes (`remove a`, `rename a b`, `set a: b`, `add a: b`), an empty line, and header lines.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, Uri};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use super::client::{ForwardedHeader, Proxies};
use super::header_edits::{HeaderEdits, ROLES, USER};
use super::tokens::{TokenSettings, Tokens};
use super::*;
use crate::fuzz::fuzz;

/// Stands in the corpus for the one token that counts.
const TOKEN: &str = "{token}";
const WORDS: [&str; 28] = [
    "forwarded: ",
    "x-forwarded-for: ",
    "x-forwarded-proto: ",
    "x-forwarded-host: ",
    "host: shop\n",
    "authorization: Bearer ",
    "x-user-id: admin\n",
    "for=",
    "for=\"[::1]:80\"",
    "proto=https",
    "host=\"a,b\"",
    ";",
    ",",
    "\"",
    "\\\"",
    "10.0.0.1",
    "192.0.2.1",
    "[2001:db8::1]",
    "::ffff:10.0.0.1",
    "unknown",
    "_hidden",
    "remove a\n",
    "rename a b\n",
    "set a: b\n",
    "add a: c\n",
    ".",
    "=",
    "a: b\n",
];
/// Whom the last proxy has seen.
const SEEN: &str = "203.0.113.77";

struct NoKeys;

impl KeySource for NoKeys {
    fn fetch(self: Arc<Self>, _: Uri) -> BoxFuture<'static, Result<Bytes, String>> {
        async { Err("there are none".to_owned()) }.boxed()
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A token that counts until the year 2100.
fn token() -> String {
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": "shop", "aud": "shop", "sub": "ann", "exp": 4_102_444_800_u64, "roles": ["staff"] });
    let signed = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": "one" })), part(claims));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(key().sign(signed.as_bytes()).to_bytes()))
}

fn tokens() -> Arc<Tokens> {
    let x = BASE64_URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes());
    let jwks =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "one", "x": x }] }).to_string();
    let (issuer, audience) = ("shop".to_owned(), "shop".to_owned());
    Arc::new(Tokens::new(TokenSettings { issuer, audience, jwks, jwks_url: None, claims: BTreeMap::new() }))
}

#[test]
fn any_headers_say_no_more_than_is_true() {
    let (token, tokens) = (token(), tokens());
    let keys: Arc<dyn KeySource> = Arc::new(NoKeys);
    fuzz(
        "headers",
        &WORDS,
        |text| text.replace(TOKEN, &token),
        |text| {
            let (edits, headers) = text.split_once("\n\n").unwrap_or(("", text));
            let headers = read_headers(headers);
            check_client(&headers)?;
            check_edits(&read_edits(edits), &headers)?;
            // The keys are known from the start, so nothing waits.
            let principal = tokens.authenticate(&headers, &keys).now_or_never();
            if let Some(Ok(principal)) = principal {
                let said = headers[AUTHORIZATION].to_str().unwrap_or_default();
                prop_assert_eq!(principal.subject(), "ann");
                prop_assert_eq!(said.get(7..).map(str::trim), Some(&*token), "a token that nobody has signed");
            }
            Ok(())
        },
    );
}

fn read_headers(text: &str) -> HeaderMap {
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().filter_map(header) {
        headers.append(name, value);
    }
    headers
}

fn read_edits(text: &str) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    let name = |text: &str| text.parse::<HeaderName>().ok().filter(|name| header_edits::check_name(name).is_ok());
    let pair = |text: &str| {
        let (header, value) = text.split_once(": ")?;
        Some((name(header)?, HeaderValue::from_str(value).ok()?))
    };
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("remove", rest)) => edits.remove.extend(name(rest)),
            Some(("rename", rest)) => {
                edits.rename.extend(rest.split_once(' ').and_then(|(from, to)| Some((name(from)?, name(to)?))))
            }
            Some(("set", rest)) => edits.set.extend(pair(rest)),
            Some(("add", rest)) => edits.add.extend(pair(rest)),
            _ => {}
        }
    }
    edits
}

/// The same on a list.
fn naive(edits: &HeaderEdits, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut list: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    list.retain(|(name, _)| !edits.remove.contains(name));
    for (from, to) in &edits.rename {
        if list.iter().any(|(name, _)| name == from) {
            let (renamed, mut others): (Vec<_>, Vec<_>) = list.into_iter().partition(|(name, _)| name == from);
            others.retain(|(name, _)| name != to);
            others.extend(renamed.into_iter().map(|(_, value)| (to.clone(), value)));
            list = others;
        }
    }
    for (name, value) in &edits.set {
        list.retain(|(found, _)| found != name);
        list.push((name.clone(), value.clone()));
    }
    list.extend(edits.add.iter().cloned());
    list
}

fn check_edits(edits: &HeaderEdits, headers: &HeaderMap) -> Result<(), TestCaseError> {
    let mut edited = headers.clone();
    header_edits::strip_identity(&mut edited);
    prop_assert!(!edited.contains_key(USER) && !edited.contains_key(ROLES), "identity from outside");
    let expected: HeaderMap = naive(edits, &edited).into_iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    });
    edits.apply(&mut edited);
    prop_assert_eq!(edited, expected);
    Ok(())
}

fn check_client(headers: &HeaderMap) -> Result<(), TestCaseError> {
    let trusted = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec();
    let peer = |text: &str| {
        let text_value = HeaderValue::from_str(text).unwrap();
        Client { address: text.parse().unwrap(), text: text_value, scheme: Scheme::HTTP, certificate: None }
    };
    let authority = Authority::from_static("shop");
    for header in [ForwardedHeader::XForwarded, ForwardedHeader::Forwarded] {
        let proxies = Proxies { trusted: trusted.clone(), header };
        let stranger = peer("192.0.2.1:99");
        let mut told = headers.clone();
        let client = proxies.resolve(stranger.clone(), Some(&authority), &mut told);
        prop_assert_eq!(&client, &stranger, "a stranger is believed");
        prop_assert_eq!(&told["x-forwarded-for"], "192.0.2.1");
        prop_assert!(told.get("forwarded").is_none() && told.get_all("x-forwarded-for").iter().count() == 1);
        let host = headers.get("host").cloned().unwrap_or(HeaderValue::from_static("shop"));
        prop_assert_eq!(&told["x-forwarded-host"], &host);

        // The last proxy goes on in the line that has come, as most do, or in one of its own.
        let (name, word) = match header {
            ForwardedHeader::XForwarded => ("x-forwarded-for", SEEN.to_owned()),
            ForwardedHeader::Forwarded => ("forwarded", format!("for={SEEN};proto=https;host=\"a,b;c\"")),
        };
        for in_one_line in [true, false] {
            let mut said = headers.clone();
            let mut values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
            let before = values.pop_if(|_| in_one_line).map_or(Vec::new(), |value| [value.as_bytes(), b", "].concat());
            values.push(HeaderValue::from_bytes(&[&before, word.as_bytes()].concat()).unwrap());
            said.remove(name);
            for value in values {
                said.append(name, value);
            }
            let client = proxies.resolve(peer("10.0.0.1:99"), Some(&authority), &mut said);
            prop_assert_eq!(client.address.ip().to_string(), SEEN, "what the client wrote itself is believed");
        }
    }
    Ok(())
}
