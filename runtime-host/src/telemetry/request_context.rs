//! Who a request is: its id and its place in a trace, on their way from the client through every component it passes.

use std::num::NonZeroU64;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::trace_context::TraceContext;
use crate::rollout::Sides;

/// Carries the request id, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a request id that a client may choose.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of trace state that are passed on, which the specification asks for at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The identity of one request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    request_id: HeaderValue,
    trace: TraceContext,
    /// The span that this one is a part of.
    parent: Option<NonZeroU64>,
    tracestate: Option<HeaderValue>,
    depth: u32,
    sides: Option<Sides>,
}

impl Default for RequestContext {
    /// A request that nothing outside has caused.
    fn default() -> Self {
        Self::of_request(&HeaderMap::new())
    }
}

impl RequestContext {
    /// The context of a request with these headers: the client's id and trace where they are well-formed, else new ones.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let request_id = headers.get(REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_request_id);
        let mut traceparents = headers.get_all(TRACEPARENT).iter();
        let parent = traceparents.next().and_then(|value| TraceContext::parse(value.as_bytes()));
        match parent {
            // More than one is as good as none.
            Some(parent) if traceparents.next().is_none() => Self {
                request_id,
                trace: parent.child(),
                parent: Some(parent.span_id),
                tracestate: tracestate(headers),
                depth: 0,
                sides: None,
            },
            _ => Self {
                request_id,
                trace: TraceContext::generate(),
                parent: None,
                tracestate: None,
                depth: 0,
                sides: None,
            },
        }
    }

    /// The context of a request that a component sends while it works on this one.
    pub fn child(&self) -> Self {
        Self { trace: self.trace.child(), parent: Some(self.trace.span_id), depth: self.depth + 1, ..self.clone() }
    }

    /// The id, visible ASCII.
    pub fn request_id(&self) -> &str {
        // Checked where it came in.
        self.request_id.to_str().unwrap_or_default()
    }

    /// The id as a header value, for the answer.
    pub fn request_id_header(&self) -> HeaderValue {
        self.request_id.clone()
    }

    /// The place in the trace.
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// The span that this request is a part of, if it is of one.
    pub fn parent(&self) -> Option<NonZeroU64> {
        self.parent
    }

    /// Its trace is recorded, or not.
    pub fn set_sampled(&mut self, sampled: bool) {
        self.trace.sampled = sampled;
    }

    /// The place in the trace as the header's text.
    pub fn traceparent(&self) -> String {
        // Digits and dashes are what it is made of.
        String::from_utf8_lossy(&self.trace.to_traceparent()).into_owned()
    }

    /// How many components sent on their requests to lead to this one.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// It is for revisions of these sides, at every component that it passes.
    pub fn set_sides(&mut self, sides: Sides) {
        self.sides = Some(sides);
    }

    /// Which revisions it is for, if that was decided where it came in.
    pub fn sides(&self) -> Option<&Sides> {
        self.sides.as_ref()
    }

    /// Sets the headers by which the receiver knows the same context, in place of what stands there.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.clone());
        // Digits and dashes are valid in every header.
        if let Ok(traceparent) = HeaderValue::from_bytes(&self.trace.to_traceparent()) {
            headers.insert(TRACEPARENT, traceparent);
        }
        match &self.tracestate {
            Some(tracestate) => drop(headers.insert(TRACESTATE, tracestate.clone())),
            None => drop(headers.remove(TRACESTATE)),
        }
    }
}

fn is_sane(request_id: &HeaderValue) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&request_id.len()) && request_id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// A UUIDv7, so that ids sort by time. It has to be unique, not secret: no call to the operating system is needed.
fn new_request_id() -> HeaderValue {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds fit until the year 584 million.
    let millis = since_epoch.as_millis() as u64;
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text: &str = id.hyphenated().encode_lower(&mut text);
    // Digits and dashes are valid in every header.
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

fn tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
    let joined = match values.as_slice() {
        [] => return None,
        [_] => headers.get(TRACESTATE).cloned()?,
        values => HeaderValue::from_bytes(&values.join(&b',')).ok()?,
    };
    (joined.len() <= TRACESTATE_BYTES_MAX).then_some(joined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn written(context: &RequestContext) -> HeaderMap {
        let mut headers = headers(&[("tracestate", "stale=1")]);
        context.write_headers(&mut headers);
        headers
    }

    #[test]
    fn the_clients_context_is_carried_through_a_chain() {
        let first = RequestContext::of_request(&headers(&[
            ("x-request-id", "order-17/retry"),
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]));
        let second = first.child().child();
        assert_eq!((first.depth(), second.depth()), (0, 2));
        let parent = TraceContext::parse(PARENT.as_bytes()).unwrap();
        assert_eq!(first.parent(), Some(parent.span_id));
        assert_eq!(first.child().parent(), Some(first.trace().span_id));
        for context in [&first, &second] {
            let headers = written(context);
            assert_eq!(headers["x-request-id"], "order-17/retry");
            assert_eq!(headers["tracestate"], "a=1,b=2");
            assert_eq!(headers["traceparent"].as_bytes()[..36], PARENT.as_bytes()[..36]);
            assert_ne!(headers["traceparent"], PARENT, "every step has its own span");
        }
        assert_ne!(first.trace().span_id, second.trace().span_id);
    }

    #[test]
    fn without_a_parent_there_is_a_new_trace_and_no_state() {
        let twice = headers(&[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")]);
        for headers in [headers(&[("tracestate", "a=1")]), headers(&[("traceparent", "00-nonsense")]), twice] {
            let context = RequestContext::of_request(&headers);
            assert!(!written(&context).contains_key("tracestate"));
            assert_ne!(context.trace().trace_id.get() >> 64, 0x4bf9_2f35_77b3_4da6, "{headers:?}");
        }
    }

    #[test]
    fn new_ids_are_distinct_uuids_in_order_of_time() {
        let ids: std::collections::HashSet<String> =
            (0..1_000).map(|_| RequestContext::default().request_id().to_owned()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id).unwrap().get_version_num() == 7));
        let earlier = RequestContext::default();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(earlier.request_id() < RequestContext::default().request_id());
    }

    proptest! {
        #[test]
        fn only_bounded_visible_ids_are_taken_over(id in proptest::collection::vec(any::<u8>(), 0..200)) {
            let Ok(value) = HeaderValue::from_bytes(&id) else { return Ok(()) };
            let context = RequestContext::of_request(&[(REQUEST_ID, value)].into_iter().collect());
            let sane = (1..=128).contains(&id.len()) && id.iter().all(|byte| (0x21..=0x7e).contains(byte));
            prop_assert_eq!(context.request_id().as_bytes() == id, sane);
            prop_assert!(!context.request_id().is_empty());
        }
    }
}
