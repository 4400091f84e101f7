//! Programs that may not be installed.

use std::env;
use std::io::ErrorKind;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// What a program says, or nothing if it is not installed; `advice` tells how to get it.
pub(crate) fn output(command: &mut Command, advice: &str) -> Result<Option<Output>> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(env::var_os("CI").is_none(), "`{name}` is not installed ({advice})");
            println!("   skipped, since `{name}` is not installed ({advice})");
            Ok(None)
        }
        output => output.map(Some).with_context(|| format!("cannot run {name}")),
    }
}

/// The lines that a linter has printed, if it has failed.
pub(crate) fn complaints(output: &Output) -> Vec<String> {
    if output.status.success() {
        return Vec::new();
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { vec![format!("it failed ({})", output.status)] } else { lines }
}
