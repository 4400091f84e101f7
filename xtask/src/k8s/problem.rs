//! What is wrong with an overlay.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The resource, as `Deployment/catalog`, with the place in it where that helps.
    pub(crate) place: String,
    pub(crate) what: String,
}

/// All that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, place: impl ToString, what: impl ToString) {
        let problem = Problem { place: place.to_string(), what: what.to_string() };
        // Two checks may find the same.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
