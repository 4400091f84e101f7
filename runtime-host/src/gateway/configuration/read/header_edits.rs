//! `request_headers` and `response_headers`: what is changed in them.

use super::fields::{header_name, header_value};
use crate::config_file::{ConfigError, Located, Table};
use crate::gateway::header_edits::{HeaderEdits, check_name};

pub(super) fn header_edits(mut table: Table<'_>) -> Result<HeaderEdits, ConfigError> {
    let name = |table: &Table<'_>, name: &Located<String>| {
        let header = header_name(table, name)?;
        check_name(&header).map_err(|problem| table.error_at(name.position, problem))?;
        Ok(header)
    };
    let remove: Vec<Located<String>> = table.or_default("remove")?;
    let rename = table.optional::<Table>("rename")?.map(Table::into_entries).unwrap_or_default();
    let mut edits = HeaderEdits {
        remove: remove.iter().map(|removed| name(&table, removed)).collect::<Result<_, ConfigError>>()?,
        ..HeaderEdits::default()
    };
    for (from, to) in rename {
        let to: Located<String> = to.read()?;
        edits.rename.push((name(&table, &from)?, name(&table, &to)?));
    }
    for (key, pairs) in [("set", &mut edits.set), ("add", &mut edits.add)] {
        for (header, value) in table.optional::<Table>(key)?.map(Table::into_entries).unwrap_or_default() {
            let value: Located<String> = value.read()?;
            pairs.push((name(&table, &header)?, header_value(&table, &value)?));
        }
    }
    table.finish()?;
    Ok(edits)
}
