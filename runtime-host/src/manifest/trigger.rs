//! `[[trigger.http]]`: which route a component or a static response answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config_file::{ConfigError, Located, Position, Table, Value, suggestion};
use crate::router::RoutePattern;

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTrigger {
    /// Its name; made up if the manifest gives none.
    pub id: String,
    /// Where it is defined.
    pub position: Position,
    /// The route; `None` for a component that only others in the application can call.
    pub route: Option<Located<RoutePattern>>,
    /// What answers.
    pub target: TriggerTarget,
}

/// What answers a trigger's route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerTarget {
    /// The component with this id.
    Component(Located<String>),
    /// Always the same response.
    Static(StaticResponse),
}

impl HttpTrigger {
    /// Whether the component with this id is what answers.
    pub fn runs(&self, id: &str) -> bool {
        matches!(&self.target, TriggerTarget::Component(target) if target.value == id)
    }
}

/// A response that needs no component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticResponse {
    /// 200 by default.
    pub status: StatusCode,
    /// None by default.
    pub headers: HeaderMap,
    /// Empty by default.
    pub body: Bytes,
}

/// A trigger as written, before it and an inline component get their names.
pub(super) struct RawTrigger<'f> {
    pub(super) id: Option<Located<String>>,
    pub(super) position: Position,
    pub(super) route: Option<Located<RoutePattern>>,
    pub(super) target: RawTarget<'f>,
}

pub(super) enum RawTarget<'f> {
    Component(Located<String>),
    Inline(Table<'f>),
    Static(StaticResponse),
}

impl<'f> RawTrigger<'f> {
    pub(super) fn read(mut table: Table<'f>) -> Result<Self, ConfigError> {
        table.refuse("components", "a trigger runs one `component`")?;
        table.refuse("dependencies", "middleware is not run here; call it from the component or use the gateway")?;
        let id = table.optional("id")?;
        let route: Value = table.required("route", "a path, or `{ private = true }`")?;
        let route = read_route(route)?;
        if let Some(executor) = table.optional("executor")? {
            check_executor(executor)?;
        }
        let component: Option<Value> = table.optional("component")?;
        let response: Option<Table> = table.optional("static_response")?;
        let target = match (component, response) {
            (Some(component), None) if component.is_table() => RawTarget::Inline(component.read()?),
            (Some(component), None) if component.is_string() => RawTarget::Component(component.read()?),
            (Some(component), None) => {
                return Err(component.expected("the name of a component, or a table that defines one"));
            }
            (None, Some(response)) if route.is_none() => {
                return Err(response.error("a static response on a private route could never be reached"));
            }
            (None, Some(response)) => RawTarget::Static(StaticResponse::read(response)?),
            _ => {
                return Err(table.error(format!("expected either `component` or `static_response` in {table}")));
            }
        };
        let position = table.position();
        table.finish()?;
        Ok(Self { id, position, route, target })
    }
}

fn read_route(value: Value<'_>) -> Result<Option<Located<RoutePattern>>, ConfigError> {
    if value.is_string() {
        return value.parse(str::parse).map(Some);
    }
    if !value.is_table() {
        return Err(value.expected("a path, or `{ private = true }`"));
    }
    let mut table: Table = value.read()?;
    let private: bool = table.required("private", "`true`")?;
    if !private {
        return Err(table.error("`private` is false; expected a path, or `{ private = true }`"));
    }
    table.finish()?;
    Ok(None)
}

fn check_executor(mut table: Table<'_>) -> Result<(), ConfigError> {
    let executor: Value = table.required("type", "`http`")?;
    executor.parse(|name| match name {
        "http" | "spin" => Ok(()),
        "wagi" => Err("the executor `wagi` is not supported: build the program as a component for `wasi:http`".into()),
        _ => Err(format!("unknown executor `{name}`{}", suggestion(name, ["http", "spin"]))),
    })?;
    table.finish()
}

impl StaticResponse {
    fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let status = match table.optional::<Located<u64>>("status_code")? {
            None => StatusCode::OK,
            Some(code) => u16::try_from(code.value)
                .ok()
                // 1xx announces a response and is none.
                .filter(|code| (200..600).contains(code))
                .and_then(|code| StatusCode::from_u16(code).ok())
                .ok_or_else(|| {
                    table.error_at(
                        code.position,
                        format!("`status_code` is {}; expected a status from 200 to 599", code.value),
                    )
                })?,
        };
        let mut headers = HeaderMap::new();
        for (key, value) in table.optional::<Table>("headers")?.map(Table::into_entries).unwrap_or_default() {
            let name: HeaderName = key
                .parse()
                .map_err(|_| value.error_at(key.position, format!("{:?} is no name of a header", key.value)))?;
            let text = value
                .parse(|text| HeaderValue::from_str(text).map_err(|_| format!("{text:?} is no value of a header")))?;
            headers.insert(name, text.value);
        }
        let body = Bytes::from(table.or_default::<String>("body")?);
        table.finish()?;
        Ok(Self { status, headers, body })
    }
}
