//! Lines out of bytes that arrive in pieces of any size.

/// Longest line, in bytes; lists of places have long columns of other names.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line that is not blank, or why it cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Result<String, String>,
}

/// Keeps the line that has not ended yet.
#[derive(Default)]
pub(super) struct Lines {
    unfinished: Vec<u8>,
    too_long: bool,
    ended: u64,
}

impl Lines {
    /// Takes the next bytes and hands out the lines that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // There is always a last piece, which no line feed has ended.
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.keep(piece);
            self.end(lines);
        }
        self.keep(last);
    }

    /// Hands out the last line, which may have no line feed.
    pub(super) fn finish(&mut self, lines: &mut Vec<Line>) {
        self.end(lines);
    }

    fn keep(&mut self, piece: &[u8]) {
        self.too_long |= self.unfinished.len() + piece.len() > LINE_BYTES_MAX;
        if !self.too_long {
            self.unfinished.extend_from_slice(piece);
        }
    }

    fn end(&mut self, lines: &mut Vec<Line>) {
        self.ended += 1;
        let bytes = std::mem::take(&mut self.unfinished);
        // The byte order mark that some editors write.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes).trim_ascii_end();
        let text = match std::mem::take(&mut self.too_long) {
            true => Err(format!("a line may have {LINE_BYTES_MAX} bytes")),
            false if bytes.is_empty() => return,
            false => String::from_utf8(bytes.to_vec()).map_err(|_| "not UTF-8".to_owned()),
        };
        lines.push(Line { number: self.ended, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], chunk: usize) -> Vec<Line> {
        let (mut reader, mut lines) = (Lines::default(), Vec::new());
        bytes.chunks(chunk).for_each(|chunk| reader.push(chunk, &mut lines));
        reader.finish(&mut lines);
        lines
    }

    #[test]
    fn lines_are_counted_with_the_blank_and_the_bad_ones() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let bytes = [b"\xEF\xBB\xBFa\r\n\n\xFF\n", long.as_bytes(), b"\nb"].concat();
        let lines: Vec<(u64, Result<String, String>)> =
            read(&bytes, 1000).into_iter().map(|line| (line.number, line.text)).collect();
        let too_long = format!("a line may have {LINE_BYTES_MAX} bytes");
        assert_eq!(lines, [(1, Ok("a".into())), (3, Err("not UTF-8".into())), (4, Err(too_long)), (5, Ok("b".into()))]);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[ab\n\r ]{0,40}", chunk in 1..8_usize) {
            prop_assert_eq!(read(text.as_bytes(), chunk), read(text.as_bytes(), usize::MAX));
        }
    }
}
