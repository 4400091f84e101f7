//! HTTPS: both protocols, certificates that change while the host runs, clients that never finish their handshake.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, ExtendedKeyUsagePurpose, generate_simple_self_signed};
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::authority::Authority;

const REQUEST: &[u8] = b"GET /hello/ HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";

/// Writes a new certificate and key for `shop.test` and returns the certificate.
fn new_certificate(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.test".to_owned()]).expect("a certificate");
    // The key first: the host must never see a certificate with another's key for long.
    fs::write(folder.join("tls.key"), signing_key.serialize_pem()).expect("writable");
    fs::write(folder.join("tls.crt"), cert.pem()).expect("writable");
    cert.der().clone()
}

async fn host() -> (Host, CertificateDer<'static>) {
    let app = App::new().guest("hello", "");
    let certificate = new_certificate(app.folder());
    let file = |name: &str| app.folder().join(name).display().to_string();
    let (certificate_file, key_file) = (file("tls.crt"), file("tls.key"));
    let app = app.argument("--tls-cert").argument(certificate_file).argument("--tls-key").argument(key_file);
    (app.start().await, certificate)
}

/// A handshake in which only `certificate` is trusted.
async fn connect(
    host: &Host,
    certificate: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(host.address()).await?;
    let name = ServerName::try_from("shop.test").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn hello(host: &Host, certificate: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut stream = connect(host, certificate, b"http/1.1").await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_serves_both_protocols() {
    let (host, certificate) = host().await;
    let answer = hello(&host, &certificate).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Hello, world!"), "{answer}");
    let stream = connect(&host, &certificate, b"h2").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let (host, first) = host().await;
    let second = new_certificate(host.folder());
    let deadline = Instant::now() + PATIENCE;
    while hello(&host, &second).await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not taken up");
        sleep(Duration::from_millis(200)).await;
    }
    assert!(hello(&host, &first).await.is_err(), "the first certificate is gone");

    fs::write(host.folder().join("tls.crt"), "no certificate").expect("writable");
    host.log_line(&["tls.crt"]).await;
    let answer = hello(&host, &second).await.expect("the good certificate stays");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The status of `/hello/` for a client that shows this certificate.
async fn status_for(host: &Host, client: Option<&str>) -> std::io::Result<u16> {
    let file = |name: String| host.folder().join(name);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("authority.pem".into())).expect("a certificate"))
        .expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(format!("{name}.pem"))).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(file(format!("{name}.key"))).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let stream = TcpStream::connect(host.address()).await?;
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(tests::raw::status(&answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_known_by_its_certificate_where_a_rule_asks_who_it_is() {
    let gateway = "[clients.till]\ncertificate = \"CN=till\"\nroles = [\"staff\"]\n\
                   [[rules]]\npath = \"/hello/...\"\nauthentication = \"required\"\nroles = [\"staff\"]\n";
    let app = App::new().guest("hello", "").file("gateway.toml", gateway);
    let folder = app.folder().to_owned();
    let (authority, strangers) = (Authority::new(&folder, "authority"), Authority::new(&folder, "strangers"));
    authority.vouch(&folder, "server", ExtendedKeyUsagePurpose::ServerAuth);
    for name in ["till", "kiosk"] {
        authority.vouch(&folder, name, ExtendedKeyUsagePurpose::ClientAuth);
    }
    let arguments = [("--tls-cert", "server.pem"), ("--tls-key", "server.key"), ("--tls-client-ca", "authority.pem")];
    let app = arguments
        .iter()
        .fold(app, |app, (argument, file)| app.argument(*argument).argument(folder.join(file).display().to_string()));
    let host = app.start().await;
    assert_eq!(status_for(&host, Some("till")).await.expect("an answer"), 200);
    assert_eq!(status_for(&host, Some("kiosk")).await.expect("an answer"), 401, "it is nobody that the gateway knows");
    assert_eq!(status_for(&host, None).await.expect("an answer"), 401, "nobody needs one, but where a rule asks");
    strangers.vouch(&folder, "till", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(status_for(&host, Some("till")).await.is_err(), "of the same name, but nobody vouches for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_finish_their_handshake_do_not_hold_up_others() {
    let (host, certificate) = host().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(host.address()).await.expect("the host accepts"));
    }
    let started = Instant::now();
    hello(&host, &certificate).await.expect("an answer");
    assert!(started.elapsed() < Duration::from_secs(2), "answered after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_certificate_is_refused_at_start() {
    let app = App::new().guest("hello", "");
    let (other, own) = (app.folder().join("other"), app.folder().to_owned());
    fs::create_dir(&other).expect("writable");
    new_certificate(&other);
    new_certificate(&own);
    let (certificate, key) = (own.join("tls.crt"), other.join("tls.key"));
    let app = app.argument("--tls-cert").argument(certificate.display().to_string());
    app.argument("--tls-key").argument(key.display().to_string()).refused().await.assert_says(&["tls.key"]);
}
