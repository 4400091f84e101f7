//! An operator returns to one of the last revisions, which is still compiled, or to an older one.

use std::fs;
use std::path::PathBuf;

use tests::control::{revision_of, variant, variant_app};
use tests::host::Host;
use tokio::time::Instant;

/// Revisions besides the one in force that stay compiled.
const WARM: usize = 3;
/// Revisions besides the one in force that are recorded: ten, and the one before it.
const RECORDED: usize = 11;

/// The version that is revision `number`; the first is the manifest's own.
fn version(number: usize) -> (String, Vec<u8>) {
    let name = if number == 1 { "one".to_owned() } else { format!("r{number:02}") };
    let wasm = variant(&name, &[]);
    (name, wasm)
}

async fn deploy_until(host: &Host, last: usize) {
    for number in 2..=last {
        let done = host.deploy("variant", &version(number).1).await;
        assert_eq!(done["revision"], number, "{done}");
    }
}

/// What is compiled, by file.
fn compiled(host: &Host) -> Vec<PathBuf> {
    let code = fs::read_dir(host.app().state_dir().join("code")).expect("the host keeps its code");
    code.map(|entry| entry.expect("an entry").path()).collect()
}

/// Returns to a revision and has it answer; says how long both took together.
async fn return_to(host: &Host, number: usize) {
    let started = Instant::now();
    let answer = host.control("POST", &format!("/v1/rollback?component=variant&to={number}"), "").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(host.text("/variant/").await, version(number).0);
    println!("the first answer of revision {number} came {:?} after the wish to return to it", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_revisions_answer_without_being_compiled_again() {
    const LAST: usize = 6;
    let host = variant_app("").cold().start().await;
    deploy_until(&host, LAST).await;
    assert_eq!(compiled(&host).len(), LAST);
    // Whatever is compiled from here on is seen, and there is nothing to be read.
    compiled(&host).iter().for_each(|code| fs::remove_file(code).expect("the folder is ours"));
    let coldest = LAST - WARM;
    for number in (coldest..LAST).rev().chain([LAST, coldest]) {
        return_to(&host, number).await;
    }
    assert_eq!(compiled(&host), [] as [PathBuf; 0], "a warm revision was compiled");

    return_to(&host, coldest - 1).await;
    let code = compiled(&host);
    let [code] = &code[..] else { panic!("one revision was not warm any more: {code:?}") };
    assert!(code.to_string_lossy().contains(&revision_of(&version(coldest - 1).1)), "{code:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_revisions_stay_compiled_as_the_manifest_says() {
    let host = variant_app("revisions_kept = 1").cold().start().await;
    deploy_until(&host, 3).await;
    compiled(&host).iter().for_each(|code| fs::remove_file(code).expect("the folder is ours"));
    return_to(&host, 2).await;
    assert_eq!(compiled(&host).len(), 0);
    return_to(&host, 1).await;
    assert_eq!(compiled(&host).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_no_longer_recorded_is_refused_by_its_number() {
    const FORGOTTEN: usize = 1;
    let mut host = variant_app("").start().await;
    let last = FORGOTTEN + 1 + RECORDED;
    deploy_until(&host, last).await;
    let refused = host.operate(&["rollback", "variant", "--to", &FORGOTTEN.to_string()]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("has no revision 1") && said.contains("bodega history"),
        "{said}"
    );
    assert_eq!(host.text("/variant/").await, version(last).0);
    let history = String::from_utf8_lossy(&host.operate(&["history", "variant"]).await.stdout).into_owned();
    assert_eq!(history.lines().count(), 1 + RECORDED + 1, "{history}");

    // The oldest that is recorded is neither in memory nor needs to be, also in another process.
    host.kill_9().await;
    host.restart().await;
    return_to(&host, FORGOTTEN + 1).await;
}
