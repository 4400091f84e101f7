//! A service in many versions: tests make another one by replacing [`SETTINGS`] in the compiled component.
//!
//! | path | answer |
//! |---|---|
//! | `busy` | none: it computes for ever |
//! | `drip?ms=` | the version's name, in ten pieces over that time |
//! | `given` | what this revision was given: the variable `color`, the environment variable `LEVEL`, and the file `page.html` |
//! | `login` | the variable `login` |
//! | `say` | what the request has it say ([`say`]) |
//! | `purge` | the version's name, having purged `a` |
//! | `migrate` | what a revision that migrates answers; one that is `unfit` cannot |
//! | any other | the version's name |
//!
//! Of a thousand requests `errors` are answered 500 and `traps` trap; each takes `delay_ms`, and leaks `leak_kib`. Each is counted
//! in `checkouts_total`, and `fails` of a thousand in `checkouts_failed_total` although they are answered like any other.

mod say;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::SinkExt;
use spin_sdk::http::body::stream;
use spin_sdk::http::{HeaderValue, IntoResponse, Request, Response, Result, StatusCode};
use spin_sdk::time::sleep;
use spin_sdk::variables;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::spawn;

/// Every value has the width that it has here.
static SETTINGS: &str = "variant: name=one errors=0000 traps=0000 delay_ms=0000 leak_kib=0000 fails=0000 unfit=0000;";
const PIECES: u32 = 10;

#[spin_sdk::http_service]
async fn variant(request: Request) -> Result<types::Response> {
    if is_among_a_thousand("traps") {
        trap();
    }
    let leak = vec![1u8; number("leak_kib") as usize * 1024];
    std::mem::forget(black_box(leak));
    let delay_ms = number("delay_ms");
    if delay_ms > 0 {
        sleep(Duration::from_millis(delay_ms)).await;
    }
    if is_among_a_thousand("errors") {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()?);
    }
    let uri = request.uri();
    let response = match uri.path().rsplit('/').next().unwrap_or_default() {
        "busy" => loop {
            black_box(());
        },
        "drip" => {
            let ms = uri.query().and_then(|query| query.strip_prefix("ms="));
            drip(Duration::from_millis(ms.and_then(|ms| ms.parse().ok()).unwrap_or(0)))
        }
        "say" => say::answer(&request, setting("name")).await,
        "purge" => with_header("x-bodega-purge", "a"),
        "migrate" => migrate(),
        "given" => given().await.into_response(),
        "login" => variables::get("login").await.unwrap_or_default().into_response(),
        _ => {
            let counts = match is_among_a_thousand("fails") {
                true => "checkouts_total, checkouts_failed_total",
                false => "checkouts_total",
            };
            with_header("x-bodega-count", counts)
        }
    };
    Ok(response?)
}

async fn given() -> String {
    let color = variables::get("color").await.unwrap_or_default();
    let level = std::env::var("LEVEL").unwrap_or_default();
    format!("{color} {level} {}", std::fs::read_to_string("/page.html").unwrap_or_default())
}

fn migrate() -> Result<types::Response, types::ErrorCode> {
    println!("{} migrates", setting("name"));
    let mut response = Response::new(String::new());
    if number("unfit") > 0 {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        "no room for prices".clone_into(response.body_mut());
    }
    response.into_response()
}

fn with_header(name: &'static str, value: &'static str) -> Result<types::Response, types::ErrorCode> {
    let mut response = Response::new(setting("name").to_owned());
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response.into_response()
}

fn setting(name: &str) -> &'static str {
    // What is read here is not what the compiler saw.
    let settings: &'static str = black_box(SETTINGS);
    let value = settings.split([' ', ';']).find_map(|setting| setting.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default()
}

fn number(name: &str) -> u64 {
    setting(name).parse().unwrap_or(0)
}

/// Whether this request is one of the so many of a thousand, evenly spread over this instance's requests.
fn is_among_a_thousand(name: &str) -> bool {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let share = number(name);
    // The first of many instances must not all be among them.
    share > 0 && (REQUESTS.fetch_add(1, Ordering::Relaxed) * share) % 1_000 + share >= 1_000
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

fn drip(time: Duration) -> Result<types::Response, types::ErrorCode> {
    let (mut sender, body) = stream::<String>();
    spawn(async move {
        for _ in 0..PIECES {
            // A host that takes nothing any more needs no further pieces.
            if sender.send(setting("name").to_owned()).await.is_err() {
                return;
            }
            sleep(time / PIECES).await;
        }
    });
    Response::new(body).into_response()
}
