//! `bodega import`, `bodega export` and the demo data: into and out of the running application, as staff.

mod parts;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use self::parts::{PART_BYTES_MAX, Parts, Records};
use super::StateDirArgs;
use crate::generated::staff_token;
use crate::manifest::Manifest;
use crate::state_dir::StateDir;

/// The catalogue's routes for whole catalogues.
const IMPORT_PATH: &str = "/api/catalog/import";
const EXPORT_PATH: &str = "/api/catalog/export";

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How to reach the application.
#[derive(Debug, clap::Args)]
struct Remote {
    #[command(flatten)]
    state_dir: StateDirArgs,
    /// The application's address; by default that of the host that uses the state folder.
    #[arg(long, env = "BODEGA_URL")]
    url: Option<String>,
    /// A staff token; by default one of the host's own. Better given in the environment, where other users do not see it.
    #[arg(long, env = "BODEGA_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Remote {
    fn connect(&self) -> anyhow::Result<Application> {
        let state = StateDir::open(&self.state_dir.state_dir)?;
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                state
                    .running_host()
                    .context("no host uses this state folder; start one with `bodega up`, or give --url")?
                    .url
            }
        };
        let token = self.token.clone().map_or_else(|| staff_token(&state), Ok)?;
        Ok(Application { url, token, token_is_given: self.token.is_some() })
    }
}

/// The running application, and the token by which it is asked.
#[derive(PartialEq, Eq)]
struct Application {
    url: String,
    token: String,
    token_is_given: bool,
}

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
        runtime()?.block_on(async {
            let application = self.remote.connect()?;
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
        runtime()?.block_on(async {
            let application = self.remote.connect()?;
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
            let application = Application { url: url.clone(), token: staff_token(&state)?, token_is_given: false };
            let (file, length) = open(&manifest.folder().join(&data.file)).await?;
            application.post(&data.post, &data.content_type, length, file, &ProgressBar::hidden()).await
        };
        match sent.await {
            Ok(report) => tracing::info!(file = %data.file, %report, "the demo data is in"),
            Err(error) => tracing::error!(file = %data.file, "the demo data was not taken: {error:#}"),
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
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

    /// Sends a request for a path; an answer that is not a success becomes an error with the problem document's words.
    async fn send(&self, request: request::Builder, body: Body) -> anyhow::Result<Response<Incoming>> {
        let mut request = request.header(AUTHORIZATION, format!("Bearer {}", self.token)).body(body)?;
        *request.uri_mut() = format!("{}{}", self.url, request.uri()).parse().context("the address is none")?;
        let host = request.uri().authority().context("the address has no host")?.as_str().parse()?;
        request.headers_mut().insert(HOST, host);
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let response = client.request(request).await.context("the application does not answer")?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.into_body().collect().await?.to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let words = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no details");
        bail!("the application answered {status}: {words}{}", self.advice(status))
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status {
            StatusCode::UNAUTHORIZED if !self.token_is_given => {
                "; its token keys, issuer or audience are not those that this host generated, so give `bodega import` \
                 and `bodega export` a staff token with --token or BODEGA_TOKEN"
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                "; send .jsonl or .csv, which go in parts, or start the host with a larger --body-bytes-max"
            }
            _ => "",
        }
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
    println!("imported {}, updated {}, failed {}", report.imported, report.updated, report.failed);
    if report.failed > 0 {
        bail!("{} rows were not taken; the others were", report.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
