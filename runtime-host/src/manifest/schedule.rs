//! `[component.x.tool.bodega] schedule`: requests that the host itself sends to a component at regular times.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::duration;
use crate::config_file::{ConfigError, FromToml, Located, Position, Table, Value};
use crate::template::Template;

/// The shortest period: a component is no real-time system.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// The longest period. What is rarer outlives most processes, and belongs to a scheduler that remembers.
const EVERY_MAX: Duration = duration::LONGEST;

/// One entry: `{ every = "5s", path = "/internal/sweep" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Where it is defined.
    pub position: Position,
    /// The time between the starts of two runs.
    pub every: Duration,
    /// What is posted to, with an empty body; it need not be on a route.
    pub path: String,
    /// Headers of the request, which may contain application variables.
    pub headers: BTreeMap<String, Located<Template>>,
}

impl<'f> FromToml<'f> for Schedule {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let every: Value = table.required("every", "a duration such as \"5s\"")?;
        let path: Value = table.required("path", "a path of the component")?;
        let schedule = Self {
            position: table.position(),
            every: every.parse(parse_every)?.value,
            path: path.parse(parse_path)?.value,
            headers: read_headers(&mut table)?,
        };
        table.finish()?;
        Ok(schedule)
    }
}

fn parse_every(text: &str) -> Result<Duration, String> {
    duration::parse(text, EVERY_MIN..=EVERY_MAX)
}

pub(super) fn parse_path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.parse::<Uri>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a path; expected one such as \"/internal/sweep\"")),
    }
}

/// The headers of a request that the host sends by itself.
pub(super) fn read_headers(table: &mut Table<'_>) -> Result<BTreeMap<String, Located<Template>>, ConfigError> {
    match table.optional::<Table>("headers")? {
        Some(headers) => headers.into_entries().into_iter().map(read_header).collect(),
        None => Ok(BTreeMap::new()),
    }
}

fn read_header((name, value): (Located<String>, Value<'_>)) -> Result<(String, Located<Template>), ConfigError> {
    if name.parse::<HeaderName>().is_err() {
        return Err(value.error_at(name.position, format!("{:?} is not the name of a header", name.value)));
    }
    Ok((name.value, value.parse(Template::parse)?))
}
