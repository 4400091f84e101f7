//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): the `traceparent` header; pure.

use std::num::{NonZeroU64, NonZeroU128};
use std::ops::Range;

/// Length of a `traceparent` of version 00.
const VERSION_00_BYTES: usize = 55;
const TRACE_ID: Range<usize> = 3..35;
const SPAN_ID: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;
/// The flag of a recorded trace.
const SAMPLED: u128 = 1;

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: NonZeroU128,
    /// The one step of it.
    pub span_id: NonZeroU64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// The first step of a new trace that nobody records yet.
    pub fn generate() -> Self {
        let trace_id = NonZeroU128::new(fastrand::u128(1..)).unwrap_or(NonZeroU128::MIN);
        Self { trace_id, span_id: random_span_id(), sampled: false }
    }

    /// The next step of the same trace.
    pub fn child(self) -> Self {
        Self { span_id: random_span_id(), ..self }
    }

    /// Reads a `traceparent`; `None` for what the specification has a receiver ignore.
    pub fn parse(traceparent: &[u8]) -> Option<Self> {
        let (head, rest) = traceparent.split_at_checked(VERSION_00_BYTES)?;
        let [version, trace_id, span_id, flags] = fields(head)?;
        let version = hex(version)?;
        // A later version may append fields, version 00 may not; 255 is forbidden.
        let well_formed = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !well_formed {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(hex(trace_id)?)?,
            span_id: NonZeroU64::new(u64::try_from(hex(span_id)?).ok()?)?,
            sampled: hex(flags)? & SAMPLED != 0,
        })
    }

    /// The trace's id as its hexadecimal digits.
    pub fn trace_id_text(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The header's value, ASCII. Written by hand because it is needed for every request and `format!` takes 0.2 us.
    pub fn to_traceparent(self) -> [u8; VERSION_00_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[TRACE_ID], self.trace_id.get());
        write_hex(&mut text[SPAN_ID], self.span_id.get().into());
        write_hex(&mut text[FLAGS], self.sampled.into());
        text
    }
}

fn random_span_id() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

fn fields(head: &[u8]) -> Option<[&[u8]; 4]> {
    let dashes = [2, 35, 52].into_iter().all(|place| head.get(place) == Some(&b'-'));
    dashes.then(|| [&head[..2], &head[TRACE_ID], &head[SPAN_ID], &head[FLAGS]])
}

/// Only lower-case digits are allowed.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn write_hex(digits: &mut [u8], mut value: u128) {
    for digit in digits.iter_mut().rev() {
        // The rest of a division by 16 is an index into 16 digits.
        *digit = b"0123456789abcdef"[(value % 16) as usize];
        value /= 16;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context.trace_id.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span_id.get(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.sampled);
        assert_eq!(context.to_traceparent(), EXAMPLE.as_bytes());
        assert_eq!(context.trace_id_text(), EXAMPLE[TRACE_ID]);
    }

    #[test]
    fn what_a_receiver_has_to_ignore() {
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let later_version = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later_version.as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let context = TraceContext {
                trace_id: NonZeroU128::new(trace_id).unwrap(),
                span_id: NonZeroU64::new(span_id).unwrap(),
                sampled,
            };
            prop_assert_eq!(TraceContext::parse(&context.to_traceparent()), Some(context));
        }

        #[test]
        fn no_input_panics_and_what_is_accepted_is_in_normal_form(
            mutations in proptest::collection::vec((0..EXAMPLE.len(), any::<u8>()), 0..4),
            end in 0..=EXAMPLE.len(),
        ) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            for (place, byte) in mutations {
                bytes[place] = byte;
            }
            bytes.truncate(end);
            if let Some(context) = TraceContext::parse(&bytes) {
                prop_assert_eq!(&context.to_traceparent()[3..53], &bytes[3..53]);
            }
        }

        #[test]
        fn a_child_is_another_step_of_the_same_trace(sampled: bool) {
            let parent = TraceContext { sampled, ..TraceContext::generate() };
            let child = parent.child();
            prop_assert_eq!((child.trace_id, child.sampled), (parent.trace_id, sampled));
            prop_assert_ne!(child.span_id, parent.span_id);
        }
    }
}
