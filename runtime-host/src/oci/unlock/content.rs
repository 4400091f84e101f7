//! Content and where it goes; JSON as TOML.

use std::path::{Component as PathPart, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::OciError;
use super::super::layers::{digest_of, hex_of};
use super::super::locked::ContentRef;

/// A file of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::oci) struct Placement {
    /// Relative to the folder; made of names only.
    pub(in crate::oci) path: PathBuf,
    pub(in crate::oci) content: Content,
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::oci) enum Content {
    /// This.
    Inline(Vec<u8>),
    /// The blob with this digest.
    Blob(String),
}

pub(in crate::oci) fn placement(path: PathBuf, content: &ContentRef) -> Result<Placement, OciError> {
    let what = || path.display().to_string();
    let digest = content.digest.as_deref();
    if let Some(digest) = digest.filter(|digest| hex_of(digest).is_none()) {
        return Err(OciError::DigestKind { digest: digest.to_owned() });
    }
    let content = match (&content.inline, digest) {
        (Some(inline), digest) => {
            let bytes = STANDARD.decode(inline).map_err(|_| OciError::Content(format!("{} is no base64", what())))?;
            if let Some(digest) = digest.filter(|digest| **digest != digest_of(&bytes)) {
                return Err(OciError::Digest { what: what(), digest: digest.to_owned() });
            }
            Content::Inline(bytes)
        }
        (None, Some(digest)) => Content::Blob(digest.to_owned()),
        (None, None) => return Err(OciError::Content(format!("the content of {} is not in the artifact", what()))),
    };
    Ok(Placement { path, content })
}

/// A path as the document has it, if it stays where it belongs.
pub(super) fn file_path(path: &str) -> Result<PathBuf, OciError> {
    let stays = !path.is_empty()
        && !path.contains(['\0', '\\'])
        && Path::new(path).components().all(|part| matches!(part, PathPart::Normal(_)))
        // What the components leave out: `a//b`, `a/./b`, `a/`.
        && path.split('/').all(|name| !name.is_empty() && name != ".");
    match stays {
        true => Ok(path.into()),
        false => Err(OciError::Content(format!("it has the path {path:?}, which leads elsewhere"))),
    }
}

/// TOML has no null: what is null in JSON is left out.
pub(super) fn toml_of(value: &Value) -> Result<toml::Value, OciError> {
    let numbers = || OciError::Content("it has a number that is too large".to_owned());
    Ok(match value {
        Value::Null => return Err(OciError::Content("it has a null where a value should be".to_owned())),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => return Err(numbers()),
        },
        Value::String(text) => text.clone().into(),
        Value::Array(values) => values.iter().map(toml_of).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            let entries = entries.map(|(key, value)| Ok((key.clone(), toml_of(value)?)));
            entries.collect::<Result<toml::Table, OciError>>()?.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in ["a", "a/b.txt", "a b/ä", "...", "..a"] {
            assert_eq!(file_path(path).unwrap(), Path::new(path));
        }
        for path in
            ["", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "a/./b", "a\\b", "a\0"]
        {
            assert!(file_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn content_is_what_its_digest_says() {
        let content = |inline: Option<&str>, digest: Option<&str>| {
            let reference =
                ContentRef { source: None, inline: inline.map(str::to_owned), digest: digest.map(str::to_owned) };
            placement("a".into(), &reference).map(|placement| placement.content)
        };
        let digest = digest_of(b"hi");
        assert_eq!(content(Some("aGk="), Some(&digest)).unwrap(), Content::Inline(b"hi".to_vec()));
        assert_eq!(content(Some("aGk="), None).unwrap(), Content::Inline(b"hi".to_vec()));
        assert_eq!(content(None, Some(&digest)).unwrap(), Content::Blob(digest.clone()));
        assert!(matches!(content(Some("aG8="), Some(&digest)), Err(OciError::Digest { .. })));
        assert!(matches!(content(None, Some("sha256:../../x")), Err(OciError::DigestKind { .. })));
        assert!(content(None, None).is_err() && content(Some("?"), None).is_err());
    }
}
