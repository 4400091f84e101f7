//! The smallest service of the wasi:http 0.2 generation: answers every request with `Hello, world!`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    #[expect(
        clippy::expect_used,
        reason = "a fresh response hands out its body once, and a client that is gone ends the request"
    )]
    fn handle(_request: IncomingRequest, response_out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a fresh response has a body");
        ResponseOutparam::set(response_out, Ok(response));

        let stream = body.write().expect("a fresh body has a stream");
        stream.blocking_write_and_flush(b"Hello, world!\n").expect("the client takes the body");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is complete");
    }
}
