//! An application from a registry, with the runtime configuration that the operator generates for stores of the SpinApp.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::app::App;
use tests::control::variant;
use tests::host::PATIENCE;
use tests::programs;
use tests::registry::Registry;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

/// What the operator generates for an application with a database and a store.
const RUNTIME_CONFIG: &str = r#"
[[config_provider]]
type = 'env'
prefix = 'SPIN_VARIABLE_'

[key_value_store]
[key_value_store.default]
path = 'STORES/keys.db'
type = 'spin'

[sqlite_database]
[sqlite_database.default]
path = 'STORES/data.db'
type = 'spin'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_generates_for_an_application_runs_it() {
    let Some(registry) = Registry::start().await else { return };
    // Of a volume of the SpinApp, by absolute paths: there is no other folder that is known.
    let stores = tempfile::tempdir().expect("a folder");
    let app = App::new()
        .append("[variables]\ncolour = { required = true }")
        .guest(
            "interfaces",
            "sqlite_databases = [\"default\"]\nkey_value_stores = [\"default\"]\nvariables = { paint = \"{{ colour }}\" }",
        )
        .guest("hello", "")
        .file("variant.wasm", variant("one", &["delay_ms=0700"]))
        .file("config/runtime-config.toml", RUNTIME_CONFIG.replace("STORES", stores.path().to_str().expect("UTF-8")));
    let source = app.folder().join("variant.wasm");
    let app = app.component("variant", "\"/variant/...\"", &source, "");
    let image = registry.reference("team/shop:0.1.0");
    let pushed = app.command_on_it("push", &[&image]).await.expect("it runs");
    assert!(pushed.status.success(), "{pushed:?}");

    let runtime_config = app.folder().join("config/runtime-config.toml");
    let runtime_config = runtime_config.to_str().expect("UTF-8");
    let container = tempfile::tempdir().expect("a folder");
    // The operator says 0.0.0.0:80, which is not a test's to take.
    let up = ["up", "--listen", "127.0.0.1:0", "-f", &image, "--runtime-config-file", runtime_config];
    let components = ["--component-id", "interfaces", "--component-id", "variant"];
    let mut command = app.program(&[&up[..], &components].concat());
    command.current_dir(container.path());
    // Of the SpinApp and the SpinAppExecutor.
    command.env("SPIN_VARIABLE_COLOUR", "green").env("SPIN_COMPONENTS_TO_RETAIN", "interfaces,variant");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector.default.svc:4318");
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").env("SPIN_HTTP_LISTEN_ADDR", "0.0.0.0:80");
    // Of the container's image.
    command.env("BODEGA_STATE_DIR", "state").env("BODEGA_ADMIN_LISTEN", "127.0.0.1:0");
    command.env("BODEGA_CODE_CACHE", programs::code_cache());
    let mut host = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the host's binary runs");
    let mut lines = BufReader::new(host.stdout.take().expect("piped")).lines();
    let url = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some(url) = line.strip_prefix("listening on ") {
                return url.to_owned();
            }
        }
        panic!("the host has ended");
    };
    let url = timeout(PATIENCE, url).await.expect("it listens");
    let client = tests::client::builder().timeout(PATIENCE).no_proxy().build().expect("a client");
    let get = async |path: &str| {
        let answer = client.get(format!("{url}{path}")).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    // What the liveness and readiness checks of a SpinApp ask for, at the application's own port.
    assert_eq!(get("/.well-known/spin/health").await.0, 200);
    assert_eq!(get("/interfaces/variables?name=paint").await, (200, r#"{"value":"green"}"#.to_owned()));
    assert_eq!(get("/interfaces/key-value?label=default").await.0, 200);
    assert_eq!(get("/variant/").await, (200, "one".to_owned()));
    assert_eq!(get("/hello/").await.0, 404, "it was not selected");
    assert!(stores.path().join("keys.db").exists() && stores.path().join("data.db").exists());

    // A pod that ends: no preStop hook, and what was asked is answered.
    let asked = tokio::spawn(client.get(format!("{url}/variant/")).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let pid = Pid::from_raw(host.id().expect("it runs").cast_signed()).expect("a process id");
    kill_process(pid, Signal::TERM).expect("it runs");
    let answer = asked.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    let ended = timeout(PATIENCE, host.wait()).await.expect("it ends").expect("it is our child");
    assert!(ended.success(), "{ended}");
}
