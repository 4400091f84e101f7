//! Names of artifacts: `registry/repository[:tag][@sha256:...]`.

use std::fmt::Display;
use std::str::FromStr;

use oci_client::Reference;

use super::OciError;

/// May stand before a reference, to tell it from a path.
const SCHEME: &str = "oci://";
/// The tag where none is given.
const LATEST: &str = "latest";

/// The name of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactReference(Reference);

impl ArtifactReference {
    /// The digest of the manifest that is meant; `None` if whatever the tag names is.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// The same repository's artifact with this digest.
    pub fn pinned(&self, digest: &str) -> Self {
        Self(self.0.clone_with_digest(digest.to_owned()))
    }

    /// The same repository's artifact with this tag.
    pub(super) fn tagged(&self, tag: &str) -> Self {
        let (registry, repository) = (self.0.registry().to_owned(), self.0.repository().to_owned());
        Self(Reference::with_tag(registry, repository, tag.to_owned()))
    }

    /// `registry/repository`, as signatures name it.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.0.registry(), self.0.repository())
    }

    /// The last part of the repository's name.
    pub fn name(&self) -> &str {
        let repository = self.0.repository();
        repository.rsplit('/').next().unwrap_or(repository)
    }

    /// The host and port that are asked.
    pub(super) fn registry(&self) -> &str {
        self.0.resolve_registry()
    }

    pub(super) fn inner(&self) -> &Reference {
        &self.0
    }

    /// Whether the registry is on this machine, where nobody else listens in.
    pub(super) fn is_loopback(&self) -> bool {
        let registry = self.registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for ArtifactReference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let parsed = text.strip_prefix(SCHEME).unwrap_or(text).parse::<Reference>();
        let parsed = parsed.map_err(|source| OciError::Reference { text: text.to_owned(), source })?;
        if let Some(digest) = parsed.digest().filter(|digest| super::layers::hex_of(digest).is_none()) {
            return Err(OciError::DigestKind { digest: digest.to_owned() });
        }
        Ok(Self(parsed))
    }
}

impl Display for ArtifactReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a text that is no path of an existing file is meant as a reference: one with `oci://`, a tag, a digest or a registry. This is
/// Spin's rule, except that what ends in `.toml` and has no tag is a path.
pub fn is_probably_reference(text: &str) -> bool {
    if text.starts_with(SCHEME) {
        return true;
    }
    let Ok(reference) = text.parse::<Reference>() else { return false };
    if reference.digest().is_some() || reference.tag() != Some(LATEST) || text.ends_with(":latest") {
        return true;
    }
    // The parser takes Docker's registry where none is given.
    let names_registry = !reference.registry().contains("docker") || text.contains("docker");
    names_registry && !text.ends_with(".toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_paths() {
        for reference in [
            "ghcr.io/bodega-shop/shop",
            "ghcr.io/bodega-shop/shop:0.1.0",
            "localhost:5000/shop",
            "127.0.0.1:5000/team/shop:latest",
            "shop:1",
            "oci://shop",
            "docker.io/library/shop",
            &format!("ghcr.io/shop@sha256:{}", "a".repeat(64)),
        ] {
            assert!(is_probably_reference(reference), "{reference}");
        }
        for path in ["spin.toml", "shop/spin.toml", "./shop", "/srv/shop", "../x", "shop", "shops.d/spin.toml", ""] {
            assert!(!is_probably_reference(path), "{path}");
        }
    }

    #[test]
    fn only_sha256_pins() {
        let long = "b".repeat(64);
        let pinned: ArtifactReference = format!("oci://ghcr.io/x/shop:1@sha256:{long}").parse().unwrap();
        assert_eq!(pinned.digest(), Some(&*format!("sha256:{long}")));
        assert_eq!(pinned.pinned("sha256:0").to_string(), "ghcr.io/x/shop@sha256:0");
        let refused = format!("ghcr.io/x/shop@sha512:{}", "c".repeat(128)).parse::<ArtifactReference>().unwrap_err();
        assert!(refused.to_string().contains("sha256"), "{refused}");
        assert!("Not A Reference".parse::<ArtifactReference>().is_err());
    }

    #[test]
    fn the_own_machine_is_known_by_its_names() {
        let is_loopback = |text: &str| text.parse::<ArtifactReference>().unwrap().is_loopback();
        assert!(is_loopback("localhost:5000/a") && is_loopback("127.0.0.1:1/a") && is_loopback("127.9.9.9:1/a"));
        assert!(!is_loopback("10.0.0.1:5000/a") && !is_loopback("localhost.example.com/a") && !is_loopback("a"));
    }
}
