//! Clients that break the protocol, or bend it as far as it goes: what each of them gets is written down here.

mod bodies;
mod exchange;
mod floods;
mod frames;
mod heads;
mod http2;
mod slow;

use tests::app::App;
use tests::host::Host;

/// What the host answers without a component.
const FIXED: &str = "[[trigger.http]]\nroute = \"/fixed\"\nstatic_response = { body = \"fixed\" }\n\
                     [[trigger.http]]\nroute = \"/none\"\nstatic_response = { status_code = 204 }\n\
                     [[trigger.http]]\nroute = \"/same\"\nstatic_response = { status_code = 304 }\n";
const GATEWAY: &str = "[tokens]\nissuer = \"bodega\"\naudience = \"bodega\"\njwks_url = \"http://hello.spin.internal/\"\n\
                       [[rules]]\nhost = \"secret.example\"\ndeny = true\n\
                       [[rules]]\npath = \"/misbehave/denied\"\ndeny = true\n\
                       [[rules]]\npath = \"/misbehave/members\"\nauthentication = \"required\"\n\
                       [[rules]]\npath = \"/misbehave/small\"\nbody_bytes_max = 10\n";

fn app() -> App {
    App::new().guest("hello", "").misbehaving_guest("").append(FIXED).file("gateway.toml", GATEWAY)
}

/// Whatever a client has done, others are served.
async fn assert_serves(host: &Host, after: &str) {
    let answer = host.get("/hello/").await;
    assert_eq!(answer.status(), 200, "after {after}");
    assert_eq!(answer.text().await.expect("a body"), "Hello, world!\n", "after {after}");
}
