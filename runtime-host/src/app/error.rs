//! Why a deployment, a return or a rollout was not done.

use crate::config_file::suggestion;
use crate::registry::RegistryError;
use crate::rollout;

/// Why a deployment or a return was not done. The former revision goes on.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The application has no such component.
    #[error("the application has no component `{component}`{}", suggestion(component, known.iter().map(String::as_str)))]
    UnknownComponent {
        /// The id that was given.
        component: String,
        /// All ids.
        known: Vec<String>,
    },
    /// It cannot take requests.
    #[error("{reason}")]
    Refused {
        /// Why not.
        reason: String,
    },
    /// What it is to be given cannot be read now.
    #[error("what the revision is to be given cannot be read: {reason}")]
    Configuration {
        /// Why not.
        reason: String,
    },
    /// The worker threads are not there yet.
    #[error("the application is still starting")]
    NotReady,
    /// Another process goes on with the application.
    #[error("another process takes over from this one; ask again")]
    HandedOver,
    /// Too many instances of former revisions still have work.
    #[error(
        "former revisions still have {instances} instances at work, and there is no room for another revision's; `bodega status` says when what is left will be cut"
    )]
    NoRoom {
        /// How many they have.
        instances: usize,
    },
    /// There is no such revision.
    #[error("component `{component}` has no revision {number}; `bodega history {component}` lists those that it has")]
    UnknownRevision {
        /// The component's id.
        component: String,
        /// The number that was given.
        number: u32,
    },
    /// There is none to go back to.
    #[error("component `{component}` has no earlier revision to return to")]
    NothingEarlier {
        /// The component's id.
        component: String,
    },
    /// A rollout has the component, or one that it is a part of, to itself.
    #[error(
        "a rollout of component `{component}` goes on; end it with `bodega promote {component}` or `bodega abort {component}`"
    )]
    RolloutGoesOn {
        /// What is rolled out.
        component: String,
    },
    /// There is nothing to steer.
    #[error("no rollout of component `{component}` goes on")]
    NoRollout {
        /// The component's id.
        component: String,
    },
    /// The rollout is not where this could be done.
    #[error(transparent)]
    Steer(#[from] rollout::Refused),
    /// It could not be written down, so it was not done.
    #[error("{}", with_causes(.0))]
    Registry(#[from] RegistryError),
}

pub(super) fn with_causes(error: &RegistryError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
