//! Reports, media types and where a transfer goes.

use serde_json::json;

use super::*;

#[test]
fn the_ending_says_the_form() {
    let of = |name: &str| media_type(Path::new(name));
    assert_eq!(of("a/catalogue.jsonl").unwrap(), "application/jsonl");
    assert_eq!(of("catalogue.json").unwrap(), "application/json");
    assert_eq!(of("catalogue.csv").unwrap(), "text/csv");
    for name in ["catalogue", "catalogue.xml", "catalogue.CSV", ".csv"] {
        let refused = of(name).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("{name}: the ending says nothing")), "{refused}");
    }
}

#[test]
fn rows_that_failed_fail_the_command() {
    let good = json!({ "imported": 2, "updated": 1, "failed": 0, "errors": [] });
    print_report(&good).unwrap();
    let bad = json!({ "imported": 2, "failed": 1, "errors": [{ "line": 3, "reason": "no title" }] });
    assert_eq!(print_report(&bad).unwrap_err().to_string(), "1 rows were not taken; the others were");
}

#[test]
fn the_running_host_is_found_by_the_state_folder() {
    let dir = tempfile::tempdir().unwrap();
    let remote = |url: Option<&str>, token: Option<&str>| Remote {
        state_dir: StateDirArgs { state_dir: dir.path().join("state") },
        url: url.map(str::to_owned),
        token: token.map(str::to_owned),
    };
    let error = remote(None, None).connect().unwrap_err();
    assert!(error.to_string().starts_with("no host uses this state folder"), "{error}");

    let url = "http://127.0.0.1:4000".to_owned();
    let host = crate::state_dir::RunningHost { pid: 1, url: url.clone(), admin_url: String::new() };
    StateDir::open(dir.path().join("state")).unwrap().announce(&host).unwrap();
    let (found, token) = remote(None, None).connect().unwrap();
    assert_eq!(found, url);
    assert_eq!(token.split('.').count(), 3, "a signed token: {token}");

    let named = remote(Some("https://shop.example/"), Some("given")).connect().unwrap();
    assert_eq!(named, ("https://shop.example".to_owned(), "given".to_owned()));
}
