//! `bodega status` and `bodega history`: which revisions run, and which there are.

use std::time::Duration;

use serde_json::Value;

use super::{AdminArgs, list, rollout_line, text, texts};
use crate::admin::control::{HISTORY_PATH, STATUS_PATH};
use crate::cli::remote;

/// How often a live status is shown.
const LIVE_PERIOD: Duration = Duration::from_secs(1);
/// Has a terminal clear itself and go to its first line.
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

/// Arguments of `bodega status`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Status {
    /// Print the host's own JSON.
    #[arg(long)]
    json: bool,
    /// Show it again and again, until the command is ended.
    #[arg(long, conflicts_with = "json")]
    live: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Status {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        let control = self.admin.connect()?;
        remote::runtime()?.block_on(async {
            loop {
                let status = control.get(STATUS_PATH, &[]).await?;
                match (self.json, self.live) {
                    (true, _) => println!("{status}"),
                    (_, true) => print!("{CLEAR_SCREEN}{}", Self::page(&status)),
                    _ => print!("{}", Self::page(&status)),
                }
                if !self.live {
                    return Ok(());
                }
                tokio::time::sleep(LIVE_PERIOD).await;
            }
        })
    }

    fn page(status: &Value) -> String {
        let row = |status: &Value| {
            let draining: Vec<String> = list(&status["draining"]).iter().map(draining_text).collect();
            [
                text(status, "component").to_owned(),
                status["revision"].as_u64().map_or("manifest".to_owned(), |number| number.to_string()),
                status["runs"].as_str().unwrap_or("(in others)").to_owned(),
                status["instances"].to_string(),
                texts(&status["changed"]),
                draining.join(", "),
            ]
        };
        let head = ["component", "revision", "runs", "instances", "changed", "draining"];
        let mut page = table(head, list(status).iter().map(row));
        for status in list(status).iter().filter(|status| !status["rollout"].is_null()) {
            page += &format!("\n{}: {}\n", text(status, "component"), rollout_line(&status["rollout"]));
            for finding in list(&status["rollout"]["findings"]).iter().filter_map(Value::as_str) {
                page += &format!("  {finding}\n");
            }
        }
        page
    }
}

/// A former revision, since when it finishes what it has begun, and when what is left will be cut.
fn draining_text(former: &Value) -> String {
    let seconds =
        |name| humantime::format_duration(Duration::from_secs(former[name].as_u64().unwrap_or_default() / 1_000));
    let (instances, so_far, left) = (&former["instances"], seconds("for_ms"), seconds("left_ms"));
    format!("{} ({instances} instances, for {so_far}, cut in {left})", text(former, "runs"))
}

/// Arguments of `bodega history`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct History {
    /// The component's id.
    component: String,
    /// Print the host's own JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl History {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        let control = self.admin.connect()?;
        let history = remote::runtime()?.block_on(control.get(HISTORY_PATH, &[("component", &self.component)]))?;
        if self.json {
            println!("{history}");
            return Ok(());
        }
        if list(&history).is_empty() {
            println!("{}: nothing was deployed; the manifest's own revision is in force", self.component);
            return Ok(());
        }
        let row = |record: &Value| {
            let state = match (record["is_live"].as_bool(), record["is_rolled_back"].as_bool()) {
                (Some(true), _) => "in force",
                (_, Some(true)) => "taken back",
                _ => "",
            };
            let settings: Value = serde_json::from_str(text(record, "settings")).unwrap_or_default();
            let at = Duration::from_millis(record["created_at_ms"].as_u64().unwrap_or_default());
            [
                record["number"].to_string(),
                state.to_owned(),
                text(record, "digest").chars().take(12).collect(),
                humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at).to_string(),
                text(record, "who").to_owned(),
                texts(&settings["changed"]),
                text(record, "why").to_owned(),
            ]
        };
        let head = ["revision", "state", "digest", "since", "who", "changed", "why"];
        print!("{}", table(head, list(&history).iter().map(row)));
        Ok(())
    }
}

/// Columns as wide as their widest text.
fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: impl Iterator<Item = [String; COLUMNS]>) -> String {
    let rows: Vec<_> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [["cart", "12"], ["c", "1"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["component", "n"], rows.into_iter()), "component  n\ncart       12\nc          1\n");
    }
}
