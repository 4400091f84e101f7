//! The OpenAPI document against the running service: every operation is there, and answers with what it says.

use std::collections::BTreeSet;

use axum::http::{Method, header};
use serde_json::{Value, json};

use super::shop::{Shop, price};

/// One request per operation, in an order in which each finds what it needs.
fn examples() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let product =
        json!({"title": "Pan", "categories": ["home"], "variants": [{"sku": "p", "price": price(1), "stock": 9}]});
    let lines = json!([{"sku": "p", "quantity": 1}]);
    vec![
        ("post", "/api/categories", "/api/categories", json!({"name": "Home"})),
        ("get", "/api/categories", "/api/categories", Value::Null),
        ("get", "/api/categories/{slug}", "/api/categories/home", Value::Null),
        ("put", "/api/categories/{slug}", "/api/categories/home", json!({"name": "House"})),
        ("post", "/api/products", "/api/products", product.clone()),
        ("get", "/api/products", "/api/products?facets=true&q=pan", Value::Null),
        ("get", "/api/products/{key}", "/api/products/pan", Value::Null),
        ("put", "/api/products/{key}", "/api/products/pan", product),
        ("patch", "/api/products/{key}", "/api/products/pan", json!({"brand": "Holm"})),
        (
            "post",
            "/api/products/{key}/variants/{sku}/stock",
            "/api/products/pan/variants/p/stock",
            json!({"delta": 1, "reason": "found"}),
        ),
        ("get", "/internal/variants", "/internal/variants?sku=p", Value::Null),
        ("post", "/internal/reservations", "/internal/reservations", json!({"order_id": "o-1", "lines": lines})),
        ("post", "/internal/reservations", "/internal/reservations", json!({"order_id": "o-2", "lines": lines})),
        ("get", "/internal/reservations/{order_id}", "/internal/reservations/o-1", Value::Null),
        ("post", "/internal/reservations/{order_id}/commit", "/internal/reservations/o-1/commit", Value::Null),
        ("post", "/internal/reservations/{order_id}/release", "/internal/reservations/o-2/release", Value::Null),
        ("post", "/internal/reservations/sweep", "/internal/reservations/sweep", Value::Null),
        ("post", "/api/catalog/import", "/api/catalog/import", json!([{"title": "Pot", "sku": "q", "price": 1}, {}])),
        ("get", "/api/catalog/export", "/api/catalog/export?format=csv", Value::Null),
        ("get", "/api/catalog/openapi.json", "/api/catalog/openapi.json", Value::Null),
        ("delete", "/api/products/{key}", "/api/products/pan", Value::Null),
    ]
}

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::open();
    let document = shop.get("/api/catalog/openapi.json").json();
    let mut asked = BTreeSet::new();
    for (method, template, path, body) in examples() {
        let operation = &document["paths"][template][method];
        assert!(operation.is_object(), "{method} {template} is not described");
        asked.insert(format!("{method} {template}"));
        let ask = || shop.request(method.to_uppercase().parse::<Method>().unwrap(), path);

        let answer = ask().staff().header("if-match", "*").json(body.clone());
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        check_answer(&document, operation, &answer, &format!("{method} {path}"));
        if operation["security"][0]["staff"].is_array() {
            let refused = ask().json(body);
            assert_eq!(refused.status, 401, "{method} {path}");
            check_answer(&document, operation, &refused, &format!("{method} {path} without a token"));
        }
    }
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        described.extend(operations.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    assert_eq!(described, asked);
}

/// The router's own table holds nothing that the document does not.
#[test]
fn every_route_is_described() {
    let document: Value = serde_json::from_str(crate::routes::OPENAPI).unwrap();
    let table = include_str!("../routes.rs");
    let paths: BTreeSet<&str> = table.split(".route(").skip(1).filter_map(|route| route.split('"').nth(1)).collect();
    let described: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, described);
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let document = json!({"components": {"schemas": {"A": {"type": "object", "required": ["n"], "additionalProperties": false, "properties": {
        "n": {"type": ["integer", "null"]}, "s": {"type": "array", "items": {"type": "string", "enum": ["x"]}},
    }}}}});
    let schema = json!({"$ref": "#/components/schemas/A"});
    let wrong = |value: Value| check(&document, &schema, &value, "").err();
    assert_eq!(wrong(json!({"n": null, "s": ["x"]})), None);
    for bad in [json!({}), json!({"n": "1"}), json!({"n": 1, "m": 1}), json!({"n": 1, "s": ["y"]}), json!([])] {
        assert!(wrong(bad.clone()).is_some(), "{bad}");
    }
}

fn check_answer(document: &Value, operation: &Value, answer: &super::shop::Answer, what: &str) {
    let response = &operation["responses"][answer.status.as_str()];
    let response = match response["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    };
    assert!(response.is_object(), "{what}: {} is not described: {}", answer.status, answer.text());
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(answer.headers.contains_key(name.as_str()), "{what}: no {name}");
    }
    let media_type = answer.header(header::CONTENT_TYPE);
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{what}: {media_type} is not described");
    if media_type.ends_with("json") {
        let wrong = check(document, schema, &answer.json(), "");
        assert_eq!(wrong, Ok(()), "{what}: {}", answer.text());
    }
}

/// Holds a value against the part of JSON Schema that the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return check(document, target.ok_or_else(|| format!("{reference} leads nowhere"))?, value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    if !types.iter().any(|name| is(name)) {
        return Err(format!("{at}: {value} is not {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{at}: {value} is not one of {}", schema["enum"]));
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, &format!("{at}[]"))?;
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => return Err(format!("{at} is not described")),
            (Value::Null, other) if other.is_object() => check(document, other, member, &at)?,
            (Value::Null, _) => {}
            (property, _) => check(document, property, member, &at)?,
        }
    }
    Ok(())
}
