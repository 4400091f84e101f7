//! An operator changes what a component is given, its variables, environment and files: a new revision has it, the old ones keep
//! theirs, and a secret is neither kept nor shown.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;
use tests::app::App;
use tests::control::variant;
use tests::host::Host;

const APPLICATION: &str = r#"
[variables]
color = { default = "red" }
token = { required = true, secret = true }
[[trigger.http]]
route = "/variant/..."
component = "variant"
[component.variant]
source = "variant.wasm"
environment = { LEVEL = "low" }
files = ["page.html"]
[component.variant.variables]
color = "{{ color }}"
login = "user:{{ token }}"
"#;
const MANUAL: &str =
    "[component.variant.tool.bodega.rollout]\nstrategy = \"blue-green\"\ngate = \"manual\"\nbake = \"1h\"";

async fn host(more: &str) -> Host {
    let app = App::new().append(APPLICATION).append(more).file("page.html", "old page").file(".env", dotenv("s3cret"));
    app.file("variant.wasm", variant("one", &[])).start().await
}

fn dotenv(token: &str) -> String {
    format!("SPIN_VARIABLE_TOKEN={token}\n")
}

/// Changes a text of the manifest.
fn edit(host: &Host, text: &str, by: &str) {
    let manifest = fs::read_to_string(host.folder().join("spin.toml")).expect("readable");
    assert!(manifest.contains(text), "{manifest}");
    host.write("spin.toml", manifest.replace(text, by).as_bytes());
}

