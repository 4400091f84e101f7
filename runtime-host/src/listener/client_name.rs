//! What a client is called that has shown a certificate.

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

/// Characters of a name in a log.
const NAME_CHARS_MAX: usize = 100;
/// What a digest begins with where a name could stand.
const DIGEST_PREFIX: &str = "sha256:";

/// Whom a certificate is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    /// The subject, written so that two are the same only if they are (RFC 4514); `None` where it has none that can be written.
    subject: Option<String>,
    digest: String,
}

impl ClientName {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let parsed = parse_x509_certificate(certificate).ok();
        let subject = parsed.and_then(|(_, parsed)| written(parsed.subject()));
        Self { subject, digest: format!("{DIGEST_PREFIX}{}", hex::encode(Sha256::digest(certificate))) }
    }

    /// One with this subject, for tests.
    #[cfg(test)]
    pub(crate) fn of_subject(subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), digest: String::new() }
    }

    /// Whether it is who this names: the whole subject, or the certificate itself by its digest.
    pub fn is(&self, wanted: &str) -> bool {
        self.subject.as_deref() == Some(wanted) || (wanted.starts_with(DIGEST_PREFIX) && self.digest == wanted)
    }

    /// For people: its subject, or where that is empty, the certificate's own SHA-256.
    pub fn shown(&self) -> String {
        self.subject.as_deref().map_or_else(|| self.digest.clone(), plain_name)
    }
}

/// A name as RFC 4514 writes it, but in the order of the certificate and with a blank after each comma.
fn written(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.iter_rdn() {
        let attributes = part.iter().map(|attribute| {
            let kind = oid2abbrev(attribute.attr_type(), oid_registry());
            let kind = kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
            let value = attribute.as_str().ok().filter(|value| !value.chars().any(char::is_control))?;
            Some(format!("{kind}={}", escaped(value)))
        });
        parts.push(attributes.collect::<Option<Vec<_>>>()?.join("+"));
    }
    Some(parts.join(", ")).filter(|name| !name.is_empty())
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (place, character) in value.chars().enumerate() {
        let is_at_edge = (place == 0 && matches!(character, ' ' | '#')) || (place == last && character == ' ');
        if is_at_edge || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Nothing that a log could be forged with.
pub fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate_of(parts: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_known_by_its_subject_or_else_by_its_digest() {
        let ann = ClientName::of(&certificate_of(&[(DnType::CommonName, "Ann")]));
        assert_eq!((ann.shown().as_str(), ann.is("CN=Ann"), ann.is("CN=An")), ("CN=Ann", true, false));
        assert!(ann.is(&ann.digest.clone()) && !ann.is("sha256:") && !ann.is(""));
        let nameless = certificate_of(&[]);
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&nameless)));
        assert_eq!(ClientName::of(&nameless).shown(), digest);
        let forger = ClientName::of(&certificate_of(&[(DnType::CommonName, "Ann\ncontrol: deploy who=\"root\"")]));
        assert!(forger.shown().starts_with("sha256:"), "{forger:?}");
        let long = "long ".repeat(40);
        let long = ClientName::of(&certificate_of(&[(DnType::CommonName, long.trim_end())]));
        assert!(
            long.shown().chars().count() <= NAME_CHARS_MAX && !long.is(&long.shown()),
            "a part of it is another name"
        );
    }

    #[test]
    fn no_name_is_written_like_another() {
        let two = ClientName::of(&certificate_of(&[(DnType::CommonName, "erp"), (DnType::OrganizationName, "Shop")]));
        assert!(two.is("CN=erp, O=Shop"), "{two:?}");
        let one = ClientName::of(&certificate_of(&[(DnType::CommonName, "erp, O=Shop")]));
        assert!(one.is("CN=erp\\, O\\=Shop") && !one.is("CN=erp, O=Shop"), "{one:?}");
        let edges = ClientName::of(&certificate_of(&[(DnType::CommonName, "# x ")]));
        assert!(edges.is("CN=\\# x\\ "), "{edges:?}");
    }
}
