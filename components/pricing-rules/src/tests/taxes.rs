//! Which taxes apply, and how they are rounded.

use super::*;

/// Name, rate, base and amount of each tax.
fn taxes(quote: &Quote) -> Vec<(&str, u32, i64, i64)> {
    quote.taxes.iter().map(|tax| (tax.name.as_str(), tax.rate.get(), tax.base.minor(), tax.amount.minor())).collect()
}

fn to(country: &str, region: &str, postcode: &str, tax_rates: Vec<TaxRate>, lines: &[(i64, u32)]) -> Cart {
    Cart { destination: Some(destination(country, region, postcode)), tax_rates, ..cart(lines) }
}

fn vat() -> Vec<TaxRate> {
    vec![tax("VAT", "DE", "", "", 190_000)]
}

#[test]
fn tax_comes_on_top_of_net_prices() {
    let quote = quote(&to("DE", "", "10115", vat(), &[(999, 3), (50, 1)]));
    // 19 % of 29.97 is 5.6943; 19 % of 0.50 is 0.095, and the half goes up.
    assert_eq!(quote.lines.iter().map(|line| line.tax.minor()).collect::<Vec<_>>(), [569, 10]);
    assert_eq!(taxes(&quote), [("VAT", 190_000, 3047, 579)]);
    assert_eq!((quote.subtotal, quote.tax_total, quote.total), (amount(3047), amount(579), amount(3626)));
}

#[test]
fn tax_is_taken_out_of_gross_prices() {
    let cart = Cart { prices_include_tax: true, ..to("DE", "", "", vat(), &[(1999, 1), (1190, 1)]) };
    let quote = quote(&cart);
    // 19.99 / 1.19 is 16.798, so 16.80 and 3.19; 11.90 is exactly 10.00 and 1.90.
    let parts: Vec<_> =
        quote.lines.iter().map(|line| (line.net.minor(), line.tax.minor(), line.gross.minor())).collect();
    assert_eq!(parts, [(1680, 319, 1999), (1000, 190, 1190)]);
    assert_eq!((quote.tax_total, quote.total), (amount(509), amount(3189)));
}

#[test]
fn tax_is_due_on_what_is_left_after_discounts() {
    let cart = to("DE", "", "", vat(), &[(10_000, 1)]);
    let quote = quote(&Cart { promotions: vec![percentage("p", 1000)], shipping: Some(shipping(500)), ..cart });
    assert_eq!(taxes(&quote), [("VAT", 190_000, 9500, 1805)]);
    // 100.00 - 10.00 + 5.00 + 18.05.
    assert_eq!(quote.total, amount(11_305));
}

#[test]
fn state_county_and_city_add_up() {
    let rates = || {
        vec![
            tax("New York State", "US", "NY", "", 40_000),
            tax("New York City", "US", "NY", "100", 45_000),
            tax("MCTD", "US", "NY", "100", 3_750),
            tax("California", "US", "CA", "", 72_500),
        ]
    };
    // 8.875 % of 19.99 is 1.7741; of 1.77 the shares are 0.0748, 0.8975 and 0.7977.
    let city = quote(&to("US", "ny", "10001-1234", rates(), &[(1999, 1)]));
    assert_eq!(
        taxes(&city),
        [("MCTD", 3_750, 1999, 7), ("New York City", 45_000, 1999, 90), ("New York State", 40_000, 1999, 80)]
    );
    assert_eq!(city.total, amount(2176));
    let upstate = quote(&to("US", "NY", "14201", rates(), &[(1999, 1)]));
    assert_eq!(taxes(&upstate), [("New York State", 40_000, 1999, 80)]);
    assert_eq!(quote(&to("US", "OR", "97035", rates(), &[(1999, 1)])).total, amount(1999));
}

