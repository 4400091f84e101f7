//! The host is killed after a deployment: what was in force is in force again, unless the manifest has been changed since.

use std::fs;

use tests::app::App;
use tests::control::variant;
use tests::host::Host;

async fn host() -> Host {
    let app = App::new().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    app.component("variant", "\"/variant/...\"", &source, "").start().await
}

async fn after_kill(host: &mut Host) -> String {
    host.kill_9().await;
    host.restart().await;
    host.text("/variant/").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_is_in_force_after_a_kill() {
    let mut host = host().await;
    host.deploy("variant", &variant("two", &[])).await;
    assert_eq!(after_kill(&mut host).await, "two");
    host.operate(&["rollback", "variant"]).await;
    assert_eq!(after_kill(&mut host).await, "one");
    host.operate(&["rollback", "variant", "--to", "2"]).await;
    assert_eq!(after_kill(&mut host).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_the_manifest_wins_over_what_was_deployed() {
    let mut host = host().await;
    host.deploy("variant", &variant("two", &[])).await;
    host.write("variant.wasm", &variant("new", &[]));
    assert_eq!(host.text("/variant/").await, "two", "nothing changes before a start");
    assert_eq!(after_kill(&mut host).await, "new");
    host.log_line(&["the manifest's file changed", "revision 2"]).await;
    assert_eq!(after_kill(&mut host).await, "new");
    let history = String::from_utf8_lossy(&host.operate(&["history", "variant"]).await.stdout).into_owned();
    assert!(
        history.lines().nth(1).is_some_and(|line| line.starts_with("3 ") && line.contains("manifest")),
        "{history}"
    );
    host.operate(&["rollback", "variant", "--to", "2"]).await;
    assert_eq!(after_kill(&mut host).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_needs_no_file_that_a_build_has_replaced() {
    let host = host().await;
    // A developer builds over the manifest's file and deploys it.
    let path = host.write("variant.wasm", &variant("two", &[]));
    let done = host.operate(&["deploy", "variant", path.to_str().expect("UTF-8")]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(host.text("/variant/").await, "two");
    host.operate(&["rollback", "variant"]).await;
    assert_eq!(host.text("/variant/").await, "one");
    let kept = fs::read_dir(host.app().state_dir().join("revisions")).expect("the artifacts").count();
    assert_eq!(kept, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lost_an_artifact_says_so_and_runs_nothing_else() {
    let mut host = host().await;
    host.deploy("variant", &variant("two", &[])).await;
    host.stop().await;
    let folder = host.app().state_dir().join("revisions");
    for artifact in fs::read_dir(&folder).expect("the artifacts") {
        fs::write(artifact.expect("an entry").path(), b"damaged").expect("writable");
    }
    let state = host.app().state_dir();
    let manifest = host.folder().join("spin.toml");
    let arguments = ["up", "-f", manifest.to_str().expect("UTF-8"), "--state-dir", state.to_str().expect("UTF-8")];
    let listeners = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let output = host.app().command(&[&arguments[..], &listeners].concat()).await.expect("the host's binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("is damaged"), "{said}");
}
