//! The SQL of the registry, nothing but.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{Action, Digest, InForce, NewRevision, Recorded, RevisionRecord, RolloutRecord};

/// The version of the schema below, as `user_version` has it.
const SCHEMA_VERSION: i64 = 3;
const SCHEMA: &str = "
    CREATE TABLE revision (
        component TEXT NOT NULL,
        number INTEGER NOT NULL,
        digest TEXT NOT NULL,
        source TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        who TEXT NOT NULL,
        why TEXT NOT NULL,
        settings TEXT NOT NULL,
        is_rolled_back INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (component, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE live (
        component TEXT NOT NULL PRIMARY KEY,
        number INTEGER NOT NULL,
        -- The manifest's own artifact when this was decided.
        base_digest TEXT NOT NULL,
        FOREIGN KEY (component, number) REFERENCES revision (component, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rollout (
        component TEXT NOT NULL PRIMARY KEY,
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        FOREIGN KEY (component, number) REFERENCES revision (component, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE action (
        id INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        who TEXT NOT NULL,
        action TEXT NOT NULL,
        component TEXT NOT NULL,
        why TEXT NOT NULL,
        outcome TEXT NOT NULL
    ) STRICT;
";
/// What version 2 has besides.
const SCHEMA_2: &str = "
    CREATE TABLE migration (
        component TEXT NOT NULL,
        digest TEXT NOT NULL,
        ended_at_ms INTEGER NOT NULL,
        PRIMARY KEY (component, digest)
    ) STRICT, WITHOUT ROWID;
";

/// What version 3 has besides: what a revision was given, and the digest of what the sources gave when what is in force was decided.
/// Both are empty where an earlier version recorded it.
const SCHEMA_3: &str = "
    ALTER TABLE revision ADD COLUMN configuration TEXT NOT NULL DEFAULT '';
    ALTER TABLE live ADD COLUMN sources_digest TEXT NOT NULL DEFAULT '';
";

/// Opens the database; makes it, readable by its owner alone, where it is missing.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite gives its other files the mode of this one. Where it cannot be made, SQLite says why.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
    )?;
    let transaction = database.transaction()?;
    let version: i64 = transaction.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(SCHEMA)?;
    }
    if version < 2 {
        transaction.execute_batch(SCHEMA_2)?;
    }
    if version < SCHEMA_VERSION {
        transaction.execute_batch(SCHEMA_3)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()?;
    Ok(database)
}

pub(super) fn in_force(
    database: &Connection,
    component: &str,
    base: &Digest,
    configuration: &Digest,
) -> rusqlite::Result<InForce> {
    let sql = "SELECT number, digest, source, configuration, base_digest, sources_digest
               FROM live JOIN revision USING (component, number) WHERE component = ?1";
    let read = |row: &Row<'_>| {
        let (number, source, configuration) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let recorded = Recorded { number, digest: digest(row, 1)?, source, configuration };
        Ok((recorded, digest(row, 4)?, row.get::<_, String>(5)?))
    };
    let Some((live, base_then, sources_then)) = database.query_row(sql, [component], read).optional()? else {
        return Ok(InForce::Manifest);
    };
    if base_then != *base {
        return Ok(InForce::ManifestChanged(live));
    }
    let is_as_sources_say =
        live.configuration.is_empty() || Digest::of(live.configuration.as_bytes()) == *configuration;
    let have_sources_changed = !sources_then.is_empty() && sources_then != configuration.as_str();
    Ok(match (is_as_sources_say, have_sources_changed) {
        (true, _) if live.digest == *base => InForce::Manifest,
        (false, true) => InForce::ConfigurationChanged(live),
        _ => InForce::Deployed(live),
    })
}

/// Adds a revision; before the first one of a component, the manifest's own.
pub(super) fn add(transaction: &Transaction<'_>, revision: &NewRevision<'_>, now_ms: i64) -> rusqlite::Result<u32> {
    let latest: u32 = transaction.query_row(
        "SELECT coalesce(max(number), 0) FROM revision WHERE component = ?1",
        [revision.component],
        |row| row.get(0),
    )?;
    let insert = "INSERT INTO revision
                  (component, number, digest, source, created_at_ms, who, why, settings, configuration)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let NewRevision { component, digest, source, who, why, settings, configuration, base, .. } = *revision;
    let mut number = latest + 1;
    if latest == 0 && (base.digest != digest || base.configuration != configuration) {
        let (base_digest, by) = (base.digest.as_str(), super::BY_MANIFEST);
        let row = params![component, number, base_digest, base.source, now_ms, by, "", "{}", base.configuration];
        transaction.execute(insert, row)?;
        number += 1;
    }
    let row = params![component, number, digest.as_str(), source, now_ms, who, why, settings, configuration];
    transaction.execute(insert, row)?;
    Ok(number)
}

/// Notes what the revisions of a component were given that an earlier version of the host has recorded without it: as far as anybody
/// can know by now, what the one in force is given.
pub(super) fn complete(transaction: &Transaction<'_>, component: &str, configuration: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE revision SET configuration = ?2 WHERE component = ?1 AND configuration = ''";
    transaction.execute(sql, [component, configuration]).map(drop)
}

/// Notes which revision is in force; without `base` the manifest's artifact stays the one that was noted.
pub(super) fn set_live(
    transaction: &Transaction<'_>,
    component: &str,
    number: u32,
    base: Option<&Digest>,
) -> rusqlite::Result<()> {
    match base {
        Some(base) => transaction.execute(
            "INSERT INTO live (component, number, base_digest) VALUES (?1, ?2, ?3)
             ON CONFLICT (component) DO UPDATE SET number = excluded.number, base_digest = excluded.base_digest",
            params![component, number, base.as_str()],
        )?,
        None => transaction.execute("UPDATE live SET number = ?2 WHERE component = ?1", params![component, number])?,
    };
    Ok(())
}

/// Notes what the manifest and its sources gave when what is in force was decided.
pub(super) fn set_sources(transaction: &Transaction<'_>, component: &str, digest: &Digest) -> rusqlite::Result<()> {
    let sql = "UPDATE live SET sources_digest = ?2 WHERE component = ?1";
    transaction.execute(sql, params![component, digest.as_str()]).map(drop)
}

pub(super) fn set_rolled_back(
    transaction: &Transaction<'_>,
    component: &str,
    number: u32,
    is_rolled_back: bool,
) -> rusqlite::Result<()> {
    let sql = "UPDATE revision SET is_rolled_back = ?3 WHERE component = ?1 AND number = ?2";
    transaction.execute(sql, params![component, number, is_rolled_back]).map(drop)
}

/// The number of the revision in force, if one is recorded.
pub(super) fn live(database: &Connection, component: &str) -> rusqlite::Result<Option<u32>> {
    database.query_row("SELECT number FROM live WHERE component = ?1", [component], |row| row.get(0)).optional()
}

/// Removes all but the last `kept` revisions of a component, the one in force, and the one `before`.
pub(super) fn forget_old(
    transaction: &Transaction<'_>,
    component: &str,
    before: Option<u32>,
    kept: u32,
) -> rusqlite::Result<()> {
    let sql = "WITH spare AS (
                   SELECT number FROM revision WHERE component = ?1 AND number IS NOT ?2
                   AND number NOT IN (SELECT number FROM live WHERE component = ?1)
                   AND number NOT IN (SELECT number FROM rollout WHERE component = ?1)
               )
               DELETE FROM revision WHERE component = ?1
               AND number IN (SELECT number FROM spare ORDER BY number DESC LIMIT -1 OFFSET ?3)";
    transaction.execute(sql, params![component, before, kept]).map(drop)
}

pub(super) fn set_rollout(
    transaction: &Transaction<'_>,
    component: &str,
    number: u32,
    state: &str,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO rollout (component, number, state) VALUES (?1, ?2, ?3)
               ON CONFLICT (component) DO UPDATE SET number = excluded.number, state = excluded.state";
    transaction.execute(sql, params![component, number, state]).map(drop)
}

/// Removes the rollout of a component; returns which revision it was of.
pub(super) fn remove_rollout(transaction: &Transaction<'_>, component: &str) -> rusqlite::Result<Option<u32>> {
    let sql = "DELETE FROM rollout WHERE component = ?1 RETURNING number";
    transaction.query_row(sql, [component], |row| row.get(0)).optional()
}

/// Removes the rollout of this revision, and no other one.
pub(super) fn remove_rollout_of(transaction: &Transaction<'_>, component: &str, number: u32) -> rusqlite::Result<()> {
    let sql = "DELETE FROM rollout WHERE component = ?1 AND number = ?2";
    transaction.execute(sql, params![component, number]).map(drop)
}

pub(super) fn rollouts(database: &Connection) -> rusqlite::Result<Vec<RolloutRecord>> {
    let mut statement = database.prepare_cached(
        "SELECT component, number, digest, configuration, state FROM rollout JOIN revision USING (component, number)",
    )?;
    let record = |row: &Row<'_>| {
        Ok(RolloutRecord {
            component: row.get(0)?,
            number: row.get(1)?,
            digest: digest(row, 2)?,
            configuration: row.get(3)?,
            state: row.get(4)?,
        })
    };
    statement.query_map((), record)?.collect()
}

pub(super) fn is_migrated(database: &Connection, component: &str, digest: &Digest) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM migration WHERE component = ?1 AND digest = ?2)";
    database.query_row(sql, [component, digest.as_str()], |row| row.get(0))
}

