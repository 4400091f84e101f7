//! nginx as a reverse proxy, which does in front of the host what the gateway does inside of it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::load::{self, Load};
use crate::report::{Bar, Section, Table};
use crate::server::Server;
use crate::{Bench, product};

const CONNECTIONS: [usize; 2] = [16, 64];
/// Neither limit is ever reached.
const REQUESTS_PER_S: u32 = 1_000_000;

/// Measures both with a component that does nothing, and with products that are in the cache.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let gateway = format!(
        "[rate_limits.address]\nby = \"address\"\nrate = \"{REQUESTS_PER_S}/s\"\n[all]\nrate_limits = [\"address\"]\n"
    );
    let guarded = bench.hello("beside-nginx", "")?;
    fs::write(guarded.folder().join("gateway.toml"), &gateway)?;
    let (ours, _) = guarded.start("/")?;
    let (bare, _) = bench.hello("behind-nginx", "")?.start("/")?;
    let nginx = start(bench, "nginx-hello", &bare, false, "/")?;
    let mut sides = Sides { bench, bars: Vec::new(), rows: Vec::new() };
    sides.compare("hello", |connections, is_ours| {
        Load::get(if is_ours { ours.url("/") } else { nginx.url("/") }, connections)
    })?;
    drop((ours, bare, nginx));

    let stocked = bench.stocked()?;
    let shop = |name: &str| {
        let shop = bench.shop(name)?;
        shop.copy_catalogue(&stocked.shop)?;
        Ok::<_, anyhow::Error>(shop)
    };
    let (caching, plain) = (shop("cache-beside-nginx")?, shop("behind-nginx-cache")?);
    let rule = "[[rules]]\npath = \"/api/products/...\"\ncache = { ttl = \"1h\" }\n";
    fs::write(caching.folder().join("gateway.toml"), format!("{gateway}{rule}"))?;
    let paths = product::paths(&rusqlite::Connection::open(caching.database())?)?;
    let first = paths.first().context("the catalogue is empty")?;
    let (ours, _) = caching.start()?;
    let (bare, _) = plain.start()?;
    let nginx = start(bench, "nginx-products", &bare, true, first)?;
    for path in &paths {
        ensure!(ours.get(path)? == nginx.get(path)?, "the servers answer {path} differently");
    }
    let script = load::paths_script(bench.folder.path().join("nginx-products.lua"), &paths)?;
    sides.compare("product from the cache", |connections, is_ours| {
        let url = if is_ours { ours.url("/") } else { nginx.url("/") };
        Load { url, connections, script: Some(script.clone()) }
    })?;
    let Sides { bars, rows, .. } = sides;
    Ok(Section {
        title: "Gateway beside nginx",
        about: format!(
            "{} as a reverse proxy with `limit_req` (and `proxy_cache` for products) in front of the bare host over kept \
             connections, with a worker for each core and no access log; and the host with a gateway that limits and caches \
             itself.",
            version()?
        ),
        table: Table { columns: load::columns("gateway", "nginx"), rows },
        details: Vec::new(),
        bars,
    })
}

struct Sides<'b> {
    bench: &'b Bench,
    bars: Vec<Bar>,
    rows: Vec<Vec<String>>,
}

impl Sides<'_> {
    /// Ours has to have more requests per second, and none of the slowest later.
    fn compare(&mut self, what: &str, load: impl Fn(usize, bool) -> Load) -> Result<()> {
        for connections in CONNECTIONS {
            let pairs = self.bench.compare(&load(connections, true), &load(connections, false))?;
            let named = |figure: &str| format!("{what}, {connections} connections: {figure}, gateway / nginx");
            let (rate, p99) = (pairs.ratio(|side| side.requests_per_s), pairs.ratio(|side| side.p99_us));
            self.bars.push(Bar::at_least(1.0, "x", named("requests/s"), rate.median));
            self.bars.push(Bar::at_most(1.0, "x", named("p99"), p99.median));
            let named = |mut row: Vec<String>| {
                row[1] = format!("{what}: {}", row[1]);
                row
            };
            self.rows.extend(load::rows(connections, &pairs).into_iter().map(named));
        }
        Ok(())
    }
}

/// nginx in front of the host `behind`; all of its processes end with the server.
fn start(bench: &Bench, name: &str, behind: &Server, caches: bool, ready: &str) -> Result<Server> {
    let folder = bench.folder.path().join(name);
    fs::create_dir(&folder)?;
    let configuration = folder.join("nginx.conf");
    let command = |address: SocketAddr| {
        // If it cannot be written, nginx says that it is not there.
        let _ = fs::write(&configuration, text(&folder, address, behind.address(), caches));
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(&configuration).process_group(0);
        command
    };
    let (server, _) = Server::start(command, ready, &folder.join("log")).context("Debian has it as `nginx-light`")?;
    Ok(server)
}

fn text(folder: &Path, address: SocketAddr, behind: SocketAddr, caches: bool) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|name| format!("  {name}_temp_path {folder}/{name};\n")).collect();
    let cache = if caches { "proxy_cache products; proxy_cache_valid 200 1h;" } else { "" };
    format!(
        "daemon off;\nworker_processes auto;\npid {folder}/pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n{temporary}\
         limit_req_zone $binary_remote_addr zone=address:10m rate={REQUESTS_PER_S}r/s;\n\
         proxy_cache_path {folder}/cache levels=1:2 keys_zone=products:10m;\n\
         upstream host {{ server {behind}; keepalive 64; keepalive_requests 1000000000; }}\n\
         server {{\n    listen {address} backlog=4096;\n    location / {{\n\
         limit_req zone=address burst=1000000 nodelay;\n      {cache}\n      proxy_pass http://host;\n\
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
    )
}

/// What nginx calls itself.
fn version() -> Result<String> {
    let output =
        Command::new("nginx").arg("-v").output().context("nginx does not run (Debian has it as `nginx-light`)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(said.trim().trim_start_matches("nginx version: ").to_owned())
}
