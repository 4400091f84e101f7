//! Changes that are written down together or not at all.

use rusqlite::Transaction;

use super::{ACTIONS_KEPT, Action, NewRevision, Outcome, now_ms, records};

/// What comes of a change; one that fails undoes those before it.
pub type Written<T = ()> = rusqlite::Result<T>;

/// Changes that are on disk once all of them are.
pub struct Batch<'t> {
    pub(super) transaction: &'t Transaction<'t>,
    pub(super) revisions_kept: u32,
}

impl Batch<'_> {
    /// Records a revision and that it is in force, and logs `actions`; returns its number. What was being rolled out counts as rolled
    /// back.
    pub fn put_in_force(&self, revision: &NewRevision<'_>, actions: &[Action]) -> Written<u32> {
        let (transaction, component) = (self.transaction, revision.component);
        let before = records::live(transaction, component)?;
        records::complete(transaction, component, revision.base.configuration)?;
        let number = records::add(transaction, revision, now_ms())?;
        // It is not what anybody wants any more.
        if let Some(unfinished) = records::remove_rollout(transaction, component)? {
            records::set_rolled_back(transaction, component, unfinished, true)?;
        }
        records::set_live(transaction, component, number, Some(revision.base.digest))?;
        records::set_sources(transaction, component, revision.configuration_of_sources)?;
        records::forget_old(transaction, component, before, self.revisions_kept)?;
        records::log_all(transaction, actions, ACTIONS_KEPT)?;
        Ok(number)
    }

    /// Records how a rollout goes, and logs `actions`.
    pub fn save_rollout(&self, component: &str, number: u32, state: &str, actions: &[Action]) -> Written {
        records::set_rollout(self.transaction, component, number, state)?;
        records::log_all(self.transaction, actions, ACTIONS_KEPT)
    }

    /// Records the end of a rollout and what is in force from then on, and logs `actions`: see `Registry::end_rollout`.
    pub fn end_rollout(&self, component: &str, number: u32, outcome: Outcome, actions: &[Action]) -> Written {
        let transaction = self.transaction;
        records::log_all(transaction, actions, ACTIONS_KEPT)?;
        records::remove_rollout_of(transaction, component, number)?;
        match outcome {
            Outcome::Promoted => records::set_live(transaction, component, number, None),
            Outcome::TakenBack if records::live(transaction, component)? == Some(number) => Ok(()),
            Outcome::TakenBack => records::set_rolled_back(transaction, component, number, true),
        }
    }
}
