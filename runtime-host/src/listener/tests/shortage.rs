//! No file descriptor is left.

use std::fs::File;
use std::process::Command;

use super::*;

const CHILD: &str = "LISTENER_TEST_CHILD";
const NAME: &str = "listener::tests::shortage::without_file_descriptors_open_connections_go_on_and_new_ones_wait";

/// Runs itself in a process of its own, because the bound on descriptors is the whole process's.
#[test]
fn without_file_descriptors_open_connections_go_on_and_new_ones_wait() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(starve());
    }
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -n 64; exec "$0" --exact "$1" --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    assert!(output.contains("1 passed"), "{output}");
}

async fn starve() {
    let listener = Running::start(|_| {}).await;
    let mut open = listener.connect().await;
    assert!(open.get("/before").await.ends_with("/before"));

    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > 10);
    // One descriptor for the client's end of the next connection, none for the listener's.
    taken.pop();
    let mut waiting = listener.connect().await;
    waiting.send("GET /waited HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for _ in 0..5 {
        tokio::time::sleep(SHORT / 5).await;
        assert!(open.get("/meanwhile").await.ends_with("/meanwhile"));
    }
    assert_eq!(listener.open.count(), 1);

    drop(taken);
    assert!(waiting.answer().await.ends_with("/waited"));
    assert_eq!(listener.open.count(), 2);
}
