//! Importing: any number of records in a stream, written in bounded batches. A bad record is reported by its
//! line and reason and stops none of the others.

mod apply;
mod draft;
mod records;

use std::collections::BTreeSet;

use axum::body::Bytes;
use commerce::{rfc3339, unix_ms};
use futures::{Stream, StreamExt};
use serde::Serialize;
use service::Error;

use crate::app::App;
use crate::store::categories;
use crate::store::products::load;
use crate::store::save::save;
use crate::store::stock::Cause;

use apply::Batch;
use draft::Draft;
pub(crate) use draft::Mapping;
pub(crate) use records::Format;
use records::{Record, Records};

/// Records that one transaction writes at most.
pub(crate) const BATCH_RECORDS: usize = 250;
/// Bad records that a report lists; it counts them all.
pub(crate) const ERRORS_LISTED_MAX: usize = 100;
/// Names of ignored fields that a report lists.
const IGNORED_LISTED_MAX: usize = 50;

/// What an import is to do.
pub(crate) struct Job {
    pub(crate) format: Format,
    pub(crate) mapping: Mapping,
    /// Checks everything against the store as it is and writes nothing.
    pub(crate) dry_run: bool,
    pub(crate) actor: String,
}

/// What an import did. Rows are records of the file; the other counts are products, of which one may have
/// several rows.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    pub(crate) rows: u64,
    pub(crate) imported: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) failed: u64,
    pub(crate) errors: Vec<BadRow>,
    /// Fields that mean nothing to the catalog and were left out.
    pub(crate) ignored_fields: BTreeSet<String>,
}

/// A record that was not imported.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BadRow {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

impl Report {
    fn fail(&mut self, line: u64, reason: String) {
        self.failed += 1;
        if self.errors.len() < ERRORS_LISTED_MAX {
            self.errors.push(BadRow { line, reason });
        }
    }

    fn ignore(&mut self, field: String) {
        if self.ignored_fields.len() < IGNORED_LISTED_MAX {
            self.ignored_fields.insert(field);
        }
    }
}

/// Reads the stream to its end. What the batches before a broken stream wrote stays written.
pub(crate) async fn run<E>(
    app: &App,
    job: &Job,
    stream: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Report, Error> {
    let mut report = Report { dry_run: job.dry_run, ..Report::default() };
    let mut records = Records::new(job.format);
    let mut waiting = Vec::new();
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        records.push(&chunk.map_err(|_| Error::BrokenBody)?, &mut waiting);
        while waiting.len() >= BATCH_RECORDS {
            let batch = waiting.drain(..BATCH_RECORDS).collect();
            import_batch(app, job, batch, &mut report).await?;
        }
    }
    records.finish(&mut waiting);
    while !waiting.is_empty() {
        let batch = waiting.drain(..BATCH_RECORDS.min(waiting.len())).collect();
        import_batch(app, job, batch, &mut report).await?;
    }
    Ok(report)
}

async fn import_batch(app: &App, job: &Job, records: Vec<Record>, report: &mut Report) -> Result<(), Error> {
    let mut drafts = Vec::with_capacity(records.len());
    for Record { line, fields } in records {
        report.rows += 1;
        let draft =
            fields.and_then(|fields| Draft::read(fields, &job.mapping, app.currency, |name| report.ignore(name)));
        match draft {
            Ok(draft) => drafts.push((line, draft)),
            Err(reason) => report.fail(line, reason),
        }
    }
    let transaction = app.database.begin().await?;
    let taxonomy = categories::load(&transaction).await?;
    let loaded = load(&transaction, &apply::keys(drafts.iter().map(|(_, draft)| draft))).await?;
    let mut batch = Batch::new(loaded, taxonomy, app.currency, rfc3339(unix_ms()));
    for (line, draft) in drafts {
        if let Err(reason) = batch.apply(draft) {
            report.fail(line, reason);
        }
    }
    let outcome = batch.finish();
    report.imported += outcome.imported;
    report.updated += outcome.updated;
    report.unchanged += outcome.unchanged;
    if !job.dry_run {
        categories::add(&transaction, &outcome.new_categories).await?;
        let cause = Cause { actor: &job.actor, reason: "import" };
        save(&transaction, &outcome.edited, &outcome.taxonomy, &cause).await?;
        transaction.commit().await?;
    }
    Ok(())
}
