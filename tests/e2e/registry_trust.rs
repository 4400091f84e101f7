//! What comes from a registry is what was pushed, by whom it has to be, for whom it is.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use serde_json::{Value, json};
use tests::app::App;
use tests::programs;
use tests::registry::{MANIFEST, PASSWORD, Registry};

use crate::authority::{ANYWHERE, Authority};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The guest `hello`, with a file that is a layer of its own, and an operator's keys beside it.
struct Site {
    app: App,
    ours: KeyPair,
    theirs: KeyPair,
    pulls: AtomicUsize,
}

impl Site {
    fn new() -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let (ours, theirs) = (key(), key());
        let app = App::new()
            .file("ours.key", ours.serialize_pem())
            .file("ours.pub", ours.public_key_pem())
            .file("theirs.pub", theirs.public_key_pem())
            .file("words.txt", "words ".repeat(100))
            .guest("hello", "files = [\"words.txt\"]");
        Self { app, ours, theirs, pulls: AtomicUsize::new(0) }
    }

    async fn push(&self, reference: &str, more: &[&str]) -> String {
        let pushed = self.app.command_on_it("push", &[&[reference], more].concat()).await.expect("it runs");
        assert!(pushed.status.success(), "{}", text(&pushed));
        String::from_utf8_lossy(&pushed.stdout).trim_end().to_owned()
    }

    async fn pull(&self, reference: &str, more: &[&str]) -> Result<(), String> {
        let to = format!("pulled-{}", self.pulls.fetch_add(1, Ordering::Relaxed));
        let pulled = self.app.command(&[&["pull", reference, "--to", &to], more].concat()).await.expect("it runs");
        let is_there = self.app.folder().join(&to).join("spin.toml").exists();
        assert_eq!(pulled.status.success(), is_there, "whole, or not at all: {}", text(&pulled));
        if is_there { Ok(()) } else { Err(text(&pulled)) }
    }

    /// Adds a signature, as `cosign sign --key` has long done it.
    async fn sign(&self, registry: &Registry, key: &KeyPair, digest: &str) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": registry.reference("shop") },
                "image": { "docker-manifest-digest": digest },
                "type": "cosign container image signature",
            },
            "optional": { "creator": "a test" },
        })
        .to_string();
        let signature = STANDARD.encode(key.sign(payload.as_bytes()).expect("a signature"));
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = registry.push_blob("shop", kind, payload.as_bytes()).await;
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let config = registry.push_blob("shop", "application/vnd.oci.image.config.v1+json", b"{}").await;
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        registry.push_manifest("shop", &format!("{}.sig", digest.replace(':', "-")), &manifest).await;
    }

    /// Adds a bundle that refers to the artifact, as newer versions of cosign do it where a registry has no list of referrers.
    async fn sign_in_bundle(&self, registry: &Registry, key: &KeyPair, digest: &str) {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": digest.trim_start_matches("sha256:") } }],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        })
        .to_string();
        let (kind, statement_kind) = ("application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.in-toto+json");
        let signed = format!("DSSEv1 {} {statement_kind} {} {statement}", statement_kind.len(), statement.len());
        let bundle = json!({
            "mediaType": kind,
            "verificationMaterial": { "publicKey": { "hint": "x" } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement),
                "payloadType": statement_kind,
                "signatures": [{ "sig": STANDARD.encode(key.sign(signed.as_bytes()).expect("a signature")) }],
            },
        });
        let layer = registry.push_blob("shop", kind, bundle.to_string().as_bytes()).await;
        let config = registry.push_blob("shop", "application/vnd.oci.empty.v1+json", b"{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [layer],
            "subject": { "mediaType": MANIFEST, "digest": digest, "size": 1 },
        });
        let size = manifest.to_string().len();
        let bundle = registry.push_manifest("shop", "bundle", &manifest).await;
        let index = "application/vnd.oci.image.index.v1+json";
        let referrers = json!({
            "schemaVersion": 2, "mediaType": index,
            "manifests": [{ "mediaType": MANIFEST, "digest": bundle, "size": size, "artifactType": kind }],
        });
        registry.push_manifest("shop", &digest.replace(':', "-"), &referrers).await;
    }
}

fn digest(pinned: &str) -> &str {
    pinned.split_once('@').expect("a digest").1
}

