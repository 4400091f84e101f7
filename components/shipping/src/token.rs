//! Promises of a price, signed with HMAC-SHA256 (RFC 2104), so that they can travel through the client.
//!
//! A token is `base64url(promise as JSON).base64url(mac)`. It holds all that is promised, and so keeps its word when
//! the tariff changes before it expires.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commerce::{Id, Money};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::calendar::Delivery;
use crate::destination::Destination;
use crate::parcel::Parcel;

/// Shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 32;
/// Longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;
/// What else the secret may sign one day begins with something else.
const PURPOSE: &[u8] = b"bodega shipping quote 1\n";

/// A price for a parcel to a destination, until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promise {
    pub(crate) method: Id,
    pub(crate) name: String,
    pub(crate) price: Money,
    pub(crate) tax_class: String,
    pub(crate) delivery: Delivery,
    /// The digest of the destination.
    pub(crate) destination: String,
    pub(crate) weight_g: u32,
    pub(crate) value: Money,
    #[serde(rename = "exp")]
    pub(crate) expires_at_ms: i64,
}

/// Why a token is not good for a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuoteError {
    #[error("the quote was not made by this shop, or was changed since; ask for a new one")]
    Altered,
    #[error("the quote's time is up; ask for a new one")]
    Expired,
    #[error("the quote is for another destination, weight or value; ask for a new one")]
    Differs,
}

/// The secret is not one.
#[derive(Debug, thiserror::Error)]
#[error("quote_secret has fewer than {SECRET_BYTES_MIN} bytes; set a long random one")]
pub(crate) struct SecretError;

/// Signs promises and knows its own again.
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    /// Takes the secret.
    pub(crate) fn new(secret: &str) -> Result<Self, SecretError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretError);
        }
        Hmac::new_from_slice(secret.as_bytes()).map(Self).map_err(|_| SecretError)
    }

    /// The token of a promise.
    pub(crate) fn sign(&self, promise: &Promise) -> Result<String, serde_json::Error> {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(promise)?);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&payload).finalize().into_bytes());
        Ok(format!("{payload}.{mac}"))
    }

    /// The promise of a token, if it is ours, still good, and for this parcel.
    pub(crate) fn verify(
        &self,
        token: &str,
        destination: &Destination,
        parcel: &Parcel,
        now_ms: i64,
    ) -> Result<Promise, QuoteError> {
        let promise = self.open(token).ok_or(QuoteError::Altered)?;
        if now_ms >= promise.expires_at_ms {
            return Err(QuoteError::Expired);
        }
        let same = promise.destination == destination.digest()
            && promise.weight_g == parcel.weight_g
            && promise.value == parcel.value;
        if same { Ok(promise) } else { Err(QuoteError::Differs) }
    }

    /// What a token of ours promised for this destination, whatever the parcel is now.
    pub(crate) fn recall(&self, token: &str, destination: &Destination) -> Option<Promise> {
        self.open(token).filter(|promise| promise.destination == destination.digest())
    }

    fn open(&self, token: &str) -> Option<Promise> {
        let (payload, mac) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        // Takes the same time for every wrong guess.
        self.mac(payload).verify_slice(&mac).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    fn mac(&self, payload: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(PURPOSE).chain_update(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commerce::Currency;
    use proptest::prelude::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn signer() -> Signer {
        Signer::new(&"s".repeat(SECRET_BYTES_MIN)).unwrap()
    }

    fn parcel() -> Parcel {
        Parcel { weight_g: 1200, value: Money::from_minor(4999, Currency::EUR).unwrap() }
    }

    fn berlin() -> Destination {
        Destination::new("DE", None, "10115")
    }

    fn promise() -> Promise {
        Promise {
            method: Id::new(),
            name: "Päckchen".to_owned(),
            price: Money::from_minor(490, Currency::EUR).unwrap(),
            tax_class: "standard".to_owned(),
            delivery: Delivery::estimate(NOW_MS, 14, 1, 2),
            destination: berlin().digest(),
            weight_g: parcel().weight_g,
            value: parcel().value,
            expires_at_ms: NOW_MS + 1000,
        }
    }

    #[test]
    fn a_promise_is_kept_until_its_time_is_up() {
        let (signer, promise) = (signer(), promise());
        let token = signer.sign(&promise).unwrap();
        assert_eq!(signer.verify(&token, &berlin(), &parcel(), NOW_MS + 999), Ok(promise));
        assert_eq!(signer.verify(&token, &berlin(), &parcel(), NOW_MS + 1000), Err(QuoteError::Expired));
    }

    #[test]
    fn a_promise_is_for_one_parcel_to_one_place() {
        let (signer, parcel) = (signer(), parcel());
        let token = signer.sign(&promise()).unwrap();
        let verify = |place: &Destination, parcel: &Parcel| signer.verify(&token, place, parcel, NOW_MS);
        let dearer = Money::from_minor(5000, Currency::EUR).unwrap();
        let dollars = Money::from_minor(4999, Currency::USD).unwrap();
        assert_eq!(verify(&Destination::new("DE", None, "10117"), &parcel), Err(QuoteError::Differs));
        assert_eq!(verify(&berlin(), &Parcel { weight_g: 1201, ..parcel }), Err(QuoteError::Differs));
        assert_eq!(verify(&berlin(), &Parcel { value: dearer, ..parcel }), Err(QuoteError::Differs));
        assert_eq!(verify(&berlin(), &Parcel { value: dollars, ..parcel }), Err(QuoteError::Differs));
    }

    #[test]
    fn only_the_own_secret_opens_a_token() {
        let token = signer().sign(&promise()).unwrap();
        let other = Signer::new(&"t".repeat(SECRET_BYTES_MIN)).unwrap();
        assert_eq!(other.verify(&token, &berlin(), &parcel(), NOW_MS), Err(QuoteError::Altered));
        for garbage in ["", ".", "a.b", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(signer().verify(garbage, &berlin(), &parcel(), NOW_MS), Err(QuoteError::Altered));
        }
        for short in ["", "0123456789012345678901234567890"] {
            assert!(Signer::new(short).is_err(), "{short}");
        }
    }

    proptest! {
        /// No bit of a token can be turned over.
        #[test]
        fn any_altered_bit_is_refused(index in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let signer = signer();
            let mut token = signer.sign(&promise()).unwrap().into_bytes();
            let index = index.index(token.len());
            token[index] ^= 1 << bit;
            let token = String::from_utf8_lossy(&token);
            prop_assert_eq!(signer.verify(&token, &berlin(), &parcel(), NOW_MS), Err(QuoteError::Altered));
        }
    }
}
