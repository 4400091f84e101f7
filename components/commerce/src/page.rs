//! Keyset paging: a page ends with an opaque cursor that names the last row, so that no page is ever
//! counted through and rows that come or go in between shift nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest cursor that is read, in bytes.
const CURSOR_BYTES_MAX: usize = 1024;

/// How many rows a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// When nothing is asked for.
    pub const DEFAULT: Self = Self(24);
    /// The largest page.
    pub const MAX: Self = Self(100);

    /// The number of rows.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(rows: u32) -> Result<Self, String> {
        match rows {
            1.. if rows <= Self::MAX.0 => Ok(Self(rows)),
            _ => Err(format!("limit is 1 to {}, not {rows}", Self::MAX.0)),
        }
    }
}

/// Where a page ended: the sort it belongs to and the sort key of its last row.
///
/// The sort is part of the cursor, so that a cursor of another list is refused and never misread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor<K> {
    /// The order of the list that the cursor belongs to.
    pub sort: String,
    /// The sort key of the last row.
    pub after: K,
}

/// The text is not a cursor of this list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to this list; start again without it")]
pub struct CursorError;

impl<K: Serialize + DeserializeOwned> Cursor<K> {
    /// URL-safe text.
    pub fn encode(&self) -> String {
        // Keys are numbers and texts, which always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what [`Cursor::encode`] wrote for the same sort.
    pub fn decode(text: &str, sort: &str) -> Result<Self, CursorError> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err(CursorError);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let cursor: Self = serde_json::from_slice(&json).map_err(|_| CursorError)?;
        if cursor.sort == sort { Ok(cursor) } else { Err(CursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cursors_of_other_lists_and_garbage_are_refused() {
        let text = Cursor { sort: "price".into(), after: (1999, 7) }.encode();
        assert!(Cursor::<(i64, i64)>::decode(&text, "price").is_ok());
        assert_eq!(Cursor::<(i64, i64)>::decode(&text, "-price"), Err(CursorError));
        assert_eq!(Cursor::<(String, i64)>::decode(&text, "price"), Err(CursorError));
        for garbage in ["", "!!", "AAAA", &"A".repeat(CURSOR_BYTES_MAX + 1)] {
            assert_eq!(Cursor::<(i64, i64)>::decode(garbage, "price"), Err(CursorError));
        }
    }

    #[test]
    fn edges_of_a_limit() {
        assert!(Limit::try_from(0).is_err());
        assert_eq!(Limit::try_from(100), Ok(Limit::MAX));
        assert!(Limit::try_from(101).is_err());
    }

    proptest! {
        #[test]
        fn text_and_back(key in "\\PC{0,80}", row in any::<i64>()) {
            let cursor = Cursor { sort: "name".into(), after: (key, row) };
            prop_assert_eq!(Cursor::decode(&cursor.encode(), "name").unwrap(), cursor);
        }
    }
}
