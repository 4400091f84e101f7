//! Floods: no byte that a client sends costs the host more memory than a hundred bytes, nor more time on a processor than the
//! bytes of ordinary requests do, of which anybody may send as many.

use std::fs;
use std::time::Duration;

use tests::host::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get, headers, setting, settings,
};
use super::{app, assert_serves};

/// Bytes of memory that a byte of the client may cost the host.
const AMPLIFICATION_MAX: f64 = 100.0;
/// How much dearer than ordinary requests a flood may be, on a machine that is shared.
const DEARER_MAX: f64 = 3.0;
/// Memory that a host may take for whatever it does for the first time.
const FIRST_USE_BYTES: f64 = 32e6;
/// Time that a host may take for whatever it does beside.
const BESIDE: Duration = Duration::from_secs(1);
/// How long a flood may go on before the client has had enough.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the host is left to finish what a flood has begun.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);

const ORDINARY: &str = "GET /fixed HTTP/1.1\r\nhost: shop\r\n\r\n";

/// What one connection sends, and on how many of them, one after the other.
struct Flood {
    name: &'static str,
    sent: Vec<u8>,
    connections: usize,
    /// Whether the client reads what comes back.
    reads: bool,
}

impl Flood {
    /// After an HTTP/2 preface.
    fn of(name: &'static str, sent: impl AsRef<[u8]>) -> Self {
        Self { name, sent: [PREFACE, &settings(), sent.as_ref()].concat(), connections: 10, reads: true }
    }

    fn http1(name: &'static str, sent: String) -> Self {
        Self { name, sent: sent.into_bytes(), connections: 10, reads: true }
    }

    fn unread(self) -> Self {
        Self { name: self.name, reads: false, ..self }
    }

    /// Sends it; gives the bytes that the host has taken.
    async fn run(&self, host: &Host) -> usize {
        let mut taken = 0;
        for _ in 0..self.connections {
            let socket = TcpStream::connect(host.address()).await.expect("somebody listens");
            let (mut reader, mut writer) = socket.into_split();
            let reading = async {
                let mut thrown_away = vec![0; 64 << 10];
                while self.reads && matches!(reader.read(&mut thrown_away).await, Ok(1..)) {}
                // Without an end of reading, only the writer decides.
                if !self.reads {
                    std::future::pending::<()>().await;
                }
            };
            let mut written = 0;
            let writing = async {
                while let Some(rest) = self.sent.get(written..).filter(|rest| !rest.is_empty()) {
                    match writer.write(rest).await {
                        Ok(bytes) => written += bytes,
                        Err(_) => return,
                    }
                }
                // The rest of the answers is taken for a moment; the end of the connection is the end of the flood.
                let _ = writer.shutdown().await;
                sleep(SETTLES_WITHIN / 3).await;
            };
            let flood = async {
                tokio::select! { () = reading => {}, () = writing => {} }
            };
            // A host that takes nothing more has won.
            let _ = timeout(PATIENCE / u32::try_from(self.connections).expect("a few"), flood).await;
            taken += written;
        }
        taken
    }
}

/// Time that all threads of a process have had on a processor.
fn processor_time(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running process has threads");
    let of = |folder: fs::DirEntry| {
        let times = fs::read_to_string(folder.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of).sum())
}

/// What one byte of ordinary requests costs the host, in seconds.
async fn ordinary(host: &Host) -> f64 {
    let asked = Flood { connections: 4, ..Flood::http1("ordinary requests", ORDINARY.repeat(5_000)) };
    let before = processor_time(&host.pid().to_string());
    let bytes = asked.run(host).await as f64;
    let taken = processor_time(&host.pid().to_string()).saturating_sub(before).as_secs_f64();
    println!("figures: ordinary requests: {:.2} us/kB", taken * 1e9 / bytes);
    taken / bytes
}

async fn measure(host: &Host, flood: &Flood, ordinary: f64) {
    let pid = host.pid().to_string();
    let time = || (processor_time("self"), processor_time(&pid));
    let resident = host.resident_bytes();
    let (own_before, host_before) = time();
    let bytes = flood.run(host).await as f64;
    sleep(SETTLES_WITHIN).await;
    let (own, of_host) = time();
    let (own, of_host) = (own - own_before, of_host.saturating_sub(host_before));
    let grown = host.resident_bytes().saturating_sub(resident) as f64;
    println!(
        "figures: {}: {bytes} bytes taken; host {of_host:.1?}, client {own:.1?} ({:.1}x), {:.2} us/kB; host grown by {:.1} MB ({:.2} bytes per byte)",
        flood.name,
        of_host.as_secs_f64() / own.as_secs_f64(),
        of_host.as_secs_f64() * 1e9 / bytes,
        grown / 1e6,
        grown / bytes,
    );
    assert!(bytes > 1e5, "{}: the flood was none", flood.name);
    let at_most = BESIDE + Duration::from_secs_f64(ordinary * bytes * DEARER_MAX);
    assert!(of_host <= at_most, "{}: {of_host:?}, not at most {at_most:?}", flood.name);
    assert!(grown <= FIRST_USE_BYTES + bytes * AMPLIFICATION_MAX, "{}: {grown} bytes for {bytes}", flood.name);
    assert_serves(host, flood.name).await;
}

