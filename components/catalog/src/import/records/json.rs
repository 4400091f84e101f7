//! JSON lines and JSON arrays, byte by byte: records are found by their brackets and then read as a whole.

use super::{RECORD_BYTES_MAX, Record};

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
pub(super) enum Position {
    Lines,
    BeforeArray,
    InArray,
    AfterArray,
    /// Where the records end is no longer known.
    Lost,
}

impl Json {
    pub(super) fn new(position: Position) -> Self {
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

    pub(super) fn push(&mut self, byte: u8, records: &mut Vec<Record>) {
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

    pub(super) fn finish(&mut self, records: &mut Vec<Record>) {
        match self.position {
            Position::Lines => self.end_record(records),
            Position::BeforeArray => self.lose("the body is not a JSON array", records),
            Position::InArray => self.lose("the array is not closed", records),
            Position::AfterArray | Position::Lost => {}
        }
    }
}
