//! Searches of a large catalogue: the answers against the truth, and their latency beside the bare queries.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use crate::catalogue::{ADJECTIVES, CATEGORIES, COLORS, Catalogue, PROSE, Product, Query, count};
use crate::report::{Bar, Section, Table};
use crate::server::Server;
use crate::shop::copy_database;
use crate::statistics::{Latencies, Pairs};
use crate::{Bench, search_sql};

/// Searches of each kind, all different.
const SEARCHES: usize = 200;
/// Products on a page when nothing is asked for.
const PAGE: usize = 24;
const RATIO_WANTED: f64 = 2.0;

/// One search, as it is asked over HTTP, of SQLite, and of the truth.
struct Search {
    /// The query string.
    query_string: String,
    /// The parameters of its kind's statements.
    parameters: Vec<String>,
    query: Query,
}

/// Searches that run the same statements.
struct Kind {
    name: &'static str,
    statements: &'static [&'static str],
    order: Order,
    has_facets: bool,
    search: fn(&Catalogue, usize) -> Search,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By a score that depends on all texts; what is found is exact, its order is not looked at.
    Relevance,
    PriceAscending,
    PriceDescending,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "a product's name",
        statements: &[search_sql::BY_WORDS, search_sql::WORDS_FACETS],
        order: Order::Relevance,
        has_facets: true,
        search: |catalogue, n| {
            let product = &catalogue.products[n * catalogue.products.len() / SEARCHES];
            let name = product.title.split(' ').next().unwrap_or_default().to_owned();
            words(vec![name])
        },
    },
    Kind {
        name: "two words by relevance, with facets",
        statements: &[search_sql::BY_WORDS, search_sql::WORDS_FACETS],
        order: Order::Relevance,
        has_facets: true,
        search: |_, n| words(vec![PROSE[n % PROSE.len()].to_owned(), ADJECTIVES[n / PROSE.len()].to_owned()]),
    },
    Kind {
        name: "a word and a colour by price, with facets",
        statements: &[search_sql::BY_WORD_AND_COLOR, search_sql::WORD_AND_COLOR_FACETS],
        order: Order::PriceAscending,
        has_facets: true,
        search: |_, n| {
            let nouns: Vec<&str> = CATEGORIES.iter().flat_map(|(_, _, nouns)| *nouns).collect();
            let (noun, color) = (nouns[n % nouns.len()], COLORS[n / nouns.len()]);
            let search = words(vec![noun.to_owned()]);
            Search {
                query_string: format!("{}&attr.color={color}&sort=price", search.query_string),
                parameters: [search.parameters, vec![color.to_owned()]].concat(),
                query: Query { colors: vec![color], ..search.query },
            }
        },
    },
    Kind {
        name: "a category's products at hand up to a price, the dearest first",
        statements: &[search_sql::BY_CATEGORY],
        order: Order::PriceDescending,
        has_facets: false,
        search: |_, n| {
            let category = CATEGORIES[n % CATEGORIES.len()].1;
            let slug = category.to_lowercase();
            let price_max = 20_000 + 2_000 * n as u64;
            Search {
                query_string: format!("category={slug}&in_stock=true&price_max={price_max}&sort=-price"),
                parameters: vec![slug, price_max.to_string()],
                query: Query {
                    category: Some(category),
                    in_stock: true,
                    price_minor: Some(0..=price_max),
                    ..Query::default()
                },
            }
        },
    },
];

/// Checks all answers once, then measures both ways to get them.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let catalogue = &stocked.catalogue;
    let copy = bench.folder.path().join("search.db");
    copy_database(&stocked.shop.database(), &copy)?;
    let database = Connection::open(&copy)?;
    // As much as the whole catalogue needs, so that the bare queries are as fast as they can be.
    database.pragma_update(None, "cache_size", -256 * 1024)?;
    let (server, _) = stocked.shop.start()?;
    let agent = ureq::Agent::new_with_defaults();

    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for kind in &KINDS {
        let searches: Vec<Search> = (0..SEARCHES).map(|n| (kind.search)(catalogue, n)).collect();
        for search in &searches {
            let answer = ask(&agent, &server, kind, search)?;
            let answer: Value = serde_json::from_slice(&answer)?;
            check(&answer, kind, &search.query, catalogue).with_context(|| search.query_string.clone())?;
            let bare = query(&database, kind, search)?;
            let items = answer["items"].as_array().context("no items")?.iter().map(|item| item["id"].as_str());
            let same = items.eq(bare[0].iter().take(PAGE).map(|row| row.first().map(String::as_str)));
            ensure!(same, "{}: the bare query finds other products", search.query_string);
        }
        let measure = |run: &dyn Fn(&Search) -> Result<()>| -> Result<Latencies> {
            searches.iter().map(|search| timed(|| run(search))).collect()
        };
        let pairs = Pairs::measure(
            bench.rounds,
            || measure(&|search| ask(&agent, &server, kind, search).map(drop)),
            || measure(&|search| query(&database, kind, search).map(drop)),
        )?;
        for percent in [50, 99] {
            let figure = |latencies: &Latencies| latencies.percentile(percent).as_secs_f64() * 1e6;
            let ratio = pairs.ratio(figure);
            rows.push(vec![
                kind.name.to_owned(),
                format!("p{percent}, us"),
                format!("{:.0}", pairs.ours(figure)),
                format!("{:.0}", pairs.theirs(figure)),
                ratio.to_string(),
            ]);
            if percent == 99 {
                let what = format!("search for {}: p99, bodega over HTTP / bare queries", kind.name);
                bars.push(Bar::at_most(RATIO_WANTED, "x", what, ratio.median));
            }
        }
    }
    Ok(Section {
        title: "Search",
        about: format!(
            "{SEARCHES} different searches of each kind over {} products with {} SKUs, one after the other, beside the same \
             statements by rusqlite on a copy of the database.\n\
             The answers are right: total, hits and facet counts are those that follow from the generated catalogue.",
            catalogue.products.len(),
            crate::SKUS
        ),
        table: Table {
            columns: vec!["search for", "", "bodega", "bare queries", "ratio (lowest to highest round)"],
            rows,
        },
        details: Vec::new(),
        bars,
    })
}

