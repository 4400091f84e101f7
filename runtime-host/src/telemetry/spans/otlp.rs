//! Spans as OTLP writes them (opentelemetry-proto, `ExportTraceServiceRequest`).

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Outcome;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message as _;

use super::{Kind, Span};

/// A post with these spans, which are all from one resource.
pub fn encode(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let attributes = resource.iter().map(|(name, value)| text(name, value)).collect();
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let of_scope =
        ScopeSpans { scope: Some(scope), spans: spans.iter().map(written).collect(), ..ScopeSpans::default() };
    let of_resource = ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![of_scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

fn written(span: &Span) -> otlp::Span {
    let mut attributes = vec![text("http.request.method", span.method.as_str())];
    if let Some(status) = span.status {
        attributes.push(attribute("http.response.status_code", Value::IntValue(status.as_u16().into())));
    }
    attributes.extend(span.attributes.iter().map(|(name, value)| text(name, value)));
    let is_error = match (span.kind, span.status) {
        (_, None) => true,
        // Who asks wrongly has failed, not who says so.
        (Kind::Server, Some(status)) => status.is_server_error(),
        (Kind::Client, Some(status)) => status.is_server_error() || status.is_client_error(),
    };
    let code = if is_error { Outcome::Error } else { Outcome::Unset };
    let kind = match span.kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    };
    otlp::Span {
        trace_id: span.trace.trace_id.get().to_be_bytes().to_vec(),
        span_id: span.trace.span_id.get().to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        flags: span.trace.sampled.into(),
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: unix_ns(span.started),
        end_time_unix_nano: unix_ns(span.started + span.duration),
        attributes,
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..otlp::Span::default()
    }
}

fn unix_ns(time: SystemTime) -> u64 {
    // Enough until the year 2554.
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
