//! How components make sure of hosts over TLS, and what they show them: `[[client_tls]]`, loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::runtime_config::{ClientTls, TlsRoots};

/// Why a setting of `[[client_tls]]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboundTlsError {
    /// A file cannot be read, or has not what it should have.
    #[error("[[client_tls]]: {} holds no usable {expected}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// A certificate authority or a pair of certificate and key is refused.
    #[error("[[client_tls]]: {} cannot be used", path.display())]
    Certificate {
        /// The file with the certificate.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The system has no certificate authorities.
    #[error(
        "[[client_tls]]: the system's certificate authorities cannot be loaded; set `ca_use_webpki_roots = true` or `ca_roots_file`"
    )]
    NoPlatformRoots,
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// All ways of TLS: first the one of every component and host that no setting names, then one for each setting.
pub struct OutboundTls {
    settings: Vec<ClientTls>,
    configs: Vec<ClientConfig>,
}

impl OutboundTls {
    /// Reads what `settings` name.
    pub(super) fn load(settings: &[ClientTls]) -> Result<Self, OutboundTlsError> {
        let usual = builder()?.with_root_certificates(webpki_roots()).with_no_client_auth();
        let mut configs = vec![usual];
        for setting in settings {
            configs.push(config(setting)?);
        }
        Ok(Self { settings: settings.to_vec(), configs })
    }

    /// Every way, in the order that [`OutboundTls::place`] counts by.
    pub(super) fn configs(&self) -> &[ClientConfig] {
        &self.configs
    }

    /// The way of a request of `component` to `host`.
    pub fn of(&self, component: &str, host: &str) -> &ClientConfig {
        &self.configs[self.place(component, host)]
    }

    /// Which way a request of `component` to `host` goes; the first setting that names both wins, as in Spin.
    pub(super) fn place(&self, component: &str, host: &str) -> usize {
        let names = |names: &[String], name: &str| names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        let fits = |setting: &ClientTls| names(&setting.components, component) && names(&setting.hosts, host);
        self.settings.iter().position(fits).map_or(0, |place| place + 1)
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, OutboundTlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(OutboundTlsError::Setup)
}

fn config(setting: &ClientTls) -> Result<ClientConfig, OutboundTlsError> {
    let builder = builder()?.with_root_certificates(roots(&setting.roots)?);
    let Some(identity) = &setting.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|source| OutboundTlsError::Pem {
        path: identity.key.clone(),
        expected: "private key",
        source,
    })?;
    builder
        .with_client_auth_cert(certificates(&identity.certificate)?, key)
        .map_err(|source| OutboundTlsError::Certificate { path: identity.certificate.clone(), source })
}

fn roots(wanted: &TlsRoots) -> Result<RootCertStore, OutboundTlsError> {
    let mut roots = if wanted.webpki { webpki_roots() } else { RootCertStore::empty() };
    if wanted.platform {
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(OutboundTlsError::NoPlatformRoots);
        }
    }
    if let Some(path) = &wanted.file {
        for certificate in certificates(path)? {
            let refused = |source| OutboundTlsError::Certificate { path: path.clone(), source };
            roots.add(certificate).map_err(refused)?;
        }
    }
    Ok(roots)
}

fn webpki_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OutboundTlsError> {
    let failed = |source| OutboundTlsError::Pem { path: path.to_owned(), expected: "certificate", source };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)?;
    if certificates.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
