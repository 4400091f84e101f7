//! What the registry has of revisions, rollouts and actions, for those who ask it or have it write something down.

use serde::Serialize;

use super::{Digest, now_ms};

/// What came of an action that was done.
const OK: &str = "ok";

/// A revision, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevisionRecord {
    /// From 1, for each component.
    pub number: u32,
    /// SHA-256 of the component's own artifact, in hex.
    pub digest: Digest,
    /// The file or address that it came from.
    pub source: String,
    /// When it was first put in force, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Who put it in force.
    pub who: String,
    /// Why, in their words; may be empty.
    pub why: String,
    /// How it was put in force and what it changed, as JSON.
    pub settings: String,
    /// What it was given. Empty where an earlier version of the host recorded it.
    #[serde(skip)]
    pub configuration: String,
    /// Whether it was taken back, by hand or by a rollout.
    pub is_rolled_back: bool,
    /// Whether it is the one in force.
    pub is_live: bool,
}

impl RevisionRecord {
    /// What it has changed, as whoever put it in force has noted it.
    pub fn changed(&self) -> Vec<String> {
        let settings = serde_json::from_str::<serde_json::Value>(&self.settings).unwrap_or_default();
        let changed = settings["changed"].as_array().into_iter().flatten();
        changed.filter_map(|change| change.as_str().map(str::to_owned)).collect()
    }
}

/// A revision that is to be put in force.
#[derive(Debug, Clone)]
pub struct NewRevision<'a> {
    /// The component's id.
    pub component: &'a str,
    /// Digest of the artifact, which is kept already.
    pub digest: &'a Digest,
    /// Where it came from.
    pub source: &'a str,
    /// Who asked for it.
    pub who: &'a str,
    /// Why.
    pub why: &'a str,
    /// How it is put in force and what it changes, as JSON.
    pub settings: &'a str,
    /// What it is given.
    pub configuration: &'a str,
    /// What the manifest and its sources say that it be given, if nobody says otherwise.
    pub configuration_of_sources: &'a Digest,
    /// The manifest's own revision at this time.
    pub base: Base<'a>,
}

/// A rollout that goes on, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRecord {
    /// The component's id.
    pub component: String,
    /// The revision that is rolled out.
    pub number: u32,
    /// Its artifact.
    pub digest: Digest,
    /// What it was given.
    pub configuration: String,
    /// How it goes, in the words of whoever decides it.
    pub state: String,
}

/// How a rollout has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The new revision is in force.
    Promoted,
    /// The new revision was taken back.
    TakenBack,
}

/// The manifest's own revision.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The digest of the artifact that the manifest names.
    pub digest: &'a Digest,
    /// Its path in the manifest.
    pub source: &'a str,
    /// What it has been given until now.
    pub configuration: &'a str,
}

/// What was done through the control API, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who: the token's name, the name that the caller gave, and where it called from.
    pub who: String,
    /// `deploy`, `rollback`, ...
    pub action: String,
    /// The component's id.
    pub component: String,
    /// Why, in their words; may be empty.
    pub why: String,
    /// `ok` or the reason why not.
    pub outcome: String,
}

/// What is in force of a component at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// What the manifest says, as nothing else was ever deployed or it was put in force again.
    Manifest,
    /// What the manifest says, because its file is another one than when this revision was deployed.
    ManifestChanged(Recorded),
    /// The artifact of this revision with the configuration that the manifest and its sources have now, which is another one
    /// than when the revision was deployed.
    ConfigurationChanged(Recorded),
    /// This one, which was deployed.
    Deployed(Recorded),
}

/// The revision that is noted to be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number.
    pub number: u32,
    /// Its artifact.
    pub digest: Digest,
    /// Where that came from.
    pub source: String,
    /// What it was given. Empty where an earlier version of the host recorded it.
    pub configuration: String,
}

impl Action {
    /// That something was done just now.
    pub fn done(action: &str, component: &str, who: &str, why: &str) -> Self {
        Self::ended(action, component, who, why, OK.to_owned())
    }

    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.outcome == OK
    }

    /// That something was wanted and has just come to this.
    pub fn ended(action: &str, component: &str, who: &str, why: &str, outcome: String) -> Self {
        let (action, component, who, why) = (action.to_owned(), component.to_owned(), who.to_owned(), why.to_owned());
        Self { at_ms: now_ms(), who, action, component, why, outcome }
    }
}
