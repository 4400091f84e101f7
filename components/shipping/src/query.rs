//! What lists are asked for in their query strings.

use commerce::{Cursor, Id, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::Error;

use crate::shipment::State;

/// The order of lists by age.
pub(crate) const BY_ID: &str = "id";

/// `limit=&cursor=` of a list by id, and `state=` where it has states.
#[derive(Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) limit: Option<Limit>,
    pub(crate) after: Option<Id>,
    pub(crate) state: Option<State>,
}

impl ListQuery {
    /// Reads the parameters of a list that has no states.
    pub(crate) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        match pairs.iter().find(|(name, _)| name == "state") {
            Some((name, _)) => Err(unknown(name)),
            None => Self::parse_with_state(pairs),
        }
    }

    /// Reads the parameters of a list that can be narrowed to a state.
    pub(crate) fn parse_with_state(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => query.limit = Some(parse_limit(&value)?),
                "cursor" => query.after = Some(parse_cursor(&value, BY_ID)?),
                "state" => query.state = Some(State::parse(&value).ok_or_else(|| unusable("state", "there is none"))?),
                _ => return Err(unknown(&name)),
            }
        }
        Ok(query)
    }

    /// How many items the page may have.
    pub(crate) fn limit(&self) -> Limit {
        self.limit.unwrap_or(Limit::DEFAULT)
    }
}

/// `after=&limit=` of the outbox.
pub(crate) fn parse_outbox(pairs: Vec<(String, String)>) -> Result<(i64, Limit), Error> {
    let (mut after, mut limit) = (0, Limit::MAX);
    for (name, value) in pairs {
        match name.as_str() {
            "after" => after = value.parse().map_err(|_| unusable("after", "the seq of the last event read"))?,
            "limit" => limit = parse_limit(&value)?,
            _ => return Err(unknown(&name)),
        }
    }
    Ok((after, limit))
}

/// A parameter that cannot be used.
pub(crate) fn unusable(name: &str, reason: impl ToString) -> Error {
    Error::Query { name: name.to_owned(), reason: reason.to_string() }
}

/// A parameter that nothing reads.
pub(crate) fn unknown(name: &str) -> Error {
    unusable(name, "there is no such parameter")
}

/// The parameter `limit`.
pub(crate) fn parse_limit(text: &str) -> Result<Limit, Error> {
    let rows: u32 = text.parse().map_err(|_| unusable("limit", "a number"))?;
    Limit::try_from(rows).map_err(|reason| unusable("limit", reason))
}

/// The parameter `cursor` of a list in this order.
pub(crate) fn parse_cursor<K: Serialize + DeserializeOwned>(text: &str, order: &str) -> Result<K, Error> {
    Cursor::decode(text, order).map(|cursor| cursor.after).map_err(|error| unusable("cursor", error))
}
