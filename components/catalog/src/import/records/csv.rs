//! CSV, piece by piece, with the line that each record starts on.

use csv_core::{ReadRecordResult, Reader};
use serde_json::Value;

use super::{RECORD_BYTES_MAX, Record};

/// Most cells of a record.
pub(super) const CELLS_MAX: usize = 4_096;

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
    pub(super) fn push(&mut self, mut bytes: &[u8], records: &mut Vec<Record>) {
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
