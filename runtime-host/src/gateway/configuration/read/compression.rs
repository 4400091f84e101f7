//! `compression`: which answers are compressed, and how.

use crate::config_file::{ConfigError, Table, Value, suggestion};
use crate::gateway::compression::{Compression, Encoding};

/// Reads `compression`: `true`, `false` or a table.
pub(super) fn compression(value: Value<'_>) -> Result<Option<Compression>, ConfigError> {
    if !value.is_table() {
        return Ok(value.read::<bool>()?.then(Compression::default));
    }
    let mut table: Table<'_> = value.read()?;
    let usual = Compression::default();
    let encodings = table.optional::<Vec<Value>>("encodings")?;
    let encodings =
        encodings.map(|names| names.into_iter().map(encoding).collect::<Result<Vec<_>, _>>()).transpose()?;
    if encodings.as_ref().is_some_and(Vec::is_empty) {
        let problem = "has no encodings; leave `encodings` out for all, or say `compression = false`";
        return Err(table.error(format!("{table} {problem}")));
    }
    let compression = Compression {
        encodings: encodings.unwrap_or(usual.encodings),
        bytes_min: table.optional("bytes_min")?.unwrap_or(usual.bytes_min),
    };
    table.finish()?;
    Ok(Some(compression))
}

fn encoding(value: Value<'_>) -> Result<Encoding, ConfigError> {
    let found = value.parse(|text| match Encoding::ALL.iter().find(|(name, _)| *name == text) {
        Some((_, encoding)) => Ok(*encoding),
        None => {
            let hint = suggestion(text, Encoding::ALL.iter().map(|(name, _)| *name));
            Err(format!("{text:?} is no way to compress{hint}"))
        }
    })?;
    Ok(found.value)
}
