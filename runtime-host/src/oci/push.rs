//! From a locked application to a registry.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use oci_client::config::{Architecture, Config, ConfigFile, Os};
use oci_client::manifest::{IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde_json::Value;

use super::layers::{Layer, digest_of};
use super::signature::{SigningKey, sign};
use super::{ArtifactReference, Locked, OciError, Registry, media_type};

/// The label of the configuration that tells one application from another, as in Spin.
const LOCKED_APP_LABEL: &str = "com.fermyon.spin.lockedAppDigest";
/// The system that Spin says applications are for.
const OPERATING_SYSTEM: &str = "Wasip1";
/// What annotations are made of the application's own words.
const ANNOTATIONS: [(&str, &str); 3] = [
    ("name", "org.opencontainers.image.title"),
    ("version", "org.opencontainers.image.version"),
    ("description", "org.opencontainers.image.description"),
];
const AUTHORS_ANNOTATION: &str = "org.opencontainers.image.authors";

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// By its digest.
    pub reference: ArtifactReference,
    /// All layers, the locked application among them.
    pub layers: usize,
}

/// All that is pushed.
pub(super) struct Image {
    pub(super) layers: Vec<Layer>,
    pub(super) config: Bytes,
    pub(super) manifest: Bytes,
}

/// Pushes the application, and signs it if there is a key. The same application with the same annotations has the same digest.
pub async fn push(
    registry: &Registry,
    reference: &ArtifactReference,
    locked: Locked,
    annotations: BTreeMap<String, String>,
    key: Option<&SigningKey>,
) -> Result<Pushed, OciError> {
    let image = Image::new(locked, annotations)?;
    registry.log_in_to_push(reference).await?;
    for layer in &image.layers {
        registry.push_blob(reference, layer.data.clone(), &layer.digest).await?;
    }
    registry.push_blob(reference, image.config.clone(), &digest_of(&image.config)).await?;
    let pinned = reference.pinned(&digest_of(&image.manifest));
    // What a tag names has to be signed by the time that it does.
    if let Some(key) = key {
        sign(registry, &pinned, key).await?;
    }
    registry.push_manifest(reference, image.manifest).await?;
    Ok(Pushed { reference: pinned, layers: image.layers.len() })
}

impl Image {
    pub(super) fn new(locked: Locked, annotations: BTreeMap<String, String>) -> Result<Self, OciError> {
        let failed =
            |error: serde_json::Error| OciError::Unpushable(format!("the application cannot be locked: {error}"));
        let annotations = all_annotations(&locked, annotations);
        let document = Layer::new(media_type::APPLICATION, serde_json::to_vec(&locked.app).map_err(failed)?.into());
        let labels = HashMap::from([(LOCKED_APP_LABEL.to_owned(), document.digest.clone())]);
        let config = ConfigFile {
            architecture: Architecture::Wasm,
            os: Os::Other(OPERATING_SYSTEM.to_owned()),
            config: Some(Config { labels: Some(labels), ..Config::default() }),
            ..ConfigFile::default()
        };
        let config: Bytes = serde_json::to_vec(&config).map_err(failed)?.into();
        let mut layers = locked.layers.into_vec();
        layers.push(document);
        let manifest = image_manifest(&config, layers.iter().map(Layer::descriptor).collect(), annotations);
        Ok(Self { layers, config, manifest: serde_json::to_vec(&manifest).map_err(failed)?.into() })
    }
}

/// A manifest of these layers, for an image with this configuration.
pub(super) fn image_manifest(
    config: &[u8],
    layers: Vec<OciDescriptor>,
    annotations: BTreeMap<String, String>,
) -> OciImageManifest {
    OciImageManifest {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: OciDescriptor {
            media_type: IMAGE_CONFIG_MEDIA_TYPE.to_owned(),
            digest: digest_of(config),
            size: i64::try_from(config.len()).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        },
        layers,
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..OciImageManifest::default()
    }
}

/// Those given, and for those not given what the application says of itself; no time, so that a second push changes nothing.
fn all_annotations(locked: &Locked, given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let metadata = &locked.app.metadata;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut annotations: BTreeMap<String, String> = BTreeMap::new();
    for (key, annotation) in ANNOTATIONS {
        annotations.extend(text(key).map(|text| (annotation.to_owned(), text)));
    }
    if let Some(authors) = metadata.get("authors").and_then(Value::as_array) {
        let authors: Vec<_> = authors.iter().filter_map(Value::as_str).collect();
        annotations.insert(AUTHORS_ANNOTATION.to_owned(), authors.join(", "));
    }
    annotations.extend(given);
    annotations
}
