//! `bodega import`, `bodega export` and the demo data: into and out of the running application, as staff.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

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
    fn connect(&self) -> anyhow::Result<(String, String)> {
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
        Ok((url, token))
    }
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
            let (url, token) = self.remote.connect()?;
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if !self.map.is_empty() {
                query.append_pair("map", &self.map.join(","));
            }
            if self.dry_run {
                query.append_pair("dry_run", "true");
            }
            let url = format!("{url}{IMPORT_PATH}?{}", query.finish());
            let report = post_file(&self.file, media_type(&self.file)?, &url, &token, true).await?;
            print_report(&report)
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
            let (url, token) = self.remote.connect()?;
            media_type(&self.file)?;
            let format = self.file.extension().unwrap_or_default().to_string_lossy().into_owned();
            let request = Request::get(format!("{url}{EXPORT_PATH}?format={format}")).header(ACCEPT, "*/*");
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let response = send(request.header(AUTHORIZATION, format!("Bearer {token}")).body(body)?).await?;
            // Written aside, so that a broken transfer never looks like a catalogue.
            let aside = self.file.with_extension(format!("{format}.part"));
            let mut file = tokio::fs::File::create(&aside)
                .await
                .with_context(|| format!("{} cannot be written", aside.display()))?;
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
            let token = staff_token(&state)?;
            post_file(
                &manifest.folder().join(&data.file),
                &data.content_type,
                &format!("{url}{}", data.post),
                &token,
                false,
            )
            .await
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

/// Streams a file to the application and returns its report.
async fn post_file(
    path: &Path,
    content_type: &str,
    url: &str,
    token: &str,
    show_progress: bool,
) -> anyhow::Result<serde_json::Value> {
    let file = tokio::fs::File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?;
    let length = file.metadata().await?.len();
    let progress = if show_progress { ProgressBar::new(length) } else { ProgressBar::hidden() };
    // The template is a constant with the crate's own field names.
    progress.set_style(
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let counter = progress.clone();
    let chunks = ReaderStream::new(file)
        .map_ok(Frame::data)
        .inspect_ok(move |frame| counter.inc(frame.data_ref().map_or(0, |data| data.len() as u64)));
    let request =
        Request::post(url).header(CONTENT_TYPE, content_type).header(AUTHORIZATION, format!("Bearer {token}"));
    let response = send(request.body(StreamBody::new(chunks).boxed_unsync())?).await?;
    let report = response.into_body().collect().await.context("the report broke off")?.to_bytes();
    progress.finish_and_clear();
    serde_json::from_slice(&report).context("the application's report is not JSON")
}

/// Sends a request; an answer that is not a success becomes an error with the problem document's words.
async fn send(mut request: Request<Body>) -> anyhow::Result<Response<Incoming>> {
    let host = request.uri().authority().context("the address has no host")?.as_str().parse()?;
    request.headers_mut().insert(HOST, host);
    let connector =
        hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.request(request).await.context("the application does not answer")?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let words = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no details");
    bail!("the application answered {status}: {words}")
}

/// Prints the counts and each bad row. Rows that failed make the command fail, after the good ones went in.
fn print_report(report: &serde_json::Value) -> anyhow::Result<()> {
    let count = |key: &str| report[key].as_u64().unwrap_or(0);
    for row in report["errors"].as_array().into_iter().flatten() {
        eprintln!("line {}: {}", row["line"], row["reason"].as_str().unwrap_or_default());
    }
    println!("imported {}, updated {}, failed {}", count("imported"), count("updated"), count("failed"));
    if count("failed") > 0 {
        bail!("{} rows were not taken; the others were", count("failed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
