//! One registry, as artifacts are read from and written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex};
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncWrite;

use super::layers::{digest_of, hex_of};
use super::{ArtifactReference, OciError, auth};

/// Bytes of a manifest; registries take no larger ones either.
pub(super) const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// How long a registry may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a login is good if the registry does not say, in seconds.
const TOKEN_SECONDS: usize = 300;

/// The registry that a reference names.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
    is_plain: bool,
}

/// A manifest as it was read.
pub(super) struct RawManifest {
    pub(super) bytes: Bytes,
    /// Of the bytes.
    pub(super) digest: String,
}

impl Registry {
    /// Asked with TLS, unless it is on this machine or `insecure` says that it speaks plain HTTP.
    pub fn of(reference: &ArtifactReference, insecure: bool) -> Result<Self, OciError> {
        // The rest of the host names the provider at each place; this client asks for that of the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_plain = insecure || reference.is_loopback();
        let config = |accept_invalid_certificates| ClientConfig {
            protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            read_timeout: Some(READ_TIMEOUT),
            connect_timeout: Some(CONNECT_TIMEOUT),
            default_token_expiration_secs: TOKEN_SECONDS,
            accept_invalid_certificates,
            user_agent: concat!("bodega/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config(false)).or_else(|error| match is_plain {
            // There are no certificate authorities, and nothing for them to do.
            true => Client::try_from(config(true)),
            false => Err(error),
        });
        let client = client.map_err(OciError::Client)?;
        Ok(Self { client, auth: auth::credentials(reference.registry()), is_plain })
    }

    /// Reads the manifest that the reference names.
    pub(super) async fn manifest(&self, reference: &ArtifactReference) -> Result<RawManifest, OciError> {
        let accepted = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
        let pulled = self.client.pull_manifest_raw(reference.inner(), &self.auth, &accepted).await;
        let (bytes, _) = pulled.map_err(|error| self.failed(error, reference, "give the manifest"))?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            let max = format!("{MANIFEST_BYTES_MAX} bytes");
            return Err(OciError::TooLarge { what: format!("the manifest of {reference} is"), max });
        }
        let digest = digest_of(&bytes);
        match reference.digest() {
            Some(expected) if expected != digest => {
                Err(OciError::Digest { what: reference.to_string(), digest: expected.to_owned() })
            }
            _ => Ok(RawManifest { bytes, digest }),
        }
    }

    /// The manifest that the reference names, or `None` if there is none.
    pub(super) async fn manifest_if_any(&self, reference: &ArtifactReference) -> Result<Option<RawManifest>, OciError> {
        match self.manifest(reference).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(OciError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What refers to the artifact with this digest.
    pub(super) async fn referrers(&self, pinned: &ArtifactReference, kind: &str) -> Result<OciImageIndex, OciError> {
        let failed = |error| self.failed(error, pinned, "tell its signatures");
        self.client.store_auth_if_needed(pinned.registry(), &self.auth).await;
        self.client.pull_referrers(pinned.inner(), Some(kind)).await.map_err(failed)
    }

    /// Reads a blob into `out`; its digest and size are those of the descriptor, or it is an error.
    pub(super) async fn blob(
        &self,
        reference: &ArtifactReference,
        descriptor: &OciDescriptor,
        out: impl AsyncWrite,
    ) -> Result<(), OciError> {
        let digest = &descriptor.digest;
        if hex_of(digest).is_none() {
            return Err(OciError::DigestKind { digest: digest.clone() });
        }
        let bytes = u64::try_from(descriptor.size).unwrap_or_default();
        // Nobody but the registry is asked: a descriptor may name other places.
        let descriptor = &OciDescriptor { urls: None, ..descriptor.clone() };
        let mut counted = Counted { out: Box::pin(out), left: bytes, is_over: false };
        let pulled = self.client.pull_blob(reference.inner(), descriptor, &mut counted).await;
        let what = || format!("the layer {digest} of {reference}");
        if counted.is_over || (pulled.is_ok() && counted.left > 0) {
            return Err(OciError::Size { what: what(), bytes });
        }
        pulled.map_err(|error| match error {
            OciDistributionError::DigestError(_) => OciError::Digest { what: what(), digest: digest.clone() },
            error => self.failed(error, reference, "give a layer"),
        })
    }

    /// Writes a blob, unless the registry has it.
    pub(super) async fn push_blob(
        &self,
        reference: &ArtifactReference,
        data: Bytes,
        digest: &str,
    ) -> Result<(), OciError> {
        let failed = |error| self.failed(error, reference, "take a layer");
        // Some registries refuse the question rather than to say no.
        if self.client.blob_exists(reference.inner(), digest).await.unwrap_or(false) {
            return Ok(());
        }
        self.client.push_blob(reference.inner(), data, digest).await.map(drop).map_err(failed)
    }

    /// Logs in for writing.
    pub(super) async fn log_in_to_push(&self, reference: &ArtifactReference) -> Result<(), OciError> {
        let operation = oci_client::RegistryOperation::Push;
        let logged_in = self.client.auth(reference.inner(), &self.auth, operation).await;
        logged_in.map(drop).map_err(|error| self.failed(error, reference, "let us log in"))
    }

    /// Writes a manifest.
    pub(super) async fn push_manifest(&self, reference: &ArtifactReference, bytes: Bytes) -> Result<(), OciError> {
        let media_type = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let pushed = self.client.push_manifest_raw(reference.inner(), bytes, media_type).await;
        pushed.map(drop).map_err(|error| self.failed(error, reference, "take the manifest"))
    }

    fn failed(&self, error: OciDistributionError, reference: &ArtifactReference, operation: &str) -> OciError {
        let as_somebody = self.auth != RegistryAuth::Anonymous;
        OciError::of_client(error, reference, operation, as_somebody, self.is_plain)
    }
}

/// Takes no more bytes than were announced.
struct Counted<W> {
    out: Pin<Box<W>>,
    left: u64,
    is_over: bool,
}

impl<W: AsyncWrite> AsyncWrite for Counted<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.len() as u64 > self.left {
            self.is_over = true;
            return Poll::Ready(Err(io::Error::other("more bytes than announced")));
        }
        let written = self.out.as_mut().poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.left -= *count as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.as_mut().poll_shutdown(context)
    }
}
