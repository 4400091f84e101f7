//! The JWKS endpoint of an identity provider, which can be ill.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::tokens::TokenIssuer;

/// A running endpoint.
pub struct KeyServer {
    origin: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    jwks: Mutex<String>,
    mood: Mutex<KeyMood>,
    fetches: AtomicUsize,
}

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMood {
    /// Answers with the keys.
    Well,
    /// Answers 500.
    Fails,
    /// Answers with the keys and a megabyte of blanks after them.
    Huge,
    /// Sends to another place, where the keys are.
    Redirects,
    /// Answers a byte in a second.
    Slow,
}

/// Where the keys are that [`KeyMood::Redirects`] sends to.
const OTHER_PATH: &str = "/other";
const HUGE_BYTES: usize = 1 << 20;

impl KeyServer {
    /// Starts one with the keys of this issuer.
    pub async fn start(issuer: &TokenIssuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = Arc::new(State {
            jwks: Mutex::new(issuer.jwks()),
            mood: Mutex::new(KeyMood::Well),
            fetches: AtomicUsize::new(0),
        });
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, served.clone()));
            }
        });
        Self { origin, state, task }
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the keys are.
    pub fn url(&self) -> String {
        format!("{}/jwks.json", self.origin)
    }

    /// Serves the keys of another issuer from now on.
    pub fn rotate(&self, issuer: &TokenIssuer) {
        *self.state.jwks.lock().unwrap_or_else(PoisonError::into_inner) = issuer.jwks();
    }

    /// Behaves so from now on.
    pub fn set_mood(&self, mood: KeyMood) {
        *self.state.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub async fn stop(self) {
        self.task.abort();
        // An aborted task is an error; what counts is that it is gone.
        let _ = self.task.await;
    }
}

async fn answer(mut connection: TcpStream, state: Arc<State>) {
    let mut head = [0; 4096];
    let bytes = connection.read(&mut head).await.unwrap_or(0);
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let jwks = state.jwks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mood = *state.mood.lock().unwrap_or_else(PoisonError::into_inner);
    let is_other = head[..bytes].starts_with(format!("GET {OTHER_PATH} ").as_bytes());
    let (status, extra, body) = match mood {
        KeyMood::Fails => ("500 Internal Server Error", String::new(), String::new()),
        KeyMood::Redirects if !is_other => ("302 Found", format!("location: {OTHER_PATH}\r\n"), String::new()),
        KeyMood::Huge => ("200 OK", String::new(), format!("{jwks}{}", " ".repeat(HUGE_BYTES))),
        KeyMood::Well | KeyMood::Redirects | KeyMood::Slow => ("200 OK", String::new(), jwks),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{extra}content-length: {length}\r\nconnection: close\r\n\r\n");
    // Whoever does not wait for it is gone.
    let _ = connection.write_all(head.as_bytes()).await;
    if mood != KeyMood::Slow {
        let _ = connection.write_all(body.as_bytes()).await;
        return;
    }
    for byte in body.bytes() {
        if connection.write_all(&[byte]).await.is_err() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}
