//! Which signatures count.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use super::*;

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// A pair of keys in files.
fn keys(folder: &Path, name: &str) -> (SigningKey, PublicKey) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    let path = folder.join(format!("{name}.key"));
    std::fs::write(&path, pem("PRIVATE KEY", pkcs8.as_ref())).unwrap();
    let key = SigningKey::read(&path).unwrap();
    let public_key = key.public_key();
    (key, public_key)
}

fn signed(key: &SigningKey, payload: &Value) -> Evidence {
    let payload = payload.to_string();
    let signature = STANDARD.encode(key.sign(payload.as_bytes()).unwrap());
    Evidence::Payload { payload, signature }
}

fn bundled(key: &SigningKey, statement: &Value, payload_type: &str) -> Evidence {
    let statement = statement.to_string();
    let message = bundle::pre_authentication_encoding(payload_type, statement.as_bytes());
    let envelope = json!({
        "payload": STANDARD.encode(&statement),
        "payloadType": payload_type,
        "signatures": [{ "sig": STANDARD.encode(key.sign(&message).unwrap()) }],
    });
    Evidence::Bundle(json!({ "mediaType": media_type::SIGNATURE_BUNDLE, "dsseEnvelope": envelope }).to_string())
}

#[test]
fn only_the_key_the_digest_and_the_purpose_together_count() {
    let folder = tempfile::tempdir().unwrap();
    let ((ours, our_public), (theirs, their_public)) = (keys(folder.path(), "ours"), keys(folder.path(), "theirs"));
    let (digest, other) = (digest_of(b"this"), digest_of(b"other"));
    let payload = |digest: &str, kind: &str| json!({ "critical": { "identity": {}, "image": { "docker-manifest-digest": digest }, "type": kind }, "optional": null });
    let good = signed(&ours, &payload(&digest, PAYLOAD_TYPE));
    assert!(good.is_good(std::slice::from_ref(&our_public), &digest));
    assert!(good.is_good(&[their_public.clone(), our_public.clone()], &digest), "one of several keys is enough");
    assert!(!good.is_good(&[], &digest) && !good.is_good(&[their_public], &digest));
    let keys = [our_public];
    assert!(!good.is_good(&keys, &other), "it is of another manifest");
    assert!(!signed(&ours, &payload(&digest, "something else")).is_good(&keys, &digest));
    assert!(!signed(&theirs, &payload(&digest, PAYLOAD_TYPE)).is_good(&keys, &digest));
    let Evidence::Payload { payload, signature } = good else { unreachable!() };
    let changed = Evidence::Payload { payload: payload.replace("null", "{}"), signature };
    assert!(!changed.is_good(&keys, &digest));
}

#[test]
fn a_bundle_counts_if_it_is_a_signature_and_no_other_statement() {
    let folder = tempfile::tempdir().unwrap();
    let ((ours, our_public), (theirs, _)) = (keys(folder.path(), "ours"), keys(folder.path(), "theirs"));
    let (digest, keys) = (digest_of(b"this"), [our_public]);
    let statement = |digest: &str, predicate: &str| {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": hex_of(digest).unwrap() } }],
            "predicateType": predicate,
            "predicate": {},
        })
    };
    let (signature, statement_type) = ("https://sigstore.dev/cosign/sign/v1", "application/vnd.in-toto+json");
    assert!(bundled(&ours, &statement(&digest, signature), statement_type).is_good(&keys, &digest));
    for bad in [
        bundled(&theirs, &statement(&digest, signature), statement_type),
        bundled(&ours, &statement(&digest_of(b"other"), signature), statement_type),
        bundled(&ours, &statement(&digest, "https://slsa.dev/provenance/v1"), statement_type),
        bundled(&ours, &statement(&digest, signature), "text/plain"),
        Evidence::Bundle("{}".to_owned()),
    ] {
        assert!(!bad.is_good(&keys, &digest), "{bad:?}");
    }
}

#[test]
fn keys_of_other_kinds_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let signing = SigningKey::read(&path).err().unwrap().to_string();
        (signing, PublicKey::read(&path).unwrap_err().to_string())
    };
    let (encrypted, _) = refusal("cosign.key", &pem("ENCRYPTED SIGSTORE PRIVATE KEY", b"x"));
    assert!(encrypted.contains("encrypted") && encrypted.contains("cosign sign --key"), "{encrypted}");
    let (sec1, _) = refusal("ec.key", &pem("EC PRIVATE KEY", b"x"));
    assert!(sec1.contains("openssl pkcs8"), "{sec1}");
    let (_, other) = refusal("other.pub", &pem("PUBLIC KEY", &[0; 91]));
    assert!(other.contains("P-256"), "{other}");
    let (signing, verifying) = refusal("text", "hello");
    assert!(signing.contains("PRIVATE KEY") && verifying.contains("PUBLIC KEY"), "{signing} {verifying}");
}
