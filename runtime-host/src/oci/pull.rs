//! From a registry to a folder: everything is bounded, verified, and there whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use oci_client::manifest::{OciDescriptor, OciImageManifest};

use super::archive::Inflation;
use super::folder::{Origin, place, sync, usual};
use super::layers::hex_of;
use super::locked::LockedApp;
use super::signature::{PublicKey, verify};
use super::unlock::{self, Content};
use super::{ArtifactReference, OciError, Registry, media_type};

/// Layers of an artifact. Registries take some hundreds.
const LAYERS_MAX: usize = 1_000;
/// Bytes of a layer.
const LAYER_BYTES_MAX: u64 = 512 << 20;
/// Bytes of all layers.
const ARTIFACT_BYTES_MAX: u64 = 2 << 30;
/// Bytes of the locked application.
const LOCKED_APP_BYTES_MAX: u64 = 16 << 20;
/// Layers that are read at once.
const LAYERS_AT_ONCE: usize = 8;
/// What the folder is that blobs are put in before they are verified and get their places.
const BLOBS: &str = ".blobs";
/// What a folder's name begins with that is still filled.
pub(super) const UNFINISHED_PREFIX: &str = ".unfinished-";

/// An artifact of which the manifest has been read, and its signature if one has to be there.
pub(super) struct Artifact<'r> {
    registry: &'r Registry,
    /// By its digest.
    pub(super) reference: ArtifactReference,
    manifest: OciImageManifest,
    pub(super) origin: Origin,
}

/// The code of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The component, or module.
    pub wasm: Vec<u8>,
    /// The artifact, by its digest.
    pub reference: ArtifactReference,
}

/// Puts the artifact into a folder that is not there yet, as an application with its `spin.toml`; tells the artifact by its digest.
pub async fn pull(
    registry: &Registry,
    reference: &ArtifactReference,
    keys: &[PublicKey],
    folder: &Path,
) -> Result<ArtifactReference, OciError> {
    let artifact = Artifact::find(registry, reference, keys).await?;
    artifact.write_to(folder).await?;
    Ok(artifact.reference)
}

/// The code of `component` of an application, or of the one component that a package is.
pub async fn pull_component(
    registry: &Registry,
    reference: &ArtifactReference,
    keys: &[PublicKey],
    component: &str,
) -> Result<Package, OciError> {
    let artifact = Artifact::find(registry, reference, keys).await?;
    let wasm = match artifact.application().await? {
        Some(app) => {
            let found = app.components.iter().find(|locked| locked.id == component).ok_or_else(|| {
                let ids: Vec<_> = app.components.iter().map(|locked| locked.id.as_str()).collect();
                let ids = ids.join(", ");
                OciError::Content(format!("it has no component `{component}`; it has {ids}"))
            })?;
            let placed = unlock::placement(format!("{component}.wasm").into(), &found.source.content)?;
            match placed.content {
                Content::Inline(wasm) => wasm,
                Content::Blob(digest) => artifact.read_layer(artifact.layer(&digest)?).await?,
            }
        }
        None => artifact.read_layer(artifact.package()?).await?,
    };
    Ok(Package { wasm, reference: artifact.reference })
}

impl<'r> Artifact<'r> {
    /// Reads the manifest and, if there are keys, finds a signature by one of them.
    pub(super) async fn find(
        registry: &'r Registry,
        reference: &ArtifactReference,
        keys: &[PublicKey],
    ) -> Result<Self, OciError> {
        let raw = registry.manifest(reference).await?;
        let manifest = parse_manifest(&raw.bytes, reference)?;
        let pinned = reference.pinned(&raw.digest);
        let evidence = match keys {
            [] => None,
            keys => Some(verify(registry, &pinned, keys).await?),
        };
        let origin = Origin { reference: reference.to_string(), digest: raw.digest, evidence };
        Ok(Self { registry, reference: pinned, manifest, origin })
    }

    /// The locked application: the layer for it, or in older artifacts the configuration. `None` for another kind of artifact.
    async fn application(&self) -> Result<Option<LockedApp>, OciError> {
        let mut layers = self.manifest.layers.iter().filter(|layer| layer.media_type == media_type::APPLICATION);
        let (descriptor, is_layer) = match layers.next_back() {
            Some(layer) => (layer, true),
            None => (&self.manifest.config, false),
        };
        if bytes_of(descriptor)? > LOCKED_APP_BYTES_MAX {
            let max = format!("{LOCKED_APP_BYTES_MAX} bytes");
            return Err(OciError::TooLarge { what: "the locked application is".to_owned(), max });
        }
        let document = self.read_layer(descriptor).await?;
        let is_application = || {
            let parsed = serde_json::from_slice::<serde_json::Value>(&document);
            parsed.is_ok_and(|document| document.get("spin_lock_version").is_some())
        };
        match is_layer || is_application() {
            true => unlock::parse(&document).map(Some),
            false => Ok(None),
        }
    }

    /// The one layer of a package.
    fn package(&self) -> Result<&OciDescriptor, OciError> {
        let problem = match self.manifest.layers.as_slice() {
            [layer] if is_wasm(layer) => return Ok(layer),
            [layer] => format!("its only layer is {}", layer.media_type),
            layers => format!("it has {} layers, and none with a locked application", layers.len()),
        };
        Err(OciError::NotAnApplication { reference: self.reference.to_string(), problem })
    }

