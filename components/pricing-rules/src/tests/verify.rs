//! Quotes that must not be believed.

use super::*;
use crate::Inconsistency;

fn taxed_cart() -> Cart {
    Cart {
        destination: Some(destination("DE", "", "")),
        tax_rates: vec![tax("VAT", "DE", "", "", 190_000)],
        promotions: vec![percentage("p", 1000)],
        shipping: Some(shipping(490)),
        ..cart(&[(1000, 2), (500, 1)])
    }
}

#[test]
fn a_quote_for_something_else_is_refused() {
    type Change = fn(&mut Cart);
    let cases: [(&str, Change); 6] = [
        ("currency", |cart| cart.currency = Currency::EUR),
        ("kind of prices", |cart| cart.prices_include_tax = true),
        ("list of lines", |cart| cart.lines[0].quantity = count(3)),
        ("list of lines", |cart| cart.lines.truncate(1)),
        ("list of lines", |cart| cart.lines.swap(0, 1)),
        ("shipping method", |cart| cart.shipping = None),
    ];
    let quote = quote(&taxed_cart());
    for (what, change) in cases {
        let mut cart = taxed_cart();
        change(&mut cart);
        assert_eq!(quote.verify(&cart), Err(Inconsistency::OtherThanCart(what)));
    }
}

#[test]
fn every_figure_that_is_off_by_one_is_found() {
    let figures: [fn(&mut Quote) -> &mut Amount; 21] = [
        |quote| &mut quote.subtotal,
        |quote| &mut quote.discount_total,
        |quote| &mut quote.shipping_total,
        |quote| &mut quote.tax_total,
        |quote| &mut quote.total,
        |quote| &mut quote.discounts[0].amount,
        |quote| &mut quote.taxes[0].base,
        |quote| &mut quote.taxes[0].amount,
        |quote| &mut quote.lines[1].unit_price,
        |quote| &mut quote.lines[1].subtotal,
        |quote| &mut quote.lines[1].discount_total,
        |quote| &mut quote.lines[1].discounts[0].amount,
        |quote| &mut quote.lines[1].net,
        |quote| &mut quote.lines[1].tax,
        |quote| &mut quote.lines[1].gross,
        |quote| &mut quote.lines[1].taxes[0].amount,
        |quote| &mut quote.shipping.as_mut().unwrap().price,
        |quote| &mut quote.shipping.as_mut().unwrap().discount_total,
        |quote| &mut quote.shipping.as_mut().unwrap().net,
        |quote| &mut quote.shipping.as_mut().unwrap().tax,
        |quote| &mut quote.shipping.as_mut().unwrap().gross,
    ];
    let cart = taxed_cart();
    for (index, figure) in figures.into_iter().enumerate() {
        let mut quote = quote(&cart);
        let figure = figure(&mut quote);
        *figure = amount(figure.minor() + 1);
        assert!(quote.verify(&cart).is_err(), "figure {index}");
        assert_eq!(quote.adds_up(), quote.verify(&cart), "figure {index}");
    }
}

#[test]
fn the_reason_says_what_was_expected() {
    let cart = taxed_cart();
    let mut quote = quote(&cart);
    quote.total = amount(1);
    let reason = quote.verify(&cart).unwrap_err();
    // 22.50 and 4.90 and 19 % of both: 4.275, of which a line has 3.42 and 0.855, and 0.931 of shipping.
    assert_eq!(reason.to_string(), "the total of the quote should be 3261 minor units and is 1");
}
