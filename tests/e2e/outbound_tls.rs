//! What components ask over HTTPS: hosts whose certificate is vouched for, and hosts that ask for one in turn.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::Value;
use tests::app::App;
use tests::host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A certificate with its key, also as PEM files beside the app.
struct Pair(CertifiedKey<KeyPair>);

impl Pair {
    fn new(folder: &Path, name: &str) -> Self {
        let pair = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), pair.cert.pem()).expect("writable");
        fs::write(folder.join(format!("{name}.key")), pair.signing_key.serialize_pem()).expect("writable");
        Self(pair)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).expect("a certificate");
        roots
    }
}

/// A server on `localhost` that answers one request for each connection, of clients that `clients` vouches for.
async fn serve(own: &Pair, clients: Option<&Pair>) -> SocketAddr {
    let key = PrivateKeyDer::try_from(own.0.signing_key.serialize_der()).expect("a key");
    let builder = match clients {
        Some(clients) => ServerConfig::builder().with_client_cert_verifier(
            WebPkiClientVerifier::builder(Arc::new(clients.roots())).build().expect("a verifier"),
        ),
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let config = builder.with_single_cert(vec![own.0.cert.der().clone()], key).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
    address
}

/// The failure of a client to come to terms with the server is what some of the tests want.
async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") && stream.read_buf(&mut received).await? > 0 {}
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret").await?;
    stream.shutdown().await
}

async fn host(app: App, client_tls: &str) -> Host {
    let settings = "allowed_outbound_hosts = [\"https://localhost:*\"]";
    app.guest("interfaces", settings).runtime_config(client_tls).start().await
}

async fn ask(host: &Host, server: SocketAddr) -> Value {
    let url = format!("https://localhost:{}/", server.port());
    let request = host.request("/interfaces/outbound").query(&[("url", url)]);
    request.send().await.expect("an answer").json().await.expect("JSON")
}

fn setting(hosts: &str, rest: &str) -> String {
    format!(
        "[[client_tls]]\ncomponent_ids = [\"interfaces\"]\nhosts = [\"{hosts}\"]\nca_roots_file = \"server.pem\"\n{rest}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_asked_that_the_configured_authority_vouches_for() {
    let app = App::new();
    let server = serve(&Pair::new(app.folder(), "server"), None).await;
    let host = host(app, &setting("localhost", "")).await;
    let answer = ask(&host, server).await;
    assert_eq!(answer["body"], "secret", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_vouches_for_is_not_asked() {
    for client_tls in ["", &setting("elsewhere.example", "")] {
        let app = App::new();
        let server = serve(&Pair::new(app.folder(), "server"), None).await;
        let host = host(app, client_tls).await;
        let error = ask(&host, server).await["error"].to_string();
        assert!(error.contains("TlsCertificateError"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_asks_for_a_certificate_is_shown_the_configured_one() {
    let app = App::new();
    let (own, client) = (Pair::new(app.folder(), "server"), Pair::new(app.folder(), "client"));
    let server = serve(&own, Some(&client)).await;
    let identity = "client_cert_file = \"client.pem\"\nclient_private_key_file = \"client.key\"";
    let host = host(app, &setting("localhost", identity)).await;
    let answer = ask(&host, server).await;
    assert_eq!(answer["body"], "secret", "{answer}");

    let app = App::new();
    fs::write(app.folder().join("server.pem"), own.0.cert.pem()).expect("writable");
    let host = self::host(app, &setting("localhost", "")).await;
    let answer = ask(&host, server).await;
    assert!(answer["error"].is_string(), "without one it answers nothing: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_certificate_is_refused_at_start() {
    let app = App::new().file("server.pem", "no certificate").guest("interfaces", "");
    let app = app.runtime_config(&setting("localhost", ""));
    app.refused().await.assert_says(&["client_tls", "server.pem", "certificate"]);
}
