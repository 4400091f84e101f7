//! What an operator and a scraper get.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn ask(address: SocketAddr, request: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_admin_listener_tells_and_guards() {
    let telemetry = Arc::new(Telemetry::new("shop", "1"));
    let routes = routes(&telemetry).control("s3cret", Method::POST, "/v1/backup", |request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        answer(StatusCode::CREATED, "text/plain", format!("to {}", String::from_utf8_lossy(&body)))
    });
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), None, None).await.unwrap();
    let address = admin.local_addr();
    let drain = Drain::new();
    let running = tokio::spawn(admin.run(routes, drain.clone()));

    let metrics = ask(address, "GET /metrics", "").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(
        metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");

    assert!(ask(address, "GET /readyz", "").await.starts_with("HTTP/1.1 503"));
    telemetry.health.ready();
    assert!(ask(address, "GET /readyz", "").await.starts_with("HTTP/1.1 200"));

    let missing = ask(address, "GET /nothing", "").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("application/problem+json"), "{missing}");
    let wrong_method = ask(address, "DELETE /metrics", "").await;
    assert!(wrong_method.starts_with("HTTP/1.1 405") && wrong_method.contains("allow: GET\r\n"), "{wrong_method}");

    for headers in
        ["", "authorization: Bearer s3cre\r\n", "authorization: Bearer s3cret2\r\n", "authorization: Basic s3cret\r\n"]
    {
        let refused = ask(address, "POST /v1/backup", headers).await;
        assert!(
            refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Bearer"),
            "{headers}: {refused}"
        );
    }
    let allowed = ask(address, "POST /v1/backup", "authorization: Bearer s3cret\r\ncontent-length: 0\r\n").await;
    assert!(allowed.starts_with("HTTP/1.1 201") && allowed.ends_with("to "), "{allowed}");

    drain.begin();
    assert!(ask(address, "GET /livez", "").await.starts_with("HTTP/1.1 200"), "it answers during the drain");
    drain.end();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
