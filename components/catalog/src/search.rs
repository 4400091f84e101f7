//! What a shopper asks of the list of products, read from the query string.

use std::collections::BTreeMap;

use commerce::{Currency, Cursor, Limit};
use serde::{Deserialize, Serialize};
use service::Error;

use crate::terms::{ATTRIBUTE_PREFIX, BRAND, CATEGORY, IN_STOCK, price_range_end};

/// Longest search text, in characters.
pub(crate) const Q_CHARS_MAX: usize = 200;
/// Most words of a search text.
pub(crate) const Q_WORDS_MAX: usize = 16;
/// Most filter values of one request.
pub(crate) const FILTER_VALUES_MAX: usize = 64;
/// Values that each facet shows at most, the most frequent first.
pub(crate) const FACET_VALUES_MAX: u32 = 50;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Relevance,
    Price,
    PriceDescending,
    Name,
    Newest,
}

impl Sort {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Price => "price",
            Self::PriceDescending => "-price",
            Self::Name => "name",
            Self::Newest => "newest",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Relevance, Self::Price, Self::PriceDescending, Self::Name, Self::Newest];
        all.into_iter().find(|sort| sort.as_str() == text)
    }
}

/// The sort key of a row: a price, a score's bits, or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Key {
    Number(i64),
    Text(String),
}

/// Where a page ended: sort key and number of its last product.
pub(crate) type Position = (Key, i64);

/// A request for a page of products.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The full-text query in FTS5's syntax, made of quoted words.
    pub(crate) matching: Option<String>,
    /// Facet by facet the values of which one must hold.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    pub(crate) price_min: Option<i64>,
    pub(crate) price_max: Option<i64>,
    pub(crate) sort: Sort,
    pub(crate) limit: Limit,
    pub(crate) after: Option<Position>,
    pub(crate) facets: bool,
}

impl Query {
    /// Reads the parameters; an unknown one is an error, because a filter that is misspelt must not pass for none.
    pub(crate) fn parse(pairs: &[(String, String)]) -> Result<Self, Error> {
        let mut query = Self {
            matching: None,
            groups: BTreeMap::new(),
            price_min: None,
            price_max: None,
            sort: Sort::Newest,
            limit: Limit::DEFAULT,
            after: None,
            facets: false,
        };
        let (mut sort, mut cursor) = (None, None);
        for (name, value) in pairs {
            let refuse = |reason: String| Error::Query { name: name.clone(), reason };
            match name.as_str() {
                "q" => query.matching = matching(value).map_err(refuse)?,
                CATEGORY | BRAND => query.group(name, value),
                IN_STOCK => {
                    if flag(value).map_err(refuse)? {
                        query.group(IN_STOCK, "true");
                    }
                }
                "price_min" => query.price_min = Some(minor(value).map_err(refuse)?),
                "price_max" => query.price_max = Some(minor(value).map_err(refuse)?),
                "facets" => query.facets = flag(value).map_err(refuse)?,
                "sort" => sort = Some(Sort::parse(value).ok_or_else(|| refuse("unknown order".to_owned()))?),
                "limit" => {
                    let rows: u32 = value.parse().map_err(|_| refuse("not a number".to_owned()))?;
                    query.limit = Limit::try_from(rows).map_err(refuse)?;
                }
                "cursor" => cursor = Some(value),
                attribute if attribute.starts_with(ATTRIBUTE_PREFIX) => query.group(attribute, value),
                _ => return Err(refuse("there is no such parameter".to_owned())),
            }
            if query.groups.values().map(Vec::len).sum::<usize>() > FILTER_VALUES_MAX {
                return Err(refuse(format!("at most {FILTER_VALUES_MAX} filter values")));
            }
        }
        // Without words there is nothing to be relevant to.
        let default = if query.matching.is_some() { Sort::Relevance } else { Sort::Newest };
        query.sort = match sort {
            Some(Sort::Relevance) | None => default,
            Some(sort) => sort,
        };
        if let Some(text) = cursor {
            let refuse = |reason: String| Error::Query { name: "cursor".to_owned(), reason };
            let cursor = Cursor::decode(text, query.sort.as_str()).map_err(|error| refuse(error.to_string()))?;
            query.after = Some(cursor.after);
        }
        Ok(query)
    }

    fn group(&mut self, facet: &str, value: &str) {
        let values = self.groups.entry(facet.to_owned()).or_default();
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }

    pub(crate) fn has_price(&self) -> bool {
        self.price_min.is_some() || self.price_max.is_some()
    }
}

