//! The WASI 0.2 interfaces besides HTTP, as the standard library uses them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, thread};

use serde_json::{Map, Value, json};
use wasip2::random::random::get_random_bytes;

const WAIT: Duration = Duration::from_millis(20);
const RANDOM_BYTES: u64 = 16;

pub(crate) fn environment() -> Value {
    let environment: Map<String, Value> = env::vars().map(|(name, value)| (name, value.into())).collect();
    json!({ "environment": environment, "arguments": env::args().collect::<Vec<_>>() })
}

pub(crate) fn clocks() -> Value {
    let start = Instant::now();
    thread::sleep(WAIT);
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    json!({ "unix_seconds": unix.as_secs(), "waited_ns": start.elapsed().as_nanos() as u64 })
}

pub(crate) fn random() -> Value {
    json!({ "bytes": get_random_bytes(RANDOM_BYTES) })
}

/// Reads `path`, then tries to change it and to leave the folder.
pub(crate) fn files(path: &str) -> Value {
    let path = format!("/{path}");
    json!({
        "mount": "/",
        "content": crate::outcome(fs::read_to_string(&path).map(Value::from)),
        "write": refusal(fs::OpenOptions::new().write(true).open(&path)),
        "create": refusal(fs::File::create("/new.txt")),
        "delete": refusal(fs::remove_file(&path)),
        "outside": refusal(fs::File::open("/../outside")),
    })
}

fn refusal<T>(result: io::Result<T>) -> Option<String> {
    result.err().map(|error| format!("{:?}", error.kind()))
}

/// Says `ping` to a server on this machine, and answers what that says.
pub(crate) fn connect(port: u16) -> io::Result<Value> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(b"ping")?;
    connection.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(json!({ "answer": answer }))
}

/// As [`connect`], in datagrams.
pub(crate) fn exchange_datagrams(port: u16) -> io::Result<Value> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.send_to(b"ping", ("127.0.0.1", port))?;
    let mut answer = [0; 64];
    let (length, _) = socket.recv_from(&mut answer)?;
    Ok(json!({ "answer": String::from_utf8_lossy(&answer[..length]) }))
}
