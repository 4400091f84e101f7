//! Whose payment it is: of the account that placed its order, or of the guest who has the order's token. A payment of
//! somebody else is one that is not there.

use axum::http::{HeaderMap, header};
use identity::{IdentityError, Principal, Role, guest};
use service::Access;

use crate::intent::Intent;

/// Who asks: an account, or who has the token of an order, or both, or nobody.
pub(crate) struct Caller {
    account: Option<Principal>,
    token: Option<String>,
}

impl Caller {
    /// Reads who asks. A token that proves nothing is refused, whatever else is shown.
    pub(crate) async fn from_headers(access: &Access, headers: &HeaderMap) -> Result<Self, IdentityError> {
        let account = match headers.contains_key(header::AUTHORIZATION) {
            true => Some(access.principal(headers).await?),
            false => None,
        };
        let token = headers.get(guest::ORDER_TOKEN_HEADER).and_then(|token| token.to_str().ok()).map(str::to_owned);
        Ok(Self { account, token })
    }

    /// Whether the caller has shown nothing at all.
    pub(crate) fn is_nobody(&self) -> bool {
        self.account.is_none() && self.token.is_none()
    }

    /// Whether the payment is the caller's, or the caller works for the shop.
    pub(crate) fn owns(&self, intent: &Intent) -> bool {
        let has_token = match (&self.token, &intent.order_token_digest) {
            (Some(token), Some(digest)) => guest::fits(token, digest),
            _ => false,
        };
        let has_account = self.account.as_ref().is_some_and(|account| {
            intent.customer.as_deref() == Some(account.subject()) || account.require(Role::Staff).is_ok()
        });
        has_token || has_account || is_nobodys(intent)
    }
}

/// Whether the order did not tell whose it is, as a revision of orders from before it did. Then it is asked for by who knows
/// the order's id.
fn is_nobodys(intent: &Intent) -> bool {
    intent.customer.is_none() && intent.order_token_digest.is_none()
}
