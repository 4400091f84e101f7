//! Cities and postcodes: found as shoppers type, and replaced by a merchant's own list.

use axum::http::Method;
use serde_json::{Value, json};
use service::testing::Answered;

use super::shop::{Shop, text};

fn names(answer: &Value) -> Vec<String> {
    answer["items"].as_array().unwrap().iter().map(|place| text(&place["name"])).collect()
}

fn cities(shop: &Shop, query: &str) -> Vec<String> {
    names(&shop.ask(Method::GET, &format!("/api/shipping/cities?{query}")).send().is(200))
}

fn import(shop: &Shop, query: &str, media_type: &str, list: impl Into<axum::body::Body>) -> Answered {
    let path = format!("/api/shipping/places/import{query}");
    shop.ask(Method::POST, &path).staff().header("content-type", media_type).body(list)
}

#[test]
fn cities_are_found_by_what_a_shopper_types() {
    let shop = Shop::open();
    assert_eq!(cities(&shop, "country=DE&q=mun"), ["München"]);
    assert_eq!(cities(&shop, "country=de&q=M%C3%9CN"), ["München"]);
    assert_eq!(cities(&shop, "country=PL&q=lodz"), ["Łódź"]);
    assert_eq!(cities(&shop, "country=FR&q=saint%20e"), ["Saint-Étienne"]);
    assert_eq!(cities(&shop, "country=US&q=san"), ["San Antonio", "San Diego", "San José", "San Francisco"]);
    assert_eq!(cities(&shop, "country=GB&limit=2"), ["London", "Birmingham"]);
    assert_eq!(cities(&shop, "country=DE&q=xyz"), Vec::<String>::new());
}

#[test]
fn pages_of_cities_leave_none_out() {
    let shop = Shop::open();
    let whole = cities(&shop, "country=DE&limit=100");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/shipping/cities?country=DE&limit=3{cursor}");
        let page = shop.ask(Method::GET, &path).send().is(200);
        paged.extend(names(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
    assert_eq!(whole.len(), 14);
}

#[test]
fn a_postcode_means_the_places_it_begins_or_is_begun_by() {
    let shop = Shop::open();
    let places =
        |query: &str| names(&shop.ask(Method::GET, &format!("/api/shipping/postcodes?{query}")).send().is(200));
    assert_eq!(places("country=DE&postcode=10115"), ["Berlin"]);
    assert_eq!(places("country=CA&postcode=k1a-0b1"), ["Ottawa"]);
    assert_eq!(places("country=DE&postcode=4"), ["Düsseldorf", "Dortmund", "Essen"]);
    assert_eq!(places("country=DE&postcode=99"), Vec::<String>::new());
}

#[test]
fn a_search_without_what_it_needs_is_refused() {
    let shop = Shop::open();
    for (path, parameter) in [
        ("/api/shipping/cities?q=a", "country"),
        ("/api/shipping/cities?country=XX", "country"),
        ("/api/shipping/cities?country=DE&limit=0", "limit"),
        ("/api/shipping/cities?country=DE&cursor=x", "cursor"),
        ("/api/shipping/cities?country=DE&name=a", "name"),
        ("/api/shipping/postcodes?country=DE", "postcode"),
        ("/api/shipping/postcodes?country=DE&postcode=12345678901", "postcode"),
    ] {
        let problem = shop.ask(Method::GET, path).send().is(400);
        assert_eq!(
            (&problem["type"], &problem["parameter"]),
            (&json!("urn:bodega:problem:bad-query"), &json!(parameter))
        );
    }
}

#[test]
fn an_imported_country_replaces_its_sample_and_no_other() {
    let shop = Shop::open();
    let list = "name,country,population,postcode,note\nBerlin,DE,3700000,10115,a\nBerlin,DE,3700000,10117,b\n\
                Potsdam,DE,190000,14467,\"c, d\"\n,DE,1,1,\nNowhere,ZZ,1,1,\nBonn,DE,many,53111,\n";
    let report = import(&shop, "", "text/csv; charset=utf-8", list).is(200);
    assert_eq!(
        report,
        json!({"rows": 6, "imported": 3, "failed": 3, "errors": [
            {"line": 5, "reason": "name: is required"},
            {"line": 6, "reason": "country: \"ZZ\" is not an ISO 3166-1 country code such as DE"},
            {"line": 7, "reason": "population: \"many\" is not a count"},
        ]})
    );
    assert_eq!(cities(&shop, "country=DE"), ["Berlin", "Potsdam"], "a city with two postcodes is one city");
    assert_eq!(cities(&shop, "country=AT&limit=1"), ["Wien"]);
    let again = import(&shop, "", "text/csv", "country,name,postcode,population\nDE,BERLIN,10115,4000000\n").is(200);
    assert_eq!(again["imported"], 1);
    assert_eq!(cities(&shop, "country=DE"), ["BERLIN", "Potsdam"]);
}

#[test]
fn a_list_without_a_header_is_read_by_the_columns_of_the_request() {
    let shop = Shop::open();
    let list = "2867714\tM\u{fc}nchen \"Minga\"\tMunich\tDE\t02\t1260391\n";
    let query = "?columns=,name,,country,region,population";
    assert_eq!(import(&shop, query, "text/tab-separated-values", list).is(200)["imported"], 1);
    assert_eq!(cities(&shop, "country=DE&q=munchen%20m"), ["München \"Minga\""]);
    import(&shop, "?columns=country", "text/csv", "DE\n").is(400);
    import(&shop, "", "text/csv", "country;name\nDE;Ulm\n").is(422);
    import(&shop, "", "application/json", "[]").is(415);
    let stranger = shop.ask(Method::POST, "/api/shipping/places/import").header("content-type", "text/csv");
    stranger.body("country,name\n").is(401);
}
