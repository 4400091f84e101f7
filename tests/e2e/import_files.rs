//! An operator imports files as they are found in the world: bad rows are listed by line and reason, good ones go in.

use std::process::Output;

use serde_json::{Value, json};
use tests::host::Host;
use tests::shop::Shop;

/// Longer than a record may be.
const LONG_LINE_BYTES: usize = 5 << 20;

async fn shop() -> Host {
    Shop::host_with_its_own_keys(|app| app).await
}

/// What `bodega import` made of a file.
#[derive(Debug)]
struct Import {
    code: Option<i32>,
    /// The counts.
    summary: String,
    /// The bad rows, and why the command failed.
    complaints: String,
}

async fn import(host: &Host, name: &str, content: impl AsRef<[u8]>) -> Import {
    import_with(host, name, content, &[]).await
}

async fn import_with(host: &Host, name: &str, content: impl AsRef<[u8]>, options: &[&str]) -> Import {
    let file = host.folder().join(name);
    std::fs::write(&file, content).expect("the folder is writable");
    let state = host.app().state_dir();
    let arguments = [&["import", name, "--state-dir", state.to_str().expect("UTF-8")], options].concat();
    let Output { status, stdout, stderr } = host.app().command(&arguments).await.expect("the host's binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Import { code: status.code(), summary: text(&stdout), complaints: text(&stderr) }
}

impl Import {
    /// Fails unless the counts are these and each bad row is listed with all of its words.
    #[track_caller]
    fn assert(&self, summary: &str, bad_rows: &[(u64, &str)]) {
        assert_eq!(self.summary.trim_end(), summary, "{self:?}");
        assert_eq!(self.code, Some(i32::from(!bad_rows.is_empty())), "{self:?}");
        let listed: Vec<&str> = self.complaints.lines().filter(|line| line.starts_with("line ")).collect();
        assert_eq!(listed.len(), bad_rows.len(), "{self:?}");
        for (line, (number, words)) in listed.iter().zip(bad_rows) {
            let expected = format!("line {number}: ");
            assert!(line.starts_with(&expected) && line.contains(words), "{line} is not about {number}, {words}");
        }
    }
}

/// The titles in the shop, sorted.
async fn titles(host: &Host) -> Vec<String> {
    let page = host.json("/api/products?limit=50").await;
    let products = page["items"].as_array().expect("a list of products");
    let mut titles: Vec<String> =
        products.iter().map(|product| product["title"].as_str().expect("a title").to_owned()).collect();
    titles.sort();
    titles
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheets_csv_with_a_byte_order_mark_crlf_and_quoted_line_breaks() {
    let host = shop().await;
    let file = "\u{feff}sku,title,description,price,stock\r\n\
                A,\"Say \"\"cheese\"\"\",\"two\r\nlines\",1.20,5\r\n\
                B,Bread,,cheap,5\r\n\
                C,\"Crème, brûlée\",,4.00,2\r\n";
    import(&host, "sheet.csv", file).await.assert("imported 2, updated 0, unchanged 0, failed 1", &[(4, "price")]);
    assert_eq!(titles(&host).await, ["Crème, brûlée", "Say \"cheese\""]);
    let found = host.json("/api/products?q=cheese").await;
    let id = found["items"][0]["id"].as_str().expect("an id");
    let product = host.json(&format!("/api/products/{id}")).await;
    let description = product["description"].as_str().expect("a description");
    assert_eq!(description.lines().collect::<Vec<_>>(), ["two", "lines"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_five_megabytes_is_one_bad_row() {
    let host = shop().await;
    let long = "x".repeat(LONG_LINE_BYTES);
    let file = format!("sku,title,price\nA,Apple,1.20\nB,{long},2.00\nC,Cheese,4.00\n");
    import(&host, "long.csv", file).await.assert("imported 2, updated 0, unchanged 0, failed 1", &[(3, "bytes")]);
    let file = format!("{{\"sku\":\"D\",\"title\":\"{long}\"}}\n{{\"sku\":\"E\",\"title\":\"Egg\",\"price\":\"1\"}}\n");
    import(&host, "long.jsonl", file).await.assert("imported 1, updated 0, unchanged 0, failed 1", &[(1, "bytes")]);
    assert_eq!(titles(&host).await, ["Apple", "Cheese", "Egg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_comes_again_changes_the_product_it_made() {
    let host = shop().await;
    // Some come again at once, some long after, when the first rows are written already.
    let rows = |price: u32| (0..300).map(move |n| format!("S-{n},Soap {n},{price}.00\n")).collect::<String>();
    let file = format!("sku,title,price\nA,Apple,1.00\nA,Apple,2.00\n{}{}A,Apple,3.00\n", rows(1), rows(2));
    let report = import(&host, "twice.csv", file).await;
    assert_eq!(report.code, Some(0), "{report:?}");
    assert!(report.summary.starts_with("imported 301, "), "{report:?}");
    let found = host.json("/api/products?q=apple").await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    let id = found["items"][0]["id"].as_str().expect("an id");
    let product = host.json(&format!("/api/products/{id}")).await;
    assert_eq!(product["variants"].as_array().map(Vec::len), Some(1), "{product}");
    assert_eq!(product["variants"][0]["price"]["amount"], 300, "{product}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_changes_nothing() {
    let host = shop().await;
    let nothing = "imported 0, updated 0, unchanged 0, failed 0";
    for (name, content) in [
        ("empty.csv", ""),
        ("names.csv", "sku,title\n"),
        ("empty.jsonl", ""),
        ("blank.jsonl", "\n\n"),
        ("a.json", "[]"),
    ] {
        import(&host, name, content).await.assert(nothing, &[]);
    }
    import(&host, "empty.json", "")
        .await
        .assert("imported 0, updated 0, unchanged 0, failed 1", &[(1, "not a JSON array")]);
    assert_eq!(host.json("/api/products").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_utf_8_are_bad_rows() {
    let host = shop().await;
    let file = b"sku,title,price\nA,Apple,1.20\nB,Cr\xe8me,2.00\nC,Cheese,4.00\n";
    import(&host, "latin.csv", file).await.assert("imported 2, updated 0, unchanged 0, failed 1", &[(3, "UTF-8")]);
    let file =
        b"{\"sku\":\"D\",\"title\":\"Cr\xe8me\",\"price\":\"1\"}\n{\"sku\":\"E\",\"title\":\"Egg\",\"price\":\"1\"}\n";
    import(&host, "latin.jsonl", file).await.assert("imported 1, updated 0, unchanged 0, failed 1", &[(1, "unicode")]);
    let file = b"sku,title,gr\xf6\xdfe\nF,Fig,1\nG,Grape,2\n";
    import(&host, "names.csv", file)
        .await
        .assert("imported 0, updated 0, unchanged 0, failed 1", &[(1, "column names: not UTF-8")]);
    assert_eq!(titles(&host).await, ["Apple", "Cheese", "Egg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_row_is_told_by_its_line_however_many_there_are() {
    let host = shop().await;
    // More than a connection takes ahead, so that the file is still being sent while bad rows are told of; and more than
    // a part of a file.
    let count = 100_000;
    let note = "x".repeat(100);
    let rows = (0..count).map(|n| format!("S-{n},Soap,{},{note}\n", if n % 1_000 == 0 { "1" } else { "cheap" }));
    let report = import(&host, "bad.csv", format!("sku,title,price,note\n{}", rows.collect::<String>())).await;
    assert_eq!(report.code, Some(1), "{}", report.summary);
    assert_eq!(report.summary.trim_end(), "imported 100, updated 0, unchanged 0, failed 99900");
    let bad = (0..count).filter(|n| n % 1_000 != 0).map(|n| format!("line {}: price: ", n + 2));
    let mut told = report.complaints.lines().filter(|line| line.starts_with("line "));
    for bad in bad {
        let line = told.next().unwrap_or_default();
        assert!(line.starts_with(&bad), "{line} is not {bad}");
    }
    assert_eq!(told.next(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_the_import_would() {
    let host = shop().await;
    let rows: String = (0..600).map(|n| format!("soap-{n},S-{n},Soap {n},1.00\n")).collect();
    // The last rows are about the first ones' products, which only an import would have written by then.
    let file = format!("slug,sku,title,price\n{rows}soap-0,S-0-b,,2.00\nother,S-200,Other,3.00\nsoap-0,S-1,,3.00\n");
    let dry_run = import_with(&host, "far.csv", &file, &["--dry-run"]).await;
    let summary = "imported 600, updated 2, unchanged 0, failed 1";
    let bad_rows = [(604, "belongs to another product")];
    dry_run.assert(summary, &bad_rows);
    assert_eq!(host.json("/api/products").await["items"], json!([]), "a dry run changes nothing");
    import(&host, "far.csv", &file).await.assert(summary, &bad_rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_in_parts_says_that_they_are_checked_apart() {
    let host = shop().await;
    let row = format!("A,Apple,1.00,{}\n", "x".repeat(200_000));
    let file = format!("sku,title,price,note\n{}", row.repeat(50));
    let report = import_with(&host, "large.csv", file, &["--dry-run"]).await;
    report.assert("imported 2, updated 0, unchanged 0, failed 0", &[]);
    assert!(report.complaints.contains("the file went in 2 parts"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_sent_is_named() {
    let host = shop().await;
    let state = host.app().state_dir();
    std::fs::create_dir(host.folder().join("folder.csv")).expect("the folder is writable");
    for (name, words) in [("absent.csv", "cannot be read"), ("sheet.xlsx", ".jsonl, .json or .csv"), ("folder.csv", "")]
    {
        let arguments = ["import", name, "--state-dir", state.to_str().expect("UTF-8")];
        let output = host.app().command(&arguments).await.expect("the host's binary runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(name) && message.contains(words), "{message}");
    }
    assert_eq!(host.json("/api/products").await["items"], Value::Array(Vec::new()));
}
