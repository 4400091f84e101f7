//! What a list of orders is asked for.

use commerce::{Cursor, Id, Limit, email, parse_rfc3339};
use service::Error;

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
            let refuse = |reason: String| Error::Query { name: name.clone(), reason };
            let time = || parse_rfc3339(&value).ok_or_else(|| refuse("a time such as 2026-01-31T12:00:00Z".to_owned()));
            match name.as_str() {
                "limit" => query.limit = parse_limit(&value).map_err(refuse)?,
                "cursor" => {
                    let cursor: Cursor<Id> = Cursor::decode(&value, SORT).map_err(|error| refuse(error.to_string()))?;
                    query.before = Some(cursor.after);
                }
                "state" => {
                    let names = State::ALL.map(State::as_str).join(", ");
                    let state = State::parse(&value).ok_or_else(|| refuse(format!("one of {names}")))?;
                    query.state = Some(state);
                }
                "created_from" => query.from_ms = Some(time()?),
                "created_until" => query.until_ms = Some(time()?),
                "customer" if is_staff => query.customer = Some(value),
                "email" if is_staff => query.email = Some(email::key(&value)),
                _ => return Err(refuse("there is no such parameter".to_owned())),
            }
        }
        Ok(query)
    }
}

/// After which number the outbox is read, and how much of it.
pub(crate) fn parse_outbox(pairs: Vec<(String, String)>) -> Result<(i64, Limit), Error> {
    let (mut after, mut limit) = (0, Limit::MAX);
    for (name, value) in pairs {
        let refuse = |reason: String| Error::Query { name: name.clone(), reason };
        match name.as_str() {
            "after" => {
                let read = value.parse().map_err(|_| "the seq of the last item that was read".to_owned());
                after = read.map_err(refuse)?;
            }
            "limit" => limit = parse_limit(&value).map_err(refuse)?,
            _ => return Err(refuse("there is no such parameter".to_owned())),
        }
    }
    Ok((after, limit))
}

fn parse_limit(value: &str) -> Result<Limit, String> {
    Limit::try_from(value.parse::<u32>().map_err(|_| "a number".to_owned())?)
}
