//! What is done for upstreams at regular times: their servers are checked, and looked up by name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use tokio::net::lookup_host;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Body, Chosen, Dns, HealthCheck, Origin, SendError, Server, TlsSource, Upstream, lock};

/// How long a look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// When a look-up is repeated that leaves nobody to ask.
const LOOKUP_RETRY: Duration = Duration::from_secs(1);
/// The most of the answer to a check that is read.
const CHECK_BYTES_MAX: usize = 64 << 10;
/// Servers that one name may have.
const ADDRESSES_MAX: usize = 256;

/// The tasks that look after the upstreams of the configuration in force.
#[derive(Default)]
pub(in crate::gateway) struct Upkeep(BTreeMap<String, Task>);

struct Task {
    upstream: Arc<Upstream>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Upkeep {
    /// Looks after these upstreams from now on, and no longer after others.
    pub(in crate::gateway) fn look_after(&mut self, upstreams: &BTreeMap<String, Arc<Upstream>>, tls: &TlsSource) {
        self.0.retain(|name, task| upstreams.get(name).is_some_and(|upstream| Arc::ptr_eq(upstream, &task.upstream)));
        for (name, upstream) in upstreams {
            self.0.entry(name.clone()).or_insert_with(|| {
                let (watched, tls) = (upstream.clone(), tls.clone());
                let handle = tokio::spawn(watched.keep_up(tls));
                Task { upstream: upstream.clone(), handle }
            });
        }
    }
}

impl Upstream {
    async fn keep_up(self: Arc<Self>, tls: TlsSource) {
        tokio::join!(self.check(&tls), self.look_up());
    }

    async fn check(&self, tls: &TlsSource) {
        let Some(check) = &self.settings().health_check else { return };
        let mut ticks = interval(check.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let servers = self.servers.load_full();
            join_all(servers.iter().map(|server| self.check_server(server, check, tls))).await;
        }
    }

    async fn check_server(&self, server: &Arc<Server>, check: &HealthCheck, tls: &TlsSource) {
        let asked = timeout(check.timeout, self.ask(server, check, tls)).await;
        let problem = match asked {
            Err(_) => Some(format!("no answer within {}", humantime::format_duration(check.timeout))),
            Ok(Err(error)) => Some(format!("{:#}", anyhow::Error::new(error))),
            Ok(Ok(status)) if status.is_success() => None,
            Ok(Ok(status)) => Some(format!("the answer is {status}")),
        };
        if !lock(&server.health).checked(problem.is_none(), check) {
            return;
        }
        let upstream = self.name();
        match problem {
            None => tracing::info!(upstream, %server, "the server is well again"),
            Some(problem) => {
                tracing::warn!(upstream, %server, "the server does not pass its checks and is left alone: {problem}");
            }
        }
    }

    async fn ask(
        &self,
        server: &Arc<Server>,
        check: &HealthCheck,
        tls: &TlsSource,
    ) -> Result<http::StatusCode, SendError> {
        let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(body);
        // The path was checked when it was read.
        *request.uri_mut() = check.path.parse().unwrap_or_default();
        let chosen = Chosen::new(server.clone());
        let connection = self.connect(&chosen, tls).await?;
        let (head, mut body) = self.send(&chosen, connection, request, tls).await?.into_parts();
        // So that the connection can be used again; a long body is not waited for.
        let mut bytes_left = CHECK_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            bytes_left = bytes_left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if bytes_left == 0 {
                break;
            }
        }
        Ok(head.status)
    }

    async fn look_up(&self) {
        let Some(dns) = &self.settings().dns else { return };
        loop {
            match addresses(dns).await {
                Ok(addresses) => self.found(dns, &addresses),
                // Those that were found before may still be there.
                Err(problem) => {
                    tracing::warn!(upstream = self.name(), host = dns.origin.host, "the look-up failed: {problem}")
                }
            }
            let is_in_vain = self.servers.load().is_empty();
            sleep(if is_in_vain { LOOKUP_RETRY.min(dns.refresh) } else { dns.refresh }).await;
        }
    }

    /// Asks the servers at these addresses from now on, besides those that are written down.
    fn found(&self, dns: &Dns, addresses: &[IpAddr]) {
        let former = self.servers.load_full();
        let written = former.iter().filter(|server| server.name.is_none()).cloned();
        let found = addresses.iter().map(|address| {
            let known = former.iter().find(|server| server.name.is_some() && server.origin.host == address.to_string());
            known.cloned().unwrap_or_else(|| {
                let origin = Origin { host: address.to_string(), ..dns.origin.clone() };
                Arc::new(Server::new(origin, Some(dns.origin.host.clone()), 1))
            })
        });
        let servers: Vec<_> = written.chain(found).collect();
        let is_same = servers.len() == former.len() && servers.iter().all(|s| former.iter().any(|f| Arc::ptr_eq(s, f)));
        if !is_same {
            let listed = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            tracing::info!(upstream = self.name(), host = dns.origin.host, "the servers are now {listed}");
            self.servers.store(Arc::new(servers));
        }
    }
}

async fn addresses(dns: &Dns) -> Result<Vec<IpAddr>, String> {
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((dns.origin.host.as_str(), dns.origin.port))).await;
    let found = found.map_err(|_| format!("it took longer than {} s", LOOKUP_TIMEOUT.as_secs()))?;
    let mut addresses: Vec<IpAddr> = found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err("it has no addresses".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::upstream::UpstreamSettings;
    use crate::gateway::upstream::tests::settings;

    #[test]
    fn servers_that_stay_keep_what_is_known_of_them() {
        let dns = Dns {
            origin: Origin { is_tls: true, host: "old.example".into(), port: 443 },
            refresh: Duration::from_secs(1),
        };
        let upstream =
            Upstream::new(UpstreamSettings { dns: Some(dns.clone()), ..settings(&["http://10.0.0.1"]) }, None);
        let names = || upstream.servers.load().iter().map(ToString::to_string).collect::<Vec<_>>();
        let address = |last: u8| IpAddr::from([10, 0, 1, last]);
        upstream.found(&dns, &[address(1), address(2)]);
        assert_eq!(names(), ["http://10.0.0.1", "https://10.0.1.1", "https://10.0.1.2"]);
        let second = upstream.servers.load()[2].clone();
        assert_eq!((second.found_name(), second.authority().as_str()), ("old.example", "old.example"));
        upstream.found(&dns, &[address(2), address(3)]);
        assert_eq!(names(), ["http://10.0.0.1", "https://10.0.1.2", "https://10.0.1.3"]);
        assert!(Arc::ptr_eq(&second, &upstream.servers.load()[1]));
    }
}
