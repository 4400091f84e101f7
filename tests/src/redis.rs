//! A Redis server of a test's own.

use std::env;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::host::PATIENCE;

const PROGRAM: &str = "redis-server";

/// The server; it ends with the test.
pub struct RedisServer {
    port: u16,
    _process: Child,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts one on a free port, which writes all to disk before it answers. `None`, with a word about it, where the machine has no
    /// Redis; in CI that is a failure.
    pub async fn start() -> Option<Self> {
        let folder = TempDir::with_prefix("bodega-redis-").expect("a folder for the server");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut command = Command::new(PROGRAM);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
                eprintln!("skipped: there is no {PROGRAM}; apt-get install {PROGRAM}");
                return None;
            }
            Err(error) => panic!("{PROGRAM} does not start: {error}"),
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "{PROGRAM} does not answer");
            sleep(Duration::from_millis(10)).await;
        }
        Some(Self { port, _process: process, _folder: folder })
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: u32) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }
}