/// Words as FTS5 strings, all of which must match; a last `*` of a word makes it a prefix.
fn matching(text: &str) -> Result<Option<String>, String> {
    if text.chars().count() > Q_CHARS_MAX {
        return Err(format!("at most {Q_CHARS_MAX} characters"));
    }
    // Quoting takes all meaning from FTS5's operators; what holds no letter or digit would match nothing.
    let words = text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric));
    let words: Vec<String> = words
        .map(|word| {
            let star = if word.ends_with('*') { "*" } else { "" };
            format!("\"{}\"{star}", word.trim_end_matches('*').replace(['"', '\0'], " "))
        })
        .collect();
    match words.len() {
        0 if text.trim().is_empty() => Ok(None),
        0 => Err("no word to search for".to_owned()),
        1..=Q_WORDS_MAX => Ok(Some(words.join(" "))),
        _ => Err(format!("at most {Q_WORDS_MAX} words")),
    }
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

fn minor(value: &str) -> Result<i64, String> {
    let amount = value.parse::<i64>().ok().filter(|amount| *amount >= 0);
    amount.ok_or_else(|| "a whole number of minor units".to_owned())
}

/// How often a value occurs among the products that were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub(crate) value: String,
    pub(crate) count: u32,
}

/// A price range in minor units, from the lower bound up to but without the upper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PriceCount {
    from: i64,
    to: Option<i64>,
    count: u32,
}

/// The counts of a search. Each facet counts what would be found if its own filter were lifted, so that the
/// numbers beside the values that are not chosen say what choosing them would add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Facets {
    pub(crate) total: u32,
    pub(crate) in_stock: u32,
    pub(crate) categories: Vec<Count>,
    pub(crate) brands: Vec<Count>,
    pub(crate) attributes: BTreeMap<String, Vec<Count>>,
    pub(crate) prices: Vec<PriceCount>,
}

impl Facets {
    /// Sorts one count in. Prices come out in ascending order whatever order they go in.
    pub(crate) fn add(&mut self, facet: &str, value: String, count: u32, currency: Currency) {
        match facet {
            CATEGORY => self.categories.push(Count { value, count }),
            BRAND => self.brands.push(Count { value, count }),
            IN_STOCK => self.in_stock = count,
            _ => match (facet.strip_prefix(ATTRIBUTE_PREFIX), value.parse()) {
                (Some(name), _) => self.attributes.entry(name.to_owned()).or_default().push(Count { value, count }),
                (None, Ok(from)) => {
                    let at = self.prices.partition_point(|range| range.from < from);
                    self.prices.insert(at, PriceCount { from, to: price_range_end(from, currency), count });
                }
                (None, Err(_)) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Query, Error> {
        let pairs: Vec<_> = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Query::parse(&pairs)
    }

    #[test]
    fn words_lose_the_meaning_they_have_for_fts5() {
        let matching = |q: &str| parse(&[("q", q)]).map(|query| query.matching);
        assert_eq!(matching("red boots").unwrap().as_deref(), Some("\"red\" \"boots\""));
        assert_eq!(
            matching("NOT \"a\" OR title:b (c) -d").unwrap().unwrap(),
            "\"NOT\" \" a \" \"OR\" \"title:b\" \"(c)\" \"-d\""
        );
        assert_eq!(matching("lam*").unwrap().as_deref(), Some("\"lam\"*"));
        assert_eq!(matching("  ").unwrap(), None);
        assert!(matching("?! --").is_err());
        assert!(matching(&"a ".repeat(Q_WORDS_MAX + 1)).is_err());
        assert!(matching(&"a".repeat(Q_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn values_of_one_facet_are_alternatives() {
        let query =
            parse(&[("attr.color", "red"), ("attr.color", "blue"), ("attr.color", "red"), ("brand", "Acme")]).unwrap();
        assert_eq!(query.groups["attr.color"], ["red", "blue"]);
        assert_eq!(query.groups["brand"], ["Acme"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            ("colour", "red"),
            ("sort", "cheap"),
            ("limit", "0"),
            ("limit", "101"),
            ("limit", "x"),
            ("price_min", "-1"),
            ("price_max", "1.5"),
            ("in_stock", "yes"),
            ("cursor", "zzz"),
        ] {
            assert!(matches!(parse(&[bad]), Err(Error::Query { name, .. }) if name == bad.0), "{bad:?}");
        }
        let many: Vec<_> = (0..=FILTER_VALUES_MAX).map(|n| ("brand".to_owned(), n.to_string())).collect();
        assert!(Query::parse(&many).is_err());
    }

    #[test]
    fn relevance_needs_words() {
        assert_eq!(parse(&[("sort", "relevance")]).unwrap().sort, Sort::Newest);
        assert_eq!(parse(&[("q", "a")]).unwrap().sort, Sort::Relevance);
        assert_eq!(parse(&[("q", "a"), ("sort", "price")]).unwrap().sort, Sort::Price);
    }
}