/// Requests of HTTP/2 that are taken back at once.
fn rapid_reset(path: &str) -> Vec<u8> {
    let pair =
        |number: u32| [get(2 * number + 1, path), frame(RST_STREAM, 0, 2 * number + 1, 8_u32.to_be_bytes())].concat();
    (0..2_000).flat_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flood_of_frames_is_dearer_than_requests() {
    let host = app().start().await;
    let ordinary = ordinary(&host).await;
    let open = headers(
        1,
        0,
        &[(":method", "POST"), (":scheme", "http"), (":path", "/misbehave/count"), (":authority", "shop")],
    );
    let after = |first: &[u8], many: Vec<u8>, times: usize| [first, &many.repeat(times)].concat();
    let never = "/misbehave/never";
    let header = block(&[("x", &"y".repeat(1_000))]);
    for flood in [
        Flood::of("rapid reset", rapid_reset("/hello/")),
        Flood::of("rapid reset of fixed answers", rapid_reset("/fixed")),
        Flood::of("rapid reset of slow requests", rapid_reset(never)),
        Flood::of("resets that the host makes", after(&open, frame(WINDOW_UPDATE, 0, 1, 0_u32.to_be_bytes()), 20_000)),
        Flood::of("CONTINUATION", after(&frame(HEADERS, 0, 1, []), frame(CONTINUATION, 0, 1, &header), 2_000)),
        Flood::of("empty CONTINUATION", after(&frame(HEADERS, 0, 1, []), frame(CONTINUATION, 0, 1, []), 20_000)),
        Flood::of("SETTINGS", after(&[], setting(4, 65_535), 20_000)),
        Flood::of("SETTINGS without reading", after(&[], setting(4, 65_535), 50_000)).unread(),
        Flood::of("PING", after(&[], frame(PING, 0, 0, [0; 8]), 20_000)),
        Flood::of("PING without reading", after(&[], frame(PING, 0, 0, [0; 8]), 50_000)).unread(),
        Flood::of("answers to no PING", after(&[], frame(PING, ACK, 0, [0; 8]), 20_000)),
        Flood::of("PRIORITY", after(&[], frame(PRIORITY, 0, 3, [0, 0, 0, 0, 1]), 20_000)),
        Flood::of("WINDOW_UPDATE", after(&open, frame(WINDOW_UPDATE, 0, 1, 1_u32.to_be_bytes()), 20_000)),
        Flood::of("empty DATA", after(&open, frame(DATA, 0, 1, []), 20_000)),
        Flood::of("DATA of one byte", after(&open, frame(DATA, 0, 1, [0]), 20_000)),
        Flood::of("unknown frames", after(&[], frame(99, 0, 0, []), 20_000)),
        Flood::of("empty settings", after(&[], frame(SETTINGS, 0, 0, []), 20_000)),
        Flood::of(
            "malformed requests",
            (0..5_000)
                .flat_map(|number| headers(2 * number + 1, END_STREAM, &[(":method", "GET")]))
                .collect::<Vec<_>>(),
        ),
        Flood::of(
            "requests that never end",
            (0..5_000).flat_map(|number| get(2 * number + 1, never)).collect::<Vec<_>>(),
        ),
        Flood::of(
            "headers that never end",
            (0..100)
                .flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, header.repeat(15)))
                .collect::<Vec<_>>(),
        ),
    ] {
        measure(&host, &flood, ordinary).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flood_of_http_1_is_dearer_than_requests() {
    let host = app().start().await;
    let ordinary = ordinary(&host).await;
    let chunked = |chunk: &str, times: usize| {
        format!(
            "POST /misbehave/count HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n{}",
            chunk.repeat(times)
        )
    };
    for flood in [
        Flood::http1("chunks of one byte", chunked("1\r\nx\r\n", 20_000)),
        Flood::http1("chunks of one byte with extensions", chunked("1;a=b\r\nx\r\n", 1_000)),
        Flood::http1("pipelined requests without reading", ORDINARY.repeat(50_000)).unread(),
        Flood::http1("empty lines", "\r\n".repeat(100_000)),
        Flood::http1("header lines", format!("GET / HTTP/1.1\r\nhost: shop\r\n{}", "x: y\r\n".repeat(100_000))),
        Flood::http1("a line without end", format!("GET /{}", "x".repeat(1_000_000))),
    ] {
        measure(&host, &flood, ordinary).await;
    }
}
