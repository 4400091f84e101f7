//! Card numbers have no business here: inputs that hold one are refused before anything is logged or stored.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use commerce::{Id, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, request};

/// The first four digits of card numbers, and how many digits such a number has (ISO/IEC 7812-1 and what its issuers
/// publish). Others of that length, such as most article numbers, are none.
const ISSUERS: [(RangeInclusive<u32>, RangeInclusive<usize>); 12] = [
    (2200..=2204, 16..=19),
    (2221..=2720, 16..=16),
    (3000..=3059, 14..=19),
    (3095..=3095, 14..=19),
    (3400..=3499, 15..=15),
    (3528..=3589, 16..=19),
    (3600..=3699, 14..=19),
    (3700..=3799, 15..=15),
    (3800..=3999, 14..=19),
    (4000..=6999, 13..=19),
    (8100..=8299, 16..=19),
    (9792..=9792, 16..=16),
];
/// Shortest token that the shop makes, in bytes; no card number is as long, however it is written.
const TOKEN_BYTES_MIN: usize = 40;

/// The JSON of a body as its type, unless it holds what may be a card number, wherever it stands.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    parse_with_tokens(body, &[])
}

/// The same, where one member of the items of a list (such as `lines` and `sku`) means something to the shop alone, whatever
/// digits it has.
pub fn parse_with_names<T: DeserializeOwned>(body: &[u8], list: &str, name: &str) -> Result<T, Error> {
    parse_but(body, |value| {
        let items = value.get_mut(list).and_then(Value::as_array_mut);
        for text in items.into_iter().flatten().filter_map(|item| item.get_mut(name)).filter(|name| name.is_string()) {
            text.take();
        }
    })
}

/// The same, where these places (RFC 6901) have tokens that the shop itself has made, whose digits mean nothing.
pub fn parse_with_tokens<T: DeserializeOwned>(body: &[u8], tokens: &[&str]) -> Result<T, Error> {
    parse_but(body, |value| {
        for token in tokens {
            if let Some(text) = value.pointer_mut(token).filter(|text| is_token(text)) {
                text.take();
            }
        }
    })
}

/// The same, but for what `take_out` takes out before it is looked at.
fn parse_but<T: DeserializeOwned>(body: &[u8], take_out: impl FnOnce(&mut Value)) -> Result<T, Error> {
    // The reason of the failure would quote what stands there.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return match holds_card_number(&String::from_utf8_lossy(body)) {
            true => Err(refused().into()),
            false => request::parse(body),
        };
    };
    let mut looked_at = value.clone();
    take_out(&mut looked_at);
    match any_card_number(&looked_at) {
        true => Err(refused().into()),
        false => request::parse_value(value),
    }
}

fn refused() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "card-number", "Card numbers are not accepted")
        .detail("card numbers are not accepted; send a token of the payment provider")
}

fn is_token(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() >= TOKEN_BYTES_MIN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn any_card_number(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => holds_card_number(&number.to_string()),
        // The digits of an id can look like anything.
        Value::String(text) => text.parse::<Id>().is_err() && holds_card_number(text),
        Value::Array(items) => items.iter().any(any_card_number),
        Value::Object(members) => members.iter().any(|(name, value)| holds_card_number(name) || any_card_number(value)),
    }
}

/// Whether a run of digits, with or without spaces and hyphens, is what an issuer makes card numbers of.
fn holds_card_number(text: &str) -> bool {
    let is_separator = |c: char| c == ' ' || c == '-';
    text.split(|c: char| !c.is_ascii_digit() && !is_separator(c)).any(|run| {
        let digits: Vec<u32> = run.chars().filter_map(|c| c.to_digit(10)).collect();
        is_issued(&digits) && passes_luhn(&digits)
    })
}

fn is_issued(digits: &[u32]) -> bool {
    let first = digits.iter().take(4).fold(0, |first, digit| first * 10 + digit);
    ISSUERS.iter().any(|(issuer, lengths)| issuer.contains(&first) && lengths.contains(&digits.len()))
}

/// The check of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u32]) -> bool {
    let weighted = digits.iter().rev().enumerate().map(|(place, digit)| match (place % 2, digit * 2) {
        (0, _) => *digit,
        (_, doubled) => doubled / 10 + doubled % 10,
    });
    weighted.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn card_numbers_are_found_wherever_they_stand() {
        for found in [
            json!("4242424242424242"),
            json!("4242 4242 4242 4242"),
            json!("card 3782-822463-10005, please"),
            json!(4_242_424_242_424_242_u64),
            json!({"a": [{"b": "6011111111111117"}]}),
            json!({"5555555555554444": 1}),
            json!("2223003122003222"),
            json!("30569309025904"),
            json!("3530111333300000"),
            json!("6200000000000005"),
        ] {
            assert!(any_card_number(&found), "{found}");
        }
    }

    #[test]
    fn other_texts_pass() {
        for passed in [
            json!("tok_approve"),
            json!("pm_1MqLiJLkdIwHu7ixUEgbFdYF"),
            json!("4242424242424241"),
            json!("42424242424242424242"),
            json!(1_000_000_000_000_i64),
            // Article numbers whose digits pass the check as well.
            json!("9780201370010"),
            json!("3017620420092"),
            // Digits only, and the first 19 of them are a good number.
            json!("01890000-0000-7000-8000-000000000001"),
        ] {
            assert!(!any_card_number(&passed), "{passed}");
        }
    }

    #[test]
    fn the_digits_of_a_token_mean_nothing() {
        let token = format!("4242424242424242{}", "a".repeat(TOKEN_BYTES_MIN));
        let read = |token: &str| {
            let body = json!({"cart": {"token": token}}).to_string();
            parse_with_tokens::<Value>(body.as_bytes(), &["/cart/token", "/quote"])
        };
        assert_eq!(read(&token).unwrap()["cart"]["token"], token);
        for card in ["4242424242424242", "4242 4242 4242 4242                      "] {
            assert!(read(card).is_err(), "{card}");
        }
        assert!(parse::<Value>(json!({"token": token}).to_string().as_bytes()).is_err());
    }

    #[test]
    fn what_is_called_by_its_digits_passes() {
        let read = |body: Value| parse_with_names::<Value>(body.to_string().as_bytes(), "lines", "sku");
        for passed in [json!({"lines": [{"sku": "4006381330060"}, {"sku": "4242424242424242"}]}), json!({"lines": 1})] {
            assert_eq!(read(passed.clone()).unwrap(), passed);
        }
        for refused in [
            json!({"lines": [{"sku": "MUG", "note": "4242424242424242"}]}),
            json!({"lines": [{"sku": ["4242424242424242"]}]}),
            json!({"sku": "4242424242424242"}),
        ] {
            assert!(read(refused.clone()).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_not_quoted() {
        let refused = parse::<Value>(b"card=4242424242424242").unwrap_err().into_problem().to_json();
        assert_eq!(refused["type"], "urn:bodega:problem:card-number");
        let refused = parse::<Value>(b"card=none").unwrap_err().into_problem().to_json();
        assert_eq!(refused["type"], "urn:bodega:problem:malformed-json");
    }
}
