//! Clients that are known by name: machines that show an API key or a certificate.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::principal::Principal;

/// Where keys are shown.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What the names of machines begin with as subjects, so that none is taken for a user.
const SUBJECT_PREFIX: &str = "client:";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// Digests of its keys; several while one replaces another.
    pub(super) keys: Vec<[u8; 32]>,
    /// What its certificate calls it.
    pub(super) certificate: Option<String>,
    pub(super) principal: Arc<Principal>,
}

impl Machine {
    pub(super) fn principal(name: &str, roles: Vec<String>, scopes: &[String]) -> Arc<Principal> {
        Arc::new(Principal::new(format!("{SUBJECT_PREFIX}{name}"), roles, &scopes.join(" ")))
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Machines(pub(super) Vec<Machine>);

/// A key that is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownKey;

impl Machines {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose the request is, by the key that it shows, which nobody sees after this, or else by its certificate.
    pub(super) fn identify(
        &self,
        headers: &mut HeaderMap,
        certificate: Option<&str>,
    ) -> Result<Option<Arc<Principal>>, UnknownKey> {
        if let Some(key) = headers.remove(API_KEY) {
            // Keys are long and random, so that one round of a plain hash hides them.
            let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
            let is_its = |machine: &&Machine| machine.keys.iter().any(|known| known.ct_eq(&digest).into());
            return self.0.iter().find(is_its).map(|machine| Some(machine.principal.clone())).ok_or(UnknownKey);
        }
        let is_its = |machine: &&Machine| certificate.is_some() && machine.certificate.as_deref() == certificate;
        Ok(self.0.iter().find(is_its).map(|machine| machine.principal.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines() -> Machines {
        let machine = |name: &str, keys: &[&str], certificate: Option<&str>| Machine {
            keys: keys.iter().map(|key| Sha256::digest(key).into()).collect(),
            certificate: certificate.map(str::to_owned),
            principal: Machine::principal(name, vec!["staff".into()], &["orders".into(), "stock".into()]),
        };
        Machines(vec![
            machine("keyless", &[], None),
            machine("erp", &["old key", "new key"], None),
            machine("till", &[], Some("CN=till")),
        ])
    }

    fn who(key: Option<&str>, certificate: Option<&str>) -> Result<Option<String>, UnknownKey> {
        let mut headers = HeaderMap::new();
        headers.extend(key.map(|key| (API_KEY, key.parse().unwrap())));
        let found = machines().identify(&mut headers, certificate);
        assert!(headers.is_empty(), "no component sees the key");
        found.map(|found| found.map(|principal| principal.subject().to_owned()))
    }

    #[test]
    fn a_machine_is_known_by_its_key_or_its_certificate() {
        for key in ["old key", "new key"] {
            assert_eq!(who(Some(key), None), Ok(Some("client:erp".into())));
            assert_eq!(
                who(Some(key), Some("CN=till")),
                Ok(Some("client:erp".into())),
                "the key is what it chose to show"
            );
        }
        assert_eq!(who(Some("no key"), Some("CN=till")), Err(UnknownKey));
        assert_eq!(who(Some(""), None), Err(UnknownKey));
        assert_eq!(who(None, Some("CN=till")), Ok(Some("client:till".into())));
        assert_eq!(who(None, Some("CN=other")), Ok(None));
        assert_eq!(who(None, None), Ok(None));
        let principal = machines().0[1].principal.clone();
        assert!(principal.has_role("staff") && principal.has_scope("orders") && principal.has_scope("stock"));
    }
}
