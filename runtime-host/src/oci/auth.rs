//! With whose credentials a registry is asked: those of `spin registry login`, else those of `docker login`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// Where Spin keeps logins, below the folder of configurations.
const SPIN_LOGINS: &str = "fermyon/registry-auth.json";

/// `spin registry login` writes this.
#[derive(Deserialize)]
struct SpinLogins {
    /// `user:password` in base64, by registry.
    auths: std::collections::BTreeMap<String, String>,
}

/// The credentials that are kept for `registry`.
pub(super) fn credentials(registry: &str) -> RegistryAuth {
    of_spin(registry).or_else(|| of_docker(registry)).unwrap_or(RegistryAuth::Anonymous)
}

fn of_spin(registry: &str) -> Option<RegistryAuth> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    login_in(&std::fs::read(folder.join(SPIN_LOGINS)).ok()?, registry)
}

fn login_in(file: &[u8], registry: &str) -> Option<RegistryAuth> {
    let logins: SpinLogins = serde_json::from_slice(file).ok()?;
    let decoded = String::from_utf8(STANDARD.decode(logins.auths.get(registry)?).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

fn of_docker(registry: &str) -> Option<RegistryAuth> {
    // What a helper prints may be a secret, so that no error is shown as it is.
    match docker_credential::get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Some(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            tracing::warn!("the Docker configuration has an identity token for {registry}, which is not supported");
            None
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            tracing::warn!("the credential helper `{helper}` gives no credentials for {registry}");
            None
        }
        Err(CredentialRetrievalError::ConfigNotFound | CredentialRetrievalError::NoCredentialConfigured) => None,
        // Most often there is no file, which is told from an unreadable one by nothing else.
        Err(CredentialRetrievalError::ConfigReadError) => None,
        Err(_) => {
            tracing::warn!("the credentials that the Docker configuration has for {registry} cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_of_spin_is_found_by_its_registry() {
        let file = format!(r#"{{"auths": {{"ghcr.io": "{}", "broken.io": "?"}}}}"#, STANDARD.encode("ann:a:b"));
        let found = login_in(file.as_bytes(), "ghcr.io");
        assert!(found == Some(RegistryAuth::Basic("ann".to_owned(), "a:b".to_owned())));
        assert!(login_in(file.as_bytes(), "broken.io").is_none() && login_in(file.as_bytes(), "other.io").is_none());
        assert!(login_in(b"{}", "ghcr.io").is_none());
    }
}
