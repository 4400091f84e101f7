//! Stores by label, the lock on the state folder, backup and restore.

use std::path::Path;

use super::sqlite::{Connection, Durability, Value};
use super::*;

fn config(state_dir: &Path) -> StoresConfig {
    let mut config = StoresConfig::new(state_dir);
    let location = Location::File(state_dir.join("orders/orders.db"));
    config.sqlite.insert("orders".into(), SqliteConfig { location, settings: Settings::default() });
    let shared = config.key_value[DEFAULT_LABEL].clone();
    config.key_value.insert("sessions".into(), KeyValueConfig { ttl: Some(Duration::from_secs(3_600)), ..shared });
    config
}

async fn run(connection: &Connection, sql: &str) -> Vec<sqlite::Row> {
    connection.execute(sql, Vec::new()).await.unwrap().collect().await.unwrap().1
}

async fn integer(stores: &Stores, label: &str, sql: &str) -> i64 {
    match run(&stores.sqlite(label).unwrap().connect(), sql).await.as_slice() {
        [row] => match row.as_slice() {
            [Value::Integer(value)] => *value,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn set(stores: &Stores, label: &str, key: &str) {
    stores.key_value(label).unwrap().set(key.into(), vec![1]).await.unwrap();
}

async fn has(stores: &Stores, label: &str, key: &str) -> bool {
    stores.key_value(label).unwrap().exists(key).await.unwrap()
}

/// Writes something to every store.
async fn fill(stores: &Stores) {
    for label in [DEFAULT_LABEL, "orders"] {
        let connection = stores.sqlite(label).unwrap().connect();
        run(&connection, "CREATE TABLE t (a INTEGER)").await;
        run(&connection, "INSERT INTO t VALUES (1)").await;
    }
    set(stores, DEFAULT_LABEL, "a").await;
    set(stores, "sessions", "b").await;
}

async fn is_filled(stores: &Stores) -> bool {
    integer(stores, DEFAULT_LABEL, "SELECT count(*) FROM t").await == 1
        && integer(stores, "orders", "SELECT count(*) FROM t").await == 1
        && has(stores, DEFAULT_LABEL, "a").await
        && has(stores, "sessions", "b").await
        && !has(stores, "sessions", "a").await
}

/// A closed state folder with content, and a backup of it.
async fn backed_up(folder: &Path) -> (StoresConfig, PathBuf) {
    let config = config(&folder.join("state"));
    let stores = Stores::open(&config).unwrap();
    fill(&stores).await;
    let backup = folder.join("backup");
    let report = stores.backup(&backup).await.unwrap();
    assert_eq!(report.files, 3);
    stores.close(Others::None).await;
    (config, backup)
}

#[tokio::test]
async fn stores_are_found_by_label_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let stores = Stores::open(&config).unwrap();
    assert!(stores.sqlite("nowhere").is_none());
    assert!(stores.key_value("orders").is_none());
    fill(&stores).await;
    stores.close(Others::None).await;
    drop(stores);
    assert!(is_filled(&Stores::open(&config).unwrap()).await);
}

#[tokio::test]
async fn a_state_folder_has_one_host() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let stores = Stores::open(&config).unwrap();
    assert!(matches!(Stores::open(&config), Err(StoresError::InUse(path)) if path == folder.path()));
    assert!(matches!(restore(folder.path(), &config, true), Err(RestoreError::StateDir(StoresError::InUse(_)))));
    drop(stores);
    Stores::open(&config).unwrap();
}

#[tokio::test]
async fn labels_of_one_file_agree_on_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let settings = Settings { durability: Durability::Normal, ..Settings::default() };
    let location = config.key_value["sessions"].location().unwrap().clone();
    config.key_value.insert("sessions".into(), KeyValueConfig::embedded(location, settings));
    assert!(matches!(Stores::open(&config), Err(StoresError::Settings { label, .. }) if label == "sessions"));
}

#[tokio::test]
async fn temporary_stores_are_apart_and_are_not_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = StoresConfig::new(folder.path().join("state"));
    for label in ["a", "b"] {
        config.key_value.insert(label.into(), KeyValueConfig::embedded(Location::Memory, Settings::default()));
    }
    let stores = Stores::open(&config).unwrap();
    set(&stores, "a", "key").await;
    assert!(has(&stores, "a", "key").await);
    assert!(!has(&stores, "b", "key").await);
    assert_eq!(stores.backup(&folder.path().join("backup")).await.unwrap().files, 2);
}

