//! Upstreams: sets of HTTP services outside of the host that answer requests in the place of components.

mod balance;
mod connections;
mod headers;
mod health;
mod upkeep;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Request, Response};
use tokio::time::timeout;

pub(super) use balance::Balance;
pub use connections::{Body, BoxError, Connection};
pub(super) use health::{Ejection, HealthCheck};
pub(super) use upkeep::Upkeep;

use balance::Candidate;
use health::Health;

use super::lock;
use crate::cookie;

/// Gives the settings of TLS for a host.
pub type TlsSource = Arc<dyn Fn(&str) -> rustls::ClientConfig + Send + Sync>;

/// What an upstream is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamSettings {
    pub(super) name: String,
    pub(super) servers: Vec<ServerSettings>,
    /// Where more servers are found: every address of this name is one.
    pub(super) dns: Option<Dns>,
    pub(super) balance: Balance,
    pub(super) key: ClientKey,
    /// The cookie that brings a client back to its server.
    pub(super) sticky_cookie: Option<String>,
    /// Whether servers without TLS speak HTTP/2; with it they say so themselves.
    pub(super) http2: bool,
    /// The host that servers are asked for; by default the one that the client asks for.
    pub(super) host: Option<HeaderValue>,
    pub(super) connect_timeout: Duration,
    pub(super) health_check: Option<HealthCheck>,
    pub(super) ejection: Ejection,
}

/// A server, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerSettings {
    pub(super) origin: Origin,
    pub(super) weight: u32,
}

/// Names whose addresses are servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dns {
    pub(super) origin: Origin,
    pub(super) refresh: Duration,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// By what clients are told apart where they are to come back to the same server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum ClientKey {
    /// Who the token names, else where the request comes from.
    #[default]
    User,
    Address,
    Path,
    Header(HeaderName),
}

/// A set of servers and what is known of them.
pub struct Upstream {
    settings: UpstreamSettings,
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Requests so far.
    requests: AtomicU64,
}

