//! Where a component may send requests: `allowed_outbound_hosts`, with Spin's syntax and meaning.

use std::net::IpAddr;
use std::ops::Range;

use http::Uri;
use ipnet::IpNet;

/// The domain of the components of the application, under which one calls another. Nothing outside has such a name.
const SERVICE_CHAINING_DOMAIN: &str = "spin.internal";

/// The destinations that are allowed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<AllowedHost>);

/// One entry: `scheme://host[:port]`, each part of which may be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// `None` is any.
    scheme: Option<String>,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// The application itself, by route: `self` or `self.alt`.
    Own,
    Exact(String),
    /// `.example.com` for `*.example.com`.
    Below(String),
    Network(IpNet),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    Any,
    /// Without its end, as Spin reads `8000..9000`.
    Range(Range<u32>),
}

/// Why a text is no allowed host. The texts are the ends of sentences that begin with the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// No `://`.
    #[error("has no scheme; expected `scheme://host[:port]`, for example `https://example.com`")]
    NoScheme,
    /// The scheme is neither letters nor `*`.
    #[error("has a scheme that is not made of letters; expected for example `https`, or `*` for any")]
    Scheme,
    /// The host is not one.
    #[error("has no valid host; expected a name in ASCII, `*.domain`, an address, a network or `*`")]
    Host,
    /// A star within a name.
    #[error("has `*` inside its host; a wildcard stands alone or before the first dot, as in `*.example.com`")]
    Wildcard,
    /// A path.
    #[error("has a path; hosts are allowed as a whole")]
    Path,
    /// The port is not one.
    #[error("has no valid port; expected a number, a range such as `8000..9000` without its end, or `*`")]
    Port,
    /// No port, and the scheme implies none.
    #[error("has no port and a scheme without a usual one; add `:port`, or `:*` for any")]
    NoPort,
}

impl AllowedHosts {
    /// Parses all entries.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, InvalidHost> {
        entries.iter().map(|entry| AllowedHost::parse(entry.as_ref())).collect()
    }

    /// Whether a request to `uri` is allowed; never for a URI without a scheme and a host.
    pub fn allows(&self, uri: &Uri) -> bool {
        match (uri.scheme_str(), uri.host()) {
            (Some(scheme), Some(host)) => self.allows_address(scheme, host, uri.port_u16()),
            _ => false,
        }
    }

    /// Whether a connection with `scheme` to `host` is allowed, where no `port` means the scheme's usual one.
    pub fn allows_address(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let scheme = scheme.to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let port = port.or_else(|| usual_port(&scheme));
        self.0.iter().any(|allowed| allowed.allows(&scheme, &host, port))
    }

    /// Whether there is any address that a connection with `scheme` is allowed to.
    pub fn allows_scheme(&self, scheme: &str) -> bool {
        self.0.iter().any(|allowed| allowed.scheme.as_deref().is_none_or(|allowed| allowed == scheme))
    }

    /// Whether the component may call the application's own routes.
    pub fn allows_self(&self) -> bool {
        self.0.iter().any(|allowed| {
            matches!(allowed.host, Host::Own | Host::Any)
                && allowed.scheme.as_deref().is_none_or(|scheme| matches!(scheme, "http" | "https"))
        })
    }
}

