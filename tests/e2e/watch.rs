//! A developer changes a component's source while the application runs: what builds is in force at once, and what does not is shown.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::app::App;
use tests::control::variant;
use tests::host::{Host, PATIENCE};
use tokio::time::{Instant, sleep, timeout};

const POLL: Duration = Duration::from_millis(20);
/// Stands in for a compiler: a source that begins as wasm does is right.
/// One that begins with `slow` keeps it busy.
const BUILD: &str = "if grep -q ^slow src/variant.wat; then sleep 600 & echo $! > build.pid; wait; fi; head -c 4 src/variant.wat | grep -q asm && cp src/variant.wat variant.wasm || { echo 'error[E0308]: mismatched types' >&2; exit 1; }";

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} does not happen");
        sleep(POLL).await;
    }
}

/// Whether this process ignores SIGHUP, and what it starts does too.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("it tells of signals");
    u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 != 0
}

async fn answers(host: &Host, name: &str) {
    until(name, async || host.text("/variant/").await == name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_is_built_and_in_force_and_an_error_keeps_the_last_good_one() {
    let one = variant("one", &[]);
    let app = App::new().file("variant.wasm", &one).file("src/variant.wat", &one);
    let source = app.folder().join("variant.wasm");
    let build = format!(
        "environment = {{ LEVEL = \"low\" }}\n[component.variant.build]\ncommand = {BUILD:?}\nwatch = [\"src/**/*.wat\"]"
    );
    let host = app.component("variant", "\"/variant/...\"", &source, &build).start().await;
    let output = host.folder().join("watch.log");
    let log = || Stdio::from(File::options().create(true).append(true).open(&output).expect("the folder is writable"));
    let state = host.app().state_dir();
    let mut watch = host
        .app()
        .program(&["watch", "--state-dir", state.to_str().expect("UTF-8")])
        .stdout(log())
        .stderr(log())
        .spawn()
        .expect("the host's binary runs");
    let says = async |words: &str| {
        until(words, async || fs::read_to_string(&output).is_ok_and(|text| text.contains(words))).await;
    };
    says("watching 1 files of variant").await;

    host.write("src/variant.wat", &variant("two", &[]));
    answers(&host, "two").await;
    host.write("src/variant.wat", b"fn main() { 1 + \"1\" }");
    says("error[E0308]: mismatched types").await;
    says("the last good revision goes on").await;
    assert_eq!(host.text("/variant/").await, "two");
    // It builds, and is refused all the same.
    host.write("src/variant.wat", b"\0asm, and no component");
    says("the application answered 422").await;
    assert_eq!(host.text("/variant/").await, "two");
    host.write("src/variant.wat", &variant("six", &[]));
    answers(&host, "six").await;
    let history = String::from_utf8_lossy(&host.operate(&["history", "variant"]).await.stdout).into_owned();
    assert!(history.contains("its source changed"), "{history}");

    // What it is given comes from the manifest, and needs no build.
    let manifest = fs::read_to_string(host.folder().join("spin.toml")).expect("readable");
    host.write("spin.toml", manifest.replace("LEVEL = \"low\"", "LEVEL = \"high\"").as_bytes());
    until("another environment", async || host.text("/variant/given").await == " high ").await;
    says("changed: environment LEVEL").await;
    assert_eq!(host.text("/variant/").await, "six");

    // A build is not lost on a manifest that somebody is about to change.
    let manifest = fs::read(host.folder().join("spin.toml")).expect("readable");
    host.write("spin.toml", b"half of a");
    host.write("src/variant.wat", &variant("ten", &[]));
    says("what was built is kept and offered again").await;
    host.write("spin.toml", &manifest);
    answers(&host, "ten").await;

    host.write("src/variant.wat", b"slow");
    let pid = async || fs::read_to_string(host.folder().join("build.pid")).unwrap_or_default();
    until("a slow build", async || pid().await.ends_with('\n')).await;
    let process = Path::new("/proc").join(pid().await.trim()).join("cmdline");
    // What has ended and nobody has asked about has an empty one.
    let is_alive = || fs::read(&process).is_ok_and(|line| !line.is_empty());
    assert!(is_alive());
    let id = watch.id().expect("it runs").cast_signed();
    // As when its terminal is closed; unless these tests run without one, which it takes over from them.
    let end = if hangup_is_ignored() { Signal::TERM } else { Signal::HUP };
    kill_process(Pid::from_raw(id).expect("not 0"), end).expect("it runs");
    let status = timeout(PATIENCE, watch.wait()).await.expect("it ends").expect("it has run");
    assert!(status.success(), "{status}");
    until("the end of the build", async || !is_alive()).await;
    assert_eq!(host.text("/variant/").await, "ten");
}
