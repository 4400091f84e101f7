//! How a guest, who has no account, shows that something is theirs: by a secret, of which only the digest is kept.

use axum::http::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header in which a guest shows the token of an order.
pub const ORDER_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-order-token");

/// What is kept of a token: 64 lower case hexadecimal digits. The token is random enough that a fast hash tells nothing
/// of it.
pub fn token_digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Whether a token is the one of this digest. It takes the same time for every wrong guess.
pub fn fits(token: &str, digest_kept: &str) -> bool {
    token_digest(token).as_bytes().ct_eq(digest_kept.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_digest_and_no_other() {
        // An example of FIPS 180-2: the digest is what other programs make of the token as well.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(token_digest("abc"), digest);
        assert!(fits("abc", digest));
        for (token, digest) in [("abd", digest), ("", digest), ("abc", ""), ("abc", "BA7816BF"), (digest, digest)] {
            assert!(!fits(token, digest), "{token:?} {digest:?}");
        }
        assert!(!fits("abc", &digest.to_uppercase()));
    }
}
