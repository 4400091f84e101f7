//! A guest's standard output or error, cut into lines for the log.

use std::sync::Arc;

use super::request_context::RequestContext;

/// Bytes of one line; longer ones are cut into several.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Where one stream (`stdout` or `stderr`) of all instances of a component goes in the log.
#[derive(Debug)]
pub struct GuestOutput {
    component: String,
    stream: &'static str,
}

impl GuestOutput {
    /// For one stream of one component.
    pub fn new(component: &str, stream: &'static str) -> Self {
        Self { component: component.to_owned(), stream }
    }

    /// The stream of one instance, so that the lines of several are not mixed up.
    pub fn lines(self: &Arc<Self>) -> GuestLines {
        GuestLines { output: self.clone(), lines: Lines::default(), writer: None }
    }

    fn log(&self, line: &[u8], request: Option<&RequestContext>) {
        let line = String::from_utf8_lossy(line);
        let request_id = request.map(RequestContext::request_id);
        let trace_id = request.map(|request| request.trace().trace_id_text());
        tracing::info!(target: "guest", component = self.component, stream = self.stream, request_id, trace_id, "{line}");
    }
}

/// Takes what one instance writes and logs every whole line with target `guest`, the component's name and the stream's.
/// What has come of a line without an end is logged when the instance is gone.
#[derive(Debug)]
pub struct GuestLines {
    output: Arc<GuestOutput>,
    lines: Lines,
    /// On whose behalf the line was begun that has no end yet.
    writer: Option<Arc<RequestContext>>,
}

impl GuestLines {
    /// Takes the next bytes of the stream, written on behalf of `request` where that is known.
    pub fn write(&mut self, bytes: &[u8], request: Option<Arc<RequestContext>>) {
        let Self { output, lines, writer } = self;
        if !lines.is_within_a_line() {
            writer.clone_from(&request);
        } else if !is_same(writer.as_ref(), request.as_ref()) {
            // A line of two requests is of neither.
            *writer = None;
        }
        lines.push(bytes, |line| {
            output.log(line, writer.as_deref());
            writer.clone_from(&request);
        });
    }
}

impl Drop for GuestLines {
    fn drop(&mut self) {
        self.lines.finish(|line| self.output.log(line, self.writer.as_deref()));
    }
}

fn is_same(one: Option<&Arc<RequestContext>>, other: Option<&Arc<RequestContext>>) -> bool {
    one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}

/// Cuts a stream of bytes into lines of bounded length; pure.
#[derive(Debug, Default)]
struct Lines {
    /// The line that has no end yet; shorter than [`LINE_BYTES_MAX`].
    begun: Vec<u8>,
}

impl Lines {
    fn is_within_a_line(&self) -> bool {
        !self.begun.is_empty()
    }

    fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end], &mut line);
            line(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun));
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        self.append(bytes, &mut line);
    }

    fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            line(&self.begun);
            self.begun.clear();
        }
    }

    fn append(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        while self.begun.len() + bytes.len() > LINE_BYTES_MAX {
            let (now, later) = bytes.split_at(LINE_BYTES_MAX - self.begun.len());
            self.begun.extend_from_slice(now);
            // A character is not torn apart: its beginning waits for the rest.
            let cut = char_boundary(&self.begun);
            line(&self.begun[..cut]);
            self.begun.drain(..cut);
            bytes = later;
        }
        self.begun.extend_from_slice(bytes);
    }
}

/// Where the last character begins if it is not complete, else the end.
fn char_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3)..bytes.len();
    let is_start = |place: &usize| bytes[*place] & 0b1100_0000 != 0b1000_0000;
    let last = tail.rev().find(is_start).unwrap_or(bytes.len());
    match std::str::from_utf8(&bytes[last..]) {
        // More bytes could make it whole.
        Err(error) if error.error_len().is_none() => last,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut take = |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned());
        for bytes in writes {
            lines.push(bytes, &mut take);
        }
        lines.finish(&mut take);
        found
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(lines(&[b"one", b" and\ntwo\r\n", b"\n", b"three"]), ["one and", "two", "", "three"]);
        assert_eq!(lines(&[b"", b"a\nb\n"]), ["a", "b"]);
        assert_eq!(lines(&[b"bad \xff byte\n"]), ["bad \u{fffd} byte"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "é".repeat(LINE_BYTES_MAX);
        let shifted = format!("x{long}\n");
        let found = lines(&[shifted.as_bytes()]);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|line| line.len() <= LINE_BYTES_MAX && !line.contains('\u{fffd}')));
        assert_eq!(found.concat(), shifted.trim_end());
    }

    proptest! {
        #[test]
        fn how_writes_are_cut_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0xc3), Just(0xa9), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&bytes]));
        }

        #[test]
        fn no_byte_is_lost_and_no_line_is_too_long(
            runs in proptest::collection::vec((0usize..3 * LINE_BYTES_MAX, any::<bool>()), 0..6),
        ) {
            let text: String =
                runs.iter().map(|(count, end)| "a€".repeat(count / 4) + if *end { "\n" } else { "" }).collect();
            let mut taken = Vec::new();
            let mut cutter = Lines::default();
            let mut longest = 0;
            let mut take = |line: &[u8]| {
                longest = longest.max(line.len());
                taken.extend_from_slice(line);
            };
            cutter.push(text.as_bytes(), &mut take);
            cutter.finish(&mut take);
            prop_assert!(longest <= LINE_BYTES_MAX);
            prop_assert_eq!(String::from_utf8(taken).unwrap(), text.replace('\n', ""));
        }
    }
}
