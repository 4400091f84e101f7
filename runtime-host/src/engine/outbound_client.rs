//! Sends requests to hosts outside of the app; keeps connections for reuse on each worker thread.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::Paced;
use super::outbound_connector::BoundedConnector;
use super::outbound_tls::{OutboundTls, OutboundTlsError};
use crate::runtime_config::{ClientTls, OutboundHttp};
use crate::telemetry::guest_counters::COUNT;

/// How long connecting may take when the guest sets no limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first byte of an answer may take when the guest sets no limit.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the next piece of an answer may take when the guest sets no limit.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(600);
/// How long an unused connection to a host is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it is kept where connections are bounded, and it takes the place of one to another host.
const BOUNDED_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Unused connections kept for each host and worker thread.
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 32;

type HttpClient = Client<HttpsConnector<BoundedConnector>, WasiBody>;

/// What the clients of all worker threads have in common.
pub struct OutboundShared {
    connection_pooling: bool,
    places: Option<Arc<Semaphore>>,
    tls: Arc<OutboundTls>,
}

impl OutboundShared {
    /// Reads the certificates that the settings name.
    pub fn new(settings: &OutboundHttp, client_tls: &[ClientTls]) -> Result<Self, OutboundTlsError> {
        let places = |max: u64| usize::try_from(max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            connection_pooling: settings.connection_pooling,
            places: settings.connections_max.map(|max| Arc::new(Semaphore::new(places(max)))),
            tls: Arc::new(OutboundTls::load(client_tls)?),
        })
    }

    /// How hosts are made sure of over TLS.
    pub fn tls(&self) -> Arc<OutboundTls> {
        self.tls.clone()
    }

    fn client(&self, tls: &ClientConfig) -> HttpClient {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(BoundedConnector::new(self.places.clone()));
        let idle_timeout = if self.places.is_some() { BOUNDED_IDLE_TIMEOUT } else { IDLE_TIMEOUT };
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .pool_max_idle_per_host(if self.connection_pooling { IDLE_CONNECTIONS_PER_HOST_MAX } else { 0 })
            .build(connector)
    }
}

/// The client of one worker thread.
pub struct OutboundClient {
    shared: Arc<OutboundShared>,
    /// One for each way of TLS, so that no connection is used by a component that may not.
    clients: Vec<HttpClient>,
}

impl OutboundClient {
    /// A client without connections.
    pub fn new(shared: Arc<OutboundShared>) -> Self {
        Self { clients: shared.tls.configs().iter().map(|tls| shared.client(tls)).collect(), shared }
    }

    /// Sends a request of the component with the id `component`.
    pub async fn send(
        &self,
        component: &str,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let options = options.unwrap_or_default();
        let client = &self.clients[self.shared.tls.place(component, request.uri().host().unwrap_or_default())];
        let mut connection = capture_connection(&mut request);
        let connected = async { drop(connection.wait_for_connection_metadata().await) };
        let mut answer = pin!(client.request(request));
        let answered = tokio::select! {
            biased;
            answered = &mut answer => Some(answered),
            connected = timeout(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT), connected) => {
                connected.map_err(|_| Error::ConnectionTimeout)?;
                None
            }
        };
        let answered = match answered {
            Some(answered) => answered,
            None => timeout(options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT), answer)
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?,
        };
        let between_bytes = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES_TIMEOUT);
        let mut answered = answered.map_err(client_error)?;
        // A component that passes on what it is answered would count for others.
        answered.headers_mut().remove(COUNT);
        Ok(answered.map(|body| {
            let body = body.map_err(Error::from).boxed_unsync();
            Paced::new(body, between_bytes, Error::ConnectionReadTimeout).boxed_unsync()
        }))
    }
}

fn client_error(error: legacy::Error) -> Error {
    if !error.is_connect() {
        return Error::HttpProtocolError;
    }
    let mut known = Error::DestinationNotFound;
    for cause in std::iter::successors(error.source(), |cause| inner(*cause)) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls_error(tls);
        }
        let Some(io) = cause.downcast_ref::<io::Error>() else { continue };
        match io.kind() {
            ErrorKind::TimedOut => return Error::ConnectionTimeout,
            ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
            _ if cause.to_string().contains("dns") || cause.to_string().contains("lookup") => {
                return Error::DnsError { rcode: None, info_code: None };
            }
            _ => known = Error::DestinationUnavailable,
        }
    }
    known
}

/// What is inside of `error`. The source of an I/O error is not what it wraps, but that one's source.
fn inner<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn tls_error(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
        rustls::Error::AlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        _ => Error::TlsProtocolError,
    }
}

#[cfg(test)]
mod tests;
