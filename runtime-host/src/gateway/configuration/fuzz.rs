//! Any text is a `gateway.toml` whose rules can be had, or is refused with a place in it.

use http::header::HOST;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::rule::{Asked, Matcher};
use super::*;
use crate::fuzz::{check_refusal, fuzz};

const WORDS: [&str; 36] = [
    "[[rules]]\n",
    "[all]\n",
    "[tokens]\n",
    "[rate_limits.a]\n",
    "path = \"/a/:b\"\n",
    "path = \"/...\"\n",
    "methods = [\"GET\"]\n",
    "methods = []\n",
    "host = \"shop.example\"\n",
    "headers = { x = true, y = \"a\" }\n",
    "query = { a = true, b = \"c d\" }\n",
    "deny = true\n",
    "deny = false\n",
    "redirect = { to = \"https://a{uri}\", status = 308 }\n",
    "body_bytes_max = 1\n",
    "authentication = \"required\"\n",
    "roles = [\"a\"]\n",
    "scopes = [\"a\"]\n",
    "rate_limits = [\"a\"]\n",
    "rate = \"1/s\"\n",
    "burst = 4294967295\n",
    "by = \"user\"\n",
    "tiers = { a = \"1/d\" }\n",
    "security_headers = true\n",
    "cors = { origins = [\"*\"], credentials = true }\n",
    "trusted_proxies = [\"::/0\"]\n",
    "forwarded_header = \"forwarded\"\n",
    "request_headers = { remove = [\"a\"], rename = { a = \"b\" } }\n",
    "response_headers = { set = { a = \"é\" }, add = { b = \"\" } }\n",
    "{{ token_issuer }}",
    "{uri}",
    "max_age = \"1d\"",
    "/",
    "*",
    "\"",
    "=",
];

#[test]
fn any_text_has_rules_that_can_be_had_or_is_refused_with_a_place_in_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = crate::manifest::load(&root.join("spin.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fuzz(
        "gateway",
        &WORDS,
        |text| text,
        |text| {
            std::fs::write(&path, text).unwrap();
            match Configuration::load(&path, &manifest, None, None) {
                Err(error) => check_refusal(text, &error),
                Ok(configuration) => check(text, &path, &manifest, &configuration),
            }
        },
    );
}

fn check(text: &str, path: &Path, manifest: &Manifest, configuration: &Configuration) -> Result<(), TestCaseError> {
    for doubt in configuration.doubts(path, manifest) {
        check_refusal(text, &doubt)?;
    }
    for (place, rule) in configuration.rules.iter().enumerate() {
        let Some(request) = witness(&rule.matcher) else { continue };
        let asked = Asked::new(&request);
        prop_assert!(rule.matcher.matches(&asked), "{:?} is not for {:?}", rule.matcher, request);
        let first = configuration.rules.iter().position(|rule| rule.matcher.matches(&asked));
        let found = configuration.rule_for(&request);
        // A preflight is for the rule of what it asks about.
        if Cors::preflight(&request.method, &request.headers).is_none() {
            prop_assert_eq!(found, first);
        }
        for earlier in configuration.rules[..place].iter().filter(|earlier| earlier.matcher.covers(&rule.matcher)) {
            prop_assert!(earlier.matcher.matches(&asked), "{:?} covers {:?}", earlier.matcher, rule.matcher);
        }
    }
    Ok(())
}

/// A request that the rule is for; none if its path is no path of a URL.
fn witness(matcher: &Matcher) -> Option<Parts> {
    let path = matcher.path.as_ref().map_or("/", |path| path.as_str());
    let wildcard = path.strip_suffix("/...").or_else(|| path.strip_suffix("/*"));
    let segment = |text: &str| if text.starts_with(':') { "x".to_owned() } else { text.to_owned() };
    let path: Vec<String> = wildcard.unwrap_or(path).split('/').map(segment).collect();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &matcher.query {
        query.append_pair(name, value.as_deref().unwrap_or("any"));
    }
    let uri = format!("/{}?{}", path.join("/").trim_start_matches('/'), query.finish());
    let method = matcher.methods.as_ref().map_or(Some(Method::GET), |methods| methods.first().cloned())?;
    let mut parts = Request::builder().method(method).uri(uri).body(()).ok()?.into_parts().0;
    for (name, value) in &matcher.headers {
        parts.headers.append(name, value.clone().unwrap_or(HeaderValue::from_static("any")));
    }
    if let Some(host) = &matcher.host {
        parts.headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    }
    Some(parts)
}
