//! Importing: any number of records in a stream, written in bounded batches. A bad record is reported by its
//! line and reason and stops none of the others.

mod apply;
mod draft;
mod records;
pub(crate) mod report;
mod source;
mod unwritten;

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use commerce::{rfc3339, unix_ms};
use futures::future::{Either, select};
use service::Error;

use crate::app::App;
use crate::store::categories;
use crate::store::products::load;
use crate::store::save::save;
use crate::store::stock::Cause;

use apply::Batch;
pub(crate) use draft::Mapping;
pub(crate) use records::Format;
use report::{BadRow, Totals};
use source::{Row, Source};
use unwritten::{Reading, Unwritten};

/// Records that one transaction writes at most.
pub(crate) const BATCH_RECORDS: usize = 500;
/// Bytes of the file that make a batch, however few records they are; as many again are read ahead.
const BATCH_BYTES_MAX: usize = 16 << 20;

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
    source: Source,
    writer: Writer,
}

/// The side of an import that writes.
struct Writer {
    app: Arc<App>,
    job: Job,
    /// Empty unless this is a dry run.
    unwritten: Unwritten,
    totals: Totals,
}

impl Import {
    /// An import of the file that `body` is.
    pub(crate) fn new(app: Arc<App>, job: Job, body: Body) -> Self {
        let source = Source::new(body.into_data_stream(), &job, app.currency);
        let totals = Totals { dry_run: job.dry_run, ..Totals::default() };
        Self { source, writer: Writer { app, job, unwritten: Unwritten::default(), totals } }
    }

    /// Works on the next batch and gives its bad rows by their lines; `None` when there is no more. What the batches
    /// before a failure wrote stays written.
    async fn next(&mut self) -> Result<Option<Vec<BadRow>>, Error> {
        let Self { source, writer } = self;
        source.fill().await?;
        let rows = source.take();
        if rows.is_empty() {
            return Ok(None);
        }
        // The database works on one batch while the next is read. What breaks off meanwhile is told by the next call.
        let written = match select(pin!(writer.write(rows)), pin!(source.fill())).await {
            Either::Left((written, _)) => written,
            Either::Right((_, writing)) => writing.await,
        };
        written.map(Some)
    }

    /// What was done so far.
    fn totals(mut self) -> Totals {
        self.writer.totals.ignored_fields = self.source.into_ignored();
        self.writer.totals
    }
}

impl Writer {
    async fn write(&mut self, rows: Vec<Row>) -> Result<Vec<BadRow>, Error> {
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
