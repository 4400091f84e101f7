//! What a statement is, seen from its first words, and what is remembered of the statements that were run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Statements that are remembered per database.
const STATEMENTS_MAX: usize = 1_024;
/// Length of SQL up to which a statement is remembered and kept prepared, in bytes.
pub(super) const KEPT_SQL_BYTES_MAX: usize = 16 << 10;
/// Strikes from which a statement goes to a reader thread at once.
const STRIKES_LONG: u8 = 4;

/// What a statement asks for. Transaction control is never handed to SQLite as the guest wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// No statement at all.
    Empty,
    /// SELECT, INSERT, CREATE, ...: preparing it tells whether it writes.
    Plain,
    /// INSERT, UPDATE, DELETE, REPLACE, or WITH before one of them: sets `changes()`.
    Change,
    /// A PRAGMA, which may act when it is prepared.
    Pragma,
    /// VACUUM, which runs outside of any transaction.
    Vacuum,
    /// BEGIN.
    Begin {
        /// Whether the write lock is wanted now.
        immediate: bool,
    },
    /// COMMIT or END.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT with its name.
    Savepoint(String),
    /// RELEASE with the savepoint's name.
    Release(String),
    /// ROLLBACK TO with the savepoint's name.
    RollbackTo(String),
}

impl Kind {
    /// Reads the first words. Whatever is not exactly transaction control is `Plain`: SQLite finds its faults when it is
    /// prepared, and the guard refuses transaction control there.
    pub fn of(sql: &str) -> Self {
        let mut words = Words(sql);
        let Some(first) = words.next() else { return Self::Empty };
        let is = |word: &str| first.eq_ignore_ascii_case(word);
        let kind = if is("insert") || is("update") || is("delete") || is("replace") || is("with") {
            return Self::Change;
        } else if is("pragma") {
            return Self::Pragma;
        } else if is("begin") {
            let immediate = words.accept("immediate") || words.accept("exclusive");
            let _ = immediate || words.accept("deferred");
            words.accept("transaction");
            Self::Begin { immediate }
        } else if is("commit") || is("end") {
            words.accept("transaction");
            Self::Commit
        } else if is("savepoint") {
            Self::Savepoint(words.name())
        } else if is("release") {
            words.accept("savepoint");
            Self::Release(words.name())
        } else if is("rollback") {
            words.accept("transaction");
            if words.accept("to") {
                words.accept("savepoint");
                Self::RollbackTo(words.name())
            } else {
                Self::Rollback
            }
        } else if is("vacuum") {
            words.accept("main");
            Self::Vacuum
        } else {
            return Self::Plain;
        };
        let unfinished =
            matches!(&kind, Self::Savepoint(name) | Self::Release(name) | Self::RollbackTo(name) if name.is_empty());
        if unfinished || words.next().is_some() { Self::Plain } else { kind }
    }

    /// Whether SQLite runs it as the guest wrote it, inside or outside of a transaction.
    pub fn is_for_sqlite(&self) -> bool {
        matches!(self, Self::Plain | Self::Change | Self::Pragma)
    }
}

/// The words of a SQL text: runs of name characters, quoted names whole, any other character by itself.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// The next name without its quotes; empty at the end.
    fn name(&mut self) -> String {
        let word = self.next().unwrap_or_default();
        match word.as_bytes() {
            [open @ (b'"' | b'\'' | b'`'), .., close] if open == close => {
                let quote = char::from(*open);
                word[1..word.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string())
            }
            [b'[', .., b']'] => word[1..word.len() - 1].to_owned(),
            _ => word.to_owned(),
        }
    }

    /// Takes the next word if it is this one.
    fn accept(&mut self, word: &str) -> bool {
        let before = self.0;
        let found = self.next().is_some_and(|next| next.eq_ignore_ascii_case(word));
        if !found {
            self.0 = before;
        }
        found
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r', '\x0c', '\u{feff}', ';']);
            self.0 = if let Some(comment) = rest.strip_prefix("--") {
                comment.split_once('\n').map_or("", |(_, after)| after)
            } else if let Some(comment) = rest.strip_prefix("/*") {
                comment.split_once("*/").map_or("", |(_, after)| after)
            } else {
                self.0 = rest;
                return;
            };
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.skip_blank();
        let first = self.0.chars().next()?;
        let end = match first {
            '"' | '\'' | '`' => {
                // A doubled quote stands for itself inside.
                let mut end = first.len_utf8();
                loop {
                    match self.0[end..].find(first) {
                        None => break self.0.len(),
                        Some(at) if self.0[end + at + 1..].starts_with(first) => end += at + 2,
                        Some(at) => break end + at + 1,
                    }
                }
            }
            '[' => self.0.find(']').map_or(self.0.len(), |at| at + 1),
            _ => {
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
                self.0.find(|c| !name(c)).filter(|end| *end > 0).unwrap_or(if name(first) {
                    self.0.len()
                } else {
                    first.len_utf8()
                })
            }
        };
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

/// What is remembered of one statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// Whether it only reads.
    pub(super) reads: bool,
    columns: Mutex<Arc<[String]>>,
    /// How long it tends to run: long runs add, short ones subtract, so that one slow run does not brand it for ever.
    strikes: AtomicU8,
}

