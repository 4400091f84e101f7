//! The token by which a guest sees an order: derived from the order's id with HMAC-SHA256 (RFC 2104), so that a repeated
//! checkout gives the same one. Only its digest is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commerce::Id;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 32;
/// What else the secret may sign one day begins with something else.
const PURPOSE: &[u8] = b"bodega order token 1\n";

/// The secret is not one.
#[derive(Debug, thiserror::Error)]
#[error("orders_token_secret has fewer than {SECRET_BYTES_MIN} bytes; set a long random one")]
pub(crate) struct SecretError;

/// Makes the tokens of orders.
pub(crate) struct Tokens(Hmac<Sha256>);

impl Tokens {
    /// Takes the secret.
    pub(crate) fn new(secret: &str) -> Result<Self, SecretError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretError);
        }
        Hmac::new_from_slice(secret.as_bytes()).map(Self).map_err(|_| SecretError)
    }

    /// The token of an order.
    pub(crate) fn of(&self, order: Id) -> String {
        let mac = self.0.clone().chain_update(PURPOSE).chain_update(order.to_string());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use identity::guest::{fits, token_digest};

    use super::*;

    #[test]
    fn each_order_has_a_token_and_keeps_it() {
        let tokens = Tokens::new(&"s".repeat(SECRET_BYTES_MIN)).unwrap();
        let (order, other) = (Id::new(), Id::new());
        assert_eq!(tokens.of(order), tokens.of(order));
        assert_ne!(tokens.of(order), tokens.of(other));
        assert!(fits(&tokens.of(order), &token_digest(&tokens.of(order))));
        assert!(!fits(&tokens.of(other), &token_digest(&tokens.of(order))));
        let elsewhere = Tokens::new(&"t".repeat(SECRET_BYTES_MIN)).unwrap();
        assert_ne!(tokens.of(order), elsewhere.of(order));
        assert!(Tokens::new("short").is_err());
    }
}