const OURS: [&str; 2] = ["--require-signature", "ours.pub"];

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_somebody_has_changed_is_refused() {
    let Some(registry) = Registry::start().await else { return };
    let (site, tag) = (Site::new(), registry.reference("shop:1"));
    site.push(&tag, &[]).await;
    site.pull(&tag, &[]).await.expect("it is whole");
    let (manifest, _) = registry.manifest("shop", "1").await;
    let layers = manifest["layers"].as_array().expect("layers").clone();
    assert_eq!(layers.len(), 3, "code, a file, and the application");
    for layer in layers.iter().chain([&manifest["config"]]) {
        let file = registry.file_of(layer["digest"].as_str().expect("a digest"));
        let content = fs::read(&file).expect("a blob");
        let mut changed = content.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let longer = [&content[..], b"more"].concat();
        for other in [&changed, &longer, &content[1..].to_vec()] {
            fs::write(&file, other).expect("writable");
            let pulled = site.pull(&tag, &[]).await;
            if layer["digest"] == manifest["config"]["digest"] {
                // Nothing in it is used where there is a layer for the application.
                pulled.expect("it is not needed");
                continue;
            }
            let refusal = pulled.expect_err("it is damaged");
            assert!(refusal.contains("is damaged"), "{refusal}");
        }
        fs::write(&file, content).expect("writable");
    }
    site.pull(&tag, &[]).await.expect("it is whole again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_somebody_has_changed_is_refused() {
    let Some(registry) = Registry::start().await else { return };
    let (site, tag) = (Site::new(), registry.reference("shop:1"));
    let pinned = site.push(&tag, &[]).await;
    let file = registry.file_of(digest(&pinned));
    let manifest = fs::read_to_string(&file).expect("a manifest");
    fs::write(&file, manifest.replace("under-test", "under-fire")).expect("writable");
    // The registry itself may see it.
    site.pull(&pinned, &[]).await.expect_err("it is not what the digest names");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_our_key_has_signed_is_taken() {
    let Some(registry) = Registry::start().await else { return };
    let (site, tag) = (Site::new(), registry.reference("shop:1"));
    let pinned = site.push(&tag, &[]).await;
    let unsigned = site.pull(&tag, &OURS).await.expect_err("nobody has signed it");
    assert!(unsigned.contains("is not trusted: it has no signature"), "{unsigned}");

    site.sign(&registry, &site.theirs, digest(&pinned)).await;
    let wrong = site.pull(&tag, &OURS).await.expect_err("somebody else has signed it");
    assert!(wrong.contains("of its 1 signatures, none is by ours.pub"), "{wrong}");
    let either = ["--require-signature", "ours.pub", "--require-signature", "theirs.pub"];
    site.pull(&tag, &either).await.expect("one of the keys is enough");

    // A good signature of another artifact is none of this one.
    let other = App::new().guest("hello-p2", "");
    let other = other.command_on_it("push", &[&registry.reference("shop:2")]).await.expect("it runs");
    let other_pinned = String::from_utf8_lossy(&other.stdout).trim_end().to_owned();
    site.sign(&registry, &site.ours, digest(&other_pinned)).await;
    let signature = format!("{}.sig", digest(&other_pinned).replace(':', "-"));
    let (manifest, _) = registry.manifest("shop", &signature).await;
    registry.push_manifest("shop", &format!("{}.sig", digest(&pinned).replace(':', "-")), &manifest).await;
    let foreign = site.pull(&tag, &OURS).await.expect_err("it is of another artifact");
    assert!(foreign.contains("for exactly this manifest"), "{foreign}");

    site.sign(&registry, &site.ours, digest(&pinned)).await;
    site.pull(&tag, &OURS).await.expect("it is signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_in_a_bundle_counts_as_well() {
    let Some(registry) = Registry::start().await else { return };
    let (site, tag) = (Site::new(), registry.reference("shop:1"));
    let pinned = site.push(&tag, &[]).await;
    site.sign_in_bundle(&registry, &site.theirs, digest(&pinned)).await;
    let wrong = site.pull(&tag, &OURS).await.expect_err("somebody else has signed it");
    assert!(wrong.contains("of its 1 signatures"), "{wrong}");
    site.sign_in_bundle(&registry, &site.ours, digest(&pinned)).await;
    site.pull(&tag, &OURS).await.expect("it is signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_with_a_key_is_signed_and_runs_where_that_is_required() {
    let Some(mut registry) = Registry::start().await else { return };
    let (site, tag) = (Site::new(), registry.reference("shop:1"));
    let pinned = site.push(&tag, &["--sign", "ours.key"]).await;
    // Who signs twice has one signature, beside those of others.
    site.push(&tag, &["--sign", "ours.key"]).await;
    let (signatures, _) = registry.manifest("shop", &format!("{}.sig", digest(&pinned).replace(':', "-"))).await;
    assert_eq!(signatures["layers"].as_array().map(Vec::len), Some(1), "{signatures}");
    let layer = &signatures["layers"][0];
    let payload = registry.blob("shop", layer["digest"].as_str().expect("a digest")).await;
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], digest(&pinned));
    assert_eq!(payload["critical"]["identity"]["docker-reference"], registry.reference("shop"));

    let key = site.app.folder().join("ours.pub").to_str().expect("UTF-8").to_owned();
    let app = || App::at(PathBuf::from(&pinned)).environment("BODEGA_REQUIRE_SIGNATURE", &key);
    let mut host = app().start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    let source = format!("oci://{tag}");
    let theirs = site.app.folder().join("theirs.pub").to_str().expect("UTF-8").to_owned();
    let untrusted = host.operate(&["deploy", "hello", &source, "--require-signature", &theirs]).await;
    assert!(text(&untrusted).contains("is not trusted"), "{untrusted:?}");
    assert!(host.operate(&["deploy", "hello", &source]).await.status.success());
    // The signature is kept with the artifact.
    host.stop().await;
    registry.stop().await;
    host.restart().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    // But it is the keys of now that count.
    let up = ["up", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--state-dir=state", "-f", &pinned];
    let other = host.app().command(&[&up[..], &["--require-signature", &theirs]].concat()).await.expect("it runs");
    assert!(text(&other).contains("cannot be reached"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_who_it_is_gets_the_login_of_docker() {
    let Some(registry) = Registry::start_that_asks().await else { return };
    let tag = registry.reference("shop:1");
    let site_with = |configuration: &PathBuf| {
        let site = Site::new();
        let configuration = configuration.to_str().expect("UTF-8");
        Site { app: site.app.environment("DOCKER_CONFIG", configuration), ..site }
    };
    let nobody = site_with(&PathBuf::from("/nonexistent"));
    let refusal = nobody.app.command_on_it("push", &[&tag]).await.expect("it runs");
    let refusal = text(&refusal);
    assert!(refusal.contains("refuses access") && refusal.contains("docker login"), "{refusal}");
    let stranger = site_with(&registry.docker_configuration("wrong-word"));
    for command in ["push", "pull"] {
        let refusal = match command {
            "push" => stranger.app.command_on_it("push", &[&tag]).await,
            _ => stranger.app.command(&["pull", &tag]).await,
        };
        let refusal = text(&refusal.expect("it runs"));
        assert!(refusal.contains("refuses access") && refusal.contains("log in again"), "{refusal}");
        assert!(!refusal.contains("wrong-word"), "{refusal}");
    }
    let docker = registry.docker_configuration(PASSWORD);
    let owner = site_with(&docker);
    let pinned = owner.push(&tag, &["--sign", "ours.key"]).await;
    owner.pull(&pinned, &OURS).await.expect("it is there");
    let host = App::at(PathBuf::from(&tag)).environment("DOCKER_CONFIG", docker.to_str().expect("UTF-8"));
    let host = host.environment("BODEGA_CODE_CACHE", programs::code_cache().to_str().expect("UTF-8")).start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert!(!host.log().iter().any(|line| line.contains(PASSWORD)), "{:?}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_elsewhere_is_asked_over_tls_and_has_to_be_who_it_says() {
    let site = Site::new();
    let folder = site.app.folder();
    let authority = Authority::new(folder, "authority");
    authority.vouch(folder, "registry", ExtendedKeyUsagePurpose::ServerAuth);
    let Some(registry) = Registry::start_with_tls(&folder.join("registry.pem"), &folder.join("registry.key")).await
    else {
        return;
    };
    let address = registry.reference("team/shop:1");
    // By a name that the host does not take for its own machine, which would be asked in plain HTTP.
    let tag = address.replacen("127.0.0.1", ANYWHERE, 1);
    let stranger = text(&site.app.command_on_it("push", &[&tag]).await.expect("it runs"));
    assert!(stranger.contains("cannot be reached over TLS") && stranger.contains("certificate"), "{stranger}");
    let plain = text(&site.app.command_on_it("push", &[&tag, "--insecure"]).await.expect("it runs"));
    assert!(plain.contains("the answer has status 400"), "{plain}");

    let trusted = folder.join("authority.pem").to_str().expect("UTF-8").to_owned();
    let (words, hello) = ("words ".repeat(100), "files = [\"words.txt\"]");
    let shop = App::new().file("words.txt", words).guest("hello", hello).environment("SSL_CERT_FILE", &trusted);
    let pushed = shop.command_on_it("push", &[&tag]).await.expect("it runs");
    assert!(pushed.status.success(), "{}", text(&pushed));
    let host = App::at(PathBuf::from(&tag)).environment("SSL_CERT_FILE", &trusted).start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}
