//! An artifact that cannot work is refused with the reason, and the revision in force goes on.

use std::fs;
use std::time::Duration;

use tests::app::App;
use tests::control::{replaced, variant};
use tests::host::Host;
use tests::programs;
use tokio::time::sleep;

/// A version of which the start takes too long is refused at the deadline.
const DEADLINE: &str = "[component.variant.tool.bodega]\ndeadline_ms = 1500";
const SHOPPER_PERIOD: Duration = Duration::from_millis(50);
/// Of the thirty that such a shopper could get within the deadline.
const ANSWERS_MIN: usize = 10;

async fn host() -> Host {
    let app = App::new().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    app.component("variant", "\"/variant/...\"", &source, DEADLINE).start().await
}

/// The command must fail, say all of `words`, and change nothing.
async fn assert_refused(host: &Host, wasm: &[u8], more: &[&str], words: &[&str]) {
    let artifact = host.write("artifact.wasm", wasm);
    let arguments = [&["deploy", "variant", artifact.to_str().expect("UTF-8")], more].concat();
    let output = host.operate(&arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(host.text("/variant/").await, "one");
    let status = host.status_of("variant").await;
    assert!(status["revision"].is_null() && status["draining"] == serde_json::json!([]), "{status}");
}

/// The former revision answers while the host waits for one that does not start.
async fn answering(host: &Host, refused: impl Future<Output = ()>) {
    let mut answers = 0;
    let shopper = async {
        loop {
            assert_eq!(host.text("/variant/").await, "one");
            answers += 1;
            sleep(SHOPPER_PERIOD).await;
        }
    };
    tokio::select! {
        () = refused => {}
        () = shopper => unreachable!("it shops for ever"),
    }
    assert!(answers > ANSWERS_MIN, "{answers} answers within the deadline");
}

fn guest(name: &str) -> Vec<u8> {
    fs::read(programs::component(name)).expect("the guest is readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_and_the_former_revision_goes_on() {
    let host = host().await;
    let core_module = wat::parse_str("(module (func (export \"run\")))").expect("a module");
    let without_handler = wat::parse_str("(component)").expect("a component");
    let never_ready = replaced(guest("trap-on-start"), "at its start: trap", "at its start: loop");
    let mut damaged = variant("two", &[]);
    damaged.truncate(damaged.len() / 2);
    assert_refused(&host, b"#!/bin/sh\n", &[], &["variant", "not a WebAssembly file"]).await;
    assert_refused(&host, &damaged, &[], &["variant", "cannot be compiled"]).await;
    assert_refused(&host, &core_module, &[], &["variant", "core WebAssembly module"]).await;
    assert_refused(&host, &without_handler, &[], &["variant", "wasi:http/handler"]).await;
    let late = ["variant", "cannot start", "did not start within 1500 ms"];
    answering(&host, assert_refused(&host, &never_ready, &[], &late)).await;
    assert_refused(&host, &guest("missing-import"), &[], &["bodega:nowhere/absent@1.0.0"]).await;
    assert_refused(&host, &guest("trap-on-start"), &[], &["cannot start", "unreachable"]).await;
    let smoke = ["--smoke", "/healthy"];
    assert_refused(&host, &variant("two", &["errors=1000"]), &smoke, &["/healthy", "500", "expected success"]).await;
    assert_refused(&host, &variant("two", &["traps=1000"]), &smoke, &["/healthy", "failed"]).await;
    assert_refused(&host, &variant("two", &["delay_ms=9999"]), &smoke, &["/healthy", "1500 ms"]).await;
    let busy = ["--smoke", "/busy"];
    answering(&host, assert_refused(&host, &variant("two", &[]), &busy, &["/busy", "did not answer within 1500 ms"]))
        .await;
    let expected = ["--smoke", "/healthy", "--smoke-status", "204"];
    assert_refused(&host, &variant("two", &[]), &expected, &["200", "expected 204"]).await;

    let unknown = host.operate(&["deploy", "varian", "variant.wasm"]).await;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        unknown.status.code() == Some(1) && said.contains("no component `varian`") && said.contains("variant"),
        "{said}"
    );
    let actions: serde_json::Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
    let actions = actions.as_array().expect("a list");
    assert_eq!(actions.len(), 13);
    assert!(actions.iter().all(|action| action["outcome"] != "ok" && action["action"] == "deploy"), "{actions:?}");
    assert!(actions[0]["who"].as_str().is_some_and(|who| who.starts_with("admin-token (")), "{:?}", actions[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_imports_more_than_the_manifest_declares_is_deployed_with_a_warning() {
    let host = host().await;
    let artifact = programs::component("ledger");
    let done = host.operate(&["deploy", "variant", artifact.to_str().expect("UTF-8")]).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "it may never call what it imports: {said}");
    for words in ["`spin:sqlite/sqlite", "declares no `sqlite_databases`", "declares no `key_value_stores`"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("allowed_outbound_hosts"), "{said}");
    host.log_line(&["spin:sqlite/sqlite", "declares no `sqlite_databases`"]).await;
    let caller = programs::component("interfaces");
    let done = host.operate(&["deploy", "variant", caller.to_str().expect("UTF-8")]).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("`wasi:http/client") && said.contains("declares no `allowed_outbound_hosts`"), "{said}");
    let artifact = host.write("two.wasm", &variant("two", &[]));
    let back = host.operate(&["deploy", "variant", artifact.to_str().expect("UTF-8")]).await;
    assert!(back.status.success() && back.stderr.is_empty(), "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_code_in_the_cache_is_compiled_again() {
    let app = App::new().cold().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    let mut host = app.component("variant", "\"/variant/...\"", &source, "").start().await;
    let two = variant("two", &[]);
    host.deploy("variant", &two).await;
    let code = host.app().state_dir().join("code");
    let entry = fs::read_dir(&code)
        .expect("the cache")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains(&tests::control::revision_of(&two)))
        .expect("the new revision's code");
    let mut bytes = fs::read(&entry).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&entry, bytes).expect("writable");
    // Back to the first, and once more to the second by a host that does not have it in memory any more.
    host.operate(&["rollback", "variant"]).await;
    host.stop().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "one");
    host.deploy("variant", &two).await;
    assert_eq!(host.text("/variant/").await, "two");
    host.log_line(&["cached code is damaged"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_changes_nothing() {
    let host = host().await;
    for path in ["/v1/deploy?component=variant", "/v1/rollback?component=variant"] {
        let answer = host.client().post(host.admin_url(path)).body("x").send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
    }
    for path in ["/v1/status", "/v1/history?component=variant", "/v1/actions"] {
        let answer = host.client().get(host.admin_url(path)).bearer_auth("guess").send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
    }
    let wrong = host.operate(&["status", "--admin-token", "a-wrong-token-of-some-length"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("a-wrong-token"), "{wrong:?}");
    let token = host.admin_token();
    assert!(host.log().iter().all(|line| !line.contains(&token)), "the token is in the log");
}
