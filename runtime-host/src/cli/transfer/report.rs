//! What the application tells of an import: a line for each row that it did not take, and its counts at the end.

use std::fmt;
use std::ops::AddAssign;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Bytes that a line of a report may have; the application cuts short what it quotes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What the application did with the rows.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) imported: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
    /// Rows of a dry run that the application did not check later ones against.
    #[serde(default)]
    pub(super) forgotten: u64,
}

/// A row that was not taken.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct BadRow {
    pub(super) line: u64,
    pub(super) reason: String,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { imported, updated, unchanged, failed, .. } = self;
        write!(f, "imported {imported}, updated {updated}, unchanged {unchanged}, failed {failed}")
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.imported += other.imported;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        self.forgotten += other.forgotten;
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    BadRow(BadRow),
    Last {
        #[serde(flatten)]
        totals: Totals,
        problem: Option<Problem>,
    },
}

/// Why the application stopped before the end of the file.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

/// Reads a report to its end. Each bad row is told as it comes, and the counts are added to `totals`.
pub(super) async fn read(
    mut report: impl AsyncBufRead + Unpin,
    totals: &mut Totals,
    mut tell: impl FnMut(BadRow),
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut report).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.context("the report broke off")?;
        if line.is_empty() {
            bail!("the report broke off");
        }
        match serde_json::from_slice(&line).context("the application's report is none of an import")? {
            Line::BadRow(row) => tell(row),
            Line::Last { totals: counts, problem } => {
                *totals += counts;
                let Some(Problem { title, detail }) = problem else { return Ok(()) };
                bail!("the application stopped: {}", detail.unwrap_or(title));
            }
        }
    }
}

#[cfg(test)]
mod tests;
