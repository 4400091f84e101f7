//! Signatures of artifacts by keys, as cosign makes them: either beside the artifact under the tag `sha256-<digest>.sig`, or as a bundle
//! that refers to it.
//!
//! A signature counts if it is by one of the keys, and what it signs names this very manifest by its digest. Transparency logs and
//! certificates are not looked at.

mod bundle;
mod key;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::key::{PublicKey, SigningKey};
use super::layers::{Layer, digest_of, hex_of};
use super::push::image_manifest;
use super::{ArtifactReference, OciError, Registry, media_type};

/// The annotation with the signature of a payload.
const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What a payload says that it is.
const PAYLOAD_TYPE: &str = "cosign container image signature";
/// Bytes of a payload or a bundle.
const DOCUMENT_BYTES_MAX: i64 = 1 << 20;
/// Signatures of one artifact that are looked at.
const SIGNATURES_MAX: usize = 100;

/// A signature that was found good, kept so that it can be verified without the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Evidence {
    /// A payload and its signature.
    Payload { payload: String, signature: String },
    /// A bundle.
    Bundle(String),
}

impl Evidence {
    /// Whether one of the keys has signed the manifest with this digest.
    pub(super) fn is_good(&self, keys: &[PublicKey], digest: &str) -> bool {
        match self {
            Self::Payload { payload, signature } => {
                let signature = STANDARD.decode(signature.trim()).unwrap_or_default();
                let is_signed = || keys.iter().any(|key| key.verifies(payload.as_bytes(), &signature));
                is_signed() && says(payload, digest)
            }
            Self::Bundle(bundle) => bundle::is_good(bundle, keys, digest),
        }
    }
}

/// Whether a payload is about the manifest with this digest.
fn says(payload: &str, digest: &str) -> bool {
    let payload: Value = serde_json::from_str(payload).unwrap_or_default();
    let critical = &payload["critical"];
    critical["type"] == PAYLOAD_TYPE && critical["image"]["docker-manifest-digest"] == digest
}

/// Finds a good signature of the artifact.
pub(super) async fn verify(
    registry: &Registry,
    pinned: &ArtifactReference,
    keys: &[PublicKey],
) -> Result<Evidence, OciError> {
    let digest = pinned.digest().unwrap_or_default();
    let mut found = payloads(registry, pinned).await?;
    let good = |found: &[Evidence]| found.iter().find(|evidence| evidence.is_good(keys, digest)).cloned();
    if let Some(good) = good(&found) {
        return Ok(good);
    }
    let bundles = bundle::all(registry, pinned).await?;
    if let Some(good) = good(&bundles) {
        return Ok(good);
    }
    found.extend(bundles);
    let names: Vec<_> = keys.iter().map(|key| key.path().display().to_string()).collect();
    let problem = match found.len() {
        0 => "it has no signature; sign it with `bodega push --sign KEY` or `cosign sign --key KEY`".to_owned(),
        count => format!("of its {count} signatures, none is by {} for exactly this manifest", names.join(" or ")),
    };
    Err(OciError::Untrusted { reference: pinned.to_string(), problem })
}

/// Where signatures of the artifact are.
fn signatures_of(pinned: &ArtifactReference) -> ArtifactReference {
    let hex = pinned.digest().and_then(hex_of).unwrap_or_default();
    pinned.tagged(&format!("sha256-{hex}.sig"))
}

/// The manifest with the signatures, if there is any.
async fn manifest(registry: &Registry, at: &ArtifactReference) -> Result<Option<OciImageManifest>, OciError> {
    let Some(raw) = registry.manifest_if_any(at).await? else { return Ok(None) };
    let manifest = serde_json::from_slice(&raw.bytes)
        .map_err(|error| OciError::Content(format!("the signatures at {at} are not understood: {error}")))?;
    Ok(Some(manifest))
}

/// The signatures beside the artifact.
async fn payloads(registry: &Registry, pinned: &ArtifactReference) -> Result<Vec<Evidence>, OciError> {
    let at = signatures_of(pinned);
    let Some(manifest) = manifest(registry, &at).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let layers = manifest.layers.iter().filter(|layer| layer.media_type == media_type::SIGNED_PAYLOAD);
    for layer in layers.take(SIGNATURES_MAX) {
        let signature = layer.annotations.as_ref().and_then(|annotations| annotations.get(SIGNATURE_ANNOTATION));
        if let (Some(signature), Some(payload)) = (signature, document(registry, &at, layer).await?) {
            found.push(Evidence::Payload { payload, signature: signature.clone() });
        }
    }
    Ok(found)
}

/// A layer that is a small text.
async fn document(
    registry: &Registry,
    at: &ArtifactReference,
    layer: &OciDescriptor,
) -> Result<Option<String>, OciError> {
    if layer.size > DOCUMENT_BYTES_MAX {
        return Ok(None);
    }
    let mut content = std::io::Cursor::new(Vec::new());
    registry.blob(at, layer, &mut content).await?;
    Ok(String::from_utf8(content.into_inner()).ok())
}

/// Adds a signature of the artifact to those that it has, unless the key has signed it already.
pub(super) async fn sign(registry: &Registry, pinned: &ArtifactReference, key: &SigningKey) -> Result<(), OciError> {
    let digest = pinned.digest().unwrap_or_default();
    let own = [key.public_key()];
    if payloads(registry, pinned).await?.iter().any(|evidence| evidence.is_good(&own, digest)) {
        return Ok(());
    }
    let at = signatures_of(pinned);
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": pinned.repository() },
            "image": { "docker-manifest-digest": digest },
            "type": PAYLOAD_TYPE,
        },
        "optional": null,
    });
    let payload = Bytes::from(payload.to_string());
    let signature = STANDARD.encode(key.sign(&payload)?);
    let layer = Layer::new(media_type::SIGNED_PAYLOAD, payload);
    let mut layers = manifest(registry, &at).await?.map(|manifest| manifest.layers).unwrap_or_default();
    layers.push(OciDescriptor {
        annotations: Some(BTreeMap::from([(SIGNATURE_ANNOTATION.to_owned(), signature)])),
        ..layer.descriptor()
    });
    let contents: Vec<_> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": contents },
    });
    let config = Bytes::from(config.to_string());
    registry.push_blob(&at, layer.data.clone(), &layer.digest).await?;
    registry.push_blob(&at, config.clone(), &digest_of(&config)).await?;
    let manifest = image_manifest(&config, layers, BTreeMap::new());
    let manifest = serde_json::to_vec(&manifest)
        .map_err(|error| OciError::Unpushable(format!("the signature cannot be written: {error}")))?;
    registry.push_manifest(&at, manifest.into()).await
}

#[cfg(test)]
mod tests;
