//! `bodega import`, `bodega export` and the demo data: into and out of the running application, as staff.

mod parts;
mod progress;
mod report;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response, request};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use identity::Role;
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio_util::io::{ReaderStream, StreamReader};

use self::parts::{PART_BYTES_MAX, Part, Parts, Records};
use self::report::{BadRow, Totals};
use super::remote::{self, Application, Remote, TlsArgs};
use crate::generated::command_token;
use crate::manifest::Manifest;
use crate::state_dir::StateDir;

/// The catalogue's routes for whole catalogues.
const IMPORT_PATH: &str = "/api/catalog/import";
const EXPORT_PATH: &str = "/api/catalog/export";
/// The form of an import's report that tells of every bad row.
const REPORT_LINES: &str = "application/x-ndjson";

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
            let bar = progress::bar();
            let tell = |BadRow { line, reason }| bar.suspend(|| eprintln!("line {line}: {reason}"));
            let mut taken = Taken::default();
            let sent = import(&application, &path, &self.file, &bar, &mut taken, tell).await;
            bar.finish_and_clear();
            if taken.totals.rows == 0 {
                sent?;
                return conclude(&taken, self.dry_run);
            }
            let all_taken = conclude(&taken, self.dry_run);
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
            let (url, token) = (url.clone(), command_token(&state, Role::Staff)?);
            let application = Application { url, token, token_is_given: false, tls: TlsArgs::default() };
            let (file, length) = open(&manifest.folder().join(&data.file)).await?;
            let request = Request::post(&data.post).header(CONTENT_TYPE, &data.content_type);
            let response = application.post(request, length, file, &ProgressBar::hidden()).await?;
            let report = response.into_body().collect().await.context("the report broke off")?.to_bytes();
            serde_json::from_slice::<serde_json::Value>(&report).context("the application's report is not JSON")
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

/// What became of a file.
#[derive(Debug, Default)]
struct Taken {
    totals: Totals,
    parts: u64,
}

impl Taken {
    /// What a dry run did not check, in sentences.
    fn gaps(&self) -> Vec<String> {
        let (parts, forgotten) = (self.parts, self.totals.forgotten);
        let by_parts = || {
            format!(
                "the file went in {parts} parts: a SKU or a slug that comes again in a later part was not noticed, \
                 and a product with rows in several parts was counted in each"
            )
        };
        let by_room = || {
            format!("later rows were not checked against {forgotten} rows, which the application had no room to keep")
        };
        [(parts > 1).then(by_parts), (forgotten > 0).then(by_room)].into_iter().flatten().collect()
    }
}

/// Sends a catalogue in as many requests as it takes, tells of each bad row, and adds up the counts, also when one of
/// the requests fails.
async fn import(
    application: &Application,
    path: &str,
    file: &Path,
    bar: &ProgressBar,
    taken: &mut Taken,
    mut tell: impl FnMut(BadRow),
) -> anyhow::Result<()> {
    let content_type = media_type(file)?;
    let records = match content_type {
        "application/jsonl" => Some(Records::Lines),
        "text/csv" => Some(Records::Csv),
        // The records of an array have no place of their own to cut at, so it goes as a whole.
        _ => None,
    };
    let request = || Request::post(path).header(CONTENT_TYPE, content_type).header(ACCEPT, REPORT_LINES);
    let (content, length) = open(file).await?;
    bar.set_length(length);
    let Some(records) = records else {
        let response = application.post(request(), length, content, bar).await?;
        taken.parts += 1;
        return read_report(response, &mut taken.totals, tell).await;
    };
    let mut parts = Parts::new(content, records, PART_BYTES_MAX);
    while let Some(part) = parts.next().await.with_context(|| file.display().to_string())? {
        let Part { bytes, repeated_bytes, lines_before } = part;
        bar.inc_length(repeated_bytes as u64);
        let length = bytes.len() as u64;
        let response = application.post(request(), length, io::Cursor::new(bytes), bar).await?;
        taken.parts += 1;
        let tell = |row: BadRow| tell(BadRow { line: row.line + lines_before, ..row });
        read_report(response, &mut taken.totals, tell).await?;
    }
    Ok(())
}

/// Prints the counts. Rows that failed make the command fail, after the good ones went in.
fn conclude(taken: &Taken, dry_run: bool) -> anyhow::Result<()> {
    println!("{}", taken.totals);
    if dry_run {
        taken.gaps().iter().for_each(|gap| eprintln!("{gap}"));
    }
    match (taken.totals.failed, dry_run) {
        (0, _) => Ok(()),
        (failed, false) => bail!("{failed} rows were not taken; the others were"),
        (failed, true) => bail!("{failed} rows would not be taken; the others would"),
    }
}

async fn read_report(
    response: Response<Incoming>,
    totals: &mut Totals,
    tell: impl FnMut(BadRow),
) -> anyhow::Result<()> {
    let body = response.into_body().into_data_stream().map_err(io::Error::other);
    report::read(StreamReader::new(body), totals, tell).await
}

impl Application {
    /// Streams `body` to the application. Its answer may begin before it has the whole of it.
    async fn post(
        &self,
        request: request::Builder,
        length: u64,
        body: impl AsyncRead + Send + 'static,
        bar: &ProgressBar,
    ) -> anyhow::Result<Response<Incoming>> {
        let chunks = progress::counted(ReaderStream::new(body), bar.clone()).map_ok(Frame::data);
        // With the length announced, what is too large is refused before it is sent.
        self.send(request.header(CONTENT_LENGTH, length), StreamBody::new(chunks).boxed_unsync()).await
    }
}

#[cfg(test)]
mod tests;
