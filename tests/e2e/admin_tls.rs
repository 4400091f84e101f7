//! Operators show certificates in place of a token: who they are is in the log of actions, and nobody else gets in.

use std::process::Output;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;
use tests::app::App;
use tests::host::Host;

use crate::authority::Authority;

/// An app whose admin listener has the certificate `server`.
fn app() -> (App, Authority) {
    let app = App::new().file("variant.wasm", tests::control::variant("one", &[]));
    let folder = app.folder().to_owned();
    let authority = Authority::new(&folder, "authority");
    authority.vouch(&folder, "server", ExtendedKeyUsagePurpose::ServerAuth);
    let app = app.component("variant", "\"/variant/...\"", &folder.join("variant.wasm"), "");
    (with_file(with_file(app, "--admin-tls-cert", "server.pem"), "--admin-tls-key", "server.key"), authority)
}

fn with_file(app: App, argument: &str, file: &str) -> App {
    let path = app.folder().join(file).display().to_string();
    app.argument(argument).argument(path)
}

/// Runs a command that trusts the authority, and shows the certificate `client`.
async fn operate(host: &Host, client: Option<&str>, arguments: &[&str]) -> Output {
    let file = |name: String| host.folder().join(name).display().to_string();
    let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    all.extend(["--admin-ca".to_owned(), file("authority.pem".to_owned())]);
    if let Some(client) = client {
        all.extend(["--admin-cert".to_owned(), file(format!("{client}.pem"))]);
        all.extend(["--admin-key".to_owned(), file(format!("{client}.key"))]);
    }
    host.operate(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(reason), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_its_owner_in_and_is_named_in_the_log() {
    let (app, authority) = app();
    let folder = app.folder().to_owned();
    authority.vouch(&folder, "ann", ExtendedKeyUsagePurpose::ClientAuth);
    let strangers = Authority::new(&folder, "strangers");
    strangers.vouch(&folder, "eve", ExtendedKeyUsagePurpose::ClientAuth);
    let host = with_file(app, "--admin-client-ca", "authority.pem").start().await;
    let two = host.write("two.wasm", &tests::control::variant("two", &[]));
    let deploy = ["deploy", "variant", two.to_str().expect("UTF-8"), "--why", "it is time"];

    assert_refused(&operate(&host, Some("eve"), &deploy).await, "the application does not answer");
    // The token, which the command finds in the state folder, is not enough.
    assert_refused(&operate(&host, None, &deploy).await, "needs a client certificate");
    assert_refused(&operate(&host, None, &["upgrade"]).await, "needs a client certificate");
    assert_eq!(host.text("/variant/").await, "one");

    let deployed = operate(&host, Some("ann"), &deploy).await;
    assert!(deployed.status.success(), "{deployed:?}");
    assert_eq!(host.text("/variant/").await, "two");
    let upgraded = operate(&host, Some("ann"), &["upgrade"]).await;
    assert!(upgraded.status.success(), "{upgraded:?}");
    let history = operate(&host, Some("ann"), &["history", "variant", "--json"]).await;
    let history: Value = serde_json::from_slice(&history.stdout).expect("JSON");
    let who = history[0]["who"].as_str().expect("who");
    assert!(who.starts_with("certificate ") && who.contains("CN=ann"), "{history}");
    let line = host.log_line(&["control: upgrade", "CN=ann"]).await;
    assert!(line.contains("ok"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authorities_for_clients_the_token_is_asked_for() {
    let (app, _) = app();
    let host = app.start().await;
    let status = operate(&host, None, &["status"]).await;
    assert!(status.status.success() && String::from_utf8_lossy(&status.stdout).contains("variant"), "{status:?}");
    let wrong = operate(&host, None, &["status", "--admin-token", "not the admin token"]).await;
    assert_refused(&wrong, "This needs the admin token");
    // Mozilla's authorities do not vouch for it.
    assert_refused(&host.operate(&["status"]).await, "--admin-ca");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_cannot_be_read_are_refused_at_the_start() {
    let (app, _) = app();
    let app = with_file(app.file("empty.pem", ""), "--admin-client-ca", "empty.pem");
    app.refused().await.assert_says(&["empty.pem", "no usable certificate"]);
}
