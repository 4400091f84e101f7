//! What a shopper asks for at the checkout, checked.

use commerce::Money;
use commerce::email::Email;
use serde::Deserialize;
use service::Violation;

use crate::address::Address;

/// Where the body has tokens that the shop itself has made.
pub(crate) const TOKEN_PLACES: [&str; 2] = ["/cart/token", "/shipping_quote"];
/// Longest token of a cart, in bytes, which is as much as carts read.
const CART_TOKEN_BYTES_MAX: usize = 128;
/// Longest token of a payment provider, in bytes.
const TOKEN_BYTES_MAX: usize = 255;
/// Longest token of a shipping quote, in bytes.
const QUOTE_BYTES_MAX: usize = 4096;
/// Longest return URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 1000;

/// A checkout as the shopper sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckoutInput {
    cart: Option<CartInput>,
    email: Option<String>,
    shipping_address: Address,
    billing_address: Option<Address>,
    shipping_quote: String,
    payment_method: String,
    return_url: Option<String>,
    expected_total: Money,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CartInput {
    token: String,
}

/// A checkout that passed its checks.
#[derive(Debug)]
pub(crate) struct Wish {
    /// In lower case.
    pub(crate) email: Option<String>,
    pub(crate) shipping_address: Address,
    /// Where it differs.
    pub(crate) billing_address: Option<Address>,
    /// The token that shipping gave with the price.
    pub(crate) shipping_quote: String,
    /// The provider's token.
    pub(crate) payment_method: String,
    /// Where the shopper comes back to after an action elsewhere.
    pub(crate) return_url: Option<String>,
    /// What the shopper was shown, and agreed to.
    pub(crate) expected_total: Money,
    pub(crate) note: Option<String>,
}

impl CheckoutInput {
    /// The token of the cart, if it names one.
    pub(crate) fn cart_token(&self) -> Option<&str> {
        self.cart.as_ref().map(|cart| cart.token.as_str())
    }

    /// The wish of a guest or of an account's owner.
    pub(crate) fn check(self, is_guest: bool) -> Result<Wish, Vec<Violation>> {
        let mut wrong = Vec::new();
        let email = self.email.as_deref().map(Email::parse).transpose();
        match &email {
            Ok(None) if is_guest => wrong.push(Violation::new("email", "guests give an email address")),
            Ok(_) => {}
            Err(error) => wrong.push(Violation::new("email", error)),
        }
        wrong.extend(self.shipping_address.check().into_iter().map(|one| one.within("shipping_address")));
        let billing = self.billing_address.iter().flat_map(Address::check);
        wrong.extend(billing.map(|one| one.within("billing_address")));
        for (field, token, bytes_max) in [
            ("cart.token", self.cart_token(), CART_TOKEN_BYTES_MAX),
            ("shipping_quote", Some(self.shipping_quote.as_str()), QUOTE_BYTES_MAX),
            ("payment_method", Some(self.payment_method.as_str()), TOKEN_BYTES_MAX),
        ] {
            if token.is_some_and(|token| !is_token(token, bytes_max)) {
                wrong.push(Violation::new(field, format!("1 to {bytes_max} visible ASCII characters")));
            }
        }
        if self.return_url.as_deref().is_some_and(|url| !is_url(url)) {
            wrong.push(Violation::new("return_url", format!("an http or https URL of up to {URL_BYTES_MAX} bytes")));
        }
        if self.expected_total.minor() < 0 {
            wrong.push(Violation::new("expected_total", "not less than nothing"));
        }
        if self.note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
            wrong.push(Violation::new("note", format!("at most {NOTE_CHARS_MAX} characters")));
        }
        match (email, wrong.is_empty()) {
            (Ok(email), true) => Ok(Wish {
                email: email.map(|email| email.key()),
                shipping_address: self.shipping_address,
                billing_address: self.billing_address,
                shipping_quote: self.shipping_quote,
                payment_method: self.payment_method,
                return_url: self.return_url,
                expected_total: self.expected_total,
                note: self.note,
            }),
            _ => Err(wrong),
        }
    }
}

fn is_token(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_url(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://")) && is_token(url, URL_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn input(changes: serde_json::Value) -> CheckoutInput {
        let mut input = json!({
            "email": "Ann@Example.com", "shipping_quote": "quote", "payment_method": "tok_approve",
            "shipping_address": {"name": "Ann", "lines": ["1 Road"], "city": "Oslo", "country": "NO"},
            "expected_total": {"amount": 1000, "currency": "USD"},
        });
        input.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    #[test]
    fn every_rule_is_named() {
        let address = json!({"name": "", "lines": ["1 Road"], "city": "Oslo", "country": "NO"});
        let wrong = input(json!({
            "cart": {"token": ""}, "email": "ann", "shipping_address": address, "billing_address": address,
            "shipping_quote": "two words", "payment_method": "", "return_url": "javascript:alert(1)",
            "expected_total": {"amount": -1, "currency": "USD"}, "note": "n".repeat(NOTE_CHARS_MAX + 1),
        }));
        let wrong = serde_json::to_value(wrong.check(true).unwrap_err()).unwrap();
        let fields: Vec<_> = wrong.as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect();
        let expected = [
            "email",
            "shipping_address.name",
            "billing_address.name",
            "cart.token",
            "shipping_quote",
            "payment_method",
            "return_url",
            "expected_total",
            "note",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn guests_say_where_to_write_to() {
        assert!(input(json!({"email": null})).check(true).is_err());
        assert_eq!(input(json!({"email": null})).check(false).unwrap().email, None);
        assert_eq!(input(json!({})).check(true).unwrap().email.as_deref(), Some("ann@example.com"));
    }
}
