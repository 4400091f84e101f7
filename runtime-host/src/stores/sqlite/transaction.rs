//! The transaction that a guest keeps open over several calls, and its savepoints.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use super::queue::Request;
use super::raw::{Output, Raw};
use super::session::Session;

/// A guest's transaction over several calls.
pub(super) struct Transaction {
    pub(super) session: Arc<Session>,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    savepoints: Vec<String>,
    /// Whether a SAVEPOINT began it, so that its RELEASE commits.
    pub(super) by_savepoint: bool,
    /// Whether it ran a PRAGMA, which may have deferred the foreign keys.
    pub(super) ran_pragma: bool,
    /// Requests of its handle that came before it was open.
    pub(super) queued: VecDeque<Request>,
}

impl Transaction {
    pub(super) fn new(
        session: Arc<Session>,
        time_max: Duration,
        by_savepoint: bool,
        queued: VecDeque<Request>,
    ) -> Self {
        let since = Instant::now();
        let (savepoints, ran_pragma) = (Vec::new(), false);
        Self { session, since, deadline: since + time_max, savepoints, by_savepoint, ran_pragma, queued }
    }

    /// Where the latest savepoint of this name stands.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.eq_ignore_ascii_case(name))
    }

    pub(super) fn savepoint(&mut self, raw: &Raw, name: String) -> Result<Output, Error> {
        raw.control(&format!("SAVEPOINT {}", quoted(&name)))?;
        self.savepoints.push(name);
        Ok(Output::default())
    }

    pub(super) fn release(&mut self, raw: &Raw, name: &str) -> Result<Output, Error> {
        let position = self.position(name).ok_or_else(|| no_such_savepoint(name))?;
        raw.control(&format!("RELEASE {}", quoted(name)))?;
        self.savepoints.truncate(position);
        Ok(Output::default())
    }

    pub(super) fn rollback_to(&mut self, raw: &Raw, name: &str) -> Result<Output, Error> {
        let position = self.position(name).ok_or_else(|| no_such_savepoint(name))?;
        raw.control(&format!("ROLLBACK TO {}", quoted(name)))?;
        self.savepoints.truncate(position + 1);
        Ok(Output::default())
    }
}

fn no_such_savepoint(name: &str) -> Error {
    Error::Sql(format!("no such savepoint: {name}"))
}

/// A guest's savepoint under a name that the host's own never has.
fn quoted(name: &str) -> String {
    format!("\"guest {}\"", name.replace('"', "\"\""))
}
