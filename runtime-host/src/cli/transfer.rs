//! `bodega import`, `bodega export` and the demo data: into and out of the running application, as staff.

mod parts;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use http::Request;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use identity::Role;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use self::parts::{PART_BYTES_MAX, Parts, Records};
use super::remote::{self, Application, Remote};
use crate::generated::command_token;
use crate::manifest::Manifest;
use crate::state_dir::StateDir;

/// The catalogue's routes for whole catalogues.
const IMPORT_PATH: &str = "/api/catalog/import";
const EXPORT_PATH: &str = "/api/catalog/export";

/// Arguments of `bodega import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The catalogue; its ending says what it is: `.jsonl`, `.json` or `.csv`.
    file: PathBuf,
    /// A foreign column's name here, `FOREIGN:OURS`; may be given several times.
    #[arg(long = "map", value_name = "FOREIGN:OURS", value_delimiter = ',')]
    map: Vec<String>,
    /// Only report what would happen.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        remote::runtime()?.block_on(async {
            let application = self.remote.connect(Role::Staff)?;
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if !self.map.is_empty() {
                query.append_pair("map", &self.map.join(","));
            }
            if self.dry_run {
                query.append_pair("dry_run", "true");
            }
            let path = format!("{IMPORT_PATH}?{}", query.finish());
            let mut report = Report::default();
            let sent = import(&application, &path, &self.file, &mut report).await;
            if report.rows == 0 {
                sent?;
                return print_report(&report);
            }
            let all_taken = print_report(&report);
            sent.context("the rows after these were not taken")?;
            all_taken
        })
    }
}

/// Arguments of `bodega export`.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Where to write; the ending says in which form: `.jsonl`, `.json` or `.csv`.
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<()> {
        remote::runtime()?.block_on(async {
            let application = self.remote.connect(Role::Staff)?;
            media_type(&self.file)?;
            let format = self.file.extension().unwrap_or_default().to_string_lossy().into_owned();
            let path = format!("{EXPORT_PATH}?format={format}");
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let response = application.send(Request::get(path).header(ACCEPT, "*/*"), body).await?;
            // Written aside, so that a broken transfer never looks like a catalogue.
            let aside = self.file.with_extension(format!("{format}.part"));
            let mut file =
                File::create(&aside).await.with_context(|| format!("{} cannot be written", aside.display()))?;
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.context("the export broke off")?.into_data() {
                    file.write_all(&data).await?;
                }
            }
            file.sync_all().await?;
            tokio::fs::rename(&aside, &self.file).await?;
            eprintln!("wrote {}", self.file.display());
            Ok(())
        })
    }
}

/// Sends the manifest's demo data to the host that just started. What is there already is only updated.
pub(super) async fn load_demo(manifest: Manifest, url: String, state: StateDir) {
    for data in &manifest.application.settings.demo {
        let sent = async {
            let application =
                Application { url: url.clone(), token: command_token(&state, Role::Staff)?, token_is_given: false };
            let (file, length) = open(&manifest.folder().join(&data.file)).await?;
            application.post(&data.post, &data.content_type, length, file, &ProgressBar::hidden()).await
        };
        match sent.await {
            Ok(report) => tracing::info!(file = %data.file, %report, "the demo data is in"),
            Err(error) => tracing::error!(file = %data.file, "the demo data was not taken: {error:#}"),
        }
    }
}

fn media_type(file: &Path) -> anyhow::Result<&'static str> {
    Ok(match file.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => "application/jsonl",
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        _ => bail!("{}: the ending says nothing of the form; expected .jsonl, .json or .csv", file.display()),
    })
}

async fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    let file = File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?;
    let length = file.metadata().await?.len();
    Ok((file, length))
}

/// Sends a catalogue in as many requests as it takes and adds up their reports, also when one of them fails.
async fn import(application: &Application, path: &str, file: &Path, total: &mut Report) -> anyhow::Result<()> {
    let content_type = media_type(file)?;
    let records = match content_type {
        "application/jsonl" => Some(Records::Lines),
        "text/csv" => Some(Records::Csv),
        // The records of an array have no place of their own to cut at, so it goes as a whole.
        _ => None,
    };
    let (content, length) = open(file).await?;
    // The template is a constant with the crate's own field names.
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    let progress = ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let Some(records) = records else {
        total.add(application.post(path, content_type, length, content, &progress).await?, 0)?;
        progress.finish_and_clear();
        return Ok(());
    };
    let mut parts = Parts::new(content, records, PART_BYTES_MAX);
    while let Some(part) = parts.next().await.with_context(|| file.display().to_string())? {
        let length = part.bytes.len() as u64;
        let body = std::io::Cursor::new(part.bytes);
        total.add(application.post(path, content_type, length, body, &progress).await?, part.lines_before)?;
    }
    progress.finish_and_clear();
    Ok(())
}

impl Application {
    /// Streams `body` to the application and returns its report.
    async fn post(
        &self,
        path: &str,
        content_type: &str,
        length: u64,
        body: impl AsyncRead + Send + 'static,
        progress: &ProgressBar,
    ) -> anyhow::Result<serde_json::Value> {
        let counter = progress.clone();
        let chunks = ReaderStream::new(body)
            .map_ok(Frame::data)
            .inspect_ok(move |frame| counter.inc(frame.data_ref().map_or(0, |data| data.len() as u64)));
        // With the length announced, what is too large is refused before it is sent.
        let request = Request::post(path).header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, length);
        let response = self.send(request, StreamBody::new(chunks).boxed_unsync()).await?;
        let report = response.into_body().collect().await.context("the report broke off")?.to_bytes();
        serde_json::from_slice(&report).context("the application's report is not JSON")
    }
}

/// What the application did with the rows.
#[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
struct Report {
    rows: u64,
    imported: u64,
    updated: u64,
    failed: u64,
    errors: Vec<BadRow>,
}

/// A row that was not taken.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct BadRow {
    line: u64,
    reason: String,
}

impl Report {
    /// Adds the report of a part of the file.
    fn add(&mut self, part: serde_json::Value, lines_before: u64) -> anyhow::Result<()> {
        let part: Self = serde_json::from_value(part).context("the application's report is none of an import")?;
        self.rows += part.rows;
        self.imported += part.imported;
        self.updated += part.updated;
        self.failed += part.failed;
        self.errors.extend(part.errors.into_iter().map(|row| BadRow { line: row.line + lines_before, ..row }));
        Ok(())
    }
}

/// Prints the counts and each bad row. Rows that failed make the command fail, after the good ones went in.
fn print_report(report: &Report) -> anyhow::Result<()> {
    for BadRow { line, reason } in &report.errors {
        eprintln!("line {line}: {reason}");
    }
    // The application lists so many of a request and counts them all.
    let unlisted = report.failed.saturating_sub(report.errors.len() as u64);
    if unlisted > 0 {
        eprintln!("and {unlisted} more");
    }
    println!("imported {}, updated {}, failed {}", report.imported, report.updated, report.failed);
    if report.failed > 0 {
        bail!("{} rows were not taken; the others were", report.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
