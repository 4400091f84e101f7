//! One misbehaviour per path (its last segment), each of which a host must survive:
//!
//! | path | what happens |
//! |---|---|
//! | `loop` | computes for ever |
//! | `recurse` | calls itself until the stack ends |
//! | `memory`, `table`, `handle-leak` | takes memory, table entries or resource handles without end |
//! | `trap`, `panic` | ends by `unreachable`, by a panic |
//! | `trap-after?ms=` | traps later, while neighbours are on the same instance |
//! | `slow?ms=` | answers `slow` after that time: the well-behaved neighbour |
//! | `never` | does not answer within a day |
//! | `stall-body`, `endless-body` | begins a body that stalls, or never ends |
//! | `trap-body?ms=` | begins a body and traps in the middle of it, after that time |
//! | `headers-40000` | answers with that many header fields |
//! | `allocate?bytes=` | takes that much memory and answers how much |
//! | `chain-cycle`, `self-cycle` | asks itself through service chaining, or through its own public route |
//! | `ignore-body` | answers without reading the request's body |
//! | `count` | reads the request's body and answers its length |
//! | `requests` | answers how many requests this instance was given so far |
//! | `together?ms=` | answers, after that time, the most requests that this instance ever worked on at once |
//! | `print?text=` | prints the text on stdout and on stderr |
//! | `echo` | answers the request's body: proof of life |

mod exhaust;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use http_body_util::BodyExt;
use spin_sdk::http::body::stream;
use spin_sdk::http::{IntoResponse, Request, Response, Result, StatusCode};
use spin_sdk::time::sleep;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::{spawn, wit_future};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CHUNK_BYTES: usize = 64 * 1024;

/// Requests that this instance was given.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

#[spin_sdk::http_service]
async fn misbehave(request: Request) -> Result<types::Response> {
    let requests = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let uri = request.uri().clone();
    let behaviour = uri.path().rsplit('/').next().unwrap_or_default();
    let response = match behaviour {
        "loop" => exhaust::time(),
        "recurse" => exhaust::stack(1).to_string().into_response(),
        "memory" => exhaust::memory(),
        "table" => exhaust::table(),
        "handle-leak" => exhaust::handles(),
        "trap" => trap(),
        "panic" => panic!("a panic, as ordered"),
        "trap-after" => {
            sleep(milliseconds(&uri)).await;
            trap()
        }
        "slow" => {
            sleep(milliseconds(&uri)).await;
            "slow".into_response()
        }
        "never" => {
            sleep(DAY).await;
            "a day later".into_response()
        }
        "stall-body" => stalled_body(),
        "endless-body" => endless_body(),
        "trap-body" => trapping_body(milliseconds(&uri)),
        "headers-40000" => many_headers(40_000),
        "chain-cycle" => spin_sdk::http::get("http://misbehave.spin.internal/chain-cycle").await?.into_response(),
        "allocate" => exhaust::memory_of(number(&uri, "bytes=") as usize).to_string().into_response(),
        "requests" => requests.to_string().into_response(),
        "together" => together(milliseconds(&uri)).await.to_string().into_response(),
        "self-cycle" => spin_sdk::http::get("/misbehave/self-cycle").await?.into_response(),
        "ignore-body" => "ignored".into_response(),
        "count" => count(request).await?.to_string().into_response(),
        "print" => {
            let text = uri.query().and_then(|query| query.strip_prefix("text=")).unwrap_or_default();
            println!("{text} on stdout");
            eprintln!("{text} on stderr");
            "printed".into_response()
        }
        "echo" => Response::new(request.into_body()).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    Ok(response?)
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

fn milliseconds(uri: &spin_sdk::http::Uri) -> Duration {
    Duration::from_millis(number(uri, "ms="))
}

fn number(uri: &spin_sdk::http::Uri, prefix: &str) -> u64 {
    let text = uri.query().and_then(|query| query.strip_prefix(prefix));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn together(time: Duration) -> u64 {
    static AT_WORK: AtomicU64 = AtomicU64::new(0);
    static MOST: AtomicU64 = AtomicU64::new(0);
    MOST.fetch_max(AT_WORK.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    sleep(time).await;
    AT_WORK.fetch_sub(1, Ordering::Relaxed);
    MOST.load(Ordering::Relaxed)
}

fn stalled_body() -> Result<types::Response, types::ErrorCode> {
    let (mut sender, body) = stream::<String>();
    spawn(async move {
        // The failure to send means that the host gave up, which is what the test wants.
        let _ = sender.send("the first words".to_owned()).await;
        sleep(DAY).await;
        drop(sender);
    });
    Response::new(body).into_response()
}

fn trapping_body(time: Duration) -> Result<types::Response, types::ErrorCode> {
    let (mut sender, body) = stream::<String>();
    spawn(async move {
        // A host that takes nothing any more has no use for the trap either.
        let _ = sender.send("the first words".to_owned()).await;
        sleep(time).await;
        trap()
    });
    Response::new(body).into_response()
}

fn endless_body() -> Result<types::Response, types::ErrorCode> {
    let (mut sender, body) = stream::<Bytes>();
    spawn(async move {
        let chunk = Bytes::from(vec![b'.'; CHUNK_BYTES]);
        while sender.send(chunk.clone()).await.is_ok() {}
    });
    Response::new(body).into_response()
}

/// Uses the raw interface, since the `http` crate's own map ends at 32,768 fields.
fn many_headers(count: usize) -> Result<types::Response, types::ErrorCode> {
    let fields: Vec<_> = (0..count).map(|n| (format!("x-{n}"), b"1".to_vec())).collect();
    let headers =
        types::Fields::from_list(&fields).map_err(|error| types::ErrorCode::InternalError(Some(error.to_string())))?;
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (response, _sent) = types::Response::new(headers, None, trailers_reader);
    Ok(response)
}

async fn count(request: Request) -> Result<u64, types::ErrorCode> {
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}
