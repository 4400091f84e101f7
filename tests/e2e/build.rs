//! A newcomer builds the application: each component's commands run in their folders, and a missing target is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use tests::app::App;
use tests::programs;

/// What a build command has to mention for the host to see to the target.
const TARGET: &str = "wasm32-wasip2";

/// A component that the test never runs, with its build command.
fn component(app: App, id: &str, command: &str, workdir: &str) -> App {
    fs::create_dir_all(app.folder().join(workdir)).expect("the folder is writable");
    let settings = format!("[component.{id}.build]\ncommand = {command:?}\nworkdir = {workdir:?}");
    app.component(id, &format!("\"/{id}\""), Path::new("absent.wasm"), &settings)
}

/// Two components of one folder, built where there is no program but a shell.
fn app_without_programs() -> App {
    let command = format!("echo {TARGET} >> built");
    let app = component(component(App::new(), "cart", &command, "services"), "orders", &command, "services");
    let programs = app.folder().join("programs");
    fs::create_dir(&programs).expect("the folder is writable");
    symlink("/bin/sh", programs.join("sh")).expect("the folder is writable");
    let path = programs.to_str().expect("test folders are UTF-8").to_owned();
    app.environment("PATH", path)
}

/// Adds a program that is a shell script.
fn program(app: App, name: &str, script: &str) -> App {
    let app = app.file(&format!("programs/{name}"), format!("#!/bin/sh\n{script}\n"));
    let file = app.folder().join("programs").join(name);
    fs::set_permissions(file, Permissions::from_mode(0o755)).expect("the file is ours");
    app
}

/// Adds a compiler whose target is in `folder`, if that is there, and a rustup that notes its calls and ends with `code`.
fn toolchain(app: App, folder: &str, code: u8) -> App {
    let (libraries, calls) = (app.folder().join(folder), calls(&app));
    let app = program(app, "rustc", &format!("echo {}", libraries.display()));
    program(app, "rustup", &format!("echo \"$PWD: $*\" >> {}\nexit {code}", calls.display()))
}

fn calls(app: &App) -> std::path::PathBuf {
    app.folder().join("calls")
}

async fn build(app: &App) -> Output {
    app.command(&["build"]).await.expect("the host's binary runs")
}

/// What was built so far: a line for each command that ran.
fn built(app: &App) -> String {
    fs::read_to_string(app.folder().join("services/built")).unwrap_or_default()
}

#[track_caller]
fn assert_fails_saying(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in:\n{message}");
    }
}

#[tokio::test]
async fn a_missing_target_is_installed_once_for_the_folder_that_needs_it() {
    let app = toolchain(app_without_programs(), "absent", 0);
    let output = build(&app).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let services = app.folder().join("services").canonicalize().expect("it is there");
    let calls = fs::read_to_string(calls(&app)).expect("rustup was called");
    assert_eq!(calls, format!("{}: target add {TARGET}\n", services.display()));
    assert_eq!(built(&app), format!("{TARGET}\n{TARGET}\n"));
}

#[tokio::test]
async fn a_target_that_is_there_is_left_alone() {
    let app = toolchain(app_without_programs(), "services", 1);
    let output = build(&app).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!calls(&app).exists(), "rustup was called");
    assert_eq!(built(&app), format!("{TARGET}\n{TARGET}\n"));
}

#[tokio::test]
async fn a_target_that_rustup_cannot_install_is_named_with_the_command_to_try() {
    let app = toolchain(app_without_programs(), "absent", 1);
    assert_fails_saying(&build(&app).await, &[TARGET, "missing", "rustup target add wasm32-wasip2"]);
    assert_eq!(built(&app), "", "nothing can be built without it");
}

#[tokio::test]
async fn a_machine_without_rustup_is_told_where_to_get_it() {
    let app = app_without_programs();
    assert_fails_saying(&build(&app).await, &[TARGET, "missing", "no rustup", "https://rustup.rs"]);
    assert_eq!(built(&app), "", "nothing can be built without it");
}

#[tokio::test]
async fn the_commands_run_in_their_folders_until_one_fails() {
    let app = component(App::new(), "cart", "echo done > here", "services/cart");
    let app = component(app, "orders", "echo begun > here; exit 7", "services/orders");
    let app = component(app, "ratings", "echo done > here", "services/ratings");
    assert_fails_saying(&build(&app).await, &["component `orders`", "exit status: 7"]);
    let made = |id: &str| app.folder().join("services").join(id).join("here").exists();
    assert_eq!((made("cart"), made("orders"), made("ratings")), (true, true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn up_with_build_serves_what_it_built() {
    let built = programs::component("hello");
    let command = format!("cp {} .", built.display());
    let settings = format!("[component.hello.build]\ncommand = {command:?}");
    let app = App::new().component("hello", "\"/hello\"", Path::new("hello.wasm"), &settings);
    let host = app.argument("--build").start().await;
    assert_eq!(host.text("/hello").await, "Hello, world!\n");
}

#[tokio::test]
async fn a_mistake_that_is_there_to_be_seen_ends_the_start_before_the_build() {
    let elsewhere = tempfile::tempdir().expect("a folder for the test");
    let built = elsewhere.path().join("built");
    let with = |settings: &str| {
        let settings = format!("build = {{ command = \"touch {}\" }}\n{settings}", built.display());
        App::new().component("cart", "\"/cart\"", Path::new("absent.wasm"), &settings).argument("--build")
    };
    let unknown = with("").argument("--component-id=basket");
    for (app, words) in [
        (with("key_value_stores = [\"carts\"]"), ["spin.toml:10:21", "the store `carts`"]),
        (unknown, ["no component", "`basket`"]),
    ] {
        app.refused().await.assert_says(&words);
        assert!(!built.exists(), "it was built in vain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_component_is_built_with_what_is_composed_into_it_and_nothing_else_is() {
    let copy = |guest: &str| format!("command = \"cp {} .\"", programs::component(guest).display());
    let greeting = format!(
        "[component.greeting.dependencies]\n\"bodega:test-greeter/greet@1.0.0\" = {{ component = \"greeter\" }}\n\
         [component.greeting.build]\n{}",
        copy("greeting")
    );
    let app = App::new()
        .component("greeting", "\"/greeting/...\"", Path::new("greeting.wasm"), &greeting)
        .append(&format!("[component.greeter]\nsource = \"greeter.wasm\"\nbuild.{}", copy("greeter")));
    // Its build would fail, its store is not set up, its file is not there.
    let orders = "build = { command = \"exit 7\" }\nsqlite_databases = [\"absent\"]";
    let app = app.component("orders", "\"/orders\"", Path::new("absent.wasm"), orders);
    let host = app.argument("--build").argument("--component-id=greeting").start().await;
    assert!(host.text("/greeting/Ada").await.starts_with("Good day, Ada."));
    assert_eq!(host.get("/orders").await.status(), 404);
}

#[tokio::test]
async fn a_selected_component_that_calls_another_is_refused_by_name() {
    let app = App::new()
        .guest("hello", "")
        .guest("interfaces", "allowed_outbound_hosts = [\"http://hello.spin.internal\"]")
        .argument("--component-id=interfaces");
    app.refused().await.assert_says(&[
        "spin.toml:16:27",
        "`interfaces` may call the component `hello`",
        "not selected",
    ]);
}

#[tokio::test]
async fn up_starts_nothing_when_a_build_fails() {
    let app = component(App::new(), "cart", "exit 3", ".").argument("--build");
    app.refused().await.assert_says(&["component `cart`", "exit status: 3"]);
}
