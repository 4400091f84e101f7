//! What is refused before anything is served.

use super::*;
use crate::runtime_config::{OutboundHttp, RuntimeConfig};

const STATIC_ROUTE: &str = "[[trigger.http]]\nroute = \"/hello\"\nstatic_response = { body = \"hello\" }\n";

/// Loads an application with these triggers and components, and the wasm of `cart.wasm`.
async fn load(rest: &str, wasm: &[u8], retain: &[&str]) -> anyhow::Result<Arc<App>> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("cart.wasm"), wasm)?;
    let path = dir.path().join("spin.toml");
    std::fs::write(&path, format!("spin_manifest_version = 2\n[application]\nname = \"shop\"\n{rest}"))?;
    let mut manifest = manifest::load(&path)?;
    manifest.retain(&retain.iter().copied().map(str::to_owned).collect::<Vec<_>>())?;
    let state = StateDir::open(dir.path().join("state"))?;
    App::load(Parts {
        variables: Variables::resolve(&manifest, Default::default(), &[], Default::default(), &|_| None)?,
        gateway: None,
        stores: Stores::open(&stores_config(&manifest, &RuntimeConfig::default(), &state))?,
        registry: Arc::new(Registry::open(state.path(), registry::REVISIONS_KEPT)?),
        code_cache: state.code_cache(),
        manifest,
        state,
        memory_bytes_max: None,
        preview_token: "preview".to_owned(),
        seal_key: "key".to_owned(),
        sources: Arc::new(|_| anyhow::bail!("nothing is deployed")),
        workers: std::num::NonZeroUsize::MIN,
        outbound: OutboundShared::new(&OutboundHttp::default(), &[]).unwrap(),
        telemetry: Arc::new(Telemetry::new("shop", "1")),
    })
    .await
}

fn cart(more: &str) -> String {
    format!(
        "{STATIC_ROUTE}[[trigger.http]]\nroute = \"/cart\"\ncomponent = \"cart\"\n\
         [component.cart]\nsource = \"cart.wasm\"\n{more}"
    )
}

async fn refusal(wasm: &[u8], retain: &[&str]) -> String {
    format!("{:#}", load(&cart(""), wasm, retain).await.err().unwrap())
}

#[tokio::test]
async fn static_routes_need_no_component() {
    let app = load(STATIC_ROUTE, b"", &[]).await.unwrap();
    assert!(app.served.is_empty());
    assert!(matches!(app.router.route("/hello").unwrap().target, Target::Static(response) if response.body == "hello"));
    assert!(app.router.route("/cart").is_none());
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_name() {
    let core_module = wat::parse_str("(module)").unwrap();
    let without_handler = wat::parse_str("(component)").unwrap();
    let importing =
        wat::parse_str("(component (import \"acme:tax/rates@1.0.0\" (instance (export \"rate\" (func)))))").unwrap();
    for (wasm, words) in [
        (b"#!/bin/sh".to_vec(), "it is not a WebAssembly file"),
        (core_module, "it is a core WebAssembly module, not a component"),
        (without_handler, "it exports neither `wasi:http/handler@0.3.0` nor"),
        (importing, "acme:tax/rates@1.0.0"),
    ] {
        let refusal = refusal(&wasm, &[]).await;
        assert!(refusal.contains("`cart`") && refusal.contains(words), "{refusal}");
    }
}

#[tokio::test]
async fn components_that_are_not_to_run_are_not_even_read() {
    assert_eq!(refusal(b"", &["basket"]).await, "the application has no component `basket`");
    let two = "[[trigger.http]]\nroute = \"/old\"\ncomponent = \"old\"\n[component.old]\nsource = \"none.wasm\"\n";
    let refusal = format!("{:#}", load(&cart(two), b"", &["cart"]).await.err().unwrap());
    assert!(refusal.contains("`cart`") && !refusal.contains("old"), "{refusal}");
}