fn words(words: Vec<String>) -> Search {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    Search {
        query_string: format!("q={}", words.join("%20")),
        parameters: vec![quoted.join(" ")],
        query: Query { words, ..Query::default() },
    }
}

fn timed(run: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    run()?;
    Ok(begin.elapsed())
}

fn ask(agent: &ureq::Agent, server: &Server, kind: &Kind, search: &Search) -> Result<Vec<u8>> {
    let url = server.url(&format!("/api/products?{}&facets={}", search.query_string, kind.has_facets));
    Ok(agent.get(url).call()?.body_mut().read_to_vec()?)
}

/// Runs the statements of a search, and gives the texts and numbers of all rows as texts.
fn query(database: &Connection, kind: &Kind, search: &Search) -> Result<Vec<Vec<Vec<String>>>> {
    let run = |statement: &&str| {
        let mut statement = database.prepare_cached(statement)?;
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>, column| match row.get_ref(column)? {
            rusqlite::types::ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
            _ => Ok::<_, rusqlite::Error>(String::new()),
        };
        let rows = statement.query_map(params_from_iter(&search.parameters), |row| {
            (0..columns).map(|column| text(row, column)).collect()
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    kind.statements.iter().map(run).collect()
}

/// Holds an answer against the truth.
fn check(answer: &Value, kind: &Kind, query: &Query, catalogue: &Catalogue) -> Result<()> {
    let mut expected = catalogue.matches(query);
    let titles: Vec<&str> =
        answer["items"].as_array().context("no items")?.iter().filter_map(|item| item["title"].as_str()).collect();
    ensure!(titles.len() == expected.len().min(PAGE), "{} items of {} products", titles.len(), expected.len());
    match kind.order {
        Order::Relevance => {
            let stray = titles.iter().find(|title| !expected.iter().any(|product| product.title == **title));
            ensure!(stray.is_none(), "{stray:?} is found");
        }
        Order::PriceAscending => expected.sort_by_key(|product| product.price_minor()),
        Order::PriceDescending => expected.sort_by_key(|product| std::cmp::Reverse(product.price_minor())),
    }
    if kind.order != Order::Relevance {
        let expected: Vec<&str> = expected.iter().take(PAGE).map(|product| product.title.as_str()).collect();
        ensure!(titles == expected, "hits {titles:?}, expected {expected:?}");
    }
    if kind.has_facets {
        check_facets(&answer["facets"], query, catalogue, &expected)?;
    }
    Ok(())
}

fn check_facets(facets: &Value, query: &Query, catalogue: &Catalogue, found: &[&Product]) -> Result<()> {
    let total = |value: &Value, expected: usize, what: &str| {
        ensure!(value.as_u64() == Some(expected as u64), "{what}: {value}, expected {expected}");
        Ok(())
    };
    total(&facets["total"], found.len(), "total")?;
    total(&facets["in_stock"], found.iter().filter(|product| product.is_in_stock()).count(), "in stock")?;
    // A facet counts as if its own filter were lifted.
    let any_color = catalogue.matches(&Query { colors: Vec::new(), ..query.clone() });
    let colors = count(&any_color, |product| product.variants.iter().map(|variant| variant.color.to_owned()));
    let categories = |product: &Product| product.categories.map(str::to_lowercase);
    for (facet, expected) in [
        (&facets["categories"], count(found, categories)),
        (&facets["brands"], count(found, |product| [product.brand.to_owned()])),
        (&facets["attributes"]["color"], colors),
        (&facets["attributes"]["material"], count(found, |product| [product.material.to_owned()])),
        (&facets["prices"], count(found, |product| [price_range(product.price_minor()).to_string()])),
    ] {
        let counts = counts(facet).context("a facet without counts")?;
        ensure!(counts == expected, "{counts:?}, expected {expected:?}");
    }
    Ok(())
}

/// The counts of a facet by value; of prices, by the lower bound. A facet that nothing has is left out.
fn counts(facet: &Value) -> Option<BTreeMap<String, usize>> {
    let Some(counts) = facet.as_array() else { return facet.is_null().then(BTreeMap::new) };
    let count = |count: &Value| {
        let value = count["value"].as_str().map(str::to_owned).or_else(|| Some(count["from"].as_u64()?.to_string()))?;
        Some((value, usize::try_from(count["count"].as_u64()?).ok()?))
    };
    counts.iter().map(count).collect()
}

/// The lower bound of the range of prices that a price falls in: 0, or 1, 2, 5, 10, 20, 50 ... units of the currency.
pub(crate) fn price_range(price_minor: u64) -> u64 {
    let bounds = (0..8).flat_map(|power| [1, 2, 5].map(|step| step * 100 * 10_u64.pow(power)));
    bounds.take_while(|bound| *bound <= price_minor).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture;

    /// The answer that the catalog makes of the rows of its statements.
    fn answer(rows: &[Vec<Vec<String>>]) -> Value {
        let items = rows[0].iter().take(PAGE).map(|row| serde_json::from_str(&row[3]).unwrap()).collect::<Vec<Value>>();
        let mut facets =
            json!({ "total": 0, "in_stock": 0, "categories": [], "brands": [], "attributes": {}, "prices": [] });
        for row in rows.get(1).into_iter().flatten() {
            let count: u64 = row[2].parse().unwrap();
            let (list, name) = match row[0].as_str() {
                "" => {
                    facets["total"] = count.into();
                    continue;
                }
                "in_stock" => {
                    facets["in_stock"] = count.into();
                    continue;
                }
                "category" => (&mut facets["categories"], "value"),
                "brand" => (&mut facets["brands"], "value"),
                "price" => (&mut facets["prices"], "from"),
                attribute => (&mut facets["attributes"][attribute.strip_prefix("attr.").unwrap()], "value"),
            };
            let value = if name == "from" { json!(row[1].parse::<u64>().unwrap()) } else { json!(row[1]) };
            let count = json!({ name: value, "count": count });
            match list.as_array_mut() {
                Some(list) => list.push(count),
                None => *list = json!([count]),
            }
        }
        json!({ "items": items, "facets": facets })
    }

    #[test]
    fn the_statements_find_and_count_what_the_truth_says() {
        let catalogue = Catalogue::generate(17, 1_500);
        let database = fixture::filled(&catalogue);
        for kind in &KINDS {
            let mut found = 0;
            for n in 0..SEARCHES {
                let search = (kind.search)(&catalogue, n);
                let answer = answer(&query(&database, kind, &search).unwrap());
                check(&answer, kind, &search.query, &catalogue)
                    .unwrap_or_else(|e| panic!("{}: {e}", search.query_string));
                found += answer["items"].as_array().unwrap().len();
            }
            assert!(found >= SEARCHES, "{}: {found} hits", kind.name);
        }
    }

    #[test]
    fn searches_of_a_kind_differ() {
        let catalogue = Catalogue::generate(17, 1_500);
        for kind in &KINDS {
            let texts: std::collections::HashSet<_> =
                (0..SEARCHES).map(|n| (kind.search)(&catalogue, n).query_string).collect();
            assert_eq!(texts.len(), SEARCHES, "{}", kind.name);
        }
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let catalogue = Catalogue::generate(17, 1_500);
        let database = fixture::filled(&catalogue);
        let kind = &KINDS[2];
        let search = (kind.search)(&catalogue, 0);
        let right = answer(&query(&database, kind, &search).unwrap());
        let check = |answer: &Value| check(answer, kind, &search.query, &catalogue);
        check(&right).unwrap();
        for spoil in [
            |answer: &mut Value| answer["items"].as_array_mut().unwrap().reverse(),
            |answer: &mut Value| drop(answer["items"].as_array_mut().unwrap().pop()),
            |answer: &mut Value| answer["facets"]["total"] = 1.into(),
            |answer: &mut Value| answer["facets"]["brands"][0]["count"] = 0.into(),
            |answer: &mut Value| answer["facets"]["attributes"]["color"] = json!([]),
        ] {
            let mut wrong = right.clone();
            spoil(&mut wrong);
            assert!(check(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prices_fall_into_ranges_of_the_currencys_units() {
        let ranges = [0, 99, 100, 199, 500, 999, 1_999, 2_000, 500_000].map(price_range);
        assert_eq!(ranges, [0, 0, 100, 100, 500, 500, 1_000, 2_000, 500_000]);
    }
}
