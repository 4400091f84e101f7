//! Upgrades of a running host: which process serves now, and when a former one has ended.

use std::fs;
use std::process::Output;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::host::{Host, PATIENCE};

const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// The process that an app's host says it is.
pub(crate) fn announced_pid(app: &App) -> Option<u32> {
    let text = fs::read_to_string(app.state_dir().join("host.json")).ok()?;
    let note: Value = serde_json::from_str(&text).ok()?;
    note["pid"].as_u64()?.try_into().ok()
}

/// Ends the process with this id if it is a host of the app, for which there may be nobody else to do so.
pub(crate) fn kill_host_of(app: &App, pid: u32) {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let folder = app.folder().display().to_string();
    if String::from_utf8_lossy(&command).contains(&folder)
        && let Some(pid) = Pid::from_raw(pid.cast_signed())
    {
        // It may have ended just now.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether the process has ended, also where nobody has asked for its exit status yet.
pub fn has_ended(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// Waits for the end of a process.
pub async fn until_ended(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    while !has_ended(pid) {
        assert!(Instant::now() < deadline, "process {pid} does not end");
        sleep(POLL).await;
    }
}

impl Host {
    /// Runs `bodega upgrade` to its end.
    pub async fn try_upgrade(&self, arguments: &[&str]) -> Output {
        self.operate(&[&["upgrade"], arguments].concat()).await
    }

    /// Has another process take over, and returns its id.
    pub async fn upgrade(&self) -> u32 {
        let former = self.serving_pid();
        let done = self.try_upgrade(&[]).await;
        assert!(done.status.success(), "{done:?}");
        let pid = self.serving_pid();
        assert_ne!(pid, former);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.starts_with(&format!("process {pid} has taken over")), "{said}");
        pid
    }

    /// The process that serves now.
    pub fn serving_pid(&self) -> u32 {
        announced_pid(self.app()).expect("a host has said where it is")
    }
}
