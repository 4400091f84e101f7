//! The certificate of the listener: loaded from PEM files and taken anew when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// How often the certificate files are looked at.
pub(crate) const CERTIFICATE_CHECK_PERIOD: Duration = Duration::from_secs(2);

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The certificate authorities that vouch for clients, PEM. With them, a client may show a certificate, and who shows one that they
    /// do not vouch for is turned away; whether one is needed is for whoever answers the requests to say.
    pub client_authorities: Option<PathBuf>,
}

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A file has not the PEM section that it should have.
    #[error("{} holds no usable {expected}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit each other, or the key is of an unknown kind.
    #[error("{} and {} cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// A certificate authority is refused.
    #[error("{} holds a certificate authority that cannot be used", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate in use. Connections that are open keep the one that they began with.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    /// What was read last, good or bad, so that a bad pair is reported once.
    seen: RwLock<Contents>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents")
    }
}

impl Certificate {
    /// Loads both files.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = read(&files)?;
        let current = Arc::new(Current(RwLock::new(certified_key(&files, &contents)?)));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let mut config = match &files.client_authorities {
            None => {
                let mut config = builder.with_no_client_auth().with_cert_resolver(current.clone());
                config.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
                config
            }
            Some(path) => {
                let verifier = client_verifier(path)?;
                let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(current.clone());
                // A session that goes on would bring a client in whose certificate has expired meanwhile.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                config
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(Self { files, config: Arc::new(config), current, seen: RwLock::new(contents) }))
    }

    /// Shakes hands with whatever the certificate is at that time.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Looks at certificate and key every `period`. Contents are compared, not times: they tell the truth on every file system,
    /// also behind the links that Kubernetes swaps.
    pub(crate) async fn reload_on_change(self: Arc<Self>, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            let certificate = self.clone();
            let looking = tokio::task::spawn_blocking(move || certificate.reload_if_changed());
            match looking.await {
                Ok(Ok(true)) => tracing::info!(file = %self.files.certificate.display(), "new certificate in use"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%error, reason, "the changed certificate is not used; the old one stays");
                }
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }

    /// Takes the files' certificate if they have changed since the last look. Says whether it did.
    pub(super) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let contents = match read(&self.files) {
            Ok(contents) => contents,
            // Between two renames a file may be missing for a moment; one that stays away changes nothing.
            Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if *seen == contents {
            return Ok(false);
        }
        let key = certified_key(&self.files, &contents);
        *seen = contents;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = key?;
        Ok(true)
    }
}

/// What the next handshake uses.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
    Ok(Contents { certificate: read(&files.certificate)?, key: read(&files.key)? })
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |source| TlsError::Pem { path: path.to_owned(), expected: "certificate", source };
    let contents = std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        let refused = |source| TlsError::Authority { path: path.to_owned(), source };
        authorities.add(certificate.map_err(unusable)?).map_err(refused)?;
    }
    if authorities.is_empty() {
        return Err(unusable(pem::Error::NoItemsFound));
    }
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).allow_unauthenticated().build();
    verifier.map_err(|error| TlsError::Setup(rustls::Error::General(error.to_string())))
}

fn certified_key(files: &TlsFiles, contents: &Contents) -> Result<Arc<CertifiedKey>, TlsError> {
    let unusable = |path: &Path, expected| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, expected, source }
    };
    let chain = CertificateDer::pem_slice_iter(&contents.certificate).collect::<Result<Vec<_>, _>>();
    let chain = match chain {
        Ok(chain) if chain.is_empty() => Err(pem::Error::NoItemsFound),
        chain => chain,
    };
    let chain = chain.map_err(unusable(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(unusable(&files.key, "private key"))?;
    let pair = CertifiedKey::from_der(chain, key, &ring::default_provider());
    let mismatch = |source| TlsError::Pair { certificate: files.certificate.clone(), key: files.key.clone(), source };
    Ok(Arc::new(pair.map_err(mismatch)?))
}
