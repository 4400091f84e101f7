//! What lists are asked for in their query strings.

use commerce::{Id, Limit};
use service::Error;
use service::request::{parse_cursor, parse_limit, unknown, unusable};

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
