//! Which values of a document are meant: JSON pointers (RFC 6901) in which `*` stands for every element or member.

use std::fmt::{self, Display};
use std::str::FromStr;

/// The most steps into a document: each one is a pass over what it leads into.
const TOKENS_MAX: usize = 16;

/// Values that are somewhere in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Pointer(Vec<Token>);

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Token {
    /// Every member or element.
    Each,
    /// The member with this name, or the element with this number.
    Of(String),
}

impl Token {
    pub(super) fn is_member(&self, key: &str) -> bool {
        match self {
            Self::Each => true,
            Self::Of(name) => name == key,
        }
    }

    pub(super) fn is_index(&self, index: usize) -> bool {
        match self {
            Self::Each => true,
            // As it is written: `01` is no index.
            Self::Of(name) => name.starts_with(|first: char| first.is_ascii_digit()) && *name == index.to_string(),
        }
    }
}

impl Pointer {
    pub(in crate::gateway) fn tokens(&self) -> &[Token] {
        &self.0
    }
}

impl From<Vec<Token>> for Pointer {
    fn from(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = text.strip_prefix('/').ok_or_else(|| {
            format!("{text:?} is no pointer to a part of a document; expected one such as \"/items/*/cost\"")
        })?;
        let token = |text: &str| {
            let escapes = text.split('~').skip(1);
            if escapes.into_iter().any(|rest| !rest.starts_with(['0', '1'])) {
                return Err(format!("{text:?} has a `~` that is none; write `~0` for `~` and `~1` for `/`"));
            }
            Ok(if text == "*" { Token::Each } else { Token::Of(text.replace("~1", "/").replace("~0", "~")) })
        };
        let tokens = tokens.split('/').map(token).collect::<Result<Vec<_>, _>>()?;
        if tokens.len() > TOKENS_MAX {
            return Err(format!("{text:?} leads too deep; expected at most {TOKENS_MAX} steps"));
        }
        Ok(Self(tokens))
    }
}

impl Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            match token {
                Token::Each => f.write_str("/*")?,
                Token::Of(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?,
            }
        }
        Ok(())
    }
}
