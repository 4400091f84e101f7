//! What orders ask for, checked.

use commerce::{Id, Money};
use serde::Deserialize;
use service::Violation;

/// Where the body has what the shop itself made of a token, whose digits mean nothing.
pub(crate) const TOKEN_PLACES: [&str; 1] = ["/order_token_digest"];
/// Longest token, customer or reason, in bytes.
const TEXT_BYTES_MAX: usize = 255;
/// Length of the digest of an order's token, in characters.
const DIGEST_CHARS: usize = 64;
/// Longest return URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// An order's wish to be paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChargeInput {
    pub(crate) order_id: Id,
    pub(crate) amount: Money,
    pub(crate) payment_method: String,
    pub(crate) customer: Option<String>,
    /// Of the token of a guest's order.
    pub(crate) order_token_digest: Option<String>,
    pub(crate) return_url: Option<String>,
}

/// An order's wish to give money back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundInput {
    pub(crate) refund_id: Id,
    pub(crate) amount: Money,
    pub(crate) reason: String,
}

/// A charge wish that passed its checks.
pub(crate) struct Charge(pub(crate) ChargeInput);

/// A refund wish that passed its checks.
pub(crate) struct Repayment(pub(crate) RefundInput);

impl TryFrom<ChargeInput> for Charge {
    type Error = Vec<Violation>;

    fn try_from(input: ChargeInput) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        check_amount(input.amount, &mut wrong);
        check_token("payment_method", Some(&input.payment_method), &mut wrong);
        check_token("customer", input.customer.as_deref(), &mut wrong);
        if input.order_token_digest.as_deref().is_some_and(|digest| !is_digest(digest)) {
            wrong.push(Violation::new("order_token_digest", format!("{DIGEST_CHARS} lower case hexadecimal digits")));
        }
        if let Some(url) = &input.return_url {
            let is_http = url.starts_with("https://") || url.starts_with("http://");
            let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_http || !is_plain || url.len() > URL_BYTES_MAX {
                wrong
                    .push(Violation::new("return_url", format!("an http or https URL of up to {URL_BYTES_MAX} bytes")));
            }
        }
        if wrong.is_empty() { Ok(Self(input)) } else { Err(wrong) }
    }
}

impl TryFrom<RefundInput> for Repayment {
    type Error = Vec<Violation>;

    fn try_from(input: RefundInput) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        check_amount(input.amount, &mut wrong);
        if input.reason.trim().is_empty() || input.reason.len() > TEXT_BYTES_MAX {
            wrong.push(Violation::new("reason", format!("1 to {TEXT_BYTES_MAX} bytes")));
        }
        if wrong.is_empty() { Ok(Self(input)) } else { Err(wrong) }
    }
}

fn check_amount(amount: Money, wrong: &mut Vec<Violation>) {
    if amount.minor() <= 0 {
        wrong.push(Violation::new("amount", "more than nothing"));
    }
}

fn check_token(field: &str, text: Option<&str>, wrong: &mut Vec<Violation>) {
    let Some(text) = text else { return };
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        wrong.push(Violation::new(field, format!("1 to {TEXT_BYTES_MAX} visible ASCII characters")));
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_rule_is_named() {
        let input = json!({
            "order_id": Id::new(), "amount": {"amount": 0, "currency": "USD"}, "payment_method": "",
            "customer": "two words", "return_url": "javascript:alert(1)", "order_token_digest": "A".repeat(64),
        });
        let wrong = Charge::try_from(serde_json::from_value::<ChargeInput>(input).unwrap()).err().unwrap();
        let wrong = serde_json::to_value(wrong).unwrap();
        let fields: Vec<_> = wrong.as_array().unwrap().iter().map(|violation| &violation["field"]).collect();
        assert_eq!(fields, ["amount", "payment_method", "customer", "order_token_digest", "return_url"]);
        let input = json!({"refund_id": Id::new(), "amount": {"amount": -1, "currency": "USD"}, "reason": " "});
        let wrong = Repayment::try_from(serde_json::from_value::<RefundInput>(input).unwrap()).err().unwrap();
        assert_eq!(wrong.len(), 2);
    }
}
