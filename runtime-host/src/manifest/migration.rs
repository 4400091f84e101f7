//! `[component.x.tool.bodega] migration`: a request that a revision has to answer once, before it gets any other.
//!
//! ```toml
//! [component.orders.tool.bodega]
//! migration = { path = "/internal/migrate", headers = { x-internal-secret = "{{ internal_secret }}" }, timeout = "5m" }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::duration;
use super::schedule::{parse_path, read_headers};
use crate::config_file::{ConfigError, FromToml, Located, Position, Table, Value};
use crate::template::Template;

/// How long a migration may take where the manifest does not say.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// What takes longer holds up every deployment; it is better done by a schedule, piece by piece.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How a revision is told to bring its stores to its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Where it is defined.
    pub position: Position,
    /// What is posted to, with an empty body; it need not be on a route.
    pub path: String,
    /// Headers of the request, which may contain application variables.
    pub headers: BTreeMap<String, Located<Template>>,
    /// How long it may take.
    pub timeout: Duration,
}

impl<'f> FromToml<'f> for Migration {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let path: Value = table.required("path", "a path of the component")?;
        let timeout: Option<Value> = table.optional("timeout")?;
        let migration = Self {
            position: table.position(),
            path: path.parse(parse_path)?.value,
            headers: read_headers(&mut table)?,
            timeout: match timeout {
                Some(timeout) => timeout.parse(|text| duration::parse(text, TIMEOUT_MIN..=TIMEOUT_MAX))?.value,
                None => TIMEOUT,
            },
        };
        table.finish()?;
        Ok(migration)
    }
}
