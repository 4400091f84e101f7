//! What an import tells: its counts, and the line and reason of every row that it did not take.

use std::collections::BTreeSet;

use axum::body::Bytes;
use futures::Stream;
use futures::stream::unfold;
use serde::Serialize;
use serde_json::Value;
use service::Error;

use super::Import;

/// Bad rows that a report in one piece lists; it counts them all.
pub(crate) const ERRORS_LISTED_MAX: usize = 100;
/// Names of ignored fields that a report lists.
const IGNORED_LISTED_MAX: usize = 50;
/// Longest reason and longest name of a field, in characters: both may quote the file, whose records may be long.
pub(crate) const QUOTED_CHARS_MAX: usize = 500;

/// What an import did. Rows are records of the file; `imported`, `updated` and `unchanged` are products, of which one
/// may have several rows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) dry_run: bool,
    pub(crate) rows: u64,
    pub(crate) imported: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) failed: u64,
    /// Rows of a dry run that later ones were not checked against, for want of room to keep them.
    pub(crate) forgotten: u64,
    /// Fields that mean nothing to the catalog and were left out.
    pub(crate) ignored_fields: IgnoredFields,
}

/// Names of fields, of which the first are kept.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct IgnoredFields(BTreeSet<String>);

impl IgnoredFields {
    pub(super) fn add(&mut self, field: String) {
        if self.0.len() < IGNORED_LISTED_MAX {
            self.0.insert(shortened(field));
        }
    }
}

/// A record that was not imported.
#[derive(Debug, Serialize)]
pub(crate) struct BadRow {
    line: u64,
    reason: String,
}

impl BadRow {
    pub(super) fn new(line: u64, reason: String) -> Self {
        Self { line, reason: shortened(reason) }
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The report in one piece, once the import is done.
pub(crate) async fn whole(mut import: Import) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Whole {
        #[serde(flatten)]
        totals: Totals,
        errors: Vec<BadRow>,
    }
    let mut errors = Vec::new();
    while let Some(bad_rows) = import.next().await? {
        let room = ERRORS_LISTED_MAX - errors.len();
        errors.extend(bad_rows.into_iter().take(room));
    }
    Ok(serde_json::to_string(&Whole { totals: import.totals(), errors })?)
}

/// The report as JSON lines: every bad row as soon as it is found, and the totals last.
///
/// What fails before the first line is an answer of its own; what fails later stands beside the totals as `problem`.
pub(crate) async fn lines(
    mut import: Import,
) -> Result<impl Stream<Item = Result<Bytes, serde_json::Error>> + Send, Error> {
    let first = next_bad(&mut import).await?;
    Ok(unfold(Some((import, Some(first))), |state| async move {
        let (mut import, first) = state?;
        let found = match first {
            Some(first) => Ok(first),
            None => next_bad(&mut import).await,
        };
        match found {
            Ok(Some(bad_rows)) => Some((json_lines(&bad_rows), Some((import, None)))),
            Ok(None) => Some((last_line(import.totals(), None), None)),
            Err(error) => Some((last_line(import.totals(), Some(error.into_problem().to_json())), None)),
        }
    }))
}

/// The bad rows of the next batch that has any.
async fn next_bad(import: &mut Import) -> Result<Option<Vec<BadRow>>, Error> {
    while let Some(bad_rows) = import.next().await? {
        if !bad_rows.is_empty() {
            return Ok(Some(bad_rows));
        }
    }
    Ok(None)
}

fn last_line(totals: Totals, problem: Option<Value>) -> Result<Bytes, serde_json::Error> {
    #[derive(Serialize)]
    struct Last {
        #[serde(flatten)]
        totals: Totals,
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<Value>,
    }
    json_lines(&[Last { totals, problem }])
}

fn json_lines(items: &[impl Serialize]) -> Result<Bytes, serde_json::Error> {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, item)?;
        text.push(b'\n');
    }
    Ok(text.into())
}
