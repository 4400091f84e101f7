//! A component that cannot work is refused at start, by name and with the reason, and nothing is started.

use tests::app::App;
use tests::programs;

/// An app with a good component and the bad one.
fn app(wasm: &[u8]) -> App {
    let app = App::new().guest("hello", "").file("bad.wasm", wasm);
    let source = app.folder().join("bad.wasm");
    app.component("bad", "\"/bad\"", &source, "")
}

#[tokio::test]
async fn a_file_that_is_not_webassembly_is_refused() {
    app(b"#!/bin/sh\n").refused().await.assert_says(&["bad", "bad.wasm", "not a WebAssembly file"]);
}

#[tokio::test]
async fn a_damaged_component_is_refused() {
    let mut wasm = std::fs::read(programs::component("hello")).expect("the guest is readable");
    wasm.truncate(wasm.len() / 2);
    app(&wasm).refused().await.assert_says(&["bad", "bad.wasm"]);
}

#[tokio::test]
async fn a_core_module_is_refused() {
    let module = wat::parse_str("(module (func (export \"run\")))").expect("a module");
    app(&module).refused().await.assert_says(&["bad", "bad.wasm", "core", "module", "component"]);
}

#[tokio::test]
async fn a_component_without_an_http_handler_is_refused() {
    let component = wat::parse_str("(component)").expect("a component");
    app(&component).refused().await.assert_says(&["bad", "wasi:http/handler"]);
}

#[tokio::test]
async fn a_missing_import_is_refused_by_its_name() {
    let refusal = App::new().guest("missing-import", "").refused().await;
    refusal.assert_says(&["missing-import", "bodega:nowhere/absent@1.0.0"]);
}

#[tokio::test]
async fn a_component_that_traps_on_start_is_refused() {
    let refusal = App::new().guest("hello", "").guest("trap-on-start", "").refused().await;
    refusal.assert_says(&["trap-on-start", "unreachable"]);
}

#[tokio::test]
async fn a_dependency_that_lacks_the_interface_is_refused() {
    let wrong = "[component.greeting.dependencies]\n\
                 \"bodega:test-greeter/greet@1.0.0\" = { component = \"hello\" }";
    let refusal = App::new().guest("hello", "").guest("greeting", wrong).refused().await;
    refusal.assert_says(&["greeting", "bodega:test-greeter/greet@1.0.0"]);
}