/// One server.
pub struct Server {
    /// What stands for it in hashes and cookies: of where it is, so the same in every process.
    id: u64,
    origin: Origin,
    /// The name in its certificate, where `origin` is one of its addresses.
    name: Option<String>,
    weight: u32,
    requests: AtomicU32,
    health: Mutex<Health>,
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no connection; it has not seen the request.
    #[error("there is no connection to {0}")]
    Connect(String, #[source] BoxError),
    /// It took too long to connect.
    #[error("connecting to {0} took longer than {1:?}")]
    ConnectTimeout(String, Duration),
    /// The connection broke before there was an answer.
    #[error("{0} broke off before it answered")]
    Broken(String, #[source] BoxError),
}

/// A server that has been chosen; the request counts as under way until it is dropped.
pub struct Chosen {
    /// The server.
    pub server: Arc<Server>,
}

impl Upstream {
    /// With the servers of the `former` one that are still there, and what is known of them.
    pub(super) fn new(settings: UpstreamSettings, former: Option<&Self>) -> Self {
        let known = former.map(|former| former.servers.load_full()).unwrap_or_default();
        let written = settings.servers.iter().map(|server| {
            let is_it = |known: &&Arc<Server>| {
                known.name.is_none() && known.origin == server.origin && known.weight == server.weight
            };
            let new = || Arc::new(Server::new(server.origin.clone(), None, server.weight));
            known.iter().find(is_it).cloned().unwrap_or_else(new)
        });
        let is_same_name = former.is_some_and(|former| {
            let origin = |settings: &UpstreamSettings| settings.dns.as_ref().map(|dns| dns.origin.clone());
            origin(&former.settings) == origin(&settings)
        });
        let found = known.iter().filter(|known| is_same_name && known.name.is_some()).cloned();
        let servers = written.chain(found).collect();
        Self { servers: ArcSwap::from_pointee(servers), settings, requests: AtomicU64::new(0) }
    }

    pub(super) fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Its name in the file.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// A server for a request that those in `tried` did not answer, unless there is no other. Where all are ill, one of them is
    /// asked nevertheless: it is not known that it does not answer.
    pub(super) fn choose(&self, key: u64, headers: &http::HeaderMap, tried: &[u64], now: Instant) -> Option<Chosen> {
        let servers = self.servers.load();
        let well: Vec<&Arc<Server>> = servers.iter().filter(|server| server.is_available(now)).collect();
        let untried = |all: &[&'_ Arc<Server>]| -> Vec<usize> {
            (0..all.len()).filter(|place| !tried.contains(&all[*place].id)).collect()
        };
        let all: Vec<&Arc<Server>> = servers.iter().collect();
        let from = if well.is_empty() { &all } else { &well };
        let places = untried(from);
        let usable: Vec<&Arc<Server>> = match places.is_empty() {
            true => from.clone(),
            false => places.into_iter().map(|place| from[place]).collect(),
        };
        let kept = self.settings.sticky_cookie.as_deref().and_then(|name| {
            let given = u64::from_str_radix(str::from_utf8(cookie::find(name, headers)?).ok()?, 16).ok()?;
            usable.iter().position(|server| server.id == given)
        });
        let chosen = kept.or_else(|| {
            let candidates: Vec<Candidate> = usable.iter().map(|server| server.candidate()).collect();
            self.settings.balance.choose(&candidates, self.requests.fetch_add(1, Ordering::Relaxed), key)
        })?;
        Some(Chosen::new(usable[chosen].clone()))
    }

    /// The key of who comes back to the same server.
    pub(super) fn key(&self, request: &http::request::Parts, passage: &super::Passage) -> u64 {
        if self.settings.balance != Balance::Hash {
            return 0;
        }
        let address = || stable_hash(passage.client.address.ip().to_canonical().to_string().as_bytes());
        match &self.settings.key {
            ClientKey::Address => address(),
            ClientKey::Path => stable_hash(request.uri.path().as_bytes()),
            ClientKey::Header(name) => {
                request.headers.get(name).map_or_else(address, |value| stable_hash(value.as_bytes()))
            }
            ClientKey::User => {
                passage.principal.as_ref().map_or_else(address, |user| stable_hash(user.subject().as_bytes()))
            }
        }
    }

    /// The name of the cookie that brings clients back to their server.
    pub fn cookie_name(&self) -> Option<&str> {
        self.settings.sticky_cookie.as_deref()
    }

    /// The cookie that brings the client back to this server, if it has not got it.
    pub fn cookie(&self, server: &Server, headers: &http::HeaderMap, is_https: bool) -> Option<HeaderValue> {
        let name = self.settings.sticky_cookie.as_deref()?;
        let id = format!("{:016x}", server.id);
        let has_it = cookie::find(name, headers) == Some(id.as_bytes());
        if has_it { None } else { cookie::for_session(name, &id, is_https) }
    }

    /// A connection to the server, on which nothing has been sent yet.
    pub async fn connect(&self, chosen: &Chosen, tls: &TlsSource) -> Result<Connection, SendError> {
        match connections::idle(&chosen.server) {
            Some(connection) => Ok(connection),
            None => self.open(&chosen.server, tls).await,
        }
    }

    async fn open(&self, server: &Arc<Server>, tls: &TlsSource) -> Result<Connection, SendError> {
        let limit = self.settings.connect_timeout;
        let connected = timeout(limit, connections::open(server, self.settings.http2, tls)).await;
        let connection = connected.map_err(|_| SendError::ConnectTimeout(server.to_string(), limit))?;
        connection.map_err(|error| SendError::Connect(server.to_string(), error))
    }

    /// Has the server answer.
    pub async fn send(
        &self,
        chosen: &Chosen,
        connection: Connection,
        mut request: Request<Body>,
        tls: &TlsSource,
    ) -> Result<Response<Body>, SendError> {
        let server = &chosen.server;
        let broken = |error: BoxError| SendError::Broken(server.to_string(), error);
        headers::to_server(&mut request, server, self.settings.host.as_ref());
        let unsent = match connection.send(server, request).await {
            Ok(answer) => return Ok(answer),
            // It was idle, and the server has just closed it.
            Err((_, Some(unsent))) => unsent,
            Err((error, None)) => return Err(broken(error)),
        };
        let connection = self.open(server, tls).await?;
        connection.send(server, unsent).await.map_err(|(error, _)| broken(error))
    }

    /// A request to the server has ended.
    pub fn answered(&self, server: &Server, is_success: bool) {
        let ejected = lock(&server.health).answered(is_success, Instant::now(), self.settings.ejection);
        if let Some(time) = ejected {
            let time = humantime::format_duration(time);
            tracing::warn!(upstream = self.name(), %server, "requests to the server fail; it is left alone for {time}");
        }
    }
}

impl Server {
    fn new(origin: Origin, name: Option<String>, weight: u32) -> Self {
        let id = stable_hash(origin.to_string().as_bytes());
        Self { id, origin, name, weight, requests: AtomicU32::new(0), health: Mutex::default() }
    }

    /// What stands for it.
    pub fn id(&self) -> u64 {
        self.id
    }

    fn is_available(&self, now: Instant) -> bool {
        lock(&self.health).is_available(now)
    }

    fn candidate(&self) -> Candidate {
        Candidate { id: self.id, weight: self.weight, requests: self.requests.load(Ordering::Relaxed) }
    }

    /// The name by which it was found and its certificate is checked.
    fn found_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.origin.host)
    }

    /// The host that it is asked for where no client asks.
    fn authority(&self) -> String {
        Origin { host: self.found_name().to_owned(), ..self.origin.clone() }.authority()
    }
}

