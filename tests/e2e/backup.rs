//! An operator takes a copy of all stores while the shop sells, and puts it back after a mistake.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;

async fn write(host: &Host, kind: &str, n: u32) {
    let answer = host.post(&format!("/ledger/{kind}?n={n}")).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
}

async fn back_up(host: &Host, to: &Path) -> Output {
    let (to, state) = (to.to_str().expect("UTF-8"), host.app().state_dir());
    let arguments = ["backup", to, "--state-dir", state.to_str().expect("UTF-8")];
    host.app().command(&arguments).await.expect("the host's binary runs")
}

async fn restore(host: &Host, from: &Path, force: bool) -> Output {
    let (from, state) = (from.to_str().expect("UTF-8"), host.app().state_dir());
    let mut arguments = vec!["restore", from, "--state-dir", state.to_str().expect("UTF-8")];
    arguments.extend(force.then_some("--force"));
    host.app().command(&arguments).await.expect("the host's binary runs")
}

#[track_caller]
fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_while_writing_is_consistent_and_comes_back() {
    let mut host = App::new().ledger().start().await;
    for n in 1..=20 {
        write(&host, "rows", n).await;
        write(&host, "keys", n).await;
    }
    let copy = host.folder().join("copy");
    let pairs = async {
        for n in 1..=200 {
            write(&host, "pairs", n).await;
        }
    };
    let (output, ()) = tokio::join!(back_up(&host, &copy), pairs);
    assert_done(&output);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&copy), 0o700, "a copy holds what the stores hold");
    for entry in fs::read_dir(&copy).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert!(path.extension().is_none_or(|kind| kind != "db") || mode(&path) == 0o600, "{}", path.display());
    }
    assert_eq!(mode(&host.app().state_dir().join("sqlite_db.db")), 0o600);
    for n in 21..=40 {
        write(&host, "rows", n).await;
        write(&host, "keys", n).await;
    }

    assert!(!restore(&host, &copy, true).await.status.success(), "a running host owns its state");
    host.stop().await;
    assert!(!restore(&host, &copy, false).await.status.success(), "state is not overwritten unasked");
    assert_done(&restore(&host, &copy, true).await);
    host.restart().await;

    let first_twenty: Vec<u32> = (1..=20).collect();
    assert_eq!(host.json("/ledger/rows").await, json!(first_twenty));
    assert_eq!(host.json("/ledger/keys").await, json!(first_twenty));
    let Value::Array(pairs) = host.json("/ledger/pairs").await else { panic!("a list") };
    let sum: i64 = pairs.iter().map(|n| n.as_i64().expect("a number")).sum();
    assert_eq!(sum, 0, "half of a transaction is in the copy: {pairs:?}");
    assert_eq!(host.json("/ledger/integrity").await, json!(["ok"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_refused_and_the_state_kept() {
    let mut host = App::new().ledger().start().await;
    write(&host, "rows", 1).await;
    let copy = host.folder().join("copy");
    assert_done(&back_up(&host, &copy).await);
    write(&host, "rows", 2).await;
    host.stop().await;

    let largest = std::fs::read_dir(&copy)
        .expect("the copy is a folder")
        .map(|entry| entry.expect("readable").path())
        .max_by_key(|path| path.metadata().map(|metadata| metadata.len()).unwrap_or(0))
        .expect("the copy has files");
    let mut bytes = std::fs::read(&largest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&largest, bytes).expect("writable");

    let output = restore(&host, &copy, true).await;
    assert_eq!(output.status.code(), Some(1));
    let name = largest.file_name().expect("a file").to_str().expect("UTF-8");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(name), "{message}");
    host.restart().await;
    assert_eq!(host.json("/ledger/rows").await, json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_nothing_is_refused() {
    let app = App::new().ledger();
    let output = app.command(&["backup", "copy", "--state-dir", "mistyped"]).await.expect("the host's binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("there is no store") && said.contains("--state-dir"), "{said}");
    assert!(!app.folder().join("copy").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_made_a_copy_and_why_is_in_the_log_of_actions() {
    let host = App::new().ledger().start().await;
    let copy = host.folder().join("copy");
    let state = host.app().state_dir();
    let (to, state) = (copy.to_str().expect("UTF-8"), state.to_str().expect("UTF-8"));
    let arguments = ["backup", to, "--why", "before the sale", "--state-dir", state];
    assert_done(&host.app().command(&arguments).await.expect("the host's binary runs"));
    let again = host.app().command(&arguments).await.expect("the host's binary runs");
    assert!(!again.status.success(), "the folder is not empty");

    let actions: Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
    let [refused, done] = &actions.as_array().expect("a list")[..] else { panic!("{actions}") };
    for action in [refused, done] {
        assert!(action["action"] == "backup" && action["why"] == "before the sale", "{action}");
        assert!(action["who"].as_str().is_some_and(|who| who.starts_with("admin-token (")), "{action}");
    }
    assert_eq!(done["outcome"], format!("ok: copied to {to}"));
    assert!(refused["outcome"].as_str().is_some_and(|outcome| outcome.contains("is not empty")), "{refused}");
}
