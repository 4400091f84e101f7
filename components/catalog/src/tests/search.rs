//! Lists and their counts, held against a model that looks at every product.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::shop::{Shop, price};
use crate::terms::price_range;

/// A product as the model sees it.
#[derive(Clone, Debug)]
struct Item {
    words: Vec<&'static str>,
    brand: Option<&'static str>,
    category: Option<&'static str>,
    color: Option<&'static str>,
    sizes: BTreeSet<&'static str>,
    price: i64,
    stock: u32,
}

/// A request as the model sees it.
#[derive(Clone, Debug)]
struct Ask {
    words: Vec<&'static str>,
    groups: BTreeMap<&'static str, BTreeSet<&'static str>>,
    price: Option<(i64, i64)>,
    sort: &'static str,
    limit: usize,
}

const WORDS: [&str; 4] = ["cedar", "linen", "brass", "Écru"];
const BRANDS: [&str; 3] = ["Tarn", "Fell & Co", "Holm"];
const COLORS: [&str; 3] = ["red", "blue", "sea green"];
const SIZES: [&str; 3] = ["S", "M", "L"];
/// Paths as they are imported, with the slugs that they lie in.
const CATEGORIES: [(&str, &[&str]); 4] = [
    ("Home", &["home"]),
    ("Home/Kitchen", &["home", "kitchen"]),
    ("Home/Kitchen/Pans", &["home", "kitchen", "pans"]),
    ("Garden", &["garden"]),
];

fn item() -> impl Strategy<Value = Item> {
    (
        prop::sample::subsequence(WORDS.to_vec(), 1..3),
        prop::option::of(prop::sample::select(BRANDS.to_vec())),
        prop::option::of(prop::sample::select(CATEGORIES.to_vec())),
        prop::option::of(prop::sample::select(COLORS.to_vec())),
        prop::sample::subsequence(SIZES.to_vec(), 1..3),
        prop::sample::select(vec![0_i64, 99, 100, 1000, 1999, 2000, 5000, 123_456]),
        0..3_u32,
    )
        .prop_map(|(words, brand, category, color, sizes, price, stock)| Item {
            words,
            brand,
            category: category.map(|(path, _)| path),
            color,
            sizes: sizes.into_iter().collect(),
            price,
            stock,
        })
}

fn ask() -> impl Strategy<Value = Ask> {
    let some_of = |values: &[&'static str]| {
        let none = Just(BTreeSet::new());
        let some = prop::sample::subsequence(values.to_vec(), 1..=values.len().min(2))
            .prop_map(|values| values.into_iter().collect());
        prop_oneof![none, some]
    };
    let slugs = ["home", "kitchen", "pans", "garden", "nowhere"];
    let groups = (some_of(&slugs), some_of(&BRANDS), some_of(&COLORS), some_of(&SIZES), some_of(&["true"]));
    (
        prop_oneof![3 => Just(vec![]), 1 => prop::sample::subsequence(WORDS.to_vec(), 1..3)],
        groups,
        prop::option::of((0..3000_i64, 0..6000_i64)),
        prop::sample::select(vec!["price", "-price", "name", "newest", "relevance"]),
        1..8_usize,
    )
        .prop_map(|(words, groups, price, sort, limit)| {
            let (category, brand, color, size, in_stock) = groups;
            let facets = ["category", "brand", "attr.color", "attr.size", "in_stock"];
            let groups = facets.into_iter().zip([category, brand, color, size, in_stock]);
            Ask { words, groups: groups.filter(|(_, values)| !values.is_empty()).collect(), price, sort, limit }
        })
}

impl Item {
    fn title(&self, index: usize) -> String {
        // Titles differ in case alone at times, and the index keeps slugs apart.
        format!("{} {}", self.words.join(" "), char::from(b'a' + (index % 26) as u8))
    }

    fn record(&self, index: usize) -> Value {
        let variants = self.sizes.iter().enumerate().map(|(nth, size)| {
            let stock = if nth == 0 { self.stock } else { 0 };
            json!({"sku": format!("{index}-{nth}"), "attributes": {"size": size}, "price": price(self.price + nth as i64), "stock": stock})
        });
        json!({
            "slug": format!("item-{index}"),
            "title": self.title(index),
            "brand": self.brand,
            "categories": self.category.map(|path| vec![path]),
            "attributes": self.color.map(|color| json!({"color": color})),
            "variants": variants.collect::<Vec<_>>(),
        })
    }

