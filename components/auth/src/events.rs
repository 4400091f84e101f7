//! The events that this service tells of. Those that ask for a mail hold the token that the mail is to carry, so
//! whoever relays them must treat them as secret.

use commerce::rfc3339;
use serde_json::json;
use service::Error;
use service::outbox::Event;
use sql::Transaction;

use crate::account::Account;
use crate::store::mailed_tokens::{self, Purpose};

/// How long an event without a token of its own is kept, in milliseconds.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Asks for a mail with a new token for the account's address.
pub(crate) async fn mail_token(
    transaction: &Transaction,
    purpose: Purpose,
    account: &Account,
    now_ms: i64,
) -> Result<(), Error> {
    let kind = match purpose {
        Purpose::EmailVerification => "bodega.account.verification_requested",
        Purpose::PasswordReset => "bodega.account.password_reset_requested",
    };
    let (token, expires_at_ms) = mailed_tokens::issue(transaction, purpose, account, now_ms).await?;
    let mut data = addressee(account);
    data["token"] = token.into();
    data["expires_at"] = rfc3339(expires_at_ms).into();
    Event::new(kind, &account.id, now_ms, data).put_until(transaction, expires_at_ms).await
}

/// Asks for a mail that tells the owner what happened to the account.
pub(crate) async fn notify(
    transaction: &Transaction,
    kind: &'static str,
    account: &Account,
    now_ms: i64,
) -> Result<(), Error> {
    Event::new(kind, &account.id, now_ms, addressee(account)).put_until(transaction, now_ms + KEPT_MS).await
}

/// Somebody registered with the address of a verified account.
pub(crate) const REGISTRATION_REPEATED: &str = "bodega.account.registration_repeated";
/// The password was changed or reset.
pub(crate) const PASSWORD_CHANGED: &str = "bodega.account.password_changed";
/// A spent refresh token came back, so a session was ended.
pub(crate) const SESSION_REVOKED: &str = "bodega.account.session_revoked";
/// An admin gave the account another role.
pub(crate) const ROLE_CHANGED: &str = "bodega.account.role_changed";
/// Staff put the account into another group, by which it is priced, or into none.
pub(crate) const CUSTOMER_GROUP_CHANGED: &str = "bodega.account.customer_group_changed";
/// The account is gone; other services hold what they have by its id.
pub(crate) const DELETED: &str = "bodega.account.deleted";

fn addressee(account: &Account) -> serde_json::Value {
    json!({
        "account_id": account.id,
        "email": account.email,
        "name": account.profile.name,
        "locale": account.profile.locale,
        "role": account.role,
        "customer_group": account.customer_group,
    })
}
