//! The two forms of an import's report: in one piece, which lists the first bad rows, and as lines, which tell all.

use std::pin::pin;

use axum::body::{Body, Bytes};
use axum::http::{Method, header};
use commerce::Currency;
use futures::executor::block_on;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use service::testing::{Folder, access};

use super::shop::{Answer, Shop};
use super::transfer::{JSONL, import};
use crate::app::App;
use crate::import::report::{self, ERRORS_LISTED_MAX, QUOTED_CHARS_MAX};
use crate::import::{BATCH_RECORDS, Format, Import, Job, Mapping};

fn import_in_lines(shop: &Shop, accept: &str, body: impl Into<Body>) -> Answer {
    let request = shop.request(Method::POST, "/api/catalog/import").staff();
    request.header("content-type", JSONL).header("accept", accept).body(body)
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn good_row(n: usize) -> String {
    json!({"title": "P", "slug": format!("p-{n}"), "sku": format!("s{n}"), "price": 1}).to_string() + "\n"
}

/// What is wrong with a row is found out when it is read, or when it meets others.
fn bad_row(n: usize) -> String {
    match n % 3 {
        0 => "?\n".to_owned(),
        1 => json!({"title": "P", "sku": "s", "price": "cheap"}).to_string() + "\n",
        _ => json!({"title": "", "slug": format!("q-{n}"), "sku": format!("q{n}"), "price": 1}).to_string() + "\n",
    }
}

#[test]
fn a_report_in_one_piece_lists_the_first_bad_rows_by_their_lines() {
    let shop = Shop::open();
    let count = ERRORS_LISTED_MAX + 50;
    let told = import(&shop, "", JSONL, (0..count).map(bad_row).collect::<String>()).json();
    assert_eq!(told["failed"].as_u64(), Some(count as u64));
    let listed: Vec<u64> = told["errors"].as_array().unwrap().iter().map(|bad| bad["line"].as_u64().unwrap()).collect();
    assert_eq!(listed, (1..=ERRORS_LISTED_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn a_report_in_lines_tells_every_bad_row_and_the_totals_last() {
    let shop = Shop::open();
    let count = 3 * BATCH_RECORDS;
    let file: String = (0..count).map(|n| if n % 7 == 0 { good_row(n) } else { bad_row(n) }).collect();
    let answer = import_in_lines(&shop, "application/json, application/x-ndjson;q=0.9", file);
    assert_eq!(answer.header(header::CONTENT_TYPE), JSONL);
    let mut lines = lines(&answer);
    let good = count.div_ceil(7);
    assert_eq!(
        lines.pop().unwrap(),
        json!({
            "dry_run": false, "rows": count, "imported": good, "updated": 0, "unchanged": 0,
            "failed": count - good, "forgotten": 0, "ignored_fields": [],
        })
    );
    let told: Vec<u64> = lines.iter().map(|bad| bad["line"].as_u64().unwrap()).collect();
    assert_eq!(told, (0..count).filter(|n| n % 7 != 0).map(|n| n as u64 + 1).collect::<Vec<_>>());
    assert!(lines.iter().all(|bad| !bad["reason"].as_str().unwrap().is_empty()), "{lines:?}");

    // Without being asked for lines it is in one piece.
    let whole = import_in_lines(&shop, "application/json, */*", good_row(0) + &bad_row(0)).json();
    assert_eq!((&whole["unchanged"], &whole["errors"][0]["line"]), (&json!(1), &json!(2)));
}

#[test]
fn bad_rows_are_told_before_the_file_has_ended() {
    let folder = Folder::new();
    let (more, file) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    more.unbounded_send(Ok((0..BATCH_RECORDS).map(bad_row).collect::<String>().into())).unwrap();
    block_on(async {
        let app = App::open(&folder.label(), access(""), Currency::USD).await.unwrap();
        let actor = "tester".to_owned();
        let job = Job { format: Format::JsonLines, mapping: Mapping::default(), dry_run: false, actor };
        let mut report = pin!(report::lines(Import::new(app.into(), job, Body::from_stream(file))).await.unwrap());
        let first = report.next().await.unwrap().unwrap();
        assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), BATCH_RECORDS);
        more.unbounded_send(Ok(good_row(0).into())).unwrap();
        drop(more);
        let last: Value = serde_json::from_slice(&report.next().await.unwrap().unwrap()).unwrap();
        assert_eq!((&last["imported"], &last["failed"]), (&json!(1), &json!(BATCH_RECORDS)));
        assert!(report.next().await.is_none());
    });
}

#[test]
fn a_failure_is_an_answer_of_its_own_or_stands_beside_the_totals() {
    let shop = Shop::open();
    let cut = |text: String| {
        let pieces = vec![Ok(Bytes::from(text)), Err(std::io::Error::other("cable cut"))];
        Body::from_stream(stream::iter(pieces))
    };
    let batch = |row: fn(usize) -> String| (0..BATCH_RECORDS).map(row).collect::<String>();
    let broken = import_in_lines(&shop, JSONL, cut(batch(good_row)));
    broken.is_problem(400, "broken-body", "the body broke off", json!({}));

    let mut lines = lines(&import_in_lines(&shop, JSONL, cut(batch(good_row) + &batch(bad_row))));
    let last = lines.pop().unwrap();
    assert_eq!(lines.len(), BATCH_RECORDS);
    assert_eq!((&last["unchanged"], &last["failed"]), (&json!(BATCH_RECORDS), &json!(BATCH_RECORDS)));
    assert_eq!(last["problem"]["type"], "urn:bodega:problem:broken-body");
}

#[test]
fn what_a_report_quotes_is_cut() {
    let shop = Shop::open();
    let long = "é".repeat(10 * QUOTED_CHARS_MAX);
    let row = json!({"title": "P", "sku": "s", "price": &long}).to_string();
    let ignored = json!({"title": "P", "sku": "s", "price": 1, &*long: 1}).to_string();
    let told = import(&shop, "", JSONL, format!("{row}\n{ignored}\n")).json();
    for text in [&told["errors"][0]["reason"], &told["ignored_fields"][0]] {
        let text = text.as_str().unwrap();
        assert!(text.ends_with("é…") && text.chars().count() == QUOTED_CHARS_MAX + 1, "{text}");
    }
}
