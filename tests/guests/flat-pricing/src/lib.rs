//! A calculator as a merchant might bring one: everything costs the same, shipping is free, and no code helps.
//!
//! A cart in the test currency XTS is answered with a total that is wrong by one, to show that callers notice.

#[expect(unsafe_code, reason = "generated from the WIT text")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/bodega-pricing@1.0.0", world: "pricing" });

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

use bindings::exports::bodega::pricing::calculator::{
    Cart, Line, Problem, Quote, QuotedLine, QuotedShipping, RejectedCoupon, Rejection, Shipping,
};

/// What each unit costs, in minor units.
const UNIT_PRICE: i64 = 500;

fn price(cart: Cart) -> Result<Quote, Problem> {
    let lines: Vec<_> = cart.lines.into_iter().map(flat_line).collect();
    let subtotal: i64 = lines.iter().map(|line| line.subtotal).sum();
    let rejected = |code| RejectedCoupon { code, reason: Rejection::Unknown };
    Ok(Quote {
        prices_include_tax: cart.prices_include_tax,
        lines,
        shipping: cart.shipping.map(free),
        discounts: Vec::new(),
        taxes: Vec::new(),
        subtotal,
        discount_total: 0,
        shipping_total: 0,
        tax_total: 0,
        total: if cart.currency == "XTS" { subtotal + 1 } else { subtotal },
        rejected_coupons: cart.coupons.into_iter().map(rejected).collect(),
        currency: cart.currency,
    })
}

fn flat_line(line: Line) -> QuotedLine {
    let subtotal = UNIT_PRICE * i64::from(line.quantity);
    QuotedLine {
        id: line.id,
        quantity: line.quantity,
        unit_price: UNIT_PRICE,
        subtotal,
        discounts: Vec::new(),
        discount_total: 0,
        net: subtotal,
        tax: 0,
        gross: subtotal,
        taxes: Vec::new(),
    }
}

fn free(shipping: Shipping) -> QuotedShipping {
    QuotedShipping {
        method: shipping.method,
        price: 0,
        discounts: Vec::new(),
        discount_total: 0,
        net: 0,
        tax: 0,
        gross: 0,
        taxes: Vec::new(),
    }
}
