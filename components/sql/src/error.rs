//! What can go wrong with a statement.

/// A statement failed, or gave something else than its caller reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not be opened.
    #[error("cannot open the database {label:?}: {source}")]
    Open {
        /// The label of the database.
        label: String,
        /// The host's reason.
        #[source]
        source: spin_sdk::sqlite::Error,
    },
    /// The store refused or failed the statement.
    #[error("{source} in: {statement}")]
    Statement {
        /// The beginning of the statement.
        statement: String,
        /// The host's reason, with SQLite's message.
        #[source]
        source: spin_sdk::sqlite::Error,
    },
    /// A column is missing or of another type.
    #[error("column {column} is not {expected}")]
    Column {
        /// Its index in the row.
        column: usize,
        /// The Rust type that was asked for.
        expected: &'static str,
    },
}

/// How much of a statement an error shows, in characters.
const STATEMENT_SHOWN_MAX: usize = 80;

impl Error {
    pub(crate) fn statement(sql: &str, source: spin_sdk::sqlite::Error) -> Self {
        let words: Vec<&str> = sql.split_whitespace().collect();
        Self::Statement { statement: words.join(" ").chars().take(STATEMENT_SHOWN_MAX).collect(), source }
    }

    /// Whether SQLite's message names this constraint, table column, or `RAISE` text.
    pub fn names(&self, name: &str) -> bool {
        match self {
            Self::Statement { source: spin_sdk::sqlite::Error::Io(message), .. } => message.contains(name),
            _ => false,
        }
    }
}
