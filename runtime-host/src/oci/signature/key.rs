//! Keys that sign artifacts and that verify their signatures: ECDSA over P-256 with SHA-256, as cosign makes them.

use std::fs;
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::super::OciError;

/// What stands before the point in the DER of every P-256 public key (RFC 5480): the algorithm and the curve.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key whose signatures count.
#[derive(Debug, Clone)]
pub struct PublicKey {
    path: PathBuf,
    point: Vec<u8>,
}

/// A key that signs.
pub struct SigningKey {
    path: PathBuf,
    pair: EcdsaKeyPair,
}

impl PublicKey {
    /// Reads a PEM file, such as cosign's `cosign.pub`.
    pub fn read(path: &Path) -> Result<Self, OciError> {
        let pem = fs::read(path).map_err(OciError::file(path, "read"))?;
        let unusable = |problem: &str| OciError::Key { path: path.to_owned(), problem: problem.to_owned() };
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
            .map_err(|_| unusable("it has no `PUBLIC KEY` in PEM; cosign writes one as `cosign.pub`"))?;
        let point = der.strip_prefix(&P256_PREFIX);
        let point = point.ok_or_else(|| unusable("it is of another kind; expected one of ECDSA over P-256"))?;
        Ok(Self { path: path.to_owned(), point: point.to_vec() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has signed the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
    }
}

impl SigningKey {
    /// Reads a PEM file in PKCS #8, as `openssl pkcs8 -topk8 -nocrypt` writes it.
    pub fn read(path: &Path) -> Result<Self, OciError> {
        let pem = fs::read(path).map_err(OciError::file(path, "read"))?;
        let unusable = |problem: String| OciError::Key { path: path.to_owned(), problem };
        let text = String::from_utf8_lossy(&pem);
        if text.contains("-----BEGIN ENCRYPTED ") {
            let problem = format!(
                "it is encrypted; push without --sign, and then run `cosign sign --key {} REFERENCE@DIGEST`",
                path.display()
            );
            return Err(unusable(problem));
        }
        if text.contains("-----BEGIN EC PRIVATE KEY") {
            let problem =
                format!("it is in SEC 1; convert it with `openssl pkcs8 -topk8 -nocrypt -in {}`", path.display());
            return Err(unusable(problem));
        }
        let other = || unusable("expected a `PRIVATE KEY` of ECDSA over P-256 in PEM".to_owned());
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| other())?;
        let der = der.secret_pkcs8_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new());
        Ok(Self { path: path.to_owned(), pair: pair.map_err(|_| other())? })
    }

    /// The key that verifies its signatures.
    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey { path: self.path.clone(), point: self.pair.public_key().as_ref().to_vec() }
    }

    /// Signs the message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, OciError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let failed = |_| OciError::Key { path: self.path.clone(), problem: "signing failed".to_owned() };
        Ok(signature.map_err(failed)?.as_ref().to_vec())
    }
}
