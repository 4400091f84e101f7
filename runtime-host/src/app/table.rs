//! What is live: for each component that has requests of its own, the revision or the two that answer them.
//!
//! A table never changes. Every request reads the one that is in place when it comes, without a lock, and a deployment puts
//! another one there: all components of one deployment are switched at that one point.

use std::sync::Arc;

use super::revision::Live;

/// The revisions that answer, by the components' places.
pub(super) struct Table(Box<[Split]>);

/// The revisions of one component that answer.
#[derive(Clone)]
pub(super) struct Split {
    /// The one in force.
    pub(super) main: Arc<Live>,
}

impl Table {
    pub(super) fn new(splits: impl IntoIterator<Item = Split>) -> Self {
        Self(splits.into_iter().collect())
    }

    /// The revisions of the component at `place`.
    pub(super) fn at(&self, place: usize) -> &Split {
        // Places are given out for this table's length, which stays.
        &self.0[place]
    }

    /// The same with other revisions at some places.
    pub(super) fn with(&self, changes: impl IntoIterator<Item = (usize, Split)>) -> Self {
        let mut splits = self.0.to_vec();
        for (place, split) in changes {
            splits[place] = split;
        }
        Self::new(splits)
    }

    /// Every revision that answers.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.0.iter().map(|split| &split.main)
    }
}

impl Split {
    /// One revision that answers all.
    pub(super) fn whole(main: Arc<Live>) -> Self {
        Self { main }
    }

    /// The revision for a request.
    pub(super) fn choose(&self) -> &Arc<Live> {
        &self.main
    }
}
