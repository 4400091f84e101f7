//! `bodega verify`: holds the books of all services against each other.
//!
//! The application does it, page by page. One that runs is asked; one that is stopped is loaded for it, without a listener
//! and without schedules.

mod stopped;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use identity::Role;
use serde::{Deserialize, Serialize};

use self::stopped::Stopped;
use super::application::ApplicationArgs;
use super::remote::{self, Application, RemoteArgs};
use crate::state_dir::StateDir;
use crate::stores;

/// Where the application audits itself, page by page.
const AUDIT_PATH: &str = "/api/orders/audit";

/// Arguments of `bodega verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Print what was looked at and what was found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// One page of the audit.
#[derive(Debug, Deserialize)]
struct Page {
    /// How many of what were looked at.
    checked: BTreeMap<String, u64>,
    findings: Vec<Finding>,
    next_cursor: Option<String>,
}

/// Something that does not add up.
#[derive(Debug, Deserialize, Serialize)]
struct Finding {
    kind: String,
    order_id: Option<String>,
    detail: String,
}

impl Verify {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        if !self.remote.is_named() && !stores::is_in_use(&self.application.state_dir.state_dir) {
            self.application.fetch()?;
        }
        let audit = remote::runtime()?.block_on(self.audit())?;
        match self.json {
            true => println!("{}", serde_json::to_string(&audit)?),
            false => print!("{audit}"),
        }
        match audit.findings.len() {
            0 => Ok(()),
            1 => bail!("the books do not agree: 1 finding"),
            many => bail!("the books do not agree: {many} findings"),
        }
    }

    /// Asks the host that is named or has the state folder; where none has it, the application is stopped.
    async fn audit(&self) -> anyhow::Result<Audit> {
        let path = &self.application.state_dir.state_dir;
        let running = || anyhow::Ok(Books::Running(self.remote.connect(&StateDir::at(path), Role::Admin)?));
        if self.remote.is_named() {
            return audit(&running()?).await;
        }
        if stores::is_in_use(path) {
            let asked = async { audit(&running()?).await };
            let path = path.display();
            return asked.await.with_context(|| format!("another process has the state folder {path}, so it is asked"));
        }
        let stopped = Stopped::load(&self.application, &self.remote).await?;
        let audit = audit(&Books::Stopped(&stopped)).await;
        stopped.close().await?;
        audit
    }
}

/// Who is asked.
enum Books<'a> {
    Running(Application),
    Stopped(&'a Stopped),
}

impl Books<'_> {
    /// The answer to the request for a page.
    async fn page(&self, cursor: Option<&str>) -> anyhow::Result<Bytes> {
        let cursor = cursor.map(|cursor| format!("cursor={cursor}"));
        match self {
            Self::Running(application) => {
                let request = Request::get(path(cursor.as_slice()));
                let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                Ok(application.send(request, body).await?.into_body().collect().await?.to_bytes())
            }
            Self::Stopped(stopped) => {
                let parameters: Vec<String> = cursor.into_iter().chain(["stopped=true".to_owned()]).collect();
                stopped.ask(&path(&parameters)).await
            }
        }
    }
}

fn path(parameters: &[String]) -> String {
    match parameters {
        [] => AUDIT_PATH.to_owned(),
        _ => format!("{AUDIT_PATH}?{}", parameters.join("&")),
    }
}

/// All pages together. Its fields are what `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Audit {
    checked: BTreeMap<String, u64>,
    findings: Vec<Finding>,
}

async fn audit(books: &Books<'_>) -> anyhow::Result<Audit> {
    let mut audit = Audit::default();
    let mut cursor: Option<String> = None;
    loop {
        let answer = books.page(cursor.as_deref()).await?;
        let page: Page = serde_json::from_slice(&answer).context("the application's audit cannot be read")?;
        cursor = audit.add(page);
        if cursor.is_none() {
            return Ok(audit);
        }
    }
}

impl Audit {
    /// Takes a page in, and tells where the next one is.
    fn add(&mut self, page: Page) -> Option<String> {
        for (what, count) in page.checked {
            *self.checked.entry(what).or_default() += count;
        }
        self.findings.extend(page.findings);
        page.next_cursor
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checked.keys().map(String::len).max().unwrap_or_default();
        for (what, count) in &self.checked {
            writeln!(f, "{:width$}  {count}", what.replace('_', " "))?;
        }
        for Finding { kind, order_id, detail } in &self.findings {
            match order_id {
                Some(order) => writeln!(f, "{kind}: order {order}: {detail}")?,
                None => writeln!(f, "{kind}: {detail}")?,
            }
        }
        if self.findings.is_empty() { writeln!(f, "the books of all services agree") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(json: serde_json::Value) -> Page {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn pages_add_up_and_findings_are_told_with_their_order() {
        let mut audit = Audit::default();
        let finding = json!({"kind": "stock-lost", "order_id": "o-1", "detail": "2 units are held for nobody"});
        let first = json!({"checked": {"orders": 100, "in_motion": 1}, "findings": [finding], "next_cursor": "abc"});
        assert_eq!(audit.add(page(first)).as_deref(), Some("abc"));
        let total = json!({"kind": "wrong-count", "detail": "MUG"});
        let last = json!({"checked": {"orders": 7, "in_motion": 0}, "findings": [total], "next_cursor": null});
        assert_eq!(audit.add(page(last)), None);
        assert_eq!(
            audit.to_string(),
            "in motion  1\norders     107\nstock-lost: order o-1: 2 units are held for nobody\nwrong-count: MUG\n"
        );
    }

    #[test]
    fn as_json_every_finding_has_the_same_fields() {
        let mut audit = Audit::default();
        let findings = json!([
            {"kind": "stock-lost", "order_id": "o-1", "detail": "2 units are held for nobody"},
            {"kind": "stock-count", "detail": "MUG"},
        ]);
        audit.add(page(json!({"checked": {"orders": 7}, "findings": findings, "next_cursor": null})));
        let mut expected = json!({"checked": {"orders": 7}, "findings": findings});
        expected["findings"][1]["order_id"] = json!(null);
        assert_eq!(serde_json::to_value(&audit).unwrap(), expected);
    }

    #[test]
    fn nothing_found_is_said_as_well() {
        let mut audit = Audit::default();
        audit.add(page(json!({"checked": {"orders": 0}, "findings": [], "next_cursor": null})));
        assert_eq!(audit.to_string(), "orders  0\nthe books of all services agree\n");
    }
}
