//! Reports, media types and parts.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use hyper::body::Incoming;
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
    let report = |report| {
        let mut total = Report::default();
        total.add(report, 0).unwrap();
        total
    };
    print_report(&report(json!({ "imported": 2, "updated": 1, "failed": 0, "errors": [] }))).unwrap();
    let bad = report(json!({ "imported": 2, "failed": 1, "errors": [{ "line": 3, "reason": "no title" }] }));
    assert_eq!(print_report(&bad).unwrap_err().to_string(), "1 rows were not taken; the others were");
}

#[test]
fn reports_of_parts_add_up_to_that_of_the_file() {
    let mut total = Report::default();
    let part = |line| {
        let errors = json!([{ "line": line, "reason": "no title" }]);
        json!({ "rows": 6, "imported": 3, "updated": 2, "unchanged": 0, "failed": 1, "errors": errors })
    };
    total.add(part(2), 0).unwrap();
    total.add(part(3), 9).unwrap();
    let row = |line| BadRow { line, reason: "no title".to_owned() };
    assert_eq!(total, Report { rows: 12, imported: 6, updated: 4, failed: 2, errors: vec![row(2), row(12)] });
    assert!(total.add(json!("done"), 0).is_err());
}

#[test]
fn the_default_host_takes_every_part() {
    let body_bytes_max = crate::listener::Limits::default().body_bytes_max.unwrap();
    assert!(PART_BYTES_MAX as u64 <= body_bytes_max);
}

/// Answers every import with the number of its lines and one bad row, or with a problem.
async fn serve(listener: tokio::net::TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(async |request: Request<Incoming>| {
            let announced: usize = request.headers()[CONTENT_LENGTH].to_str()?.parse()?;
            let given = request.headers()[AUTHORIZATION] == "Bearer given";
            let body = request.into_body().collect().await?.to_bytes();
            assert_eq!(body.len(), announced);
            let rows = body.split(|byte| *byte == b'\n').count() - 1;
            let answer = match given {
                true => json!({ "rows": rows, "imported": rows, "errors": [{ "line": rows, "reason": "the last" }] }),
                false => json!({ "detail": "who are you" }),
            };
            let status = if given { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            let body = http_body_util::Full::new(Bytes::from(answer.to_string()));
            Ok::<_, anyhow::Error>(Response::builder().status(status).body(body)?)
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn a_catalogue_larger_than_a_request_goes_in_parts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("catalogue.jsonl");
    let line = format!("{{\"title\":\"{}\"}}\n", "x".repeat(1 << 20));
    std::fs::write(&file, line.repeat(20)).unwrap();

    let application = Application { url, token: "given".to_owned(), token_is_given: true };
    let mut report = Report::default();
    import(&application, IMPORT_PATH, &file, &mut report).await.unwrap();
    assert_eq!((report.rows, report.imported), (20, 20));
    assert_eq!(report.errors.iter().map(|row| row.line).collect::<Vec<_>>(), [7, 14, 20]);

    let own = Application { token: "own".to_owned(), token_is_given: false, ..application };
    let refused = format!("{:#}", import(&own, IMPORT_PATH, &file, &mut report).await.unwrap_err());
    assert!(refused.contains("401 Unauthorized: who are you; its token keys"), "{refused}");
}
