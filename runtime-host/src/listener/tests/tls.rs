//! TLS: both protocols, and certificates that change while the listener runs.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::listener::tls::Certificate;

/// A certificate and its key in a folder of their own.
pub(super) struct Files(TempDir);

struct Pair {
    certificate: CertificateDer<'static>,
    key_pem: String,
    certificate_pem: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair {
        certificate: made.cert.der().clone(),
        key_pem: made.signing_key.serialize_pem(),
        certificate_pem: made.cert.pem(),
    }
}

impl Files {
    pub(super) fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(&pair());
        files
    }

    fn write(&self, pair: &Pair) {
        let files = self.tls_files();
        std::fs::write(files.certificate, &pair.certificate_pem).unwrap();
        std::fs::write(files.key, &pair.key_pem).unwrap();
    }

    pub(super) fn tls_files(&self) -> TlsFiles {
        let file = |name| self.0.path().join(name);
        TlsFiles { certificate: file("tls.crt"), key: file("tls.key"), client_authorities: None }
    }
}

async fn connect(address: SocketAddr, trusted: &Pair, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

#[tokio::test]
async fn both_protocols_answer_over_tls() {
    let (files, trusted) = (Files::new(), pair());
    files.write(&trusted);
    let listener = Running::start(|config| config.tls = Some(files.tls_files())).await;

    let mut http1 = connect(listener.address, &trusted, "http/1.1").await.unwrap();
    http1.write_all(b"GET /tls HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    http1.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("true"), "{answer}");

    let stream = connect(listener.address, &trusted, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut http2, connection) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(text(http2.send_request(get("/tls")).await.unwrap()).await, "true");

    let mut plain = listener.connect().await;
    plain.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut alert = [0];
    plain.0.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert, [21], "a TLS alert, not an answer");
}

#[tokio::test]
async fn a_changed_certificate_is_taken_and_a_bad_one_is_not() {
    let (files, first, second) = (Files::new(), pair(), pair());
    files.write(&first);
    let certificate = Certificate::load(files.tls_files()).unwrap();
    assert!(!certificate.reload_if_changed().unwrap(), "nothing has changed");

    // A renewal that has written one of its two files.
    std::fs::write(files.tls_files().certificate, &second.certificate_pem).unwrap();
    let error = certificate.reload_if_changed().unwrap_err();
    assert!(error.to_string().ends_with("cannot be used together"), "{error}");
    assert!(!certificate.reload_if_changed().unwrap(), "the same trouble is reported once");
    std::fs::remove_file(files.tls_files().key).unwrap();
    assert!(!certificate.reload_if_changed().unwrap());

    std::fs::write(files.tls_files().key, &second.key_pem).unwrap();
    assert!(certificate.reload_if_changed().unwrap());
    std::fs::write(files.tls_files().key, "nonsense").unwrap();
    let error = certificate.reload_if_changed().unwrap_err();
    assert!(error.to_string().ends_with("tls.key holds no usable private key"), "{error}");
}

#[tokio::test]
async fn handshakes_use_the_certificate_of_the_moment() {
    let (files, first, second) = (Files::new(), pair(), pair());
    files.write(&first);
    let certificate = Certificate::load(files.tls_files()).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let reload = tokio::spawn(certificate.clone().reload_on_change(Duration::from_millis(5)));
    let acceptor = certificate.acceptor();
    tokio::spawn(async move {
        loop {
            let (socket, _) = socket.accept().await.unwrap();
            tokio::spawn(acceptor.accept(socket));
        }
    });
    connect(address, &first, "h2").await.unwrap();
    files.write(&second);
    let renewed = async {
        while connect(address, &second, "h2").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert!(connect(address, &first, "h2").await.is_err());
    reload.abort();
}

#[tokio::test]
async fn unusable_files_are_named_and_open_no_port() {
    let files = Files::new();
    let fault = async |expected: &str| {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        config.tls = Some(files.tls_files());
        let error = Listener::bind(config, None).await.err().unwrap().to_string();
        assert!(error.ends_with(expected), "{error}");
    };
    std::fs::write(files.tls_files().certificate, "").unwrap();
    fault("tls.crt holds no usable certificate").await;
    std::fs::write(files.tls_files().certificate, pair().certificate_pem).unwrap();
    fault("cannot be used together").await;
    std::fs::remove_file(files.tls_files().key).unwrap();
    fault("tls.key cannot be read").await;
}
