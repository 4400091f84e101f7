//! `response_json`: what is taken out of the JSON documents of answers, and what is renamed in them.

use super::fields::none;
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::json_edits::{JsonEdits, Pointer, Token};

/// The largest document that is edited, where nothing is said, and the most that may be said: it is kept in memory twice.
const BYTES_MAX: usize = 1 << 20;
const BYTES_MAX_MAX: u64 = 64 << 20;

/// Reads `response_json`; `false` is none.
pub(super) fn json_edits(value: Value<'_>) -> Result<Option<JsonEdits>, ConfigError> {
    if !value.is_table() {
        return none(value);
    }
    let mut table: Table<'_> = value.read()?;
    let remove = table.or_default::<Vec<Value>>("remove")?.into_iter().map(|value| Ok(value.parse(str::parse)?.value));
    let remove: Vec<Pointer> = remove.collect::<Result<_, ConfigError>>()?;
    let mut rename: Vec<(Pointer, String)> = Vec::new();
    for (from, to) in table.optional::<Table>("rename")?.map(Table::into_entries).unwrap_or_default() {
        let pointer: Pointer = from.value.parse().map_err(|problem: String| table.error_at(from.position, problem))?;
        let to: String = to.read()?;
        if let Some(problem) = doubt(&pointer, &to, &remove, &rename) {
            return Err(table.error_at(from.position, problem));
        }
        rename.push((pointer, to));
    }
    if remove.is_empty() && rename.is_empty() {
        return Err(table.error(format!("{table} changes nothing; expected `remove`, `rename` or both")));
    }
    let bytes_max = match table.optional::<Located<u64>>("bytes_max")? {
        None => BYTES_MAX,
        Some(bytes) => {
            let found = usize::try_from(bytes.value).ok().filter(|_| (1..=BYTES_MAX_MAX).contains(&bytes.value));
            let problem = format!("`bytes_max` is out of range; expected 1 to {BYTES_MAX_MAX}");
            found.ok_or_else(|| table.error_at(bytes.position, problem))?
        }
    };
    table.finish()?;
    Ok(Some(JsonEdits::new(&remove, &rename, bytes_max)))
}

/// Why a new name cannot be given.
fn doubt(pointer: &Pointer, to: &str, remove: &[Pointer], rename: &[(Pointer, String)]) -> Option<String> {
    let (last, parent) = pointer.tokens().split_last()?;
    if *last == Token::Each {
        return Some(format!("`{pointer}` would give several members one name; expected the name of one at the end"));
    }
    if remove.contains(pointer) {
        return Some(format!("`{pointer}` is removed and renamed; expected either"));
    }
    let same = rename.iter().find(|(other, name)| {
        name == to && other.tokens().split_last().is_some_and(|(_, others_parent)| others_parent == parent)
    });
    same.map(|(other, _)| format!("`{pointer}` is to be named {to:?}, as `{other}` is; expected different names"))
}
