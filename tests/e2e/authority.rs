//! Certificates for the tests of TLS.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A name of this machine that programs do not take for it.
pub(crate) const ANYWHERE: &str = "0.0.0.0";

/// A certificate authority; its own certificate is `NAME.pem`.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("writable");
        Self(Issuer::new(params, key))
    }

    /// Vouches for a server on this machine, or a client; certificate and key are `NAME.pem` and `NAME.key`.
    pub(crate) fn vouch(&self, folder: &Path, name: &str, purpose: ExtendedKeyUsagePurpose) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), ANYWHERE.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("writable");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("writable");
    }
}
