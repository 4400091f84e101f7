//! The shop as k8s/overlays/standalone has it: each service in a process of its own that is started as its container would be, and the
//! edge in front of them.

mod pods;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tests::shop::Shop;
use tests::tokens::TokenIssuer;
use tests::visitor::Visitor;

use pods::{Overlay, Pods};

/// Accounts that register at once: more than the passwords that `auth` hashes at once.
const ACCOUNTS: usize = 16;
/// Requests of the load, and how many of them are under way at once.
const REQUESTS: usize = 400;
const CONCURRENCY: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_of_pods_answers_probes_sells_and_fits_its_resources() {
    let Some(overlay) = Overlay::render("standalone") else { return };
    let issuer = TokenIssuer::new();
    let (pods, edge) = Pods::start(&overlay, &issuer.jwks()).await;
    for (name, host) in pods.all().chain([("edge", &edge)]) {
        for probe in overlay.probes(name) {
            assert_eq!(host.get(&probe).await.status(), 200, "{name}{probe}");
        }
    }
    for (name, host) in pods.all() {
        let stranger = host.get("/internal/outbox").await.status();
        assert!(stranger == 401 || stranger == 404, "{name} tells a stranger {stranger} of what is for services");
        assert_eq!(edge.get("/internal/outbox").await.status(), 403, "the edge lets nobody in there");
    }

    let shop = Shop { host: edge, issuer }.with_products(3).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    let order = ann.check_out("first").await;
    assert_eq!((&order["state"], &order["totals"]["subtotal"]["amount"]), (&json!("paid"), &json!(2 * 1_050)));
    let cancelled = ann.act(&order, "cancel", json!({ "reason": "changed my mind" })).await;
    assert_eq!((&cancelled["state"], &cancelled["refunded"]), (&json!("cancelled"), &order["totals"]["total"]));
    shop.verify().await;

    let emails: Vec<_> = (0..ACCOUNTS).map(|number| format!("{number}@example.com")).collect();
    join_all(emails.iter().map(|email| Visitor::registered(&shop, email))).await;
    load(&shop).await;
    for (name, host) in pods.all().chain([("edge", &shop.host)]) {
        let (request, limit) = overlay.memory_bytes(name);
        let (resident, peak) = (host.resident_bytes(), host.resident_bytes_peak());
        println!("{name}: {resident} bytes resident, {peak} at most; requests {request}, limit {limit}");
        assert!(resident <= request, "{name} uses {resident} bytes, more than the {request} that its pods request");
        assert!(
            request <= 4 * resident,
            "{name} uses {resident} bytes, far less than the {request} that its pods request"
        );
        assert!(peak <= limit / 4 * 3, "{name} used {peak} bytes at most, close to its limit of {limit}");
    }
}

/// Asks what shoppers ask most.
async fn load(shop: &Shop) {
    let ask = async |number: usize| {
        for path in (number..REQUESTS).step_by(CONCURRENCY).map(|number| ["/api/products", "/api/cart"][number % 2]) {
            let answer = match path {
                "/api/cart" => shop.host.post(path).send().await.expect("an answer"),
                path => shop.host.get(&format!("{path}?q=product")).await,
            };
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
        }
    };
    join_all((0..CONCURRENCY).map(ask)).await;
}