async fn said(host: &Host, arguments: &[&str]) -> String {
    let output = host.operate(arguments).await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// The lines of the history, the latest revision first.
async fn history(host: &Host) -> Vec<String> {
    said(host, &["history", "variant"]).await.lines().skip(1).map(str::to_owned).collect()
}

async fn after_kill(host: &mut Host) -> String {
    host.kill_9().await;
    host.restart().await;
    host.text("/variant/given").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_revision_keeps_what_it_was_given_while_and_after_the_new_one_is_rolled_out() {
    let mut host = host(MANUAL).await;
    assert_eq!(host.text("/variant/given").await, "red low old page");
    edit(&host, "default = \"red\"", "default = \"blue\"");
    edit(&host, "LEVEL = \"low\"", "LEVEL = \"high\"");
    host.write("page.html", b"new page");
    let changed = "environment LEVEL, variable color, files";
    let begun = said(&host, &["deploy", "variant"]).await;
    assert!(begun.contains("rollout of revision 2 has begun") && begun.contains(changed), "{begun}");

    let token = fs::read_to_string(host.app().state_dir().join("secrets/preview-token")).expect("it was generated");
    let both = async |host: &Host| {
        let new = host.request("/variant/given").header("x-bodega-preview", token.trim()).send().await;
        let new = new.expect("an answer").text().await.expect("a body");
        (host.text("/variant/given").await, new)
    };
    let expected = ("red low old page".to_owned(), "blue high new page".to_owned());
    assert_eq!(both(&host).await, expected);
    let status = said(&host, &["status"]).await;
    assert!(status.contains(&format!("revision 2 ({changed})")), "{status}");
    let status = host.status_of("variant").await;
    let (old, new) = (status["runs"].as_str().expect("a name"), status["rollout"]["runs"].as_str().expect("a name"));
    assert!(new.starts_with(&format!("{old}-")), "metrics tell them apart: {status}");
    host.kill_9().await;
    host.restart().await;
    assert_eq!(both(&host).await, expected, "also after a kill, whatever the manifest says");

    said(&host, &["promote", "variant", "--full"]).await;
    assert_eq!(host.text("/variant/given").await, "blue high new page");
    let back = said(&host, &["rollback", "variant"]).await;
    assert!(back.contains(changed), "{back}");
    assert_eq!(host.text("/variant/given").await, "red low old page");
    assert_eq!(after_kill(&mut host).await, "red low old page");
    let history = history(&host).await;
    assert!(history[0].starts_with("2 ") && history[0].contains(changed) && history.len() == 2, "{history:?}");
    said(&host, &["rollback", "variant", "--to", "2"]).await;
    assert_eq!(host.text("/variant/given").await, "blue high new page");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_host_is_down_is_a_new_revision_of_the_deployed_artifact() {
    let mut host = host("").await;
    host.deploy("variant", &variant("two", &[])).await;
    assert_eq!(after_kill(&mut host).await, "red low old page");
    host.write(".env", format!("{}SPIN_VARIABLE_COLOR=green\n", dotenv("s3cret")).as_bytes());
    assert_eq!(after_kill(&mut host).await, "green low old page");
    assert_eq!(host.text("/variant/").await, "two");
    host.log_line(&["the configuration changed", "revision 2", "variable color"]).await;
    let lines = history(&host).await;
    assert!(lines[0].starts_with("3 ") && lines[0].contains("manifest") && lines[0].contains("variable color"));
    assert_eq!(after_kill(&mut host).await, "green low old page");
    assert_eq!(history(&host).await.len(), 3, "nothing has changed since");
    said(&host, &["rollback", "variant"]).await;
    assert_eq!(after_kill(&mut host).await, "red low old page");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_host_is_down_takes_back_what_was_rolled_out() {
    let mut host = host(MANUAL).await;
    let begun = said(&host, &["deploy", "variant", "--variable", "color=pink"]).await;
    assert!(begun.contains("rollout of revision 2 has begun"), "{begun}");
    host.write(".env", format!("{}SPIN_VARIABLE_COLOR=green\n", dotenv("s3cret")).as_bytes());
    assert_eq!(after_kill(&mut host).await, "green low old page");
    let lines = history(&host).await;
    assert!(
        lines[0].starts_with("3 ") && lines[0].contains("in force") && lines[1].contains("taken back"),
        "{lines:?}"
    );
    let actions: Value = host.control("GET", "/v1/actions?limit=1", "").await.json().await.expect("JSON");
    assert_eq!(actions[0]["action"], "rolled-back", "{actions}");
    assert_eq!(actions[0]["why"], "the configuration changed while the host was not there (0 %)", "{actions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_is_a_new_revision_and_is_kept_and_shown_nowhere() {
    let mut host = host("").await;
    let login = async |host: &Host| host.text("/variant/login").await;
    host.write(".env", dotenv("0ther").as_bytes());
    let done = said(&host, &["deploy", "variant"]).await;
    assert!(done.contains("changed: variable login"), "{done}");
    assert_eq!(login(&host).await, "user:0ther");
    said(&host, &["rollback", "variant"]).await;
    assert_eq!(login(&host).await, "user:s3cret", "the process still knows it");
    // Of the process that has had both; the next one has a log and metrics of its own.
    let mut told = host.log().join("\n");
    assert!(told.contains("variable login"), "{told}");
    told += &said(&host, &["status", "--json"]).await;
    for (path, word) in [("/metrics", "bodega_"), ("/v1/actions", "rollback")] {
        let text = host.control("GET", path, "").await.text().await.expect("a body");
        assert!(text.contains(word), "{text}");
        told += &text;
    }
    after_kill(&mut host).await;
    assert_eq!(login(&host).await, "user:0ther", "and another one cannot");
    host.log_line(&["secrets are not kept", "login"]).await;

    told += &(said(&host, &["history", "variant", "--json"]).await + &said(&host, &["status", "--json"]).await);
    told += &host.log().join("\n");
    for file in ["registry.db", "registry.db-wal"] {
        told += &String::from_utf8_lossy(&fs::read(host.app().state_dir().join(file)).expect("readable"));
    }
    assert!(told.contains("variable login"), "{told}");
    assert!(!told.contains("s3cret") && !told.contains("0ther"), "a secret is kept or shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_on_the_command_line_is_this_revisions_alone() {
    let mut host = host("").await;
    let done = said(&host, &["deploy", "variant", "--variable", "color=pink"]).await;
    assert!(done.contains("changed: variable color"), "{done}");
    assert_eq!(host.text("/variant/given").await, "pink low old page");
    assert_eq!(after_kill(&mut host).await, "pink low old page");
    for (variable, words) in
        [("token=guess", "`token` is secret"), ("colour=pink", "no such variable; did you mean `color`?")]
    {
        let refused = host.operate(&["deploy", "variant", "--variable", variable]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(words) && !said.contains("guess"), "{said}");
    }
    let again = said(&host, &["deploy", "variant"]).await;
    assert!(again.contains("changed: variable color"), "{again}");
    assert_eq!(host.text("/variant/given").await, "red low old page");
    let none = said(&host, &["deploy", "variant"]).await;
    assert!(none.contains("in force already"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_has_deployed_is_returned_to_as_it_was() {
    let mut host = host("").await;
    host.deploy("variant", &variant("two", &[])).await;
    host.stop().await;
    let registry = Connection::open(host.app().state_dir().join("registry.db")).expect("a database");
    let second = "ALTER TABLE revision DROP COLUMN configuration; ALTER TABLE live DROP COLUMN sources_digest;
                  PRAGMA user_version = 2;";
    registry.execute_batch(second).expect("it has them");
    drop(registry);
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "two");
    edit(&host, "LEVEL = \"low\"", "LEVEL = \"bad\"");
    let done = said(&host, &["deploy", "variant"]).await;
    assert!(done.contains("changed: environment LEVEL"), "{done}");
    assert_eq!(host.text("/variant/given").await, "red bad old page");
    said(&host, &["rollback", "variant"]).await;
    assert_eq!(host.text("/variant/given").await, "red low old page");
    assert_eq!(after_kill(&mut host).await, "red low old page");
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_read_refuses_a_deployment_but_no_return() {
    let host = host("").await;
    said(&host, &["deploy", "variant", "--variable", "color=pink"]).await;
    edit(&host, "default = \"red\"", "default = ");
    let refused = host.operate(&["deploy", "variant"]).await;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("409") && words.contains("spin.toml:"), "{words}");
    assert_eq!(host.text("/variant/given").await, "pink low old page");
    said(&host, &["rollback", "variant"]).await;
    assert_eq!(host.text("/variant/given").await, "red low old page");
}
