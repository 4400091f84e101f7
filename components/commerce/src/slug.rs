//! The readable key of a page: lower case letters and digits of any script, joined by single hyphens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest slug, in characters.
pub const SLUG_CHARS_MAX: usize = 96;

/// A readable key such as `trail-runner-2`.
///
/// It never looks like a UUID, so that a path segment is either an id or a slug.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// The text is not a slug.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a slug: letters and digits in lower case joined by single hyphens, at most {SLUG_CHARS_MAX}")]
pub struct SlugError(String);

impl Slug {
    /// Makes a slug of a title; `None` when the title holds no letter or digit.
    pub fn from_title(title: &str) -> Option<Self> {
        let mut slug = String::with_capacity(title.len());
        let mut chars = 0;
        for char in title.chars().flat_map(char::to_lowercase) {
            if chars == SLUG_CHARS_MAX {
                break;
            }
            // An apostrophe joins (`women's` is `womens`), everything else that is no letter separates.
            if is_slug_char(char) {
                slug.push(char);
                chars += 1;
            } else if char != '\'' && char != '\u{2019}' && !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
                chars += 1;
            }
        }
        let trimmed = slug.trim_end_matches('-');
        match trimmed {
            "" => None,
            text if uuid::Uuid::try_parse(text).is_ok() => None,
            text => Some(Self(text.to_owned())),
        }
    }

    /// This slug with another part after a hyphen, cut to fit; it tells two equal titles apart.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let keep = SLUG_CHARS_MAX.saturating_sub(suffix.chars().count() + 1);
        let head: String = self.0.chars().take(keep).collect();
        Self::from_title(&format!("{head}-{suffix}")).unwrap_or_else(|| self.clone())
    }

    /// The text of the slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_slug_char(char: char) -> bool {
    // Letters without case (most scripts) count as lower case.
    char.is_alphanumeric() && !char.is_uppercase()
}

impl TryFrom<String> for Slug {
    type Error = SlugError;

    fn try_from(text: String) -> Result<Self, SlugError> {
        match Self::from_title(&text) {
            Some(slug) if slug.0 == text => Ok(slug),
            _ => Err(SlugError(text.chars().take(SLUG_CHARS_MAX).collect())),
        }
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn titles_become_readable_keys() {
        let slug = |title| Slug::from_title(title).map(String::from);
        assert_eq!(slug("Women's Trail Runner (2nd)").as_deref(), Some("womens-trail-runner-2nd"));
        assert_eq!(slug("  Käsebrett, groß ").as_deref(), Some("käsebrett-groß"));
        assert_eq!(slug("茶杯").as_deref(), Some("茶杯"));
        assert_eq!(slug(" !? "), None);
        assert_eq!(slug("0190a3c0-7b5e-7000-8000-000000000000"), None);
    }

    proptest! {
        #[test]
        fn what_is_made_is_accepted(title in "\\PC{0,200}", suffix in "[a-z0-9]{1,40}") {
            if let Some(slug) = Slug::from_title(&title) {
                prop_assert!(Slug::try_from(String::from(slug.clone())).is_ok());
                let longer = slug.with_suffix(&suffix);
                prop_assert!(longer.as_str().chars().count() <= SLUG_CHARS_MAX);
                prop_assert!(Slug::try_from(String::from(longer)).is_ok());
            }
        }
    }
}
