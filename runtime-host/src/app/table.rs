//! What is live: for each component that has requests of its own, the revision or the two that answer them.
//!
//! A table never changes. Every request reads the one that is in place when it comes, without a lock, and a deployment puts
//! another one there: all components of one deployment are switched at that one point.

use std::sync::Arc;

use http::HeaderMap;

use super::revision::Live;
use super::shadow::Shadow;
use super::{choice, preview};
use crate::rollout::{Share, Side, Sticky};

/// The revisions that answer, by the components' places.
pub(super) struct Table {
    splits: Box<[Split]>,
    /// The places at which two revisions share the requests; as a rule there are none.
    divided: Box<[(usize, Arc<Candidate>)]>,
}

/// The revisions of one component that answer.
#[derive(Clone)]
pub(super) struct Split {
    /// The one in force.
    pub(super) main: Arc<Live>,
    /// The one that is rolled out.
    pub(super) candidate: Option<Arc<Candidate>>,
}

/// A revision that is rolled out.
pub(super) struct Candidate {
    pub(super) live: Arc<Live>,
    /// How much of the traffic it has.
    pub(super) share: Share,
    pub(super) sticky: Sticky,
    /// Compares its answers to copies of requests, if it gets any.
    pub(super) shadow: Option<Arc<Shadow>>,
    /// What a tester has to show.
    pub(super) preview_token: Arc<str>,
}

impl Table {
    pub(super) fn new(splits: impl IntoIterator<Item = Split>) -> Self {
        let splits: Box<[Split]> = splits.into_iter().collect();
        let candidates = splits.iter().enumerate().filter_map(|(place, split)| Some((place, split.candidate.clone()?)));
        let divided = candidates.filter(|(_, candidate)| candidate.share.is_divided()).collect();
        Self { splits, divided }
    }

    /// The places at which two revisions share the requests, with the new one.
    pub(super) fn divided(&self) -> &[(usize, Arc<Candidate>)] {
        &self.divided
    }

    /// The revisions of the component at `place`.
    pub(super) fn at(&self, place: usize) -> &Split {
        // Places are given out for this table's length, which stays.
        &self.splits[place]
    }

    /// The same with other revisions at some places.
    pub(super) fn with(&self, changes: impl IntoIterator<Item = (usize, Split)>) -> Self {
        let mut splits = self.splits.to_vec();
        for (place, split) in changes {
            splits[place] = split;
        }
        Self::new(splits)
    }

    /// Every revision that answers.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.splits.iter().flat_map(|split| {
            let candidate = split.candidate.iter().map(|candidate| &candidate.live);
            [&split.main].into_iter().chain(candidate)
        })
    }
}

impl Split {
    /// One revision that answers all.
    pub(super) fn whole(main: Arc<Live>) -> Self {
        Self { main, candidate: None }
    }

    /// The revision for a request with these headers, and who else gets a copy of it. Its side may be decided already.
    pub(super) fn choose(&self, headers: &mut HeaderMap, side: Option<Side>) -> (&Arc<Live>, Option<&Arc<Candidate>>) {
        match &self.candidate {
            None => {
                choice::withhold(headers);
                (&self.main, None)
            }
            Some(candidate) => self.choose_of_two(candidate, headers, side),
        }
    }

    fn choose_of_two<'a>(
        &'a self,
        candidate: &'a Arc<Candidate>,
        headers: &mut HeaderMap,
        side: Option<Side>,
    ) -> (&'a Arc<Live>, Option<&'a Arc<Candidate>>) {
        let is_preview = preview::may_preview(headers, &candidate.preview_token);
        choice::withhold(headers);
        if is_preview {
            return (&candidate.live, None);
        }
        let Candidate { share, sticky, .. } = &**candidate;
        // What was decided may be older than this candidate, which then has none of the requests, or all.
        let side = side.filter(|_| share.is_divided());
        match side.unwrap_or_else(|| choice::side(*share, sticky, headers)) {
            Side::New => (&candidate.live, None),
            Side::Old => (&self.main, candidate.shadow.as_ref().map(|_| candidate)),
        }
    }
}
