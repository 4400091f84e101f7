//! The layers of an artifact that is made, each content once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oci_client::manifest::OciDescriptor;
use sha2::{Digest as _, Sha256};

use super::locked::ContentRef;

/// Bytes of content that is in the document itself as well, because some registries take no blobs of no or one byte. As in Spin.
const INLINE_BYTES_MAX: usize = 128;
const SHA256: &str = "sha256:";
const SHA256_DIGITS: usize = 64;

/// Layers, in the order in which they are added.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers(Vec<Layer>);

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) media_type: &'static str,
    pub(super) digest: String,
    pub(super) data: Bytes,
}

/// `sha256:` and the digest of these bytes.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("{SHA256}{}", hex::encode(Sha256::digest(bytes)))
}

/// The 64 digits of a SHA-256 digest, if it is one. They name files, so that nothing else may pass.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest.strip_prefix(SHA256).filter(|hex| hex.len() == SHA256_DIGITS && hex.bytes().all(is_digit))
}

impl Layer {
    pub(super) fn new(media_type: &'static str, data: Bytes) -> Self {
        Self { media_type, digest: digest_of(&data), data }
    }

    /// How the manifest names it.
    pub(super) fn descriptor(&self) -> OciDescriptor {
        OciDescriptor {
            media_type: self.media_type.to_owned(),
            digest: self.digest.clone(),
            // Nothing in memory is that large.
            size: i64::try_from(self.data.len()).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        }
    }

    fn content(&self) -> ContentRef {
        let is_small = self.data.len() <= INLINE_BYTES_MAX;
        ContentRef {
            source: None,
            inline: is_small.then(|| STANDARD.encode(&self.data)),
            digest: Some(self.digest.clone()),
        }
    }
}

impl Layers {
    /// Adds a layer and tells where the content is now.
    pub(super) fn add(&mut self, media_type: &'static str, data: Bytes) -> ContentRef {
        let layer = Layer::new(media_type, data);
        let content = layer.content();
        if !self.0.contains(&layer) {
            self.0.push(layer);
        }
        content
    }

    /// Adds a file's content, unless the document itself has it.
    pub(super) fn add_file(&mut self, media_type: &'static str, data: Bytes) -> ContentRef {
        let content = Self::without_layer(data.clone());
        match content.inline {
            Some(_) => content,
            None => self.add(media_type, data),
        }
    }

    /// Content that comes with an archive.
    pub(super) fn without_layer(data: Bytes) -> ContentRef {
        Layer::new("", data).content()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_vec(self) -> Vec<Layer> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_is_there_once_and_small_files_only_in_the_document() {
        let mut layers = Layers::default();
        let large = Bytes::from(vec![b'x'; INLINE_BYTES_MAX + 1]);
        let one = layers.add("a", large.clone());
        assert_eq!((layers.add("a", large.clone()), layers.len()), (one.clone(), 1));
        assert_eq!(layers.add_file("b", large).inline, None);
        assert_eq!(layers.len(), 2, "another media type is another layer");
        let small = layers.add_file("a", Bytes::from_static(b"hi"));
        assert_eq!((small.inline.as_deref(), layers.len()), (Some("aGk="), 2));
        assert_eq!(
            small.digest.as_deref(),
            Some("sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4")
        );
        // A component is a layer in any case.
        layers.add("a", Bytes::from_static(b"hi"));
        assert_eq!(layers.len(), 3);
    }

    #[test]
    fn a_digest_is_a_plain_name() {
        assert_eq!(hex_of(&digest_of(b"")).map(str::len), Some(64));
        for other in ["sha256:", "sha256:../x", "sha512:00", &digest_of(b"x").to_uppercase(), &"a".repeat(64)] {
            assert_eq!(hex_of(other), None, "{other}");
        }
    }
}
