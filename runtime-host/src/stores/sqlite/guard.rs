//! What a guest's SQL may do: everything inside its own database file, nothing outside of it.

use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use super::context::Context;

/// Longest statement, in bytes.
const SQL_BYTES_MAX: i32 = 1 << 20;
/// Longest text, blob or row, in bytes.
const ROW_BYTES_MAX: i32 = 32 << 20;
/// Longest LIKE or GLOB pattern, in bytes; matching may take the square of it.
const LIKE_PATTERN_BYTES_MAX: i32 = 1_000;
/// Nesting of triggers.
const TRIGGER_DEPTH_MAX: i32 = 100;

/// PRAGMAs that only tell something, whatever their argument.
const TELLING_PRAGMAS: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "page_count",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];
/// PRAGMAs that change the content of the file, as other statements do, or one transaction.
const WRITING_PRAGMAS: &[&str] =
    &["application_id", "defer_foreign_keys", "incremental_vacuum", "optimize", "user_version"];
/// PRAGMAs that may be asked but not set.
const ASKED_PRAGMAS: &[&str] = &[
    "auto_vacuum",
    "encoding",
    "foreign_keys",
    "journal_mode",
    "max_page_count",
    "page_size",
    "recursive_triggers",
    "synchronous",
];
/// PRAGMAs that tune a connection of one's own. They do nothing here, so that code which sets them runs.
const IGNORED_PRAGMAS: &[&str] = &[
    "analysis_limit",
    "busy_timeout",
    "cache_size",
    "journal_size_limit",
    "mmap_size",
    "temp_store",
    "wal_autocheckpoint",
];

const NO_TEMP: &str = "TEMP tables, views and triggers, because guests share the host's connections";

/// Sets the bounds and installs the check of every statement that is prepared.
pub(super) fn install(connection: &mut rusqlite::Connection, context: Arc<Context>) -> rusqlite::Result<()> {
    // VACUUM needs one attached database; the host raises this while it runs one.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LIKE_PATTERN_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, TRIGGER_DEPTH_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.authorizer(Some(move |request: AuthContext<'_>| {
        if context.is_host() {
            return Authorization::Allow;
        }
        match judge(&request) {
            Ok(authorization) => authorization,
            Err(reason) => {
                context.deny(reason);
                Authorization::Deny
            }
        }
    }))
}

fn judge(request: &AuthContext<'_>) -> Result<Authorization, String> {
    match &request.action {
        AuthAction::Pragma { pragma_name, pragma_value } => judge_pragma(pragma_name, *pragma_value),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Err("a database is all that a connection reaches, ATTACH and DETACH are off".into())
        }
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Err("load_extension()".into())
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Err("BEGIN, COMMIT, ROLLBACK, SAVEPOINT and RELEASE are statements of their own".into())
        }
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => Err(NO_TEMP.into()),
        AuthAction::CreateIndex { .. }
        | AuthAction::CreateTable { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateVtable { .. }
            if request.database_name == Some("temp") =>
        {
            Err(NO_TEMP.into())
        }
        AuthAction::Unknown { code, .. } => Err(format!("action {code}")),
        _ => Ok(Authorization::Allow),
    }
}

fn judge_pragma(name: &str, value: Option<&str>) -> Result<Authorization, String> {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    let listed = |list: &[&str]| list.contains(&name);
    if listed(TELLING_PRAGMAS) || listed(WRITING_PRAGMAS) || (listed(ASKED_PRAGMAS) && value.is_none()) {
        return Ok(Authorization::Allow);
    }
    if listed(IGNORED_PRAGMAS) {
        return Ok(Authorization::Ignore);
    }
    match (name, value.map(str::to_ascii_lowercase).as_deref()) {
        // What already holds may be asked for.
        ("foreign_keys", Some("on" | "1" | "true" | "yes")) | ("journal_mode", Some("wal")) => {
            Ok(Authorization::Ignore)
        }
        (_, Some(value)) => Err(format!("PRAGMA {name} = {value}")),
        (_, None) => Err(format!("PRAGMA {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pragmas_are_sorted_into_harmless_tuning_and_refused() {
        assert_eq!(judge_pragma("Table_Info", Some("t")), Ok(Authorization::Allow));
        assert_eq!(judge_pragma("user_version", Some("3")), Ok(Authorization::Allow));
        assert_eq!(judge_pragma("synchronous", None), Ok(Authorization::Allow));
        assert_eq!(judge_pragma("cache_size", Some("-1000000")), Ok(Authorization::Ignore));
        assert_eq!(judge_pragma("journal_mode", Some("WAL")), Ok(Authorization::Ignore));
        assert_eq!(judge_pragma("synchronous", Some("off")), Err("PRAGMA synchronous = off".into()));
        assert_eq!(judge_pragma("journal_mode", Some("delete")), Err("PRAGMA journal_mode = delete".into()));
        assert_eq!(judge_pragma("foreign_keys", Some("off")), Err("PRAGMA foreign_keys = off".into()));
        assert_eq!(judge_pragma("database_list", None), Err("PRAGMA database_list".into()));
        assert_eq!(judge_pragma("writable_schema", Some("1")), Err("PRAGMA writable_schema = 1".into()));
    }
}