#[test]
fn of_one_name_the_most_specific_rate_counts() {
    let rates = || {
        vec![
            tax("VAT", "ES", "", "", 210_000),
            tax("VAT", "ES", "", "35", 0),
            tax("VAT", "ES", "CE", "", 5_000),
            tax("VAT", "ES", "CE", "51", 7_000),
            tax("VAT", "ES", "", "510", 9_000),
        ]
    };
    let rate = |region: &str, postcode: &str| {
        let quote = quote(&to("ES", region, postcode, rates(), &[(10_000, 1)]));
        quote.taxes.iter().map(|tax| tax.rate.get()).collect::<Vec<_>>()
    };
    assert_eq!(rate("", "28001"), [210_000]);
    assert_eq!(rate("GC", "35001"), [0], "exempt, and shown so");
    assert_eq!(rate("CE", ""), [5_000]);
    assert_eq!(rate("CE", "51900"), [7_000]);
    assert_eq!(rate("CE", "51001"), [9_000], "the longer prefix goes before the region");
}

#[test]
fn each_tax_class_has_its_rates() {
    let reduced = TaxRate { tax_class: "reduced".to_owned(), ..tax("VAT", "DE", "", "", 70_000) };
    let mut cart = to("DE", "", "", [vat(), vec![reduced]].concat(), &[(1000, 1), (1000, 1), (1000, 1)]);
    cart.lines[1].tax_class = "reduced".to_owned();
    cart.lines[2].tax_class = "exempt".to_owned();
    let quote = quote(&cart);
    assert_eq!(taxes(&quote), [("VAT", 70_000, 1000, 70), ("VAT", 190_000, 1000, 190)]);
    assert_eq!(quote.total, amount(3260));
}

#[test]
fn shipping_is_taxed_only_by_rates_that_say_so() {
    let state = tax("State", "US", "NJ", "", 66_250);
    let goods_only = TaxRate { applies_to_shipping: false, ..tax("Luxury", "US", "", "", 10_000) };
    let cart = to("US", "NJ", "", vec![state, goods_only], &[(10_000, 1)]);
    let quote = quote(&Cart { shipping: Some(shipping(1000)), ..cart });
    assert_eq!(taxes(&quote), [("Luxury", 10_000, 10_000, 100), ("State", 66_250, 11_000, 729)]);
    assert_eq!(quote.shipping.as_ref().map(|shipping| shipping.tax), Some(amount(66)));
}

#[test]
fn without_a_destination_no_tax_is_due() {
    let cart = Cart { destination: None, ..to("DE", "", "", vat(), &[(1000, 1)]) };
    assert_eq!((quote(&cart).tax_total, quote(&cart).total), (Amount::ZERO, amount(1000)));
}

#[test]
fn minor_units_may_be_whole_yen_or_thousandths_of_a_dinar() {
    let tokyo =
        Cart { currency: Currency::JPY, ..to("JP", "", "", vec![tax("JCT", "JP", "", "", 100_000)], &[(1985, 1)]) };
    // 10 % of 1985 yen is 198.5.
    assert_eq!(quote(&tokyo).total, amount(2184));
    let tokyo = Cart { prices_include_tax: true, promotions: vec![percentage("p", 3333)], ..tokyo };
    // 33.33 % of 1985 is 661.6; of the 1323 that are left, 1323 / 1.1 is 1202.7.
    assert_eq!((quote(&tokyo).total, quote(&tokyo).tax_total), (amount(1323), amount(120)));

    let kuwait = to("KW", "", "", vec![tax("VAT", "KW", "", "", 50_000)], &[(1_235, 3)]);
    let kuwait = Cart { currency: Currency::KWD, promotions: vec![percentage("p", 1500)], ..kuwait };
    // 3.705 less 15 % (0.55575, so 0.556) is 3.149; 5 % of it is 0.15745.
    let quote = quote(&kuwait);
    assert_eq!((quote.discount_total, quote.tax_total, quote.total), (amount(556), amount(157), amount(3306)));
}
