//! What only the store in Redis does, and a server to do it in.

use std::env;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use ::redis::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::*;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
const PROGRAM: &str = "redis-server";

/// A Redis server on a port of its own, which ends with the test.
pub(super) struct Server {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts one; `None`, with a word about it, where the machine has no Redis. In CI that is a failure.
    pub(super) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        match spawn(&folder, port) {
            Ok(process) => {
                let server = Self { process, folder, port };
                server.until_it_answers();
                Some(server)
            }
            Err(error) if error.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
                eprintln!("skipped: there is no {PROGRAM}; apt-get install {PROGRAM}");
                None
            }
            Err(error) => panic!("{PROGRAM}: {error}"),
        }
    }

    fn until_it_answers(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        // It takes connections while it still reads what it had written.
        let is_ready = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            let mut answer = [0; 5];
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)?;
            std::io::Result::Ok(&answer == b"+PONG")
        };
        while !is_ready().is_ok_and(|ready| ready) {
            assert!(std::time::Instant::now() < deadline, "{PROGRAM} does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same port, with what it has written.
    fn start_again(&mut self) {
        self.process = spawn(&self.folder, self.port).unwrap();
        self.until_it_answers();
    }

    pub(super) fn store(&self, ttl: Option<Duration>) -> Redis {
        Redis::open(&self.server(""), ttl).unwrap()
    }

    /// With the URL's path.
    fn server(&self, path: &str) -> RedisServer {
        RedisServer::parse(&format!("redis://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    /// Runs a command as another client of the server.
    pub(super) async fn run(&self, command: &[&str]) -> Value {
        let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut cmd = ::redis::cmd(command[0]);
        cmd.arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }

    /// How long an entry still lives, in milliseconds; `None` for ever.
    async fn life_ms(&self, key: &str) -> Option<i64> {
        match self.run(&["PTTL", key]).await {
            Value::Int(-1) => None,
            Value::Int(life) if life >= 0 => Some(life),
            other => panic!("{key}: {other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, port: u16) -> std::io::Result<Child> {
    let port = port.to_string();
    // What it has acknowledged is on disk, as a shop would have it.
    let arguments = ["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always"];
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["--save", "", "--dir"]).arg(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[tokio::test]
async fn every_write_lets_an_entry_live_anew() {
    let Some(server) = Server::start() else { return };
    let ttl = Duration::from_secs(3_600);
    let store = server.store(Some(ttl));
    let bounds = 3_590_000..=3_600_000;
    store.set(key("set"), vec![1]).await.unwrap();
    store.set_many(vec![(key("many"), vec![1]), (key("swapped"), vec![1])]).await.unwrap();
    store.increment(key("n"), 1).await.unwrap();
    let cas = store.compare(key("swapped")).await.unwrap();
    server.run(&["PERSIST", "swapped"]).await;
    assert_eq!(store.swap(cas, vec![2]).await, Ok(Swap::Done));
    for name in ["set", "many", "swapped", "n"] {
        let life = server.life_ms(name).await;
        assert!(life.is_some_and(|life| bounds.contains(&life)), "{name}: {life:?}");
    }
    // A sum that fails changes nothing, not even how long the entry lives.
    server.run(&["PERSIST", "set"]).await;
    assert_eq!(store.increment(key("set"), 1).await, Err(Error::NotDecimal));
    assert_eq!(server.life_ms("set").await, None);
    let lasting = server.store(None);
    lasting.set(key("set"), vec![1]).await.unwrap();
    lasting.increment(key("m"), 1).await.unwrap();
    assert_eq!((server.life_ms("set").await, server.life_ms("m").await), (None, None));
}

#[tokio::test]
async fn an_entry_is_gone_after_its_time() {
    let Some(server) = Server::start() else { return };
    let store = server.store(Some(Duration::from_millis(50)));
    store.set(key("a"), vec![1]).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while store.exists("a").await.unwrap() {
        assert!(Instant::now() < deadline, "it lives on");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((store.get("a").await, store.sweep_expired().await), (Ok(None), Ok(0)));
}

#[tokio::test]
async fn what_spin_writes_is_read_and_the_other_way_round() {
    let Some(server) = Server::start() else { return };
    let store = server.store(None);
    // As Spin does: keys without a prefix, numbers by INCRBY.
    server.run(&["SET", "cart:1", "mug"]).await;
    server.run(&["INCRBY", "orders", "41"]).await;
    assert_eq!(store.get("cart:1").await, Ok(Some(b"mug".to_vec())));
    assert_eq!(store.increment(key("orders"), 1).await, Ok(42));
    assert_eq!(server.run(&["GET", "orders"]).await, Value::BulkString(b"42".to_vec()));
    // Of a key that holds no value of this kind, and of one that no guest can name, nothing is listed.
    server.run(&["RPUSH", "a list", "1"]).await;
    server.run(&["EVAL", r"return redis.call('SET', '\255', 1)", "0"]).await;
    assert_eq!(keys_of(&store).await, ["cart:1", "orders"]);
    assert!(matches!(store.get("a list").await, Err(Error::Backend(text)) if text.contains("WRONGTYPE")));
    assert_eq!(store.keys(Some(key("x"))).await, Err(Error::BadCursor));
}

#[tokio::test]
async fn databases_of_one_server_are_apart() {
    let Some(server) = Server::start() else { return };
    let open = |path: &str| Redis::open(&server.server(path), None).unwrap();
    let (first, second) = (open("/0"), open("/1"));
    first.set(key("a"), vec![1]).await.unwrap();
    assert_eq!(second.get("a").await, Ok(None));
    assert_eq!(open("").get("a").await, Ok(Some(vec![1])));
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store(None);
    store.set(key("a"), vec![1]).await.unwrap();
    // Restarted between two calls: nobody notices.
    server.stop();
    server.start_again();
    assert_eq!(store.get("a").await, Ok(Some(vec![1])));
    server.stop();
    let address = format!("redis://127.0.0.1:{}/0", server.port);
    for _ in 0..2 {
        let error = store.get("a").await.unwrap_err().to_string();
        assert!(error.contains(&format!("{address} cannot be reached")), "{error}");
    }
    server.start_again();
    assert_eq!(store.get("a").await, Ok(Some(vec![1])));
    assert_eq!(store.increment(key("n"), 1).await, Ok(1));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = RedisServer::parse(&format!("redis://{}", silent.local_addr().unwrap())).unwrap();
    let store = Redis::open(&server, None).unwrap();
    let begun = Instant::now();
    let error = store.get("a").await.unwrap_err().to_string();
    assert!(error.contains("did not answer within"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn no_password_is_shown() {
    let server = RedisServer::parse("redis://shop:hunter2@127.0.0.1:1/3").unwrap();
    let store = Redis::open(&server, None).unwrap();
    let error = store.get("a").await.unwrap_err();
    let shown = format!("{server} {server:?} {store:?} {error} {error:?}");
    assert!(shown.contains("redis://127.0.0.1:1/3") && !shown.contains("hunter2"), "{shown}");
    for url in
        ["http://shop:hunter2@host", "redis://shop:hunter2@host:port", "redis:hunter2", "redis://:hunter2@host/x"]
    {
        let problem = RedisServer::parse(url).unwrap_err();
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}
