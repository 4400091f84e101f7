//! Reports as they are read: row by row, and with the counts at the end.

use futures::executor::block_on;
use serde_json::{Value, json};

use super::*;

fn bad_row(line: u64) -> Value {
    json!({ "line": line, "reason": "no title" })
}

fn counts(rows: u64) -> Value {
    let [updated, ignored] = [json!(2), json!(["colour"])];
    json!({
        "dry_run": false, "rows": rows, "imported": 1, "updated": updated, "unchanged": 3, "failed": 4,
        "forgotten": 5, "ignored_fields": ignored,
    })
}

/// What is told of a report, and how reading it ends.
fn read_all(text: &str, totals: &mut Totals) -> (Vec<u64>, Result<(), String>) {
    let mut told = Vec::new();
    let ended = block_on(read(text.as_bytes(), totals, |row| told.push(row.line)));
    (told, ended.map_err(|error| error.to_string()))
}

#[test]
fn bad_rows_are_told_as_they_come_and_counts_add_up() {
    let mut totals = Totals::default();
    let report = format!("{}\n{}\n{}\n", bad_row(2), bad_row(7), counts(10));
    assert_eq!(read_all(&report, &mut totals), (vec![2, 7], Ok(())));
    assert_eq!(read_all(&counts(5).to_string(), &mut totals), (vec![], Ok(())));
    assert_eq!(totals, Totals { rows: 15, imported: 2, updated: 4, unchanged: 6, failed: 8, forgotten: 10 });
    assert_eq!(totals.to_string(), "imported 2, updated 4, unchanged 6, failed 8");
}

#[test]
fn what_stopped_the_application_is_said_after_the_counts() {
    let mut totals = Totals::default();
    let mut last = counts(10);
    last["problem"] = json!({ "title": "The store is full", "status": 507 });
    let (told, ended) = read_all(&format!("{}\n{last}\n", bad_row(1)), &mut totals);
    assert_eq!((told, totals.rows), (vec![1], 10));
    assert_eq!(ended.unwrap_err(), "the application stopped: The store is full");
}

#[test]
fn what_is_no_whole_report_is_an_error() {
    let long = format!("{{\"line\":1,\"reason\":\"{}\"}}\n", "x".repeat(LINE_BYTES_MAX as usize));
    for (text, lines, reason) in [
        ("", 0, "the report broke off"),
        (&*format!("{}\n", bad_row(1)), 1, "the report broke off"),
        (&format!("{}\n\"done\"\n", bad_row(1)), 1, "none of an import"),
        ("{\"rows\":1}\n", 0, "none of an import"),
        (&long, 0, "none of an import"),
    ] {
        let (told, ended) = read_all(text, &mut Totals::default());
        assert_eq!(told.len(), lines);
        let ended = ended.unwrap_err();
        assert!(ended.contains(reason), "{ended}");
    }
}
