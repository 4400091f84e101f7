//! A newcomer's mistakes at the command line: each ends with an exit code and words that say what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use tests::app::App;
use tests::host::Host;

async fn run(app: &App, arguments: &[&str]) -> Output {
    app.command(arguments).await.expect("the host's binary runs")
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in:\n{message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// The arguments of an `up` that would start, on ports of its own.
fn up(state_dir: &str) -> [&str; 7] {
    ["up", "--state-dir", state_dir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
}

fn state_dir(host: &Host) -> String {
    host.app().state_dir().to_str().expect("test folders are UTF-8").to_owned()
}

#[tokio::test]
async fn no_command_shows_what_there_is() {
    let app = App::new();
    assert_fails(&run(&app, &[]).await, 2, &["Usage: bodega", "up", "build", "import", "restore"]);
}

#[tokio::test]
async fn a_misspelt_command_names_the_one_that_was_meant() {
    let app = App::new();
    assert_fails(&run(&app, &["biuld"]).await, 2, &["biuld", "'build'", "--help"]);
    assert_fails(&run(&app, &["up", "--lisen", "127.0.0.1:0"]).await, 2, &["--lisen", "'--listen'"]);
}

#[tokio::test]
async fn a_folder_without_an_application_is_named_with_the_way_out() {
    let app = App::new();
    fs::remove_file(app.folder().join("spin.toml")).expect("it was written");
    for command in ["up", "build", "check", "backup copy", "restore copy"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        assert_fails(&run(&app, &arguments).await, 1, &["there is no spin.toml", "--from"]);
    }
    assert!(!app.folder().join(".bodega").exists(), "a state folder was made for no application");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_state_is_told_who_has_it() {
    let host = App::new().guest("hello", "").start().await;
    let (state, pid) = (state_dir(&host), format!("process {}", host.pid()));
    let words = [state.as_str(), &pid, &host.url(""), "--state-dir"];
    assert_fails(&run(host.app(), &up(&state)).await, 1, &words);
    assert_eq!(host.text("/hello/").await, "Hello, world!\n", "the first one goes on");
}

#[tokio::test]
async fn an_import_without_a_host_says_to_start_one_and_leaves_no_trace() {
    let app = App::new().file("shop.csv", "sku,title\n");
    assert_fails(&run(&app, &["import", "shop.csv"]).await, 1, &["no host", ".bodega", "bodega up", "--url"]);
    assert_fails(&run(&app, &["export", "shop.csv"]).await, 1, &["no host", ".bodega", "bodega up", "--url"]);
    assert!(!app.folder().join(".bodega").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_after_the_host_died_says_where_it_was() {
    let mut host = App::new().guest("hello", "").file("shop.csv", "sku,title\n").start().await;
    let (state, url) = (state_dir(&host), host.url(""));
    host.kill_9().await;
    let output = run(host.app(), &["import", "shop.csv", "--state-dir", &state]).await;
    assert_fails(&output, 1, &["does not answer", &url, "bodega up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_over_stores_that_are_in_use_or_there_says_how() {
    let mut host = App::new().ledger().start().await;
    let (state, pid) = (state_dir(&host), format!("process {}", host.pid()));
    let backup = run(host.app(), &["backup", "copy", "--state-dir", &state]).await;
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    let restore = ["restore", "copy", "--state-dir", &state];
    assert_fails(&run(host.app(), &restore).await, 1, &[&state, &pid, "stop it"]);
    host.stop().await;
    assert_fails(&run(host.app(), &restore).await, 1, &["is there already", "--force"]);
    assert_fails(
        &run(host.app(), &["restore", "elsewhere", "--state-dir", &state]).await,
        1,
        &["elsewhere", "no backup"],
    );
    assert_fails(&run(host.app(), &["backup", "copy", "--state-dir", &state]).await, 1, &["copy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_the_option_that_chooses_another() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for option in ["--listen", "--admin-listen"] {
        // The later one of two equal options counts for neither, so the others are left to the system.
        let other = if option == "--listen" { "--admin-listen" } else { "--listen" };
        let app = App::new().guest("hello", "");
        let output = run(&app, &["up", option, &address, other, "127.0.0.1:0"]).await;
        assert_fails(&output, 1, &[&address, "in use", &format!("another address with {option}")]);
    }
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_used_is_named() {
    let app = App::new().guest("hello", "").file("occupied", "a file, not a folder");
    for folder in ["occupied", "occupied/below", "/proc/bodega"] {
        assert_fails(&run(&app, &up(folder)).await, 1, &["state folder", folder, "--state-dir"]);
    }
}

#[tokio::test]
async fn a_state_folder_of_somebody_else_is_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: nothing is closed to root");
        return;
    }
    let app = App::new().guest("hello", "").file("closed/secrets/staff-key", "");
    let closed = app.folder().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("the folder is ours");
    let output = run(&app, &up("closed")).await;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    assert_fails(&output, 1, &["closed", "denied"]);
}