impl Statement {
    pub(super) fn is_long(&self) -> bool {
        self.strikes.load(Ordering::Relaxed) >= STRIKES_LONG
    }

    /// A run was stopped because it took too long to be run inline.
    pub(super) fn ran_long(&self) {
        self.strikes.store((self.strikes.load(Ordering::Relaxed) + 2).min(2 * STRIKES_LONG), Ordering::Relaxed);
    }

    /// A run was short enough to be run inline.
    pub(super) fn ran_short(&self) {
        let strikes = self.strikes.load(Ordering::Relaxed);
        if strikes > 0 {
            self.strikes.store(strikes - 1, Ordering::Relaxed);
        }
    }

    /// The shared names of the columns, renewed when a change of schema changed them.
    pub(super) fn columns(&self, prepared: &rusqlite::Statement<'_>) -> Arc<[String]> {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let count = prepared.column_count();
        if columns.len() != count || (0..count).any(|index| prepared.column_name(index).ok() != Some(&columns[index])) {
            *columns = column_names(prepared);
        }
        columns.clone()
    }
}

/// The names of the columns of a prepared statement.
pub(super) fn column_names(prepared: &rusqlite::Statement<'_>) -> Arc<[String]> {
    prepared.column_names().map(str::to_owned).collect()
}

/// The statements that were run on a database, by text.
#[derive(Debug, Default)]
pub(super) struct Statements(RwLock<HashMap<Box<str>, Arc<Statement>>>);

impl Statements {
    pub(super) fn get(&self, sql: &str) -> Option<Arc<Statement>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }

    /// Remembers the statement, unless it is too long for that.
    pub(super) fn remember(&self, sql: &str, prepared: &rusqlite::Statement<'_>) -> Arc<Statement> {
        let statement = Arc::new(Statement {
            reads: prepared.readonly(),
            columns: Mutex::new(column_names(prepared)),
            strikes: AtomicU8::new(0),
        });
        if sql.len() <= KEPT_SQL_BYTES_MAX {
            let mut statements = self.0.write().unwrap_or_else(PoisonError::into_inner);
            // A guest that never repeats a statement must not fill the memory; the ones in use come back at once.
            if statements.len() >= STATEMENTS_MAX {
                statements.clear();
            }
            statements.insert(sql.into(), statement.clone());
        }
        statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_tell_the_kind() {
        for (sql, kind) in [
            ("", Kind::Empty),
            (" ; -- nothing\n /* here */", Kind::Empty),
            ("select 1", Kind::Plain),
            ("/* x */ -- y\n;InSeRt INTO t VALUES(1)", Kind::Change),
            ("BEGIN", Kind::Begin { immediate: false }),
            ("begin/**/immediate transaction", Kind::Begin { immediate: true }),
            ("\u{feff}BEGIN DEFERRED", Kind::Begin { immediate: false }),
            ("END TRANSACTION;", Kind::Commit),
            ("rollback", Kind::Rollback),
            ("ROLLBACK TRANSACTION", Kind::Rollback),
            ("ROLLBACK TRANSACTION TO SAVEPOINT a1;", Kind::RollbackTo("a1".into())),
            ("rollback to \"a\"\"b c\"", Kind::RollbackTo("a\"b c".into())),
            ("savepoint [x y]", Kind::Savepoint("x y".into())),
            ("RELEASE SAVEPOINT 'p'", Kind::Release("p".into())),
            ("release `p`", Kind::Release("p".into())),
            ("VACUUM main;", Kind::Vacuum),
            ("VACUUM INTO 'f'", Kind::Plain),
            ("COMMIT; DROP TABLE t", Kind::Plain),
            ("SAVEPOINT", Kind::Plain),
            ("beginning", Kind::Plain),
            ("(select 1)", Kind::Plain),
            ("\"begin\"", Kind::Plain),
            ("savepoint \"", Kind::Savepoint("\"".into())),
        ] {
            assert_eq!(Kind::of(sql), kind, "{sql}");
        }
    }
}
