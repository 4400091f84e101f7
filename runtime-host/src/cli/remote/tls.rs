//! How the host's commands make sure of a host over TLS, and what they show it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// TLS with the admin listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(in crate::cli) struct TlsArgs {
    /// The certificate authorities (PEM) that vouch for the admin listener; by default those that Mozilla trusts.
    #[arg(long, env = "BODEGA_ADMIN_CA")]
    admin_ca: Option<PathBuf>,
    /// The certificate chain (PEM) to show to the admin listener.
    #[arg(long, requires = "admin_key", env = "BODEGA_ADMIN_CERT")]
    admin_cert: Option<PathBuf>,
    /// That certificate's private key (PEM).
    #[arg(long, requires = "admin_cert", env = "BODEGA_ADMIN_KEY")]
    admin_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Whether a certificate is shown.
    pub(super) fn shows_certificate(&self) -> bool {
        self.admin_cert.is_some()
    }

    pub(super) fn config(&self) -> anyhow::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let (Some(certificate), Some(key)) = (&self.admin_cert, &self.admin_key) else {
            return Ok(builder.with_no_client_auth());
        };
        let loaded = PrivateKeyDer::from_pem_file(key);
        let loaded = loaded.with_context(|| format!("--admin-key {} holds no usable private key", key.display()))?;
        let config = builder.with_client_auth_cert(certificates(certificate)?, loaded);
        config.with_context(|| {
            format!("--admin-cert {} and --admin-key {} cannot be used together", certificate.display(), key.display())
        })
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let Some(path) = &self.admin_ca else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).with_context(|| format!("--admin-ca {} cannot be used", path.display()))?;
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("{} holds no usable certificate", path.display());
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).with_context(unusable)?;
    anyhow::ensure!(!certificates.is_empty(), unusable());
    Ok(certificates)
}
