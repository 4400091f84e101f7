//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): the `traceparent` header; pure.

use std::num::{NonZeroU64, NonZeroU128};

/// Length of a `traceparent` of version 00.
const VERSION_00_BYTES: usize = 55;
const SAMPLED: u8 = 1;

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
            sampled: hex(flags)? & u128::from(SAMPLED) != 0,
        })
    }

    /// The header's value.
    pub fn to_traceparent(self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 };
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

fn random_span_id() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

fn fields(head: &[u8]) -> Option<[&[u8]; 4]> {
    let dashes = [2, 35, 52].into_iter().all(|place| head.get(place) == Some(&b'-'));
    dashes.then(|| [&head[..2], &head[3..35], &head[36..52], &head[53..55]])
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
        assert_eq!(context.to_traceparent(), EXAMPLE);
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
            prop_assert_eq!(TraceContext::parse(context.to_traceparent().as_bytes()), Some(context));
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
                let normal = context.to_traceparent();
                prop_assert_eq!(&normal.as_bytes()[3..53], &bytes[3..53]);
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