    fn layer(&self, digest: &str) -> Result<&OciDescriptor, OciError> {
        let found = self.manifest.layers.iter().find(|layer| layer.digest == digest);
        found.ok_or_else(|| OciError::Content(format!("it has no layer with the digest {digest}, which it names")))
    }

    async fn read_layer(&self, descriptor: &OciDescriptor) -> Result<Vec<u8>, OciError> {
        let mut content = std::io::Cursor::new(Vec::new());
        self.registry.blob(&self.reference, descriptor, &mut content).await?;
        Ok(content.into_inner())
    }

    /// Writes the folder aside, and then gives it its name, which nothing may have yet.
    pub(super) async fn write_to(&self, folder: &Path) -> Result<(), OciError> {
        let Some(app) = self.application().await? else {
            self.package()?;
            let reference = self.reference.to_string();
            let problem =
                format!("it is a single component; put it in force with `bodega deploy COMPONENT oci://{reference}`");
            return Err(OciError::NotAnApplication { reference, problem });
        };
        let unlocked = unlock::unlock(&app)?;
        let parent = folder.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(OciError::file(parent, "made"))?;
        let aside = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).permissions(usual(0o777)).tempdir_in(parent);
        let aside = aside.map_err(OciError::file(parent, "written to"))?;
        let blobs = aside.path().join(BLOBS);
        fs::create_dir(&blobs).map_err(OciError::file(&blobs, "made"))?;
        self.fetch(&blobs).await?;
        place(&unlocked, aside.path(), &blobs)?;
        fs::remove_dir_all(&blobs).map_err(OciError::file(&blobs, "removed"))?;
        self.origin.write(aside.path())?;
        sync(aside.path()).map_err(OciError::file(folder, "written"))?;
        fs::rename(aside.path(), folder).map_err(OciError::file(folder, "put in its place"))?;
        // It has another name now.
        _ = aside.keep();
        Ok(())
    }

    /// Reads all layers with content, each into a file named by its digest.
    async fn fetch(&self, blobs: &Path) -> Result<(), OciError> {
        let content = self.manifest.layers.iter().filter(|layer| layer.media_type != media_type::APPLICATION);
        // The same content may be a layer twice.
        let content: BTreeMap<_, _> = content.map(|layer| (&layer.digest, layer)).collect();
        let read = |layer: &'_ OciDescriptor| {
            let (layer, path) = (layer.clone(), blobs.join(hex_of(&layer.digest).unwrap_or_default()));
            async move {
                let file = tokio::fs::File::create(&path).await.map_err(OciError::file(&path, "written"))?;
                self.registry.blob(&self.reference, &layer, file).await
            }
        };
        stream::iter(content.values().map(|layer| read(layer)))
            .buffer_unordered(LAYERS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let mut inflation = Inflation::default();
        for layer in self.manifest.layers.iter().filter(|layer| layer.media_type == media_type::ARCHIVE) {
            let path = blobs.join(hex_of(&layer.digest).unwrap_or_default());
            let archive = fs::File::open(&path).map_err(OciError::file(&path, "read"))?;
            inflation.unpack(std::io::BufReader::new(archive), blobs)?;
        }
        Ok(())
    }
}

fn is_wasm(layer: &OciDescriptor) -> bool {
    [media_type::WASM, media_type::WASM_PACKAGE].contains(&layer.media_type.as_str())
}

fn bytes_of(descriptor: &OciDescriptor) -> Result<u64, OciError> {
    let bytes = u64::try_from(descriptor.size);
    let bytes = bytes.map_err(|_| OciError::Content(format!("a layer has the size {}", descriptor.size)))?;
    if bytes > LAYER_BYTES_MAX {
        let what = format!("the layer {} with {bytes} bytes is", descriptor.digest);
        return Err(OciError::TooLarge { what, max: format!("{LAYER_BYTES_MAX} bytes") });
    }
    Ok(bytes)
}

/// Reads a manifest and checks that its layers are within the bounds, before any of them is asked for.
fn parse_manifest(bytes: &[u8], reference: &ArtifactReference) -> Result<OciImageManifest, OciError> {
    let other = |problem: String| OciError::NotAnApplication { reference: reference.to_string(), problem };
    let manifest: OciImageManifest = serde_json::from_slice(bytes).map_err(|error| {
        let is_index = serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|it| it.get("manifests").is_some());
        other(if is_index {
            "it is an index of images for several platforms".to_owned()
        } else {
            format!("its manifest is not understood: {error}")
        })
    })?;
    if manifest.layers.len() > LAYERS_MAX {
        let what = format!("the artifact with {} layers is", manifest.layers.len());
        return Err(OciError::TooLarge { what, max: format!("{LAYERS_MAX} layers") });
    }
    let mut total = 0_u64;
    for descriptor in manifest.layers.iter().chain([&manifest.config]) {
        if hex_of(&descriptor.digest).is_none() {
            return Err(OciError::DigestKind { digest: descriptor.digest.clone() });
        }
        total = total.saturating_add(bytes_of(descriptor)?);
    }
    if total > ARTIFACT_BYTES_MAX {
        let what = format!("the artifact with {total} bytes is");
        return Err(OciError::TooLarge { what, max: format!("{ARTIFACT_BYTES_MAX} bytes") });
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests;
