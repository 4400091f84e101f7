//! Money as an integer of minor units with its ISO 4217 currency, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use iso_currency::Currency;

/// Largest amount that is accepted, in minor units: ten billion of a two-decimal currency.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// An amount of one currency.
///
/// As JSON it is `{"amount": 1999, "currency": "USD"}`, with `amount` in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

/// Why a text or a number is not an amount of money.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number.
    #[error("{0:?} is not a decimal amount such as 19.99")]
    NotDecimal(String),
    /// More decimals than the currency has.
    #[error("{text:?} has more decimals than {currency} allows ({decimals})")]
    TooPrecise {
        /// The text as given.
        text: String,
        /// The ISO 4217 code.
        currency: &'static str,
        /// How many decimals the currency has.
        decimals: u32,
    },
    /// Beyond [`AMOUNT_MAX`] in either direction.
    #[error("the amount is beyond {AMOUNT_MAX} minor units")]
    OutOfRange,
    /// The code is not in ISO 4217.
    #[error(transparent)]
    Currency(#[from] CurrencyError),
    /// Two amounts of different currencies were combined.
    #[error("{0} and {1} cannot be combined")]
    Mixed(&'static str, &'static str),
}

/// The code is not in ISO 4217.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ISO 4217 currency code such as USD")]
pub struct CurrencyError(String);

/// Reads an ISO 4217 code, in upper case as the standard writes it.
pub fn parse_currency(code: &str) -> Result<Currency, CurrencyError> {
    Currency::from_code(code).ok_or_else(|| CurrencyError(code.to_owned()))
}

impl Money {
    /// An amount in minor units.
    pub fn from_minor(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        if amount.abs() > AMOUNT_MAX {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self { amount, currency })
    }

    /// Reads a plain decimal of major units, such as `19.99`, exactly.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let not_decimal = || MoneyError::NotDecimal(text.to_owned());
        let unsigned = text.trim().trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(not_decimal());
        }
        let decimals = decimals(currency);
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > decimals as usize {
            return Err(MoneyError::TooPrecise { text: text.to_owned(), currency: currency.code(), decimals });
        }
        let padded = format!("{whole}{fraction:0<width$}", width = decimals as usize);
        let amount: i64 = padded.parse().map_err(|_| MoneyError::OutOfRange)?;
        let sign = match text.trim().bytes().filter(|byte| *byte == b'-').count() {
            0 => 1,
            1 => -1,
            _ => return Err(not_decimal()),
        };
        Self::from_minor(sign * amount, currency)
    }

    /// The amount in minor units.
    pub fn minor(self) -> i64 {
        self.amount
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum, if the currencies agree and it stays in range.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency.code(), other.currency.code()));
        }
        // Two amounts within the bound cannot overflow an i64.
        Self::from_minor(self.amount + other.amount, self.currency)
    }

    /// The amount times a count, if it stays in range.
    pub fn checked_mul(self, count: u32) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_mul(i64::from(count)).ok_or(MoneyError::OutOfRange)?;
        Self::from_minor(amount, self.currency)
    }
}

/// Writes major units with the currency's decimals, the way [`Money::from_decimal`] reads them.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = decimals(self.currency);
        let scale = 10_i64.pow(decimals);
        let sign = if self.amount < 0 { "-" } else { "" };
        let (whole, fraction) = (self.amount.abs() / scale, self.amount.abs() % scale);
        match decimals {
            0 => write!(f, "{sign}{whole}"),
            _ => write!(f, "{sign}{whole}.{fraction:0width$}", width = decimals as usize),
        }
    }
}

/// How many decimals a currency has; those without a minor unit (metals, test codes) count as whole.
fn decimals(currency: Currency) -> u32 {
    currency.exponent().map_or(0, u32::from)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    amount: i64,
    currency: String,
}

impl TryFrom<Wire> for Money {
    type Error = MoneyError;

    fn try_from(wire: Wire) -> Result<Self, MoneyError> {
        Self::from_minor(wire.amount, parse_currency(&wire.currency)?)
    }
}

impl From<Money> for Wire {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency: money.currency.code().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_follow_the_currency() {
        let cases = [("19.99", Currency::USD, 1999), ("5", Currency::USD, 500), ("500", Currency::JPY, 500)];
        for (text, currency, minor) in cases {
            assert_eq!(Money::from_decimal(text, currency).unwrap().minor(), minor);
        }
        assert_eq!(Money::from_decimal("1.234", Currency::KWD).unwrap().minor(), 1234);
        assert_eq!(
            Money::from_decimal("1.50", Currency::JPY),
            Err(MoneyError::TooPrecise { text: "1.50".into(), currency: "JPY", decimals: 0 })
        );
        assert_eq!(Money::from_decimal("10.500", Currency::USD).unwrap().minor(), 1050);
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", "1,5", "1e3", "--1", "1-", ".5", "NaN", "1.2.3", "0x1", "99999999999999999999"] {
            assert!(Money::from_decimal(text, Currency::USD).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_currencies_and_huge_amounts_do_not_parse() {
        for json in [
            r#"{"amount": 1, "currency": "usd"}"#,
            r#"{"amount": 1, "currency": "ZZZ"}"#,
            r#"{"amount": 1.5, "currency": "USD"}"#,
            r#"{"amount": 1000000000001, "currency": "USD"}"#,
            r#"{"amount": -9223372036854775807, "currency": "USD"}"#,
        ] {
            assert!(serde_json::from_str::<Money>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(amount in -AMOUNT_MAX..=AMOUNT_MAX, code in prop::sample::select(vec!["USD", "JPY", "KWD"])) {
            let money = Money::from_minor(amount, parse_currency(code).unwrap()).unwrap();
            prop_assert_eq!(Money::from_decimal(&money.to_string(), money.currency()).unwrap(), money);
        }
    }
}
