//! Compiled code is kept between starts, and none is run that is damaged or another engine's.

use std::fs;
use std::path::PathBuf;

use tests::app::App;
use tests::host::Host;

/// A host that has never run anything.
async fn host() -> Host {
    App::new().cold().guest("hello", "").start().await
}

fn entries(host: &Host) -> Vec<PathBuf> {
    let list = fs::read_dir(host.app().state_dir().join("code")).expect("the state folder has the code");
    let mut entries: Vec<_> = list.map(|entry| entry.expect("a readable folder").path()).collect();
    entries.sort();
    entries
}

fn only_entry(host: &Host) -> PathBuf {
    let entries = entries(host);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

async fn restart(host: &mut Host) {
    assert_eq!(host.stop().await.code(), Some(0));
    host.restart().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_compiled_at_the_first_start_only() {
    let mut host = host().await;
    let modified = |host: &Host| fs::metadata(only_entry(host)).and_then(|entry| entry.modified()).expect("a file");
    let compiled = modified(&host);
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    restart(&mut host).await;
    assert_eq!(modified(&host), compiled);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_code_is_compiled_again() {
    let mut host = host().await;
    let entry = only_entry(&host);
    let sound = fs::read(&entry).expect("an entry");
    let mut code = sound.clone();
    // In the machine code, where no header would give it away.
    let place = code.len() / 2;
    code[place] ^= 1;
    fs::write(&entry, code).expect("the folder is ours");
    restart(&mut host).await;
    host.log_line(&["cached code is damaged"]).await;
    assert_eq!(fs::read(only_entry(&host)).expect("an entry"), sound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_another_engine_is_left_alone() {
    let mut host = host().await;
    let entry = only_entry(&host);
    let name = entry.file_name().and_then(|name| name.to_str()).expect("a name");
    let [wasm, _engine, code] = name.split('-').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let other = entry.with_file_name(format!("{wasm}-{:016x}-{code}", 1));
    fs::rename(&entry, &other).expect("the folder is ours");
    restart(&mut host).await;
    let mut both = [entry, other];
    both.sort();
    assert_eq!(entries(&host), both);
}
