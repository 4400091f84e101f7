//! Reports, media types and parts.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::StatusCode;
use http::header::AUTHORIZATION;
use http_body_util::Full;
use serde_json::json;

use super::*;

#[test]
fn the_ending_says_the_form() {
    let of = |name: &str| media_type(Path::new(name));
    assert_eq!(of("a/catalogue.jsonl").unwrap(), "application/jsonl");
    assert_eq!(of("catalogue.json").unwrap(), "application/json");
    assert_eq!(of("catalogue.csv").unwrap(), "text/csv");
    for name in ["catalogue", "catalogue.xml", "catalogue.CSV", ".csv"] {
        let refused = of(name).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("{name}: the ending says nothing")), "{refused}");
    }
}

#[test]
fn rows_that_failed_fail_the_command() {
    let conclude = |dry_run, failed| {
        let totals = Totals { imported: 2, failed, ..Totals::default() };
        conclude(&Taken { totals, parts: 1 }, dry_run).map_err(|error| error.to_string())
    };
    assert_eq!(conclude(false, 0), Ok(()));
    assert_eq!(conclude(false, 1).unwrap_err(), "1 rows were not taken; the others were");
    assert_eq!(conclude(true, 1).unwrap_err(), "1 rows would not be taken; the others would");
}

#[test]
fn a_dry_run_says_what_it_did_not_check() {
    let gaps = |parts, forgotten| Taken { totals: Totals { forgotten, ..Totals::default() }, parts }.gaps();
    assert_eq!(gaps(0, 0).len() + gaps(1, 0).len(), 0);
    assert!(gaps(2, 0)[0].starts_with("the file went in 2 parts: "));
    assert!(gaps(1, 7)[0].contains("were not checked against 7 rows"));
    assert_eq!(gaps(2, 7).len(), 2);
}

#[test]
fn the_default_host_takes_every_part() {
    let body_bytes_max = crate::listener::Limits::default().body_bytes_max.unwrap();
    assert!(PART_BYTES_MAX as u64 <= body_bytes_max);
}

/// Answers every import with its lines, of which the last is a bad row, or with a problem. Whatever it is asked, it begins
/// to answer before it has read the file.
async fn serve(listener: tokio::net::TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(async |request: Request<Incoming>| {
            assert_eq!(request.headers()[ACCEPT], REPORT_LINES);
            if request.headers()[AUTHORIZATION] != "Bearer given" {
                request.into_body().collect().await?;
                let problem = json!({ "detail": "who are you" }).to_string();
                let body = Full::new(Bytes::from(problem)).map_err(|never| match never {}).boxed_unsync();
                return anyhow::Ok(Response::builder().status(StatusCode::UNAUTHORIZED).body(body)?);
            }
            let announced: usize = request.headers()[CONTENT_LENGTH].to_str()?.parse()?;
            let line = |value: serde_json::Value| Ok::<_, hyper::Error>(Frame::data(Bytes::from(format!("{value}\n"))));
            let first = stream::iter([line(json!({ "line": 1, "reason": "the first" }))]);
            let last = stream::once(async move {
                let body = request.into_body().collect().await?.to_bytes();
                assert_eq!(body.len(), announced);
                let rows = body.split(|byte| *byte == b'\n').count() - 1;
                let bad = json!({ "line": rows, "reason": "the last" });
                let counts = json!({ "rows": rows, "imported": rows - 2, "updated": 0, "unchanged": 0, "failed": 2 });
                Ok(Frame::data(Bytes::from(format!("{bad}\n{counts}\n"))))
            });
            Ok(Response::new(StreamBody::new(first.chain(last)).boxed_unsync()))
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
    }
}

/// An application that answers as [`serve`] does, a file of this name and content, and the folder that it is in.
async fn application(name: &str, content: String) -> (Application, PathBuf, tempfile::TempDir) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, content).unwrap();
    (Application { url, token: "given".to_owned(), token_is_given: true, tls: TlsArgs::default() }, file, dir)
}

#[tokio::test]
async fn a_catalogue_larger_than_a_request_goes_in_parts() {
    let line = format!("{{\"title\":\"{}\"}}\n", "x".repeat(1 << 20));
    let (application, file, _dir) = application("catalogue.jsonl", line.repeat(20)).await;
    let (bar, mut taken, mut told) = (ProgressBar::hidden(), Taken::default(), Vec::new());
    import(&application, IMPORT_PATH, &file, &bar, &mut taken, |row| told.push(row.line)).await.unwrap();
    assert_eq!((taken.parts, taken.totals.rows, taken.totals.imported), (3, 20, 14));
    assert_eq!(told, [1, 7, 8, 14, 15, 20]);
    assert_eq!((bar.position(), bar.length()), (20 * line.len() as u64, Some(20 * line.len() as u64)));

    let own = Application { token: "own".to_owned(), token_is_given: false, ..application };
    let refused = import(&own, IMPORT_PATH, &file, &bar, &mut taken, |_| {}).await;
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("401 Unauthorized: who are you; its token keys"), "{refused}");
}

#[tokio::test]
async fn the_bar_ends_where_the_last_part_does() {
    let row = format!("\"{}\"\n", "x".repeat(1 << 20));
    let (application, file, _dir) = application("catalogue.csv", format!("title\n{}", row.repeat(20))).await;
    let (bar, mut taken) = (ProgressBar::hidden(), Taken::default());
    import(&application, IMPORT_PATH, &file, &bar, &mut taken, |_| {}).await.unwrap();
    // Each part but the first has the column names once more.
    let sent = std::fs::metadata(&file).unwrap().len() + (taken.parts - 1) * "title\n".len() as u64;
    assert!(taken.parts > 1);
    assert_eq!((bar.position(), bar.length()), (sent, Some(sent)));
}