#[tokio::test]
async fn sweeping_reaches_every_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.key_value.get_mut("sessions").unwrap().ttl = Some(Duration::ZERO);
    let stores = Stores::open(&config).unwrap();
    set(&stores, DEFAULT_LABEL, "a").await;
    set(&stores, "sessions", "b").await;
    assert_eq!(stores.sweep_expired().await, 1);
    assert!(has(&stores, DEFAULT_LABEL, "a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_shows_one_moment_of_all_stores_while_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("state"));
    let stores = Stores::open(&config).unwrap();
    fill(&stores).await;
    let writing = tokio::spawn({
        let stores = stores.clone();
        async move {
            let (first, second) =
                (stores.sqlite(DEFAULT_LABEL).unwrap().connect(), stores.sqlite("orders").unwrap().connect());
            loop {
                run(&first, "UPDATE t SET a = a + 1").await;
                run(&second, "UPDATE t SET a = a + 1").await;
            }
        }
    });
    let mut seen = 0;
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let backup = folder.path().join(format!("backup-{round}"));
        stores.backup(&backup).await.unwrap();
        let restored_config = self::config(&folder.path().join(format!("restored-{round}")));
        restore(&backup, &restored_config, false).unwrap();
        let restored = Stores::open(&restored_config).unwrap();
        let first = integer(&restored, DEFAULT_LABEL, "SELECT a FROM t").await;
        let second = integer(&restored, "orders", "SELECT a FROM t").await;
        assert!(first == second || first == second + 1, "{first} and {second}");
        assert!(first > seen, "the stores were written between two backups");
        assert!(has(&restored, "sessions", "b").await);
        seen = first;
    }
    writing.abort();
}

#[tokio::test]
async fn a_backup_goes_into_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (config, backup) = backed_up(folder.path()).await;
    let before: Vec<_> = fs::read_dir(&backup).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(before.iter().all(|name| !name.to_str().unwrap().contains("-wal")));
    let stores = Stores::open(&config).unwrap();
    assert!(matches!(stores.backup(&backup).await, Err(BackupError::NotEmpty(path)) if path == backup));
    assert_eq!(fs::read_dir(&backup).unwrap().count(), before.len());
    // The writers went on.
    run(&stores.sqlite("orders").unwrap().connect(), "INSERT INTO t VALUES (2)").await;
}

#[tokio::test]
async fn existing_stores_are_replaced_only_by_force_and_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (config, backup) = backed_up(folder.path()).await;
    let stores = Stores::open(&config).unwrap();
    run(&stores.sqlite("orders").unwrap().connect(), "DELETE FROM t").await;
    set(&stores, "sessions", "a").await;
    // Not closed, so that there are logs which the restored files must not meet.
    drop(stores);
    assert!(matches!(restore(&backup, &config, false), Err(RestoreError::Exists(_))));
    assert_eq!(integer(&Stores::open(&config).unwrap(), "orders", "SELECT count(*) FROM t").await, 0);
    restore(&backup, &config, true).unwrap();
    assert!(is_filled(&Stores::open(&config).unwrap()).await);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (config, backup) = backed_up(folder.path()).await;
    let problem = |error: RestoreError| match error {
        RestoreError::Damaged { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    let file = backup.join("sqlite-orders.db");
    let good = fs::read(&file).unwrap();

    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&file, &changed).unwrap();
    assert_eq!(problem(restore(&backup, &config, true).unwrap_err()), "its SHA-256 differs");
    fs::write(&file, &good[..4_096]).unwrap();
    assert_eq!(
        problem(restore(&backup, &config, true).unwrap_err()),
        format!("it has 4096 bytes, {} were written", good.len())
    );
    fs::write(&file, &good).unwrap();

    let manifest = backup.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"sqlite-orders.db\"", "\"../backup/sqlite-orders.db\"")).unwrap();
    assert_eq!(problem(restore(&backup, &config, true).unwrap_err()), "`../backup/sqlite-orders.db` is no file name");
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(matches!(restore(&backup, &config, true), Err(RestoreError::Format { found: 2 })));
    fs::write(&manifest, "{").unwrap();
    assert!(matches!(restore(&backup, &config, true), Err(RestoreError::Manifest { .. })));
    fs::remove_file(&manifest).unwrap();
    assert!(matches!(restore(&backup, &config, true), Err(RestoreError::Incomplete(path)) if path == backup));

    let left: Vec<_> =
        fs::read_dir(folder.path().join("state")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("restore")), "{left:?}");
    assert!(is_filled(&Stores::open(&config).unwrap()).await);
}

