//! The disk fills up: writes fail with an error and are not there; reads go on; with room again, writes go on.

use std::ffi::CString;
use std::path::PathBuf;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use serde_json::json;
use tests::app::App;
use tests::host::Host;

/// A small file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        mount("tmpfs", &path, "tmpfs", MountFlags::NOSUID, size("4m").as_c_str())?;
        Ok(Self(path))
    }

    fn grow(&self) {
        mount_remount(&self.0, MountFlags::NOSUID, size("64m").as_c_str()).expect("it was mounted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the host may end a moment later.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn size(megabytes: &str) -> CString {
    CString::new(format!("size={megabytes}")).expect("no NUL in it")
}

/// Posts until the host refuses; returns how many it took, and the refusal's status.
async fn fill(host: &Host, path: impl Fn(u32) -> String) -> (u32, u16) {
    for taken in 0..100_000 {
        let status = host.post(&path(taken)).send().await.expect("an answer").status().as_u16();
        if status != 201 {
            return (taken, status);
        }
    }
    panic!("the disk does not fill up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_and_not_an_acknowledgement() {
    let empty = App::new();
    let disk = match SmallDisk::mount(empty.folder().join("disk")) {
        Ok(disk) => disk,
        Err(error) => {
            let is_ci = std::env::var_os("CI").is_some();
            assert!(!is_ci, "a small file system cannot be mounted, and CI must not pass without this test: {error}");
            eprintln!("skipped: a small file system cannot be mounted here: {error}");
            return;
        }
    };
    let (database, keys) = (disk.0.join("ledger.db"), disk.0.join("keys.db"));
    let config = format!(
        "[sqlite_database.default]\ntype = \"spin\"\npath = {database:?}\n\
         [key_value_store.default]\ntype = \"spin\"\npath = {keys:?}\n"
    );
    let mut host = empty.ledger().runtime_config(&config).start().await;
    assert_eq!(host.post("/ledger/rows?n=1").send().await.expect("an answer").status(), 201);

    let (blobs, status) = fill(&host, |_| "/ledger/blob?n=262144".to_owned()).await;
    assert!(blobs > 0);
    assert_eq!(status, 507, "the interface has an error for a full disk, and the guest got it");
    fill(&host, |_| "/ledger/blob?n=4096".to_owned()).await;
    let (taken, status) = fill(&host, |_| "/ledger/rows?n=2".to_owned()).await;
    assert_eq!(status, 507);
    // This interface has no error of its own for it.
    let (keys_taken, status) = fill(&host, |taken| format!("/ledger/keys?n={taken}")).await;
    assert_eq!(status, 500);
    let (added, status) = fill(&host, |_| "/ledger/increment".to_owned()).await;
    assert_eq!(status, 500);

    let mut acknowledged = vec![1];
    acknowledged.extend((0..taken).map(|_| 2));
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "reads go on");
    assert_eq!(host.get("/livez").await.status(), 200);

    disk.grow();
    assert_eq!(host.post("/ledger/rows?n=3").send().await.expect("an answer").status(), 201);
    acknowledged.push(3);
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "no refused write is there");
    assert_eq!(host.json("/ledger/integrity").await, json!(["ok"]));
    assert_eq!(host.post(&format!("/ledger/keys?n={keys_taken}")).send().await.expect("an answer").status(), 201);
    let numbers: Vec<u32> = (0..=keys_taken).collect();
    assert_eq!(host.json("/ledger/keys").await, json!(numbers), "no refused key is there");
    assert_eq!(host.json("/ledger/increment").await, json!(added));

    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "and after a restart");
    assert_eq!(host.json("/ledger/keys").await, json!(numbers));
    host.stop().await;
    // Before the folder that it is mounted in is removed.
    drop(disk);
}
