//! What a list of orders is asked for.

use commerce::{Id, Limit, email, parse_rfc3339};
use service::Error;
use service::request::{parse_cursor, parse_limit, unknown, unusable};

use crate::state::State;

/// The order of the list, as its cursors name it: the newest first.
pub(crate) const SORT: &str = "-id";

/// Which orders, and which page of them.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) limit: Limit,
    /// Orders that were placed before this one.
    pub(crate) before: Option<Id>,
    pub(crate) state: Option<State>,
    pub(crate) customer: Option<String>,
    pub(crate) email: Option<String>,
    /// From this time on, in milliseconds since the Unix epoch.
    pub(crate) from_ms: Option<i64>,
    /// Before this time.
    pub(crate) until_ms: Option<i64>,
}

impl Query {
    /// Reads the parameters. Only staff asks for the orders of others.
    pub(crate) fn parse(pairs: Vec<(String, String)>, is_staff: bool) -> Result<Self, Error> {
        let mut query = Self {
            limit: Limit::DEFAULT,
            before: None,
            state: None,
            customer: None,
            email: None,
            from_ms: None,
            until_ms: None,
        };
        for (name, value) in pairs {
            let time = || parse_rfc3339(&value).ok_or_else(|| unusable(&name, "a time such as 2026-01-31T12:00:00Z"));
            match name.as_str() {
                "limit" => query.limit = parse_limit(&value)?,
                "cursor" => query.before = Some(parse_cursor(&value, SORT)?),
                "state" => {
                    let names = State::ALL.map(State::as_str).join(", ");
                    let state = State::parse(&value).ok_or_else(|| unusable("state", format!("one of {names}")))?;
                    query.state = Some(state);
                }
                "created_from" => query.from_ms = Some(time()?),
                "created_until" => query.until_ms = Some(time()?),
                "customer" if is_staff => query.customer = Some(value),
                "email" if is_staff => query.email = Some(email::key(&value)),
                _ => return Err(unknown(&name)),
            }
        }
        Ok(query)
    }
}