    fn values(&self, facet: &str) -> BTreeSet<String> {
        let texts = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
        match facet {
            "category" => {
                let path = CATEGORIES.iter().find(|(path, _)| Some(*path) == self.category);
                texts(path.map(|(_, slugs)| slugs.to_vec()).unwrap_or_default())
            }
            "brand" => texts(self.brand.into_iter().collect()),
            "attr.color" => texts(self.color.into_iter().collect()),
            "attr.size" => texts(self.sizes.iter().copied().collect()),
            "in_stock" => texts(if self.stock > 0 { vec!["true"] } else { vec![] }),
            _ => {
                let price = commerce::Money::from_minor(self.price, commerce::Currency::USD).unwrap();
                BTreeSet::from([price_range(price).0.to_string()])
            }
        }
    }

    /// Whether an ask finds the item, with the filter of one facet lifted.
    fn is_found(&self, ask: &Ask, lifted: &str) -> bool {
        let in_groups = ask
            .groups
            .iter()
            .filter(|(facet, _)| **facet != lifted)
            .all(|(facet, wanted)| self.values(facet).iter().any(|value| wanted.contains(value.as_str())));
        let in_price = lifted == "price" || ask.price.is_none_or(|(min, max)| (min..=max).contains(&self.price));
        in_groups && in_price && ask.words.iter().all(|word| self.words.contains(word))
    }
}

