//! Staff whose tokens an identity provider signs: the keys come from its URL, change there, and outlive its outages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::host::{Host, PATIENCE};
use tests::shop::Shop;
use tests::tokens::TokenIssuer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a service asks for no keys after it did.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// Services measure the pause in whole seconds.
const CLOCK_STEP: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(250);

/// An identity provider's JWKS endpoint.
struct KeyServer {
    origin: String,
    jwks: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl KeyServer {
    async fn start(issuer: &TokenIssuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (jwks, fetches) = (Arc::new(Mutex::new(issuer.jwks())), Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (jwks.clone(), fetches.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = connection.read(&mut head).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let jwks = served.lock().expect("nobody panics with it").clone();
                let length = jwks.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{jwks}");
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        Self { origin, jwks, fetches, task }
    }

    /// Serves the keys of another issuer from now on.
    fn rotate(&self, issuer: &TokenIssuer) {
        *self.jwks.lock().expect("nobody panics with it") = issuer.jwks();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    async fn stop(self) {
        self.task.abort();
        // An aborted task is an error; what counts is that it is gone.
        let _ = self.task.await;
    }

    /// The shop whose tokens these keys sign. One worker thread, so that one instance keeps the keys.
    async fn shop(&self) -> Host {
        Shop::host_with_its_own_keys(|app| {
            app.environment("SPIN_VARIABLE_JWKS_URL", format!("{}/jwks.json", self.origin))
                .environment("SPIN_VARIABLE_JWKS_ORIGIN", &self.origin)
                .argument("--workers=1")
        })
        .await
    }
}

/// Has staff with a token of `issuer` write to the catalogue; returns the status.
async fn write(host: &Host, issuer: &TokenIssuer) -> u16 {
    let row = "{\"title\":\"Tea\",\"variants\":[{\"sku\":\"T-1\",\"price\":{\"amount\":100,\"currency\":\"USD\"}}]}\n";
    let request = host.post("/api/catalog/import").header("content-type", "application/jsonl").body(row);
    let answer = request.bearer_auth(issuer.access_token("staff")).send().await;
    answer.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_write_with_keys_from_a_url_through_rotation_and_outage() {
    let (first, second, stranger) = (TokenIssuer::new(), TokenIssuer::new(), TokenIssuer::new());
    let server = KeyServer::start(&first).await;
    let host = server.shop().await;
    let started = Instant::now();
    assert_eq!(write(&host, &first).await, 200);
    for _ in 0..20 {
        assert_eq!(write(&host, &stranger).await, 401);
    }
    let fetches_max = || 1 + ((started.elapsed() + CLOCK_STEP).as_secs() / FETCH_PAUSE.as_secs()) as usize;
    assert!(server.fetches() <= fetches_max(), "tokens with unknown keys make the shop ask again and again");

    server.rotate(&second);
    let rotated = Instant::now();
    while write(&host, &second).await != 200 {
        assert!(rotated.elapsed() < PATIENCE, "the new key is never fetched");
        sleep(POLL).await;
    }
    assert_eq!(write(&host, &first).await, 401, "the old key was taken back");
    assert!(server.fetches() <= fetches_max(), "{} fetches in {:?}", server.fetches(), started.elapsed());

    server.stop().await;
    assert_eq!(write(&host, &second).await, 200, "the keys that are there go on");
    assert_eq!(write(&host, &stranger).await, 401);
    assert_eq!(write(&host, &second).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_keys_staff_are_told_to_come_back_and_shoppers_notice_nothing() {
    let issuer = TokenIssuer::new();
    let server = KeyServer::start(&issuer).await;
    let host = server.shop().await;
    server.stop().await;
    assert_eq!(write(&host, &issuer).await, 503);
    assert_eq!(host.get("/api/products").await.status(), 200);
    host.log_line(&["cannot refresh the token keys", "/jwks.json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_not_allowed_is_named_in_the_log() {
    let issuer = TokenIssuer::new();
    let server = KeyServer::start(&issuer).await;
    let url = format!("{}/jwks.json", server.origin);
    let host = Shop::host_with_its_own_keys(|app| app.environment("SPIN_VARIABLE_JWKS_URL", url)).await;
    assert_eq!(write(&host, &issuer).await, 503);
    host.log_line(&["127.0.0.1", "allowed_outbound_hosts"]).await;
    assert_eq!(server.fetches(), 0);
}
