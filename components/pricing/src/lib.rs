//! The component that prices carts: `bodega:pricing/calculator@1.0.0` by the rules of `pricing-rules`.
//!
//! `cart` parses what comes in, `quote` writes down what goes out. A shop may compose another component in its place.

mod cart;
mod quote;

#[expect(unsafe_code, reason = "generated from the WIT text")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit/bodega-pricing@1.0.0", world: "pricing" });

    export!(Calculator);
    struct Calculator;

    impl exports::bodega::pricing::calculator::Guest for Calculator {
        fn price(
            input: exports::bodega::pricing::calculator::Cart,
        ) -> Result<exports::bodega::pricing::calculator::Quote, exports::bodega::pricing::calculator::Problem>
        {
            super::price(input)
        }
    }
}

use bindings::exports::bodega::pricing::calculator as wit;

fn price(input: wit::Cart) -> Result<wit::Quote, wit::Problem> {
    Ok(pricing_rules::price(&pricing_rules::Cart::try_from(input)?)?.into())
}
