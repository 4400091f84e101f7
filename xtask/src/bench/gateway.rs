//! What the gateway costs: the smallest component with every policy on, beside the same component with none.

use std::fs;
use std::path::PathBuf;

use ::tests::tokens::{AUDIENCE, ISSUER, TokenIssuer};
use anyhow::{Result, ensure};

use crate::Bench;
use crate::load::{self, Load};
use crate::report::{Bar, Section, Table};

const CONNECTIONS: [usize; 2] = [16, 64];
/// The part of the requests per second that has to be left.
const LEFT_WANTED: f64 = 0.7;
/// A page that may ask.
const ORIGIN: &str = "https://shop.example";

/// Measures both, each with its own host, and the bare one with the same requests.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let issuer = TokenIssuer::new();
    let guarded = bench.hello("gateway", "")?;
    fs::write(guarded.folder().join("gateway.toml"), policies(&issuer))?;
    let guarded = guarded.environment("BODEGA_LOG", "info,access=info").environment("BODEGA_LOG_FORMAT", "json");
    let script = script(bench.folder.path().join("gateway.lua"), &issuer.access_token("customer"))?;
    let (ours, _) = guarded.start("/open")?;
    let (bare, _) = bench.hello("bare", "")?.start("/")?;

    let load = |url, connections| Load { script: Some(script.clone()), ..Load::get(url, connections) };
    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let pairs = bench.compare(&load(ours.url("/"), connections), &load(bare.url("/"), connections))?;
        let ratio = pairs.ratio(|side| side.requests_per_s);
        let what = format!("hello, {connections} connections, all policies: requests/s, with / without");
        bars.push(Bar::at_least(LEFT_WANTED, "x", what, ratio.median));
        rows.extend(load::rows(connections, &pairs));
    }
    let log = fs::read_to_string(guarded.log())?;
    ensure!(log.lines().any(|line| line.contains("\"limit_left\"")), "there is no access log");
    Ok(Section {
        title: "Gateway",
        about: "The component of the first section, with and without a `gateway.toml`. With it, each request has a token of \
                EdDSA that is required and verified, three rate limits that let it pass, CORS, security headers, changed \
                headers on both ways, and a line of JSON in the access log."
            .to_owned(),
        table: Table { columns: load::columns("all policies", "none"), rows },
        details: Vec::new(),
        bars,
    })
}

fn policies(issuer: &TokenIssuer) -> String {
    format!(
        "trusted_proxies = [\"10.0.0.0/8\"]\n\
         [tokens]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = '''{}'''\nclaims = {{ typ = \"access\" }}\n\
         [rate_limits.address]\nby = \"address\"\nrate = \"10000000/s\"\n\
         [rate_limits.user]\nby = \"user\"\nrate = \"10000000/s\"\n\
         [rate_limits.everybody]\nby = \"everybody\"\nrate = \"10000000/s\"\n\
         [all]\nauthentication = \"required\"\nroles = [\"customer\"]\nsecurity_headers = true\n\
         rate_limits = [\"address\", \"user\", \"everybody\"]\n\
         cors = {{ origins = [\"{ORIGIN}\"], credentials = true }}\n\
         request_headers = {{ remove = [\"x-debug\"] }}\nresponse_headers = {{ set = {{ server = \"shop\" }} }}\n\
         [[rules]]\npath = \"/open\"\nauthentication = \"off\"\nroles = []\n",
        issuer.jwks()
    )
}

fn script(path: PathBuf, token: &str) -> Result<PathBuf> {
    let script =
        format!("wrk.headers[\"authorization\"] = \"Bearer {token}\"\nwrk.headers[\"origin\"] = \"{ORIGIN}\"\n");
    fs::write(&path, script)?;
    Ok(path)
}
