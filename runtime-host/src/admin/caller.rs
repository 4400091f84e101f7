//! Who asks the admin listener, whether they may, and what is written down of them.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use subtle::ConstantTimeEq as _;

use super::{Access, Body, problem};
use crate::listener::plain_name;

/// By which a caller says who it is; what it says is written down beside what it has shown.
pub const ACTOR: HeaderName = HeaderName::from_static("x-bodega-actor");

/// Where a request came from, and what its connection has shown.
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    pub(super) certificates: Certificates,
}

/// Whether the client has shown who it is.
pub(super) enum Certificates {
    /// It is not asked to.
    NotAskedFor,
    /// It is asked to, and has not.
    None,
    /// It is who this names.
    Of(String),
}

/// Who was let in.
#[derive(Clone)]
pub(super) struct Who {
    /// What it has shown.
    shown: String,
    peer: SocketAddr,
}

/// What a caller has not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Certificate,
    AdminToken,
    HostToken,
}

impl Missing {
    /// 401, with what is needed.
    pub(super) fn response(self) -> Response<Body> {
        let title = match self {
            Self::Certificate => "This needs a client certificate of the authorities that --admin-client-ca names",
            Self::AdminToken => "This needs the admin token",
            Self::HostToken => "This needs the host's own token, which is in its state folder",
        };
        let mut refused = problem(StatusCode::UNAUTHORIZED, title);
        if self != Self::Certificate {
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        refused
    }
}

impl Caller {
    /// Lets the caller use a route, or says what it lacks.
    pub(super) fn may_use(self, access: &Access, headers: &HeaderMap) -> Result<Who, Missing> {
        let Self { peer, certificates } = self;
        let token = match access {
            Access::Open => return Ok(Who { shown: "nobody".to_owned(), peer }),
            Access::Operator(token) | Access::Host(token) => token,
        };
        let shown = match (access, certificates) {
            (_, Certificates::None) => return Err(Missing::Certificate),
            (Access::Operator(_), Certificates::Of(name)) => return Ok(Who { shown: certificate(&name), peer }),
            (_, Certificates::Of(name)) => certificate(&name),
            (Access::Host(_), _) => "upgrade-token".to_owned(),
            _ => "admin-token".to_owned(),
        };
        if carries(headers, token) {
            return Ok(Who { shown, peer });
        }
        Err(match access {
            Access::Host(_) => Missing::HostToken,
            _ => Missing::AdminToken,
        })
    }
}

impl Who {
    /// Who sent a request that was let in, as it is written down.
    pub(super) fn sent<B>(request: &Request<B>) -> String {
        let named = request.headers().get(ACTOR).and_then(|name| name.to_str().ok()).map(plain_name);
        let named = named.as_deref().unwrap_or("unnamed");
        match request.extensions().get::<Self>() {
            // The port is another one each time and tells nothing.
            Some(Self { shown, peer }) => format!("{shown} ({named}) from {}", peer.ip()),
            None => format!("somebody ({named})"),
        }
    }
}

fn certificate(name: &str) -> String {
    format!("certificate {name}")
}

/// Whether the request carries `token`; takes as long for a nearly right one as for a wrong one.
fn carries(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_asks_for_what_it_needs() {
        let ask = |access: &Access, certificates: Certificates, token: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(token) = token {
                headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            }
            let caller = Caller { peer: "127.0.0.1:9".parse().unwrap(), certificates };
            caller.may_use(access, &headers).map(|who| who.shown)
        };
        let (operator, host) = (Access::Operator("s3cret".to_owned()), Access::Host("own".to_owned()));
        let ann = || Certificates::Of("CN=Ann".to_owned());

        for certificates in [Certificates::NotAskedFor, Certificates::None, ann()] {
            assert!(ask(&Access::Open, certificates, None).is_ok());
        }
        assert_eq!(ask(&operator, Certificates::NotAskedFor, Some("s3cret")), Ok("admin-token".to_owned()));
        assert_eq!(ask(&operator, Certificates::NotAskedFor, Some("own")), Err(Missing::AdminToken));
        assert_eq!(
            ask(&operator, Certificates::None, Some("s3cret")),
            Err(Missing::Certificate),
            "a token is not enough"
        );
        assert_eq!(ask(&operator, ann(), None), Ok("certificate CN=Ann".to_owned()));

        assert_eq!(ask(&host, Certificates::NotAskedFor, Some("own")), Ok("upgrade-token".to_owned()));
        assert_eq!(ask(&host, Certificates::NotAskedFor, Some("s3cret")), Err(Missing::HostToken));
        assert_eq!(ask(&host, Certificates::None, Some("own")), Err(Missing::Certificate));
        assert_eq!(ask(&host, ann(), Some("s3cret")), Err(Missing::HostToken), "a certificate is not enough");
        assert_eq!(ask(&host, ann(), Some("own")), Ok("certificate CN=Ann".to_owned()));
    }
}
