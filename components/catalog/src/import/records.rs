//! Records out of bytes that arrive in pieces of any size: JSON lines, a JSON array, or CSV.

use csv_core::{ReadRecordResult, Reader};
use serde_json::{Map, Value};

/// Longest record, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Most cells of a CSV record.
const CELLS_MAX: usize = 4_096;

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

/// JSON lines and JSON arrays differ only in what separates the records.
pub(crate) struct Json {
    position: Position,
    record: Vec<u8>,
    record_line: u64,
    line: u64,
    depth: u32,
    in_string: bool,
    escaped: bool,
    too_long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Lines,
    BeforeArray,
    InArray,
    AfterArray,
    /// Where the records end is no longer known.
    Lost,
}

impl Json {
    fn new(position: Position) -> Self {
        Self {
            position,
            record: Vec::new(),
            record_line: 1,
            line: 1,
            depth: 0,
            in_string: false,
            escaped: false,
            too_long: false,
        }
    }

    fn push(&mut self, byte: u8, records: &mut Vec<Record>) {
        match self.position {
            Position::Lines if byte == b'\n' => self.end_record(records),
            Position::Lines => self.keep(byte),
            Position::InArray => self.push_in_array(byte, records),
            Position::BeforeArray if byte == b'[' => {
                self.position = Position::InArray;
                self.record.clear();
            }
            // The byte order mark that some editors write.
            Position::BeforeArray if byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(&byte) => {}
            Position::AfterArray if byte.is_ascii_whitespace() => {}
            Position::BeforeArray => self.lose("the body is not a JSON array", records),
            Position::AfterArray => self.lose("there is more after the end of the array", records),
            Position::Lost => {}
        }
        if byte == b'\n' {
            self.line += 1;
        }
    }

    fn push_in_array(&mut self, byte: u8, records: &mut Vec<Record>) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return self.keep(byte);
        }
        match byte {
            b',' if self.depth == 0 => {
                if self.record.is_empty() && !self.too_long {
                    return self.lose("a record is missing before the comma", records);
                }
                return self.end_record(records);
            }
            b']' if self.depth == 0 => {
                self.end_record(records);
                self.position = Position::AfterArray;
                return;
            }
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        if self.record.is_empty() {
            if byte.is_ascii_whitespace() {
                return;
            }
            self.record_line = self.line;
        }
        match self.record.len() < RECORD_BYTES_MAX {
            true => self.record.push(byte),
            false => self.too_long = true,
        }
    }

    fn end_record(&mut self, records: &mut Vec<Record>) {
        let record = std::mem::take(&mut self.record);
        let fields = match std::mem::take(&mut self.too_long) {
            true => Err(format!("a record may have {RECORD_BYTES_MAX} bytes")),
            false => {
                let json = record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&record).trim_ascii();
                if json.is_empty() {
                    return;
                }
                serde_json::from_slice(json).map_err(|error| format!("not a JSON object: {error}"))
            }
        };
        records.push(Record { line: self.record_line, fields });
    }

    fn lose(&mut self, reason: &str, records: &mut Vec<Record>) {
        records.push(Record { line: self.line, fields: Err(format!("{reason}; the rest was not read")) });
        self.position = Position::Lost;
    }

    fn finish(&mut self, records: &mut Vec<Record>) {
        match self.position {
            Position::Lines => self.end_record(records),
            Position::BeforeArray => self.lose("the body is not a JSON array", records),
            Position::InArray => self.lose("the array is not closed", records),
            Position::AfterArray | Position::Lost => {}
        }
    }
}

/// CSV with a line of column names (RFC 4180).
pub(crate) struct Csv {
    reader: Reader,
    names: Option<Vec<String>>,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    line: u64,
    record_line: u64,
    between_records: bool,
    /// What the record holds is no longer kept; only its end is looked for.
    too_long: bool,
    lost: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            names: None,
            text: vec![0; 4096],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            line: 1,
            record_line: 1,
            between_records: true,
            too_long: false,
            lost: false,
        }
    }
}

impl Csv {
    fn push(&mut self, mut bytes: &[u8], records: &mut Vec<Record>) {
        let at_end = bytes.is_empty();
        while !self.lost {
            if self.between_records {
                // Blank lines belong to no record, and must not shift the line of the next one.
                let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.line += newlines(&bytes[..blank]);
                bytes = &bytes[blank..];
                self.record_line = self.line;
                self.between_records = bytes.is_empty();
            }
            let (text, ends) = (&mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
            let (result, read, written, ended) = self.reader.read_record(bytes, text, ends);
            self.line += newlines(&bytes[..read]);
            bytes = &bytes[read..];
            self.text_len += written;
            self.ends_len += ended;
            match result {
                ReadRecordResult::InputEmpty if at_end => {}
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return,
                ReadRecordResult::OutputFull if self.text.len() >= RECORD_BYTES_MAX => self.forget(),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= CELLS_MAX => self.forget(),
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.end_record(records);
                    self.text_len = 0;
                    self.ends_len = 0;
                    self.too_long = false;
                    self.between_records = true;
                }
            }
        }
    }

    fn forget(&mut self) {
        self.too_long = true;
        self.text_len = 0;
        self.ends_len = 0;
    }

    fn end_record(&mut self, records: &mut Vec<Record>) {
        let fields = match (self.cells(), &self.names) {
            (Ok(names), None) => {
                self.names = Some(names.iter().map(|name| name.trim().to_owned()).collect());
                return;
            }
            (Err(reason), None) => {
                // Without names, no other record means anything.
                self.lost = true;
                Err(format!("the column names: {reason}; the rest was not read"))
            }
            (Err(reason), Some(_)) => Err(reason),
            (Ok(cells), Some(names)) if cells.len() != names.len() => {
                Err(format!("{} cells under {} column names", cells.len(), names.len()))
            }
            (Ok(cells), Some(names)) => {
                // An empty cell says nothing about its field.
                let filled = names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
                Ok(filled.map(|(name, cell)| (name.clone(), Value::from(cell))).collect())
            }
        };
        records.push(Record { line: self.record_line, fields });
    }

    fn cells(&self) -> Result<Vec<&str>, String> {
        if self.too_long {
            return Err(format!("a record may have {RECORD_BYTES_MAX} bytes and {CELLS_MAX} cells"));
        }
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let cells =
            starts.zip(&self.ends[..self.ends_len]).map(|(start, end)| std::str::from_utf8(&self.text[start..*end]));
        cells.collect::<Result<_, _>>().map_err(|_| "not UTF-8".to_owned())
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
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
