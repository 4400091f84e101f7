//! Importing: any number of records in a stream, written in bounded batches. A bad record is reported by its
//! line and reason and stops none of the others.

mod apply;
mod draft;
mod records;
pub(crate) mod report;
mod unwritten;

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use commerce::{rfc3339, unix_ms};
use futures::StreamExt;
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
use report::{BadRow, Totals};
use unwritten::{Reading, Unwritten};

/// Records that one transaction writes at most.
pub(crate) const BATCH_RECORDS: usize = 250;

/// What an import is to do.
pub(crate) struct Job {
    pub(crate) format: Format,
    pub(crate) mapping: Mapping,
    /// Tells what an import would do and writes nothing.
    pub(crate) dry_run: bool,
    pub(crate) actor: String,
}

/// An import on its way through a file.
pub(crate) struct Import {
    app: Arc<App>,
    job: Job,
    file: BodyDataStream,
    records: Records,
    /// Records that were read and are in no batch yet.
    waiting: Vec<Record>,
    is_read: bool,
    /// Empty unless this is a dry run.
    unwritten: Unwritten,
    totals: Totals,
}

/// A record as far as it could be read.
struct Row {
    line: u64,
    draft: Result<Draft, String>,
    /// The record itself, in a dry run.
    text: Option<String>,
}

impl Import {
    /// An import of the file that `body` is.
    pub(crate) fn new(app: Arc<App>, job: Job, body: Body) -> Self {
        Self {
            file: body.into_data_stream(),
            records: Records::new(job.format),
            waiting: Vec::new(),
            is_read: false,
            unwritten: Unwritten::default(),
            totals: Totals { dry_run: job.dry_run, ..Totals::default() },
            app,
            job,
        }
    }

    /// Works on the next batch and gives its bad rows by their lines; `None` when there is no more. What the batches
    /// before a failure wrote stays written.
    async fn next(&mut self) -> Result<Option<Vec<BadRow>>, Error> {
        while self.waiting.len() < BATCH_RECORDS && !self.is_read {
            match self.file.next().await {
                Some(chunk) => self.records.push(&chunk.map_err(|_| Error::BrokenBody)?, &mut self.waiting),
                None => {
                    self.records.finish(&mut self.waiting);
                    self.is_read = true;
                }
            }
        }
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let records = self.waiting.drain(..BATCH_RECORDS.min(self.waiting.len())).collect();
        self.take(records).await.map(Some)
    }

    async fn take(&mut self, records: Vec<Record>) -> Result<Vec<BadRow>, Error> {
        let rows: Vec<Row> = records.into_iter().map(|record| self.read(record)).collect();
        let rows_read = rows.len() as u64;
        let (mut batch, transaction) = self.begin(&rows).await?;
        let (mut bad_rows, mut taken) = (Vec::new(), Vec::new());
        for Row { line, draft, text } in rows {
            match draft.and_then(|draft| batch.apply(draft)) {
                Ok(product) => taken.extend(text.map(|text| (product, text))),
                Err(reason) => bad_rows.push(BadRow::new(line, reason)),
            }
        }
        let outcome = batch.finish();
        match transaction {
            Some(transaction) => {
                categories::add(&transaction, &outcome.new_categories).await?;
                let cause = Cause { actor: &self.job.actor, reason: "import" };
                save(&transaction, &outcome.edited, &outcome.taxonomy, &cause).await?;
                transaction.commit().await?;
            }
            None => self.totals.forgotten += self.unwritten.keep(&outcome, taken),
        }
        self.totals.rows += rows_read;
        self.totals.imported += outcome.imported;
        self.totals.updated += outcome.updated;
        self.totals.unchanged += outcome.unchanged;
        self.totals.failed += bad_rows.len() as u64;
        Ok(bad_rows)
    }

    fn read(&mut self, record: Record) -> Row {
        let Record { line, fields } = record;
        let text = match &fields {
            // JSON that was read can be written.
            Ok(fields) if self.job.dry_run => serde_json::to_string(fields).ok(),
            _ => None,
        };
        let ignore = |name| self.totals.ignore(name);
        let draft = fields.and_then(|fields| Draft::read(fields, &self.job.mapping, self.app.currency, ignore));
        Row { line, draft, text }
    }

    /// The products that the rows could be about, and the transaction that writes them unless this is a dry run.
    async fn begin(&mut self, rows: &[Row]) -> Result<(Batch, Option<sql::Transaction>), Error> {
        let mut keys = apply::keys(rows.iter().filter_map(|row| row.draft.as_ref().ok()));
        self.unwritten.widen(&mut keys);
        let transaction = self.app.database.begin().await?;
        let mut taxonomy = categories::load(&transaction).await?;
        let stored = load(&transaction, &keys).await?;
        // A dry run holds no writer up while it computes.
        let transaction = Some(transaction).filter(|_| !self.job.dry_run);
        self.unwritten.grow(&mut taxonomy);
        let now = rfc3339(unix_ms());
        let mut batch = Batch::new(taxonomy, self.app.currency, now.clone());
        let reading = Reading { mapping: &self.job.mapping, currency: self.app.currency, now: &now };
        self.unwritten.fill(&mut batch, stored, &keys, &reading);
        Ok((batch, transaction))
    }
}
