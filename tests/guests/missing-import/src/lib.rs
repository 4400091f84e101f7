//! Imports `bodega:nowhere/absent@1.0.0`, which no host offers, so a host must refuse it by that name.

use spin_sdk::http::{IntoResponse, Request};

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package bodega:nowhere@1.0.0;
            interface absent { answer: func() -> string; }
            world imports { import absent; }
        ",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

#[spin_sdk::http_service]
async fn ask(_request: Request) -> impl IntoResponse {
    bindings::bodega::nowhere::absent::answer()
}
