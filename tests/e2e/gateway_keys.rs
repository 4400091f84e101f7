//! The gateway and a source of keys that is down, slow, redirecting, huge or changing: who holds a good token gets in, nobody else.

use std::time::Duration;

use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::key_server::{KeyMood, KeyServer};
use tests::tokens::TokenIssuer;
use tokio::time::{Instant, sleep};

/// How long the gateway asks for no keys after it did.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// How long it waits for them.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

async fn host(server: &KeyServer) -> Host {
    let gateway = format!(
        "[tokens]\nissuer = \"bodega\"\naudience = \"bodega\"\njwks_url = \"{}\"\nclaims = {{ typ = \"access\" }}\n\
         [[rules]]\npath = \"/hello/private\"\nauthentication = \"required\"\n",
        server.url()
    );
    App::new().guest("hello", "").file("gateway.toml", gateway).start().await
}

async fn status(host: &Host, issuer: &TokenIssuer) -> u16 {
    let request = host.request("/hello/private").bearer_auth(issuer.access_token("customer"));
    request.send().await.expect("an answer").status().as_u16()
}

async fn until_let_in(host: &Host, issuer: &TokenIssuer) {
    let deadline = Instant::now() + PATIENCE;
    while status(host, issuer).await != 200 {
        assert!(Instant::now() < deadline, "its keys are never fetched");
        sleep(POLL).await;
    }
}

/// With a source that behaves so, nobody gets in as long as no keys are known, and whoever did goes on getting in.
async fn is_withstood(mood: KeyMood, said: &str) {
    let (issuer, stranger) = (TokenIssuer::new(), TokenIssuer::new());
    let server = KeyServer::start(&issuer).await;
    server.set_mood(mood);
    let host = host(&server).await;
    let began = Instant::now();
    assert_eq!(status(&host, &issuer).await, 503, "nobody can tell");
    assert!(began.elapsed() < FETCH_TIMEOUT * 2, "{:?}", began.elapsed());
    host.log_line(&["the keys for tokens cannot be fetched", said]).await;
    assert_eq!(host.get("/hello/").await.status(), 200, "what needs no token goes on");
    server.set_mood(KeyMood::Well);
    until_let_in(&host, &issuer).await;

    server.set_mood(mood);
    sleep(FETCH_PAUSE).await;
    let began = Instant::now();
    assert_eq!(status(&host, &stranger).await, 401, "the keys that are known are not its");
    assert!(began.elapsed() < FETCH_TIMEOUT * 2, "{:?}", began.elapsed());
    assert_eq!(status(&host, &issuer).await, 200, "no key is taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_keys_that_fails_floods_points_elsewhere_or_is_slow_is_withstood() {
    // At once, as each waits for the pauses between fetches.
    tokio::join!(
        is_withstood(KeyMood::Fails, "500"),
        is_withstood(KeyMood::Huge, "length limit exceeded"),
        is_withstood(KeyMood::Redirects, "302"),
        is_withstood(KeyMood::Slow, "within 5 s"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_change_are_fetched_and_strangers_do_not_have_them_fetched_again_and_again() {
    let (first, second, stranger) = (TokenIssuer::new(), TokenIssuer::new(), TokenIssuer::new());
    let server = KeyServer::start(&first).await;
    let host = host(&server).await;
    let began = Instant::now();
    assert_eq!(status(&host, &first).await, 200);
    server.rotate(&second);
    for _ in 0..50 {
        assert_eq!(status(&host, &stranger).await, 401);
    }
    until_let_in(&host, &second).await;
    assert_eq!(status(&host, &first).await, 401, "its key was taken back");
    let most = 1 + (began.elapsed().as_secs() / FETCH_PAUSE.as_secs()) as usize;
    assert!(server.fetches() <= most, "{} fetches", server.fetches());
    server.stop().await;
    assert_eq!(status(&host, &second).await, 200, "the keys that are there go on");
}
