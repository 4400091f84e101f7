//! Records out of bytes that arrive in pieces of any size: JSON lines, a JSON array, or CSV.

mod csv;
mod json;

use serde_json::{Map, Value};

use csv::Csv;
use json::{Json, Position};

/// Longest record, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 256 * 1024;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    JsonLines,
    JsonArray,
    Csv,
}

impl Format {
    pub(crate) const MEDIA_TYPES: &str = "application/x-ndjson, application/json, text/csv";

    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Some(Self::JsonLines),
            "application/json" => Some(Self::JsonArray),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// A record with the line that it starts on, or why it is none.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) fields: Result<Map<String, Value>, String>,
}

/// A reader of one of the formats.
pub(crate) enum Records {
    Json(Json),
    Csv(Box<Csv>),
}

impl Records {
    pub(crate) fn new(format: Format) -> Self {
        match format {
            Format::JsonLines => Self::Json(Json::new(Position::Lines)),
            Format::JsonArray => Self::Json(Json::new(Position::BeforeArray)),
            Format::Csv => Self::Csv(Box::default()),
        }
    }

    /// Takes the next bytes and hands out the records that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], records: &mut Vec<Record>) {
        match self {
            Self::Json(json) => bytes.iter().for_each(|byte| json.push(*byte, records)),
            // No bytes mean the end to the CSV reader, and an empty piece is none.
            Self::Csv(csv) if !bytes.is_empty() => csv.push(bytes, records),
            Self::Csv(_) => {}
        }
    }

    /// Hands out what is left at the end.
    pub(crate) fn finish(&mut self, records: &mut Vec<Record>) {
        match self {
            Self::Json(json) => json.finish(records),
            Self::Csv(csv) => csv.push(&[], records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::csv::CELLS_MAX;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(format: Format, bytes: &[u8], chunk: usize) -> Vec<(u64, Result<Value, String>)> {
        let (mut reader, mut records) = (Records::new(format), Vec::new());
        bytes.chunks(chunk.max(1)).for_each(|chunk| reader.push(chunk, &mut records));
        reader.finish(&mut records);
        records.into_iter().map(|record| (record.line, record.fields.map(Value::Object))).collect()
    }

    fn good(format: Format, text: &str) -> Vec<(u64, Value)> {
        let records = read(format, text.as_bytes(), usize::MAX);
        records.into_iter().map(|(line, fields)| (line, fields.unwrap())).collect()
    }

    #[test]
    fn lines_are_counted_in_every_format() {
        let records = [(2, json!({"a": "1"})), (4, json!({"a": "x\ny"})), (6, json!({"a": "3"}))];
        assert_eq!(good(Format::Csv, "a\n1\n\n\"x\ny\"\n3\n"), records);
        let records = [(1, json!({"a": 1})), (3, json!({"a": "]},{"}))];
        assert_eq!(good(Format::JsonLines, "\u{feff}{\"a\":1}\r\n\n {\"a\":\"]},{\"}"), records);
        let records = [(1, json!({"a": [1, {"b": "\\\""}]})), (2, json!({"a": "]},{"}))];
        assert_eq!(good(Format::JsonArray, "[{\"a\":[1,{\"b\":\"\\\\\\\"\"}]},\n {\"a\":\"]},{\"}\n]\n"), records);
        assert_eq!(good(Format::JsonArray, " [ ] "), []);
        assert_eq!(good(Format::Csv, "a,b\r\n1,\r\n"), [(2, json!({"a": "1"}))]);
    }

    #[test]
    fn a_bad_record_stands_alone() {
        let bad = |format, text: &str| -> Vec<(u64, bool)> {
            let records = read(format, text.as_bytes(), usize::MAX);
            records.into_iter().map(|(line, fields)| (line, fields.is_ok())).collect()
        };
        assert_eq!(bad(Format::JsonLines, "{\"a\":1}\n{oops\n[1]\n{}"), [(1, true), (2, false), (3, false), (4, true)]);
        assert_eq!(bad(Format::JsonArray, "[{},\n7,\n{\"a\"},\n{}]"), [(1, true), (2, false), (3, false), (4, true)]);
        assert_eq!(bad(Format::Csv, "a,b\n1,2\n3\n4,5\n"), [(2, true), (3, false), (4, true)]);
    }

    #[test]
    fn a_lost_place_is_told_once() {
        for (text, line, reason) in [
            ("{}", 1, "not a JSON array"),
            ("[{}", 1, "not closed"),
            ("[{}]\n{}", 2, "more after the end"),
            ("[,{}]", 1, "missing before the comma"),
            ("", 1, "not a JSON array"),
        ] {
            let records = read(Format::JsonArray, text.as_bytes(), usize::MAX);
            let wrong: Vec<_> = records.iter().filter(|(_, fields)| fields.is_err()).collect();
            assert!(
                matches!(wrong[..], [(at, Err(why))] if *at == line && why.contains(reason)),
                "{text}: {records:?}"
            );
        }
    }

    #[test]
    fn endless_records_are_cut_off() {
        let long = "x".repeat(2 * RECORD_BYTES_MAX);
        let records = read(Format::JsonLines, format!("{{\"a\":\"{long}\"}}\n{{}}").as_bytes(), 1000);
        assert!(records[0].1.is_err() && records[1].1.is_ok());
        let records = read(Format::JsonArray, format!("[{{\"a\":\"{long}\"}},{{}}]").as_bytes(), 1000);
        assert!(records[0].1.is_err() && records[1].1.is_ok());
        let records = read(Format::Csv, format!("a\n\"{long}\n{long}\"\n1\n").as_bytes(), 1000);
        assert!(records[0].1.is_err());
        assert_eq!(records[1..], [(4, Ok(json!({"a": "1"})))]);
        let records = read(Format::Csv, format!("a\n{}\n1\n", ",".repeat(2 * CELLS_MAX)).as_bytes(), 1000);
        assert!(matches!(&records[..], [(2, Err(reason)), (3, Ok(_))] if reason.contains("cells")));
    }

    #[test]
    fn no_record_takes_the_place_of_bad_column_names() {
        let long = "x".repeat(2 * RECORD_BYTES_MAX);
        for (names, reason) in [(&b"a,\xff"[..], "not UTF-8"), (long.as_bytes(), "bytes")] {
            let records = read(Format::Csv, &[names, b"\n1,2\n3,4\n"].concat(), 1000);
            let [(1, Err(told))] = &records[..] else { panic!("{records:?}") };
            assert!(told.starts_with("the column names: ") && told.contains(reason), "{told}");
        }
    }

    proptest! {
        /// Where the network cuts the bytes makes no difference, and nothing makes the readers panic.
        #[test]
        fn cuts_make_no_difference(
            text in "[\\[\\]{}\",:\\\\a1 \n\r]{0,60}",
            chunk in 1..8_usize,
            format in prop::sample::select(vec![Format::JsonLines, Format::JsonArray, Format::Csv]),
        ) {
            prop_assert_eq!(read(format, text.as_bytes(), chunk), read(format, text.as_bytes(), usize::MAX));
        }
    }
}
