//! Whose payment it is: of the account that placed its order, or of the guest who has the order's token. A payment of
//! somebody else is one that is not there.

use axum::http::{HeaderMap, header};
use identity::{IdentityError, Principal, Role, guest};
use service::Access;

use crate::intent::{Intent, State};

/// How long a payment waits for its shopper: orders calls off an order that is older.
const WAIT_MS_MAX: i64 = 30 * 60 * 1000;

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
    pub(crate) fn owns(&self, intent: &Intent, now_ms: i64) -> bool {
        let has_token = match (&self.token, &intent.order_token_digest) {
            (Some(token), Some(digest)) => guest::fits(token, digest),
            _ => false,
        };
        let has_account = self.account.as_ref().is_some_and(|account| {
            intent.customer.as_deref() == Some(account.subject()) || account.require(Role::Staff).is_ok()
        });
        has_token || has_account || is_left_to_all(intent, now_ms)
    }
}

/// Whether the order did not tell whose it is, as no guest's did before there were digests, and the payment still waits
/// for its shopper. Then it is for who knows the order's id: nobody else could go on with it.
fn is_left_to_all(intent: &Intent, now_ms: i64) -> bool {
    let has_owner = intent.customer.is_some() || intent.order_token_digest.is_some();
    let waits = intent.state == State::RequiresAction && now_ms - intent.created_at_ms < WAIT_MS_MAX;
    !has_owner && waits
}
