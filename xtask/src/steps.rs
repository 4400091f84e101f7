//! Runs commands one after the other, with their times; the first failure ends it and says how to repeat the command.

use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// `cargo` as it runs this program, so that every step uses one toolchain.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` and reports its time.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    last_step(name, command)?;
    println!("   {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs `command` and adds nothing to its closing lines.
pub(crate) fn last_step(name: &str, command: &mut Command) -> Result<()> {
    let line = command_line(command);
    println!("== {name}: {line}");
    let status = command.status().with_context(|| format!("{name}: cannot run {line}"))?;
    ensure!(status.success(), "{name} failed ({status}); to repeat it:\n    {line}");
    Ok(())
}

/// Whether `command` succeeds; what it prints is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The command as one would type it, with the variables that are set for it.
fn command_line(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        words.push(format!("{}='{value}'", name.to_string_lossy()));
    }
    // The full path of cargo helps nobody.
    words.push(match command.get_program().to_string_lossy() {
        program if program.ends_with("cargo") => "cargo".to_owned(),
        program => program.into_owned(),
    });
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}
