//! How a guest, who has no account, shows that something is theirs: by a secret, of which only the digest is kept.

use axum::http::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header in which a guest shows the token of an order.
pub const ORDER_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-order-token");

/// What is kept of a token: 64 lower case hexadecimal digits. The token is random enough that a fast hash tells nothing of
/// it.
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Whether a token is the one of this digest. It takes the same time for every wrong guess.
pub fn fits(token: &str, digest_kept: &str) -> bool {
    digest(token).as_bytes().ct_eq(digest_kept.as_bytes()).into()
}
