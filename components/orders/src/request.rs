//! Who asks to check out which cart, and by what means they pay.

use serde::{Deserialize, Serialize};

/// Who asks for what: the request, by which the order is found again.
pub(crate) struct Request {
    /// The account, or a digest of the cart's token.
    pub(crate) actor: String,
    /// The key that the client chose.
    pub(crate) key: String,
    pub(crate) fingerprint: String,
    /// The account; a guest has none.
    pub(crate) customer: Option<String>,
    /// The group that it is priced in; empty for none.
    pub(crate) customer_group: String,
    pub(crate) cart: Cart,
}

/// Whose cart, or which one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cart {
    /// The account's own.
    Customer(String),
    /// The one of this token.
    Token(String),
}

/// By what an order is paid, and the cart that it comes from. It is kept as long as it is needed, and no longer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Means {
    pub(crate) payment_method: String,
    pub(crate) return_url: Option<String>,
    pub(crate) cart: Cart,
}
