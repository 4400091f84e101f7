//! What the user can do about an error, said behind it.

use std::fmt::Display;

use anyhow::anyhow;

use crate::listener::ListenError;
use crate::state_dir::StateDir;
use crate::stores::StoresError;

/// The error with all its causes, and then the way out.
pub(super) fn advise(error: impl Into<anyhow::Error>, advice: impl Display) -> anyhow::Error {
    anyhow!("{:#}; {advice}", error.into())
}

/// Why the stores of `state` could not be opened; when a host has them, which one.
pub(super) fn about_stores(error: StoresError, state: &StateDir) -> anyhow::Error {
    if !matches!(error, StoresError::InUse(_)) {
        return error.into();
    }
    let who = state.running_host().map(|host| format!("it is process {} and answers at {}; ", host.pid, host.url));
    advise(error, format!("{}stop it, or name another folder with --state-dir", who.unwrap_or_default()))
}

/// Why an address could not be listened on; `option` is what chooses it.
pub(super) fn about_address(error: ListenError, option: &str) -> anyhow::Error {
    match error {
        ListenError::Bind { .. } => advise(error, format!("choose another address with {option}")),
        _ => error.into(),
    }
}