/// Notes a migration; of each component the latest `kept` are remembered.
pub(super) fn migrated(
    transaction: &Transaction<'_>,
    component: &str,
    digest: &Digest,
    now_ms: i64,
    kept: u32,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO migration (component, digest, ended_at_ms) VALUES (?1, ?2, ?3)",
        params![component, digest.as_str(), now_ms],
    )?;
    let forget = "DELETE FROM migration WHERE component = ?1 AND digest NOT IN
                  (SELECT digest FROM migration WHERE component = ?1 ORDER BY ended_at_ms DESC LIMIT ?2)";
    transaction.execute(forget, params![component, kept]).map(drop)
}

pub(super) fn history(database: &Connection, component: &str) -> rusqlite::Result<Vec<RevisionRecord>> {
    let mut statement = database.prepare_cached(
        "SELECT number, digest, source, created_at_ms, who, why, settings, is_rolled_back,
                number = (SELECT number FROM live WHERE live.component = revision.component), configuration
         FROM revision WHERE component = ?1 ORDER BY number DESC",
    )?;
    let record = |row: &Row<'_>| {
        Ok(RevisionRecord {
            number: row.get(0)?,
            digest: digest(row, 1)?,
            source: row.get(2)?,
            created_at_ms: row.get(3)?,
            who: row.get(4)?,
            why: row.get(5)?,
            settings: row.get(6)?,
            is_rolled_back: row.get(7)?,
            is_live: row.get::<_, Option<bool>>(8)?.unwrap_or_default(),
            configuration: row.get(9)?,
        })
    };
    statement.query_map([component], record)?.collect()
}

