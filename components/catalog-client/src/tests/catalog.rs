//! Asking a catalog that stands in for the real one.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode, header};
use commerce::{Currency, Sku};
use futures::executor::block_on;
use serde_json::{Value, json};
use service::{Peer, Transport};

use super::{rules, variant};
use crate::{Catalog, QUERY_BYTES_MAX, SKUS_MAX};

/// Requests that were made, as path and query, and whether they named an entity tag.
type Asked = Arc<Mutex<Vec<(String, bool)>>>;

type Answered = Result<Response<Bytes>, String>;

fn catalog(answer: impl Fn(&Request<Bytes>) -> Answered + Send + Sync + 'static) -> (Catalog, Asked) {
    let asked = Asked::default();
    let note = asked.clone();
    let transport: Transport = Arc::new(move |request| {
        let path = request.uri().path_and_query().unwrap().to_string();
        note.lock().unwrap().push((path, request.headers().contains_key(header::IF_NONE_MATCH)));
        let answer = answer(&request);
        Box::pin(async move { answer })
    });
    let peer = Peer::new("catalog", "http://catalog.spin.internal/", "", transport);
    (Catalog::new(peer, Currency::EUR), asked)
}

fn json_answer(body: &Value) -> Answered {
    Ok(Response::new(body.to_string().into()))
}

/// Knows every SKU that it is asked for.
fn everything(request: &Request<Bytes>) -> Answered {
    if request.uri().path() == "/internal/pricing-rules" {
        return json_answer(&rules());
    }
    let skus = request.uri().query().unwrap_or_default().split('&').map(|pair| {
        let sku = percent_encoding::percent_decode_str(&pair["sku=".len()..]).decode_utf8().unwrap();
        variant(&sku, json!({}))
    });
    json_answer(&json!({"variants": skus.collect::<Vec<_>>()}))
}

fn skus(names: impl IntoIterator<Item = String>) -> Vec<Sku> {
    names.into_iter().map(|name| name.try_into().unwrap()).collect()
}

#[test]
fn many_skus_are_asked_for_in_parts() {
    let (catalog, asked) = catalog(everything);
    let wanted = skus((0..SKUS_MAX + 1).map(|n| format!("S-{n:03}")));
    let offer = block_on(catalog.offer(wanted.iter().chain(&wanted).cloned())).unwrap();
    assert!(wanted.iter().all(|sku| offer.variant(sku).is_some()));
    let asked = asked.lock().unwrap();
    let parts: Vec<usize> = asked.iter().map(|(path, _)| path.matches("sku=").count()).filter(|n| *n > 0).collect();
    assert_eq!(parts, [SKUS_MAX, 1]);
}

#[test]
fn skus_of_any_letters_and_length_are_asked_for() {
    let (catalog, asked) = catalog(everything);
    let awkward = "&=?#%/+\"<>".repeat(6);
    let wanted = skus((0..100).map(|n| format!("{awkward}{n:03}")));
    let found = block_on(catalog.variants(wanted.clone())).unwrap();
    assert_eq!(found.into_iter().map(|variant| variant.sku).collect::<Vec<_>>(), wanted);
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 1 && asked.iter().all(|(path, _)| path.len() < QUERY_BYTES_MAX + 100));
}

#[test]
fn an_empty_cart_asks_for_no_variant() {
    let (catalog, asked) = catalog(everything);
    block_on(catalog.offer([])).unwrap();
    assert_eq!(*asked.lock().unwrap(), [("/internal/pricing-rules".to_owned(), false)]);
}

#[test]
fn rules_that_have_not_changed_are_not_sent_again() {
    let version = Arc::new(Mutex::new(1));
    let served = version.clone();
    let (catalog, asked) = catalog(move |request| {
        let etag = format!("\"{}\"", served.lock().unwrap());
        let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag);
        let answer = Response::builder().header(header::ETAG, &etag);
        if known {
            return Ok(answer.status(StatusCode::NOT_MODIFIED).body(Bytes::new()).unwrap());
        }
        let mut rules = rules();
        rules["promotions"][0]["title"] = json!(etag);
        Ok(answer.body(rules.to_string().into()).unwrap())
    });
    let title = || block_on(catalog.rules()).unwrap().promotions[0].title.clone();
    assert_eq!([title(), title()], ["\"1\"", "\"1\""]);
    *version.lock().unwrap() = 2;
    assert_eq!([title(), title()], ["\"2\"", "\"2\""]);
    assert_eq!(asked.lock().unwrap().iter().map(|(_, known)| *known).collect::<Vec<_>>(), [false, true, true, true]);
}

#[test]
fn a_catalog_that_fails_is_named() {
    let failing: [fn(&Request<Bytes>) -> Answered; 4] = [
        |_| Err("connection refused".to_owned()),
        |_| Ok(Response::builder().status(500).body(Bytes::new()).unwrap()),
        |_| Ok(Response::new(Bytes::from_static(b"<html>"))),
        // Nobody asked with an entity tag.
        |_| Ok(Response::builder().status(304).body(Bytes::new()).unwrap()),
    ];
    for answer in failing {
        let (catalog, _) = catalog(answer);
        let error = block_on(catalog.offer(skus(["A".to_owned()]))).unwrap_err();
        assert_eq!(error.peer, "catalog");
    }
}
