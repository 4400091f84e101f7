//! What a client is called that has shown a certificate.

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::parse_x509_certificate;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// Whom a certificate is about: its subject, or where that is empty, the certificate's own SHA-256.
pub(super) fn name_in(certificate: &CertificateDer<'_>) -> String {
    let subject = parse_x509_certificate(certificate).map(|(_, parsed)| parsed.subject().to_string());
    match subject {
        Ok(subject) if !subject.is_empty() => plain_name(&subject),
        _ => format!("sha256:{}", hex::encode(Sha256::digest(certificate))),
    }
}

/// Nothing that a log could be forged with.
pub fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate_of(name: Option<&str>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_known_by_its_subject_or_else_by_its_digest() {
        assert_eq!(name_in(&certificate_of(Some("Ann"))), "CN=Ann");
        let forged = name_in(&certificate_of(Some("Ann\ncontrol: deploy who=\"root\"")));
        assert!(!forged.contains('\n'), "{forged}");
        assert!(name_in(&certificate_of(Some(&"long ".repeat(12)))).chars().count() <= NAME_CHARS_MAX);
        let nameless = certificate_of(None);
        assert_eq!(name_in(&nameless), format!("sha256:{}", hex::encode(Sha256::digest(&nameless))));
    }
}
