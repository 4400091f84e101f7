//! Uses every interface of the Spin 2 generation (wasi 0.2, synchronous) and answers the outcome as JSON.
//!
//! The paths and the answers are those of the guest `interfaces`, so that a test can ask both the same question;
//! here `sqlite` is fermyon:spin@2.0.0 and `sqlite-3` is spin:sqlite@3.0.0. Besides, `datagrams?port=`,
//! `stream?pieces=&ms=`, `relay` and `relay?url=` that send a body back or on, `count`, and `cycle?through=A,B` that has the component A ask B, which asks A, and so on without end; and `loop`, `never`, `trap`
//! and `trap-body`, which misbehave.

mod http;
mod key_value;
mod misbehave;
mod sqlite;
mod sqlite_3;
mod wasi;

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use bindings::fermyon::spin::variables;
use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        world: "bodega:interfaces-p2/imports",
        path: ["../../../wit/fermyon-spin@2.0.0", "../../../wit/spin-sqlite@3.0.0", "wit"],
        generate_all,
    });
}

struct Interfaces;

wasip2::http::proxy::export!(Interfaces);

impl Guest for Interfaces {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let path_and_query = request.path_with_query().unwrap_or_default();
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let argument = |name: &str| query.get(name).map_or("", String::as_str);
        let interface = path.rsplit('/').next().unwrap_or_default();
        let answer = match interface {
            "key-value" => outcome(key_value::use_store(argument("label"))),
            "key-value-limit" => outcome(key_value::open_until_refused(argument("label"))),
            "sqlite" => outcome(sqlite::use_database(argument("label"))),
            "sqlite-3" => outcome(sqlite_3::use_database(argument("label"))),
            "transaction" => outcome(sqlite_3::roll_back(argument("label"))),
            "variables" => outcome(variables::get(argument("name")).map(|value| json!({ "value": value }))),
            "environment" => wasi::environment(),
            "clocks" => wasi::clocks(),
            "random" => wasi::random(),
            "files" => wasi::files(argument("path")),
            "sockets" => outcome(wasi::connect(argument("port").parse().unwrap_or(0))),
            "datagrams" => outcome(wasi::exchange_datagrams(argument("port").parse().unwrap_or(0))),
            "cycle" => match http::cycle(argument("through")) {
                Ok(answer) => answer,
                Err(error) => return ResponseOutparam::set(response_out, Err(error)),
            },
            "stream" => {
                let number = |name| argument(name).parse().unwrap_or(0);
                return http::stream(response_out, number("pieces"), Duration::from_millis(number("ms").into()));
            }
            "relay" => {
                let Some(url) = query.get("url") else {
                    // Where the answer has begun it is cut off, which a client notices.
                    return http::send_back(&request, response_out).unwrap_or_else(|error| panic!("{error:?}"));
                };
                outcome(http::send_on(&request, url))
            }
            "count" => outcome(http::count(&request)),
            "outbound" => outcome(http::get(argument("url"))),
            "request" => http::describe(&request),
            "loop" => misbehave::compute_forever(),
            "never" => misbehave::wait_forever(),
            "trap" => misbehave::trap(),
            "trap-body" => return misbehave::trap_in_the_body(response_out),
            _ => json!({ "error": format!("no interface {interface}") }),
        };
        http::answer(response_out, &answer);
    }
}

fn outcome(result: Result<Value, impl Debug>) -> Value {
    result.unwrap_or_else(|error| json!({ "error": format!("{error:?}") }))
}
