//! Servers under measurement: processes of their own, with their memory and their first answer.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use serde_json::Value;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a start is looked at: well below what is told about it (milliseconds).
const POLL: Duration = Duration::from_micros(200);
/// Lines of a log that are told with a failure.
const LOG_LINES_TOLD: usize = 20;
const STATUS_200: &[u8; 12] = b"HTTP/1.1 200";

/// A running server; dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// CPU time of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTime {
    /// In its own code, in seconds.
    pub(crate) user_s: f64,
    /// In the kernel on its behalf, in seconds.
    pub(crate) system_s: f64,
}

/// Memory that a process has resident, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident_bytes: u64,
    /// At most since its start.
    pub(crate) peak_bytes: u64,
}

impl Server {
    /// Starts what `command` makes of the address to listen on, and waits until `path` is answered 200.
    ///
    /// Tells the time from before the start to the first bytes of that answer. What the server prints goes to `log`.
    pub(crate) fn start(
        command: impl FnOnce(SocketAddr) -> Command,
        path: &str,
        log: &Path,
    ) -> Result<(Self, Duration)> {
        let address = free_address()?;
        let mut command = command(address);
        let output = File::create(log).with_context(|| format!("{}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("{:?} does not run", command.get_program()))?;
        let mut server = Self { child, address, log: log.to_owned() };
        while !answers(address, path) {
            let ended = server.child.try_wait()?;
            let failed = ended.is_some() || begin.elapsed() > PATIENCE;
            ensure!(!failed, "{command:?} gives no 200 at {path} ({ended:?}):\n{}", fs::read_to_string(log)?);
            sleep(POLL);
        }
        Ok((server, begin.elapsed()))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The body of `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        Ok(ureq::get(self.url(path)).call()?.body_mut().read_to_vec()?)
    }

    /// The body of `path` on the admin listener, whose address the host prints at its start.
    pub(crate) fn get_admin(&self, path: &str) -> Result<Vec<u8>> {
        let log = fs::read_to_string(&self.log)?;
        let line = log.lines().find_map(|line| line.strip_prefix("admin on "));
        let url = line.context("the host does not say where its admin listener is")?.trim_end_matches('/');
        Ok(ureq::get(format!("{url}{path}")).call()?.body_mut().read_to_vec()?)
    }

    /// Posts JSON to `path`, and gives the JSON of the answer. One that is no success is an error.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = ureq::post(self.url(path)).content_type("application/json");
        let answer =
            request.send(body.to_string()).with_context(|| format!("POST {path}"))?.body_mut().read_to_string()?;
        serde_json::from_str(&answer).with_context(|| format!("POST {path}: {answer}"))
    }

    /// The last of what the process printed, to be told with a failure.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_TOLD)..].join("\n");
        format!("the end of {}:\n{last}", self.log.display())
    }

    /// The memory of the process.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::parse(&fs::read_to_string(format!("/proc/{}/status", self.child.id()))?)
    }

    /// The CPU time that the process has used so far.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        CpuTime::parse(&fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?)
    }

    /// Asks the process to end, and waits until it has: its stores are then complete on disk.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begin.elapsed() < PATIENCE, "the server does not end");
            sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All fail only if the process has ended already, which is what is wanted.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && getpgid(Some(pid)) == Ok(pid)
        {
            // It has a group of its own, and processes in it.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl CpuTime {
    fn parse(stat: &str) -> Result<Self> {
        // The name of the program is in parentheses and may hold anything; after it come state, and 10 fields more.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let seconds = |index: usize| {
            let ticks: f64 = fields.get(index).context("a short /proc/PID/stat")?.parse()?;
            anyhow::Ok(ticks / clock_ticks_per_second() as f64)
        };
        Ok(Self { user_s: seconds(11)?, system_s: seconds(12)? })
    }

    /// The share of each, if this is what `count` took.
    pub(crate) fn each(self, count: f64) -> Self {
        Self { user_s: self.user_s / count, system_s: self.system_s / count }
    }

    /// All of it, in microseconds.
    pub(crate) fn total_us(self) -> f64 {
        (self.user_s + self.system_s) * 1e6
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }
}

impl Memory {
    fn parse(status: &str) -> Result<Self> {
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = value.with_context(|| format!("no {name} in the status of the process"))?;
            Ok::<_, anyhow::Error>(kilobytes.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        Ok(Self { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

fn free_address() -> Result<SocketAddr> {
    // The port is free again when the listener is dropped, and is not given out anew for a while.
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Whether GET of `path` is answered 200; a server that is not there yet, or not ready, gives no such answer.
fn answers(address: SocketAddr, path: &str) -> bool {
    let answer = || {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; STATUS_200.len()];
        connection.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status == *STATUS_200)
    };
    answer().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn cpu_time_is_read_past_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0";
        let ticks = clock_ticks_per_second() as f64;
        let used = CpuTime::parse(stat).unwrap();
        assert_eq!(used, CpuTime { user_s: 250.0 / ticks, system_s: 50.0 / ticks });
        assert_eq!(used.since(used), CpuTime { user_s: 0.0, system_s: 0.0 });
        assert!(CpuTime::parse("42 (short) S").is_err());
    }

    #[test]
    fn only_a_200_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
                assert_eq!(head.next().unwrap(), "GET /ready HTTP/1.1");
                assert_eq!(head.count(), 2);
                // In one piece: the other side closes as soon as it has the status.
                (&stream).write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            }
        });
        assert!(!answers(address, "/ready"));
        assert!(answers(address, "/ready"));
        server.join().unwrap();
        assert!(!answers(address, "/ready"), "nobody listens any more");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let memory = Memory::parse("Name:\tbodega\nVmHWM:\t   30720 kB\nVmRSS:\t   20480 kB\n").unwrap();
        assert_eq!(memory, Memory { resident_bytes: 20 << 20, peak_bytes: 30 << 20 });
        assert!(Memory::parse("Name:\tzombie\n").is_err());
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let command = |_| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo no such manifest; exit 1"]);
            command
        };
        let error = Server::start(command, "/", &folder.path().join("log")).err().unwrap().to_string();
        assert!(error.contains("no such manifest"), "{error}");
    }
}
