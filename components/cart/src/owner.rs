//! Whose cart it is, and the key of its document: a digest, so that who reads the store learns neither a token nor who
//! an account is.

use axum::http::{HeaderMap, HeaderName, header};
use identity::Principal;
use service::{Access, Error};
use sha2::{Digest as _, Sha256};

use crate::error::Refusal;

/// The header in which a guest shows the cart's token.
pub(crate) const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-cart-token");
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// What the keys of guests' carts begin with.
const GUEST: &str = "guest/";
/// What the keys of accounts' carts begin with.
const ACCOUNT: &str = "account/";

/// Whose cart it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An account, which always has a cart: the key of its document, and the group that it is priced in; empty for none.
    Account { key: String, customer_group: String },
    /// A guest, whose cart was made and may be gone; the key of its document.
    Guest(String),
}

/// The secret by which a guest has a cart, as 64 hexadecimal digits.
pub(crate) struct Token(String);

impl Token {
    /// A new one.
    pub(crate) fn random() -> Result<Self, Refusal> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| Refusal::NoRandomness)?;
        Ok(Self(hex::encode(bytes)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Owner {
    /// The account of the bearer token, or else the guest of the cart's token.
    pub(crate) async fn from_headers(access: &Access, headers: &HeaderMap) -> Result<Self, Error> {
        if headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self::principal(&access.principal(headers).await?));
        }
        match headers.get(TOKEN_HEADER).map(|token| token.to_str()) {
            Some(Ok(token)) => Ok(Self::guest(token)),
            // No token of ours is any other text than ASCII.
            Some(Err(_)) => Err(Refusal::NoSuchCart.into()),
            None => Err(Refusal::NoOwner.into()),
        }
    }

    /// The account of a token.
    pub(crate) fn principal(principal: &Principal) -> Self {
        let key = account_key(principal.subject());
        Self::Account { key, customer_group: principal.customer_group().to_owned() }
    }

    /// The account of this id, whose cart is not priced.
    pub(crate) fn account(subject: &str) -> Self {
        Self::Account { key: account_key(subject), customer_group: String::new() }
    }

    /// The guest who has this token. It has 256 random bits, so its digest tells nothing of it.
    pub(crate) fn guest(token: &str) -> Self {
        Self::Guest(format!("{GUEST}{}", digest(token)))
    }

    /// Whose document has this key, if it is a cart's, which is not priced.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        match key {
            _ if key.starts_with(ACCOUNT) => Some(Self::Account { key: key.to_owned(), customer_group: String::new() }),
            _ if key.starts_with(GUEST) => Some(Self::Guest(key.to_owned())),
            _ => None,
        }
    }

    /// The key of the cart's document.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Account { key, .. } | Self::Guest(key) => key,
        }
    }

    /// The group that the cart is priced in; empty for none.
    pub(crate) fn customer_group(&self) -> &str {
        match self {
            Self::Account { customer_group, .. } => customer_group,
            Self::Guest(_) => "",
        }
    }
}

fn account_key(subject: &str) -> String {
    format!("{ACCOUNT}{}", digest(subject))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
