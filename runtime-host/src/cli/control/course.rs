//! How the rollout of one revision goes, as the host's answers tell. Pure.

use std::fmt::{self, Display};

use serde_json::Value;

use super::{is_true, rollout_line, text};

/// How far the rollout of a revision is, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It is not over.
    GoesOn(String),
    /// The revision is in force.
    Promoted(String),
    /// It was taken back; why.
    TakenBack(String),
    /// It is over, and other revisions have taken its place since.
    Unknown,
}

impl Course {
    /// As a component's status tells. `None` where the rollout there is another revision's, or none: the host remembers the
    /// last one until the next begins or it starts again.
    pub(super) fn of_rollout(rollout: &Value, number: u64) -> Option<Self> {
        if rollout["revision"].as_u64() != Some(number) {
            return None;
        }
        Some(match rollout["promoted"].as_bool() {
            None => Self::GoesOn(rollout_line(rollout)),
            Some(true) => Self::Promoted(rollout_line(rollout)),
            Some(false) => Self::TakenBack(text(rollout, "reason").to_owned()),
        })
    }

    /// As the component's history tells of a rollout that is over.
    pub(super) fn of_history(history: &[Value], number: u64) -> Self {
        let record = history.iter().find(|record| record["number"].as_u64() == Some(number));
        match record {
            Some(record) if is_true(record, "is_live") => Self::Promoted(format!("revision {number} is in force")),
            Some(record) if is_true(record, "is_rolled_back") => Self::TakenBack("the history says no more".to_owned()),
            _ => Self::Unknown,
        }
    }
}

impl Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoesOn(line) | Self::Promoted(line) => f.write_str(line),
            Self::TakenBack(reason) => write!(f, "it was taken back: {reason}"),
            Self::Unknown => f.write_str("the rollout is over, and another revision is in force"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rollout_of_another_revision_or_none_says_nothing() {
        let rollout = |promoted: Option<bool>| json!({ "revision": 3, "promoted": promoted, "reason": "too slow" });
        assert_eq!(Course::of_rollout(&rollout(Some(true)), 2), None);
        assert_eq!(Course::of_rollout(&rollout(None), 4), None);
        assert_eq!(Course::of_rollout(&Value::Null, 3), None);
        assert!(matches!(Course::of_rollout(&rollout(None), 3), Some(Course::GoesOn(_))));
        assert!(matches!(Course::of_rollout(&rollout(Some(true)), 3), Some(Course::Promoted(_))));
        assert_eq!(Course::of_rollout(&rollout(Some(false)), 3), Some(Course::TakenBack("too slow".to_owned())));
    }

    #[test]
    fn the_history_tells_of_a_rollout_that_is_over() {
        let record = |number: u64, is_live: bool, is_rolled_back: bool| json!({ "number": number, "is_live": is_live, "is_rolled_back": is_rolled_back });
        let history = [record(3, false, true), record(2, true, false), record(1, false, false)];
        assert!(matches!(Course::of_history(&history, 3), Course::TakenBack(_)));
        assert!(matches!(Course::of_history(&history, 2), Course::Promoted(_)));
        for number in [1, 4] {
            assert_eq!(Course::of_history(&history, number), Course::Unknown, "{number}");
        }
    }
}
