//! Cuts a catalogue of any size into parts that a host takes as one request each. Cuts are between records only.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of one part at most: half of what the listener takes by default, so that a part always goes through.
pub(super) const PART_BYTES_MAX: usize = 8 << 20;

/// What separates the records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// One line each.
    Lines,
    /// CSV (RFC 4180) below a record of column names; a line break within quotes belongs to the record.
    Csv,
}

/// Why a file cannot be cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// No record ends where a part has to.
    #[error("the record on line {line} has more than {bytes_max} bytes, or a quote that is never closed")]
    RecordTooLong {
        /// The record's first line, from 1.
        line: u64,
        /// Bytes that a record may have, less than a part.
        bytes_max: usize,
    },
}

/// What one request sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Whole records, in CSV below the column names.
    pub(super) bytes: Vec<u8>,
    /// How many of them an earlier part sent as well.
    pub(super) repeated_bytes: usize,
    /// What makes a line number of the part one of the file when it is added.
    pub(super) lines_before: u64,
}

/// Reads a file part by part, with at most the size of two in memory.
pub(super) struct Parts<R> {
    file: R,
    records: Records,
    bytes_max: usize,
    /// What every part but the first repeats.
    header: Vec<u8>,
    /// What was read and is in no part yet.
    rest: Vec<u8>,
    /// The line of the file that `rest` begins on, from 0.
    line: u64,
    started: bool,
}

impl<R: AsyncRead + Unpin> Parts<R> {
    /// Cuts `file` into parts of `bytes_max` bytes at most.
    pub(super) fn new(file: R, records: Records, bytes_max: usize) -> Self {
        Self { file, records, bytes_max, header: Vec::new(), rest: Vec::new(), line: 0, started: false }
    }

    /// The next part, or `None` at the end. An empty file has one empty part, whose report says so.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, PartError> {
        let room = self.bytes_max - self.header.len();
        let missing = room - self.rest.len();
        (&mut self.file).take(missing as u64).read_to_end(&mut self.rest).await?;
        if self.rest.is_empty() && self.started {
            return Ok(None);
        }
        // A part that is not full is the last one, and may lack the line break at its end.
        let cut = match self.rest.len() < room {
            true => Some(self.rest.len()),
            false => ends(self.records, &self.rest).last(),
        };
        let cut = cut.ok_or(PartError::RecordTooLong { line: self.line + 1, bytes_max: room })?;
        let later = self.rest.split_off(cut);
        let records = std::mem::replace(&mut self.rest, later);
        let part = Part {
            repeated_bytes: self.header.len(),
            lines_before: self.line - newlines(&self.header),
            bytes: [self.header.as_slice(), &records].concat(),
        };
        self.line += newlines(&records);
        if !self.started && self.records == Records::Csv {
            // Blank lines before the column names are not yet the header.
            let is_header = |end: &usize| records[..*end].iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            self.header = records[..ends(self.records, &records).find(is_header).unwrap_or(cut)].to_vec();
        }
        self.started = true;
        Ok(Some(part))
    }
}

/// Where records end: the places after each line break that is not within quotes.
fn ends(records: Records, bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut place = Place::CellStart;
    bytes.iter().enumerate().filter_map(move |(at, byte)| {
        if records == Records::Csv {
            place = place.after(*byte);
        }
        (*byte == b'\n' && place != Place::Quoted).then_some(at + 1)
    })
}

/// Where in a CSV record a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Bare,
    Quoted,
    /// After a quote within quotes, which ends them unless another one follows.
    QuoteInQuoted,
}

impl Place {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) | (Self::QuoteInQuoted | Self::CellStart, b'"') => Self::Quoted,
            (_, b',' | b'\r' | b'\n') => Self::CellStart,
            // A quote within a bare cell is a character like any other.
            _ => Self::Bare,
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests;