impl FromIterator<AllowedHost> for AllowedHosts {
    fn from_iter<I: IntoIterator<Item = AllowedHost>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// Whether `host` is a name for service chaining, or would be one if there were such a component.
pub fn is_service_chaining_host(host: &str) -> bool {
    // A dot at the end says that the name is whole.
    let host = host.strip_suffix('.').unwrap_or(host);
    let domain_at = host.len().checked_sub(SERVICE_CHAINING_DOMAIN.len());
    domain_at.and_then(|at| host.split_at_checked(at)).is_some_and(|(below, domain)| {
        domain.eq_ignore_ascii_case(SERVICE_CHAINING_DOMAIN) && (below.is_empty() || below.ends_with('.'))
    })
}

/// The id of the component that `host`, in lower case, stands for, if it is a name for service chaining.
pub fn service_chaining_target(host: &str) -> Option<&str> {
    let id = host.strip_suffix(SERVICE_CHAINING_DOMAIN)?.strip_suffix('.')?;
    Some(id).filter(|id| !id.is_empty() && !id.contains('.'))
}

impl AllowedHost {
    /// Parses one entry.
    pub fn parse(entry: &str) -> Result<Self, InvalidHost> {
        let (scheme, rest) = entry.trim().split_once("://").ok_or(InvalidHost::NoScheme)?;
        let scheme = match scheme {
            "*" => None,
            _ if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphabetic()) => {
                Some(scheme.to_ascii_lowercase())
            }
            _ => return Err(InvalidHost::Scheme),
        };
        let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest));
        let port = match port {
            Some("*") => Port::Any,
            Some(port) => Port::parse(port)?,
            None => scheme.as_deref().and_then(usual_port).map(Port::single).ok_or(InvalidHost::NoPort)?,
        };
        Ok(Self { host: Host::parse(&host.to_ascii_lowercase())?, scheme, port })
    }

    /// The component that this entry names, if it names exactly one.
    pub fn service_chaining_target(&self) -> Option<&str> {
        match &self.host {
            Host::Exact(host) => service_chaining_target(host),
            _ => None,
        }
    }

    /// Whether this entry names all components at once.
    pub fn is_any_component(&self) -> bool {
        matches!(&self.host, Host::Below(suffix) if suffix.strip_prefix('.') == Some(SERVICE_CHAINING_DOMAIN))
    }

    fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && self.host.allows(host)
            && match &self.port {
                Port::Any => true,
                Port::Range(range) => port.is_some_and(|port| range.contains(&port.into())),
            }
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, InvalidHost> {
        if let Some((address, prefix)) = host.split_once('/') {
            let network = format!("{}/{prefix}", without_brackets(address));
            let is_prefix = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
            return match network.parse::<IpNet>() {
                // The bits behind the prefix do not matter: 127.0.0.1/24 is 127.0.0.0/24.
                Ok(network) => Ok(Self::Network(network.trunc())),
                Err(_) if is_prefix && without_brackets(address).parse::<IpAddr>().is_ok() => Err(InvalidHost::Host),
                Err(_) => Err(InvalidHost::Path),
            };
        }
        let (name, below) = host.strip_prefix("*.").map_or((host, false), |domain| (domain, true));
        let is_address = without_brackets(name).parse::<IpAddr>().is_ok();
        match name {
            "*" if !below => Ok(Self::Any),
            "self" | "self.alt" if !below => Ok(Self::Own),
            _ if name.contains('*') => Err(InvalidHost::Wildcard),
            _ if below && is_address => Err(InvalidHost::Host),
            _ if is_address || is_name(name) => Ok(match below {
                true => Self::Below(format!(".{name}")),
                false => Self::Exact(name.into()),
            }),
            _ => Err(InvalidHost::Host),
        }
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            // The host puts its own address in the place of `self`; until then it is no destination.
            Self::Own => false,
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Network(network) => {
                without_brackets(host).parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
        }
    }
}

impl Port {
    fn single(port: u16) -> Self {
        Self::Range(u32::from(port)..u32::from(port) + 1)
    }

    fn parse(text: &str) -> Result<Self, InvalidHost> {
        // `u16::from_str` would let a sign pass.
        let number = |text: &str| -> Result<u16, InvalidHost> {
            text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())).ok_or(InvalidHost::Port)
        };
        let Some((start, end)) = text.split_once("..") else {
            return Ok(Self::single(number(text)?));
        };
        let range = u32::from(number(start)?)..u32::from(number(end)?);
        if range.is_empty() { Err(InvalidHost::Port) } else { Ok(Self::Range(range)) }
    }
}

/// Splits off `:port`, minding that an IPv6 address has colons of its own.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colon is inside `[::1]`, or before the last group of `ff00::/8`.
        Some((_, after)) if after.contains([']', '/']) && is_ipv6(authority) => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

fn is_ipv6(authority: &str) -> bool {
    let address = authority.split_once('/').map_or(authority, |(address, _)| address);
    without_brackets(address).parse::<IpAddr>().is_ok()
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_name(name: &str) -> bool {
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
}

/// The port that a scheme implies, for the schemes that Spin knows.
fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