#[tokio::test]
async fn a_store_that_is_not_configured_here_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backup) = backed_up(folder.path()).await;
    let target = folder.path().join("other");
    let mut lacking = config(&target);
    lacking.sqlite.remove("orders");
    assert!(matches!(restore(&backup, &lacking, false), Err(RestoreError::Unknown { label }) if label == "orders"));
    let mut apart = config(&target);
    let location = Location::File(target.join("sessions.db"));
    apart.key_value.insert("sessions".into(), KeyValueConfig::embedded(location, Settings::default()));
    assert!(matches!(restore(&backup, &apart, false), Err(RestoreError::Unknown { label }) if label == "sessions"));
}

#[tokio::test]
async fn a_restore_that_was_cut_short_is_finished_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (config, backup) = backed_up(folder.path()).await;
    let stores = Stores::open(&config).unwrap();
    run(&stores.sqlite("orders").unwrap().connect(), "DELETE FROM t").await;
    run(&stores.sqlite(DEFAULT_LABEL).unwrap().connect(), "DELETE FROM t").await;
    drop(stores);
    // As a restore leaves it that was killed between its first and its second rename.
    let state = folder.path().join("state");
    fs::copy(backup.join("sqlite-default.db"), state.join("sqlite_db.db")).unwrap();
    for log in ["sqlite_db.db-wal", "sqlite_db.db-shm"] {
        let _ = fs::remove_file(state.join(log));
    }
    fs::copy(backup.join("sqlite-orders.db"), state.join("orders/orders.db.restored")).unwrap();
    let targets = [state.join("sqlite_db.db"), state.join("orders/orders.db"), state.join("sqlite_key_value.db")];
    fs::write(state.join("restore.json"), serde_json::to_vec(&targets).unwrap()).unwrap();

    assert!(is_filled(&Stores::open(&config).unwrap()).await);
    assert!(!state.join("restore.json").exists());
    assert!(!state.join("orders/orders.db.restored").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_lose_no_write_of_each_other_while_one_takes_over() {
    const STEPS: i64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let former = Stores::open(&config).unwrap();
    // As a descriptor that is sent to another process: the lock is the file's that both have open.
    let new = Stores::open_beside(&config, former.lock().try_clone().unwrap()).unwrap();
    let count = |stores: &Stores| {
        let store = stores.key_value(DEFAULT_LABEL).unwrap();
        tokio::spawn(async move {
            for _ in 0..STEPS {
                store.increment("n".into(), 1).await.unwrap();
            }
        })
    };
    for counting in [count(&former), count(&former), count(&new), count(&new)] {
        counting.await.unwrap();
    }
    assert_eq!(former.key_value(DEFAULT_LABEL).unwrap().increment("n".into(), 0).await, Ok(4 * STEPS));
    former.close(Others::GoOn).await;
    drop(former);
    assert_eq!(new.key_value(DEFAULT_LABEL).unwrap().increment("n".into(), 0).await, Ok(4 * STEPS));
    assert!(matches!(Stores::open(&config), Err(StoresError::InUse(_))), "the lock goes on with the new one");
    new.close(Others::None).await;
    drop(new);
    Stores::open(&config).unwrap();
}

#[test]
fn the_lock_of_another_folder_opens_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (stores, others) = (Stores::open(&config(dir.path())).unwrap(), Stores::open(&config(other.path())).unwrap());
    let error = Stores::open_beside(&config(dir.path()), others.lock().try_clone().unwrap()).unwrap_err();
    assert!(matches!(error, StoresError::OtherFolder(_)), "{error}");
    // Nor does the right file, where another one holds the lock.
    let unlocked = File::open(dir.path().join(LOCK_FILE)).unwrap();
    assert!(matches!(Stores::open_beside(&config(dir.path()), unlocked), Err(StoresError::InUse(_))));
    drop(stores);
}

#[tokio::test]
async fn a_backup_waits_while_two_processes_write() {
    let dir = tempfile::tempdir().unwrap();
    let stores = Stores::open(&config(dir.path())).unwrap();
    let held = stores.hold_backups().await;
    let folder = dir.path().join("backup");
    let backup = tokio::spawn({
        let (stores, folder) = (stores.clone(), folder.clone());
        async move { stores.backup(&folder).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!folder.exists() && !backup.is_finished());
    drop(held);
    assert_eq!(backup.await.unwrap().unwrap().files, 3);
}
