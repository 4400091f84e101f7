//! Holds values against the part of JSON Schema (draft 2020-12) that our OpenAPI documents use.

use std::fmt;

use serde_json::Value;

/// Keywords that only explain. Any other that is not checked is an error, so that no promise goes unchecked.
const ANNOTATIONS: [&str; 7] =
    ["description", "default", "title", "examples", "deprecated", "writeOnly", "contentMediaType"];

/// Where a value breaks its schema, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    at: String,
    reason: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.at.is_empty() { "the whole" } else { &self.at }, self.reason)
    }
}

/// Follows `$ref` of a part of `document`, as far as there is one.
pub(super) fn resolve<'a>(document: &'a Value, part: &'a Value) -> Result<&'a Value, Mismatch> {
    let Some(reference) = part["$ref"].as_str() else { return Ok(part) };
    let target = document.pointer(reference.trim_start_matches('#'));
    target.ok_or_else(|| Mismatch { at: String::new(), reason: format!("{reference} leads nowhere") })
}

/// Holds `value` against `schema`, whose references point into `document`; `at` is where the value stands.
pub(super) fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), Mismatch> {
    let wrong = |reason: String| Err(Mismatch { at: at.to_owned(), reason });
    let Some(keywords) = schema.as_object() else {
        return if schema == &Value::Bool(true) { Ok(()) } else { wrong("there is no schema for it".to_owned()) };
    };
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "$ref" => {
                check(document, resolve(document, schema)?, value, at)?;
                true
            }
            "type" => names(rule).any(|name| is_of(value, name)),
            "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
            "const" => rule == value,
            "minimum" => value.as_f64() >= rule.as_f64() || !value.is_number(),
            "maximum" => value.as_f64() <= rule.as_f64() || !value.is_number(),
            "minLength" => value.as_str().is_none_or(|text| Some(text.chars().count() as u64) >= rule.as_u64()),
            "maxLength" => value.as_str().is_none_or(|text| Some(text.chars().count() as u64) <= rule.as_u64()),
            "minItems" => value.as_array().is_none_or(|items| Some(items.len() as u64) >= rule.as_u64()),
            "maxItems" => value.as_array().is_none_or(|items| Some(items.len() as u64) <= rule.as_u64()),
            "format" => value.as_str().is_none_or(|text| has_format(text, rule.as_str().unwrap_or_default())),
            "oneOf" => alternatives(document, rule, value, at) == 1,
            "anyOf" => alternatives(document, rule, value, at) > 0,
            "allOf" => rule.as_array().is_some_and(|all| alternatives(document, rule, value, at) == all.len()),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "required" => match names(rule).find(|name| value.is_object() && value.get(name).is_none()) {
                Some(missing) => return wrong(format!("{missing} is missing")),
                None => true,
            },
            "properties" | "additionalProperties" => {
                check_members(document, schema, value, at)?;
                true
            }
            known if ANNOTATIONS.contains(&known) => true,
            unknown => return wrong(format!("the checker does not know the keyword {unknown}")),
        };
        if !holds {
            return wrong(format!("{value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

fn check_members(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), Mismatch> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(property), _) => check(document, property, member, &at)?,
            (None, Value::Bool(false)) => return Err(Mismatch { at, reason: "it is not described".to_owned() }),
            (None, Value::Null) => {}
            (None, others) => check(document, others, member, &at)?,
        }
    }
    Ok(())
}

fn alternatives(document: &Value, schemas: &Value, value: &Value, at: &str) -> usize {
    let schemas = schemas.as_array().into_iter().flatten();
    schemas.filter(|schema| check(document, schema, value, at).is_ok()).count()
}

/// One text, or a list of them.
fn names(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().filter_map(Value::as_str)
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn has_format(text: &str, format: &str) -> bool {
    match format {
        "uuid" => text.parse::<commerce::Id>().is_ok(),
        "date-time" => commerce::parse_rfc3339(text).is_some(),
        "date" => commerce::parse_rfc3339(&format!("{text}T00:00:00Z")).is_some(),
        "uri" => text.parse::<axum::http::Uri>().is_ok_and(|uri| uri.scheme().is_some()),
        "email" => text.contains('@'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mismatch(schema: Value, value: Value) -> Option<String> {
        let document = json!({"components": {"schemas": {
            "A": {"type": "object", "required": ["n"], "additionalProperties": false, "properties": {
                "n": {"type": ["integer", "null"], "minimum": 1},
                "s": {"type": "array", "items": {"type": "string", "enum": ["x"]}, "maxItems": 2},
            }},
        }}});
        check(&document, &schema, &value, "").err().map(|mismatch| mismatch.to_string())
    }

    #[test]
    fn what_fits_passes() {
        let schema = json!({"$ref": "#/components/schemas/A", "description": "an A"});
        for good in [json!({"n": null, "s": ["x"]}), json!({"n": 1}), json!({"n": 2, "s": []})] {
            assert_eq!(mismatch(schema.clone(), good), None);
        }
        assert_eq!(mismatch(json!({"oneOf": [{"type": "string"}, {"type": "null"}]}), json!("a")), None);
        assert_eq!(mismatch(json!({"additionalProperties": {"type": "string"}}), json!({"a": "b"})), None);
        for (format, text) in [("date", "2026-02-28"), ("date-time", "2026-02-28T10:00:00.000Z")] {
            assert_eq!(mismatch(json!({"format": format}), json!(text)), None);
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = json!({"$ref": "#/components/schemas/A"});
        for (bad, said) in [
            (json!({}), "the whole: n is missing"),
            (json!([]), "the whole: [] breaks type \"object\""),
            (json!({"n": "1"}), ".n: \"1\" breaks type [\"integer\",\"null\"]"),
            (json!({"n": 0}), ".n: 0 breaks minimum 1"),
            (json!({"n": 1, "m": 1}), ".m: it is not described"),
            (json!({"n": 1, "s": ["x", "y"]}), ".s[1]: \"y\" breaks enum [\"x\"]"),
            (json!({"n": 1, "s": ["x", "x", "x"]}), ".s: [\"x\",\"x\",\"x\"] breaks maxItems 2"),
        ] {
            assert_eq!(mismatch(schema.clone(), bad).as_deref(), Some(said));
        }
        for (schema, bad) in [
            (json!({"$ref": "#/nowhere"}), json!(1)),
            (json!({"multipleOf": 3}), json!(3)),
            (json!({"format": "date"}), json!("2026-13-01")),
            (json!({"format": "uuid"}), json!("7")),
            (json!({"oneOf": [{"type": "string"}, {"const": "a"}]}), json!("a")),
            (json!({"anyOf": [{"type": "string"}]}), json!(1)),
            (json!({"additionalProperties": {"type": "string"}}), json!({"a": 1})),
            (Value::Null, json!(1)),
        ] {
            assert!(mismatch(schema.clone(), bad).is_some(), "{schema}");
        }
    }
}