impl Ask {
    fn path(&self, cursor: Option<&str>) -> String {
        let mut pairs =
            vec![("sort", self.sort.to_owned()), ("limit", self.limit.to_string()), ("facets", "true".to_owned())];
        // Accents and case make no difference to a search.
        pairs.extend((!self.words.is_empty()).then(|| ("q", self.words.join(" ").to_uppercase().replace('É', "e"))));
        if let Some((min, max)) = self.price {
            pairs.extend([("price_min", min.to_string()), ("price_max", max.to_string())]);
        }
        pairs.extend(
            self.groups.iter().flat_map(|(facet, values)| values.iter().map(|value| (*facet, value.to_string()))),
        );
        pairs.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        format!("/api/products?{}", pairs.join("&"))
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn expected_facets(items: &[Item], ask: &Ask) -> Value {
    let counts = |facet: &str| {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let found = items.iter().filter(|item| item.is_found(ask, facet));
        found.flat_map(|item| item.values(facet)).for_each(|value| *counts.entry(value).or_default() += 1);
        let mut counts: Vec<(String, u32)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts
    };
    let listed = |facet: &str| -> Vec<Value> {
        counts(facet).into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect()
    };
    let mut attributes = serde_json::Map::new();
    for name in ["color", "size"] {
        let listed = listed(&format!("attr.{name}"));
        if !listed.is_empty() {
            attributes.insert(name.to_owned(), listed.into());
        }
    }
    let mut prices: Vec<(i64, u32)> =
        counts("price").into_iter().map(|(from, count)| (from.parse().unwrap(), count)).collect();
    prices.sort_unstable();
    let upper = |from: i64| crate::terms::price_range_end(from, commerce::Currency::USD);
    json!({
        "total": items.iter().filter(|item| item.is_found(ask, "")).count(),
        "in_stock": counts("in_stock").first().map_or(0, |(_, count)| *count),
        "categories": listed("category"),
        "brands": listed("brand"),
        "attributes": attributes,
        "prices": prices.iter().map(|(from, count)| json!({"from": from, "to": upper(*from), "count": count})).collect::<Vec<_>>(),
    })
}

/// The slugs that should be found, in order (for relevance: in no particular one).
fn expected_slugs(items: &[Item], ask: &Ask) -> Vec<String> {
    let mut found: Vec<usize> = (0..items.len()).filter(|index| items[*index].is_found(ask, "")).collect();
    match ask.sort {
        "price" => found.sort_by_key(|index| (items[*index].price, *index)),
        "-price" => found.sort_by_key(|index| std::cmp::Reverse((items[*index].price, *index))),
        "name" => found.sort_by_key(|index| (items[*index].title(*index).to_ascii_lowercase(), *index)),
        _ => found.reverse(),
    }
    found.into_iter().map(|index| format!("item-{index}")).collect()
}

fn filled(items: &[Item]) -> Shop {
    let shop = Shop::open();
    let lines: Vec<String> = items.iter().enumerate().map(|(index, item)| item.record(index).to_string()).collect();
    let report = shop
        .request(Method::POST, "/api/catalog/import")
        .staff()
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"))
        .json();
    assert_eq!((&report["imported"], &report["failed"]), (&json!(items.len()), &json!(0)), "{report}");
    shop
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Page by page everything that should be found is, once and in order, and the counts are those of the model.
    #[test]
    fn lists_and_counts_agree_with_the_model(
        items in prop::collection::vec(item(), 0..40),
        asks in prop::collection::vec(ask(), 8),
    ) {
        let shop = filled(&items);
        for ask in asks {
            let mut slugs = Vec::new();
            let mut cursor: Option<String> = None;
            loop {
                let page = shop.get(&ask.path(cursor.as_deref())).json();
                prop_assert_eq!(&page["facets"], &expected_facets(&items, &ask), "{}", ask.path(None));
                let found = page["items"].as_array().unwrap();
                prop_assert!(found.len() <= ask.limit);
                slugs.extend(found.iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => break,
                }
                prop_assert_eq!(found.len(), ask.limit, "only the last page is short");
            }
            let mut expected = expected_slugs(&items, &ask);
            if ask.sort == "relevance" && !ask.words.is_empty() {
                slugs.sort_unstable();
                expected.sort_unstable();
            }
            prop_assert_eq!(slugs, expected, "{}", ask.path(None));
        }
    }
}

#[test]
fn an_item_says_what_a_list_shows() {
    let shop = Shop::open();
    let product = json!({
        "title": "Copper Pan", "brand": "Holm", "images": ["/pan.jpg", "/lid.jpg"],
        "variants": [{"sku": "p-2", "price": price(5000), "stock": 1}, {"sku": "p-1", "price": price(4000)}],
    });
    let made = shop.post("/api/products", product).json();
    assert_eq!(
        shop.get("/api/products?q=pan").json(),
        json!({
            "items": [{
                "id": made["id"], "slug": "copper-pan", "title": "Copper Pan", "brand": "Holm", "image": "/pan.jpg",
                "price": price(4000), "in_stock": true,
            }],
            "next_cursor": null,
        })
    );
}

#[test]
fn the_title_matters_more_than_the_description() {
    let shop = Shop::open();
    for (sku, title, description) in [
        ("a", "Stand", "A stand for a teapot, with room for the teapot's lid and a second teapot."),
        ("b", "Teapot", "Holds a litre."),
        ("c", "Cup", "Holds less."),
    ] {
        shop.post(
            "/api/products",
            json!({
                "title": title, "description": description, "attributes": {"glaze": "celadon"},
                "variants": [{"sku": sku, "price": price(1)}],
            }),
        );
    }
    let found = |q: &str| {
        let items = shop.get(&format!("/api/products?q={q}")).json()["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("teapots"), ["Teapot", "Stand"]);
    assert_eq!(found("teap*"), ["Teapot", "Stand"]);
    assert_eq!(found("teap"), [""; 0]);
    assert_eq!(found("holds%20litre"), ["Teapot"]);
    assert_eq!(found("celadon").len(), 3);
    assert_eq!(found("c"), ["Cup"]);
    assert_eq!(found("%22%20OR%20*%20teapot"), [""; 0]);
}

#[test]
fn changes_show_in_the_next_search() {
    let shop = Shop::open();
    shop.stock_one("lamp", 1);
    let count = |query: &str| shop.get(&format!("/api/products?{query}")).json()["items"].as_array().unwrap().len();
    assert_eq!((count("q=lamp"), count("in_stock=true"), count("brand=Holm")), (1, 1, 0));
    let edited = shop
        .request(Method::PATCH, "/api/products/lamp")
        .staff()
        .header("if-match", "*")
        .json(json!({"title": "Lantern", "brand": "Holm", "variants": [{"sku": "l-1", "price": price(1)}]}));
    assert_eq!(edited.status, StatusCode::OK);
    assert_eq!((count("q=lamp"), count("q=lantern"), count("in_stock=true"), count("brand=Holm")), (0, 1, 0, 1));
}

#[test]
fn unusable_parameters_are_named() {
    let shop = Shop::open();
    shop.get("/api/products?colour=red").is_problem(
        400,
        "bad-query",
        "the query parameter \"colour\" is unusable: there is no such parameter",
        json!({"parameter": "colour"}),
    );
    shop.stock_one("a", 1);
    shop.stock_one("b", 1);
    let cursor = shop.get("/api/products?sort=price&limit=1").json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(shop.get(&format!("/api/products?sort=price&limit=1&cursor={cursor}")).json()["items"][0]["slug"], "b");
    shop.get(&format!("/api/products?sort=name&cursor={cursor}")).is_problem(
        400,
        "bad-query",
        "the query parameter \"cursor\" is unusable: the cursor does not belong to this list; start again without it",
        json!({"parameter": "cursor"}),
    );
}
