//! Staff whose tokens an identity provider signs: the keys come from its URL, change there, and outlive its outages.

use std::time::Duration;

use tests::host::{Host, PATIENCE};
use tests::key_server::KeyServer;
use tests::shop::Shop;
use tests::tokens::TokenIssuer;
use tokio::time::{Instant, sleep};

/// How long a service asks for no keys after it did.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// Services measure the pause in whole seconds.
const CLOCK_STEP: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(250);

/// The shop whose tokens the keys of this server sign. One worker thread, so that one instance keeps the keys.
async fn shop(server: &KeyServer) -> Host {
    Shop::host_with_its_own_keys(|app| {
        app.environment("SPIN_VARIABLE_JWKS_URL", server.url())
            .environment("SPIN_VARIABLE_JWKS_ORIGIN", server.origin())
            .argument("--workers=1")
    })
    .await
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
    let host = shop(&server).await;
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
    let host = shop(&server).await;
    server.stop().await;
    assert_eq!(write(&host, &issuer).await, 503);
    assert_eq!(host.get("/api/products").await.status(), 200);
    host.log_line(&["cannot refresh the token keys", "/jwks.json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_not_allowed_is_named_in_the_log() {
    let issuer = TokenIssuer::new();
    let server = KeyServer::start(&issuer).await;
    let url = format!("{}/jwks.json", server.origin());
    let host = Shop::host_with_its_own_keys(|app| app.environment("SPIN_VARIABLE_JWKS_URL", url)).await;
    assert_eq!(write(&host, &issuer).await, 503);
    host.log_line(&["127.0.0.1", "allowed_outbound_hosts"]).await;
    assert_eq!(server.fetches(), 0);
}
