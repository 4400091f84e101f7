//! A Stripe to test against: a server of our own that keeps to the documented behaviour of the real API, with its books,
//! idempotency keys and accidents.

mod books;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use self::books::Books;

/// The key that the account is reached with.
pub const SECRET_KEY: &str = "sk_test_bodega";
/// What webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_bodega";

/// What happens to the next request that would change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accident {
    /// It fails before anything happens.
    FailsBefore,
    /// It happens, and the connection breaks off before the answer.
    BreaksOffAfter,
    /// It happens, and the answer takes this long.
    Takes(Duration),
}

/// A running Stripe.
pub struct Stripe {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    books: Books,
    accidents: Vec<Accident>,
}

impl Stripe {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        Self { address, state }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has something happen to the next request that would change something.
    pub fn next_has(&self, accident: Accident) {
        self.state.lock().expect("no server thread panics").accidents.push(accident);
    }

    /// The payment intents that were made for an order.
    pub fn intents_of(&self, order_id: &str) -> Vec<Value> {
        self.state.lock().expect("no server thread panics").books.intents_of(order_id)
    }

    /// The shopper confirms with their bank what was made for an order, and the webhook that tells of it, with the
    /// signature of its body.
    pub fn shopper_confirms(&self, order_id: &str) -> (String, String) {
        let intent = self.state.lock().expect("no server thread panics").books.confirm(order_id);
        let event = json!({
            "id": format!("evt_{order_id}"), "object": "event", "type": "payment_intent.amount_capturable_updated",
            "created": unix_s(), "data": { "object": intent },
        })
        .to_string();
        let signature = sign(&event, unix_s());
        (event, signature)
    }
}

/// The value of `Stripe-Signature` for a body.
pub fn sign(body: &str, time_s: u64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("any key is good");
    mac.update(format!("{time_s}.{body}").as_bytes());
    format!("t={time_s},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn unix_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| answer(request, state.clone()));
    // A connection that the client or an accident ends is no failure of the test.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, String> {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (authorization, key) = (header("authorization"), header("idempotency-key"));
    let (method, uri) = (request.method().to_string(), request.uri().clone());
    let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let form = String::from_utf8_lossy(&body).into_owned();
    let (answer, accident) = {
        let mut state = state.lock().expect("no server thread panics");
        let accident = if method == "POST" { state.accidents.pop() } else { None };
        let answer = match accident {
            _ if authorization != format!("Bearer {SECRET_KEY}") => books::error(401, "invalid_request_error", ""),
            Some(Accident::FailsBefore) => books::error(500, "api_error", ""),
            _ if method == "POST" => state.books.post(uri.path(), &key, &form),
            _ => state.books.get(uri.path(), uri.query().unwrap_or_default()),
        };
        (answer, accident)
    };
    match accident {
        Some(Accident::BreaksOffAfter) => return Err("the connection breaks off".to_owned()),
        Some(Accident::Takes(time)) => sleep(time).await,
        Some(Accident::FailsBefore) | None => {}
    }
    let response = Response::builder().status(answer.0).header("content-type", "application/json");
    response.body(Bytes::from(answer.1.to_string()).into()).map_err(|error| error.to_string())
}
