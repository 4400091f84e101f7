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
async fn fill(host: &Host, path: &str) -> (u32, u16) {
    for taken in 0..100_000 {
        let status = host.post(path).send().await.expect("an answer").status().as_u16();
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
    let database = disk.0.join("ledger.db");
    let config = format!("[sqlite_database.default]\ntype = \"spin\"\npath = {database:?}\n");
    let mut host = empty.ledger().runtime_config(&config).start().await;
    assert_eq!(host.post("/ledger/rows?n=1").send().await.expect("an answer").status(), 201);

    let (blobs, status) = fill(&host, "/ledger/blob?n=262144").await;
    assert!(blobs > 0);
    assert_eq!(status, 507, "the interface has an error for a full disk, and the guest got it");
    fill(&host, "/ledger/blob?n=4096").await;
    let (taken, status) = fill(&host, "/ledger/rows?n=2").await;
    assert_eq!(status, 507);

    let mut acknowledged = vec![1];
    acknowledged.extend((0..taken).map(|_| 2));
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "reads go on");
    assert_eq!(host.get("/livez").await.status(), 200);

    disk.grow();
    assert_eq!(host.post("/ledger/rows?n=3").send().await.expect("an answer").status(), 201);
    acknowledged.push(3);
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "no refused write is there");
    assert_eq!(host.json("/ledger/integrity").await, json!(["ok"]));

    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.json("/ledger/rows").await, json!(acknowledged), "and after a restart");
    host.stop().await;
    // Before the folder that it is mounted in is removed.
    drop(disk);
}
