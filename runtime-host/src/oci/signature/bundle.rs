//! Sigstore's bundles, which newer versions of cosign push: an in-toto statement in a signed envelope (DSSE), as an artifact that refers
//! to the one that it is about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::layers::hex_of;
use super::super::{ArtifactReference, OciError, Registry, media_type};
use super::{Evidence, PublicKey, SIGNATURES_MAX, document, manifest};

/// The kind of statement that a signature is; others attest something else, such as who has built it.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The type of all statements.
const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// All bundles that refer to the artifact.
pub(super) async fn all(registry: &Registry, pinned: &ArtifactReference) -> Result<Vec<Evidence>, OciError> {
    let mut found = Vec::new();
    let referrers = registry.referrers(pinned, media_type::SIGNATURE_BUNDLE).await?;
    let bundles = referrers.manifests.into_iter().filter(|entry| hex_of(&entry.digest).is_some());
    for entry in bundles.take(SIGNATURES_MAX) {
        let at = pinned.pinned(&entry.digest);
        let Some(manifest) = manifest(registry, &at).await? else { continue };
        for layer in manifest.layers.iter().filter(|layer| layer.media_type == media_type::SIGNATURE_BUNDLE) {
            found.extend(document(registry, &at, layer).await?.map(Evidence::Bundle));
        }
    }
    Ok(found)
}

/// Whether one of the keys has signed the manifest with this digest.
pub(super) fn is_good(bundle: &str, keys: &[PublicKey], digest: &str) -> bool {
    let bundle: Value = serde_json::from_str(bundle).unwrap_or_default();
    let envelope = &bundle["dsseEnvelope"];
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    let (payload, payload_type) = (decoded(&envelope["payload"]), envelope["payloadType"].as_str().unwrap_or_default());
    let message = pre_authentication_encoding(payload_type, &payload);
    let signatures = envelope["signatures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut signatures = signatures.iter().take(SIGNATURES_MAX).map(|signature| decoded(&signature["sig"]));
    let is_signed = signatures.any(|signature| keys.iter().any(|key| key.verifies(&message, &signature)));
    is_signed && payload_type == STATEMENT_TYPE && says(&payload, digest)
}

/// What an envelope's signature is of (DSSE, protocol).
pub(super) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// Whether a statement is a signature of the manifest with this digest.
fn says(statement: &[u8], digest: &str) -> bool {
    let statement: Value = serde_json::from_slice(statement).unwrap_or_default();
    let subjects = statement["subject"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hex = hex_of(digest).unwrap_or_default();
    statement["predicateType"] == SIGNATURE_PREDICATE
        && subjects.iter().any(|subject| subject["digest"]["sha256"] == hex)
}