impl Chosen {
    fn new(server: Arc<Server>) -> Self {
        server.requests.fetch_add(1, Ordering::Relaxed);
        Self { server }
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.server.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Origin {
    /// How HTTP writes it: the port only where it is not the usual one.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.origin.fmt(f)
    }
}

/// The same in every process, so that a client finds its server again after a restart.
pub(super) fn stable_hash(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings(servers: &[&str]) -> UpstreamSettings {
        let server = |url: &&str| {
            let url = url::Url::parse(url).unwrap();
            let host = url.host_str().unwrap().to_owned();
            let origin = Origin { is_tls: url.scheme() == "https", host, port: url.port_or_known_default().unwrap() };
            ServerSettings { origin, weight: 1 }
        };
        UpstreamSettings {
            name: "legacy".into(),
            servers: servers.iter().map(server).collect(),
            dns: None,
            balance: Balance::RoundRobin,
            key: ClientKey::User,
            sticky_cookie: Some("legacy".into()),
            http2: false,
            host: None,
            connect_timeout: Duration::from_secs(1),
            health_check: None,
            ejection: Ejection { failures: 1, time: Duration::from_secs(10) },
        }
    }

    fn chosen(upstream: &Upstream, headers: &http::HeaderMap, tried: &[u64]) -> Option<String> {
        upstream.choose(0, headers, tried, Instant::now()).map(|chosen| chosen.server.to_string())
    }

    #[test]
    fn ill_servers_are_left_alone_unless_all_are() {
        let upstream = Upstream::new(settings(&["http://10.0.0.1", "http://10.0.0.2"]), None);
        let none = http::HeaderMap::new();
        let [first, second] = [0, 1].map(|place| upstream.servers.load()[place].clone());
        upstream.answered(&first, false);
        assert!((0..4).all(|_| chosen(&upstream, &none, &[]).as_deref() == Some("http://10.0.0.2")));
        assert_eq!(
            chosen(&upstream, &none, &[second.id]).as_deref(),
            Some("http://10.0.0.2"),
            "better than an ill one"
        );
        upstream.answered(&second, false);
        let both: std::collections::BTreeSet<_> = (0..4).map(|_| chosen(&upstream, &none, &[])).collect();
        assert_eq!(both.len(), 2);
        assert!(chosen(&upstream, &none, &[first.id, second.id]).is_some(), "once more");
    }

    #[test]
    fn servers_that_stay_keep_what_is_known_of_them_when_the_file_changes() {
        let former = Upstream::new(settings(&["http://10.0.0.1", "http://10.0.0.2"]), None);
        let ill = former.servers.load()[0].clone();
        former.answered(&ill, false);
        let dns = Dns { origin: ill.origin.clone(), refresh: Duration::from_secs(1) };
        let found = Arc::new(Server::new(ill.origin.clone(), Some("shop.internal".into()), 1));
        let with_dns = UpstreamSettings { dns: Some(dns), ..settings(&["http://10.0.0.1", "http://10.0.0.3"]) };
        let changed = Upstream::new(with_dns.clone(), Some(&former));
        assert!(Arc::ptr_eq(&changed.servers.load()[0], &ill));
        assert!((0..4).all(|_| chosen(&changed, &http::HeaderMap::new(), &[]).as_deref() == Some("http://10.0.0.3")));
        changed.servers.store(Arc::new(vec![found.clone()]));
        let again = UpstreamSettings { connect_timeout: Duration::from_secs(9), ..with_dns.clone() };
        let again = Upstream::new(again, Some(&changed));
        assert!(again.servers.load().iter().any(|server| Arc::ptr_eq(server, &found)), "found before, found now");
        let elsewhere = UpstreamSettings { dns: None, ..with_dns };
        assert_eq!(Upstream::new(elsewhere, Some(&again)).servers.load().len(), 2);
    }

    #[test]
    fn a_cookie_brings_a_client_back_as_long_as_its_server_is_well() {
        let upstream = Upstream::new(settings(&["http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3"]), None);
        let second = upstream.servers.load()[1].clone();
        let given = upstream.cookie(&second, &http::HeaderMap::new(), true).unwrap();
        let given = given.to_str().unwrap();
        assert!(given.starts_with("legacy=") && given.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{given}");
        let pair = given.split(';').next().unwrap();
        let back = http::HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())]);
        assert!((0..6).all(|_| chosen(&upstream, &back, &[]).as_deref() == Some("http://10.0.0.2")));
        assert_eq!(upstream.cookie(&second, &back, true), None);
        upstream.answered(&second, false);
        assert_ne!(chosen(&upstream, &back, &[]).as_deref(), Some("http://10.0.0.2"));
    }

    #[test]
    fn requests_under_way_are_counted_until_they_are_done() {
        let upstream = Upstream::new(settings(&["http://10.0.0.1"]), None);
        let none = http::HeaderMap::new();
        let request = upstream.choose(0, &none, &[], Instant::now()).unwrap();
        assert_eq!(upstream.servers.load()[0].candidate().requests, 1);
        drop(request);
        assert_eq!(upstream.servers.load()[0].candidate().requests, 0);
    }
}
