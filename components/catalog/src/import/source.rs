//! The rows of the file that is imported, read ahead of what is written.

use std::task::Poll;

use axum::body::BodyDataStream;
use commerce::Currency;
use futures::StreamExt;
use futures::future::poll_fn;
use service::Error;

use super::Job;
use super::draft::{Draft, Mapping};
use super::records::{Record, Records};
use super::report::IgnoredFields;
use super::{BATCH_BYTES_MAX, BATCH_RECORDS};

/// A record as far as it could be read.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) draft: Result<Draft, String>,
    /// The record itself, in a dry run.
    pub(super) text: Option<String>,
}

/// A file on its way in.
pub(super) struct Source {
    file: BodyDataStream,
    records: Records,
    mapping: Mapping,
    currency: Currency,
    /// Whether the records themselves are kept, as a dry run needs them.
    keeps_text: bool,
    state: State,
    /// Rows that were read and are in no batch yet, and the bytes that came since there were none.
    waiting: Vec<Row>,
    waiting_bytes: usize,
    /// Fields that mean nothing to the catalog.
    ignored: IgnoredFields,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Broken,
}

impl Source {
    pub(super) fn new(file: BodyDataStream, job: &Job, currency: Currency) -> Self {
        Self {
            file,
            records: Records::new(job.format),
            mapping: job.mapping.clone(),
            currency,
            keeps_text: job.dry_run,
            state: State::Open,
            waiting: Vec::new(),
            waiting_bytes: 0,
            ignored: IgnoredFields::default(),
        }
    }

    /// Reads until the next batch is there, or the file has ended. Nothing is lost when this is dropped on the way.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        let mut records = Vec::new();
        while self.state == State::Open && !self.is_full() {
            match self.file.next().await {
                Some(Ok(bytes)) => {
                    self.waiting_bytes += bytes.len();
                    self.records.push(&bytes, &mut records);
                }
                Some(Err(_)) => self.state = State::Broken,
                None => {
                    self.records.finish(&mut records);
                    self.state = State::Ended;
                }
            }
            for record in records.drain(..) {
                let row = self.read(record);
                self.waiting.push(row);
            }
            give_way().await;
        }
        // What came before the break is imported as long as it makes whole batches.
        match self.state == State::Broken && !self.is_full() {
            true => Err(Error::BrokenBody),
            false => Ok(()),
        }
    }

    /// The next batch; empty at the end of the file.
    pub(super) fn take(&mut self) -> Vec<Row> {
        let count = BATCH_RECORDS.min(self.waiting.len());
        let rest = self.waiting.split_off(count);
        self.waiting_bytes = self.waiting_bytes * rest.len() / self.waiting.len().max(1);
        std::mem::replace(&mut self.waiting, rest)
    }

    /// The fields that were left out.
    pub(super) fn into_ignored(self) -> IgnoredFields {
        self.ignored
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_RECORDS || (self.waiting_bytes >= BATCH_BYTES_MAX && !self.waiting.is_empty())
    }

    fn read(&mut self, record: Record) -> Row {
        let Record { line, fields } = record;
        let text = match &fields {
            // JSON that was read can be written.
            Ok(fields) if self.keeps_text => serde_json::to_string(fields).ok(),
            _ => None,
        };
        let ignore = |name| self.ignored.add(name);
        let draft = fields.and_then(|fields| Draft::read(fields, &self.mapping, self.currency, ignore));
        Row { line, draft, text }
    }
}

/// Has whatever else can go on do so before this does.
async fn give_way() {
    let mut given = false;
    poll_fn(|cx| match std::mem::replace(&mut given, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