/// The digests of all revisions.
pub(super) fn digests(database: &Connection) -> rusqlite::Result<Vec<Digest>> {
    let mut statement = database.prepare_cached("SELECT DISTINCT digest FROM revision")?;
    statement.query_map((), |row| digest(row, 0))?.collect()
}

/// What each revision was given, of all components.
pub(super) fn configurations(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = database.prepare_cached("SELECT DISTINCT configuration FROM revision")?;
    statement.query_map((), |row| row.get(0))?.collect()
}

pub(super) fn log_all(transaction: &Transaction<'_>, actions: &[Action], kept: u32) -> rusqlite::Result<()> {
    actions.iter().try_for_each(|action| log(transaction, action, kept))
}

pub(super) fn log(transaction: &Transaction<'_>, action: &Action, kept: u32) -> rusqlite::Result<()> {
    let Action { at_ms, who, action, component, why, outcome } = action;
    transaction.execute(
        "INSERT INTO action (at_ms, who, action, component, why, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![at_ms, who, action, component, why, outcome],
    )?;
    transaction.execute("DELETE FROM action WHERE id <= (SELECT max(id) FROM action) - ?1", [kept]).map(drop)
}

/// Notes that what was not done last was wanted again and has come to the same; returns whether it was so. Who asks again and again
/// must not push out what others have done.
pub(super) fn log_again(transaction: &Transaction<'_>, action: &Action) -> rusqlite::Result<bool> {
    let Action { at_ms, who, action, component, why, outcome } = action;
    let sql = "UPDATE action SET at_ms = ?1, why = ?5 WHERE id = (SELECT max(id) FROM action)
               AND who = ?2 AND action = ?3 AND component = ?4 AND outcome = ?6";
    Ok(transaction.execute(sql, params![at_ms, who, action, component, why, outcome])? > 0)
}

pub(super) fn actions(database: &Connection, count_max: u32) -> rusqlite::Result<Vec<Action>> {
    let mut statement = database
        .prepare_cached("SELECT at_ms, who, action, component, why, outcome FROM action ORDER BY id DESC LIMIT ?1")?;
    let action = |row: &Row<'_>| {
        Ok(Action {
            at_ms: row.get(0)?,
            who: row.get(1)?,
            action: row.get(2)?,
            component: row.get(3)?,
            why: row.get(4)?,
            outcome: row.get(5)?,
        })
    };
    statement.query_map([count_max], action)?.collect()
}

fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
