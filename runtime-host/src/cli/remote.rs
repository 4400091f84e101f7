//! The running application, as the host's own commands ask it.

mod tls;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Response, StatusCode, request};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use identity::Role;

pub(super) use self::tls::TlsArgs;
use super::StateDirArgs;
use super::advice::advise;
use crate::generated::command_token;
use crate::state_dir::StateDir;

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How to reach the application.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    #[command(flatten)]
    state_dir: StateDirArgs,
    #[command(flatten)]
    at: RemoteArgs,
}

/// Where the application answers, and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct RemoteArgs {
    /// The application's address; by default that of the host that uses the state folder.
    #[arg(long, env = "BODEGA_URL")]
    url: Option<String>,
    /// A token of the role that the command needs; by default one of the host's own. Better given in the environment, where other users do not see it.
    #[arg(long, env = "BODEGA_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Remote {
    /// Finds the application, to be asked by a caller of this role.
    pub(super) fn connect(&self, role: Role) -> anyhow::Result<Application> {
        self.at.connect(&StateDir::at(&self.state_dir.state_dir), role)
    }
}

impl RemoteArgs {
    /// Whether an address is given.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// Finds the application, by default the one whose host uses the folder `state`.
    pub(super) fn connect(&self, state: &StateDir, role: Role) -> anyhow::Result<Application> {
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                state
                    .running_host()
                    .with_context(|| {
                        let path = state.path().display();
                        format!("no host uses the state folder {path}; start one with `bodega up`, or give --url")
                    })?
                    .url
            }
        };
        let token = self.token(state, role)?;
        Ok(Application { url, token, token_is_given: self.token.is_some(), tls: TlsArgs::default() })
    }

    /// The token of a caller of this role.
    pub(super) fn token(&self, state: &StateDir, role: Role) -> anyhow::Result<String> {
        Ok(self.token.clone().map_or_else(|| command_token(state, role), Ok)?)
    }

    /// Whether the token is one that somebody gave.
    pub(super) fn token_is_given(&self) -> bool {
        self.token.is_some()
    }
}

/// The application did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct NotDone {
    /// What it answered; `None` where nobody was there.
    pub(super) status: Option<StatusCode>,
    /// What is said about it, with what to do.
    pub(super) text: String,
}

/// The running application, and the token by which it is asked.
#[derive(PartialEq, Eq)]
pub(super) struct Application {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) token_is_given: bool,
    pub(super) tls: TlsArgs,
}

impl Application {
    /// Sends a request for a path; an answer that is not a success becomes an error with the problem document's words.
    pub(super) async fn send(&self, request: request::Builder, body: Body) -> anyhow::Result<Response<Incoming>> {
        let mut request = request.header(AUTHORIZATION, format!("Bearer {}", self.token)).body(body)?;
        *request.uri_mut() = format!("{}{}", self.url, request.uri()).parse().context("the address is none")?;
        let host = request.uri().authority().context("the address has no host")?.as_str().parse()?;
        request.headers_mut().insert(HOST, host);
        let tls = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(self.tls.config()?);
        let connector = tls.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let response = client.request(request).await.map_err(|error| self.unanswered(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.into_body().collect().await?.to_bytes();
        let text = refusal(status, &text, self.token_is_given);
        Err(NotDone { status: Some(status), text }.into())
    }

    fn unanswered(&self, error: legacy::Error) -> anyhow::Error {
        let is_connect = error.is_connect();
        let is_tls = self.url.starts_with("https:");
        let error = anyhow::Error::new(error).context(format!("the application does not answer at {}", self.url));
        let error = match (is_connect, is_tls) {
            (true, false) => advise(error, "start it with `bodega up`"),
            (true, true) => advise(error, "start it with `bodega up`, or say with --admin-ca who vouches for it"),
            (false, true) if self.tls.shows_certificate() => {
                advise(error, "it may not know the authority of the certificate that --admin-cert names")
            }
            (false, _) => error,
        };
        if is_connect { NotDone { status: None, text: error.to_string() }.into() } else { error }
    }
}

/// What an answer that is no success says, and what to do about it.
pub(super) fn refusal(status: StatusCode, body: &[u8], token_is_given: bool) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no details");
    // A client that gave several things wants to know which of them is wrong.
    let errors = problem["errors"].as_array().into_iter().flatten();
    let rules: String = errors
        .filter_map(|error| Some(format!("; {} {}", error["field"].as_str()?, error["rule"].as_str()?)))
        .collect();
    format!("the application answered {status}: {words}{rules}{}", advice(status, token_is_given))
}

fn advice(status: StatusCode, token_is_given: bool) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED if !token_is_given => {
            "; its token keys, issuer or audience are not those that this host generated, so give the command \
             a token with --token or BODEGA_TOKEN"
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            "; send .jsonl or .csv, which go in parts, or start the host with a larger --body-bytes-max"
        }
        _ => "",
    }
}

/// The name by which the log of actions knows the user of a command.
pub(super) fn actor() -> String {
    let name = std::env::var("USER").ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    name.unwrap_or_else(|| "unnamed".to_owned())
}

/// The runtime of a command that asks one thing after the other.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        assert!(advice(StatusCode::UNAUTHORIZED, false).contains("--token or BODEGA_TOKEN"));
        assert_eq!(advice(StatusCode::UNAUTHORIZED, true), "");
        assert!(advice(StatusCode::PAYLOAD_TOO_LARGE, true).contains("--body-bytes-max"));
    }

    #[tokio::test]
    async fn where_nobody_is_there_is_no_status() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let application = Application {
            url: format!("http://{free}"),
            token: "t".to_owned(),
            token_is_given: true,
            tls: TlsArgs::default(),
        };
        let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let error = application.send(http::Request::get("/"), body).await.unwrap_err();
        let not_done = error.downcast_ref::<NotDone>().unwrap();
        assert!(not_done.status.is_none() && not_done.text.contains("`bodega up`"), "{error:#}");
    }

    #[test]
    fn the_running_host_is_found_by_the_state_folder() {
        let dir = tempfile::tempdir().unwrap();
        let remote = |url: Option<&str>, token: Option<&str>| Remote {
            state_dir: StateDirArgs { state_dir: dir.path().join("state") },
            at: RemoteArgs { url: url.map(str::to_owned), token: token.map(str::to_owned) },
        };
        let error = remote(None, None).connect(Role::Staff).err().unwrap();
        assert!(error.to_string().starts_with("no host uses the state folder"), "{error}");

        let url = "http://127.0.0.1:4000".to_owned();
        let host = crate::state_dir::RunningHost { pid: 1, url: url.clone(), admin_url: String::new() };
        StateDir::open(dir.path().join("state")).unwrap().announce(&host).unwrap();
        let found = remote(None, None).connect(Role::Staff).unwrap();
        assert_eq!((found.url, found.token_is_given), (url, false));
        assert_eq!(found.token.split('.').count(), 3, "a signed token: {}", found.token);

        let named = remote(Some("https://shop.example/"), Some("given")).connect(Role::Staff).unwrap();
        let url = "https://shop.example".to_owned();
        assert!(named == Application { url, token: "given".to_owned(), token_is_given: true, tls: TlsArgs::default() });
    }
}
