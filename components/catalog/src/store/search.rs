//! Finding products: one statement for a page, one for all counts.
//!
//! A list is either *driven* or *walked*. Words and narrow filters drive: they give a small set, which is then
//! sorted. With broad filters the index of the sort order is better walked and each product tested, until the page
//! is full. How many products a term has, and so which it is, stands beside the term.

use commerce::Currency;
use service::Error;
use sql::{Database, Row, Value};

use super::json_list;
use crate::search::{FACET_VALUES_MAX, Facets, Key, Position, Query, Sort};
use crate::terms::PRICE;

/// What it takes to look up and sort a product, measured in products that a walk passes.
const DRIVEN_COST: f64 = 2.0;
/// A list that is driven by a filter of up to this many products is answered before another request could use the time.
const SHORT_PRODUCTS_MAX: i64 = 200;

/// One page: the items as they are sent, and where it ended if more follow.
pub(crate) struct Page {
    pub(crate) items: Vec<String>,
    pub(crate) next: Option<Position>,
}

/// A filter as the store knows it: of one facet, the terms of which a product must have one.
pub(crate) struct Group {
    facet: String,
    terms: Vec<i64>,
    products: i64,
}

/// The filters of a query, the narrowest first, so that it drives or at least rules out early.
#[derive(Default)]
pub(crate) struct Filters {
    groups: Vec<Group>,
    /// All products that there are, archived ones included.
    products: i64,
}

impl Filters {
    /// Whether fewer products are looked at when the narrowest filter drives than on a walk to these many matches.
    fn drive(&self, matches: u32) -> bool {
        let Some(narrowest) = self.groups.first() else { return false };
        let products = self.products.max(1) as f64;
        // How filters go together is not known; they are taken to be independent of each other.
        let share: f64 = self.groups.iter().map(|group| group.products as f64 / products).product();
        let walked = (f64::from(matches) / share).min(products);
        narrowest.products as f64 * DRIVEN_COST <= walked
    }

    /// Whether all that the filters leave is looked at in next to no time.
    fn leave_little(&self) -> bool {
        self.groups.first().is_some_and(|narrowest| narrowest.products <= SHORT_PRODUCTS_MAX)
    }
}

/// Looks up the terms of the filters. Values that no product ever had have none.
pub(crate) fn filters(database: &Database, query: &Query) -> Result<Filters, Error> {
    if query.groups.is_empty() {
        return Ok(Filters::default());
    }
    const FIND: &str = "
        SELECT terms.facet, terms.id, terms.products, (SELECT max(seq) FROM products) FROM json_each(?1) AS wanted
        CROSS JOIN terms ON terms.facet = wanted.value ->> 0 AND terms.value = wanted.value ->> 1";
    let wanted = query.groups.iter().flat_map(|(facet, values)| values.iter().map(move |value| (facet, value)));
    let rows = database.read(FIND, &[json_list(&wanted.collect::<Vec<_>>())])?;
    let group = |facet: &String| Group { facet: facet.clone(), terms: Vec::new(), products: 0 };
    let mut groups: Vec<Group> = query.groups.keys().map(group).collect();
    let mut products = 0;
    for mut row in rows {
        let facet: String = row.take(0)?;
        if let Some(group) = groups.iter_mut().find(|group| group.facet == facet) {
            group.terms.push(row.take(1)?);
            group.products += row.take::<i64>(2)?;
        }
        products = row.take::<Option<i64>>(3)?.unwrap_or_default();
    }
    groups.sort_by_key(|group| group.products);
    Ok(Filters { groups, products })
}

/// The page that a query asks for.
pub(crate) async fn page(database: &Database, query: &Query, filters: &Filters) -> Result<Page, Error> {
    paginate(page_statement(query, filters).run(database, query, filters).await?, query)
}

fn page_statement(query: &Query, filters: &Filters) -> Statement {
    let mut statement = Statement::default();
    let groups = filters.groups.as_slice();
    // One row beyond the page tells whether another page follows.
    let rows = query.limit.get() + 1;
    let driven = query.matching.is_some() || filters.drive(rows);
    let (key, descending, index) = match query.sort {
        Sort::Relevance => ("rank", false, ""),
        Sort::Price => ("price", false, "products_by_price"),
        Sort::PriceDescending => ("price", true, "products_by_price"),
        Sort::Name => ("title", false, "products_by_name"),
        Sort::Newest => ("id", true, "products_by_age"),
    };
    let (direction, beyond) = if descending { ("DESC", "<") } else { ("ASC", ">") };

    statement.push("SELECT hit.key, hit.seq, ");
    statement.push(ITEM);
    statement.push(" FROM (SELECT ");
    if query.sort == Sort::Relevance {
        statement.push("rank AS key, rowid AS seq FROM product_search AS p WHERE ");
        statement.restrict_search(query, groups);
    } else if driven {
        statement.push(&format!("p.{key} AS key, p.seq FROM ("));
        statement.set(query, groups, false);
        statement.push(") AS found CROSS JOIN products AS p ON p.seq = found.seq WHERE true");
        statement.restrict_price(query);
    } else {
        statement.push(&format!("p.{key} AS key, p.seq FROM products AS p INDEXED BY {index} WHERE p.archived = 0"));
        statement.restrict_price(query);
        statement.restrict_terms("p.seq", groups);
    }
    if let Some((after, seq)) = &query.after {
        let row = if query.sort == Sort::Relevance { "(rank, rowid)" } else { &format!("(p.{key}, p.seq)") };
        statement.push(&format!(" AND {row} {beyond} (?, ?)"));
        statement.param(match (after, query.sort) {
            (Key::Number(bits), Sort::Relevance) => Value::Real(f64::from_bits(bits.cast_unsigned())),
            (Key::Number(number), _) => Value::Integer(*number),
            (Key::Text(text), _) => Value::Text(text.clone()),
        });
        statement.param((*seq).into());
    }
    statement.push(&format!(" ORDER BY 1 {direction}, 2 {direction} LIMIT ?"));
    statement.param(rows.into());
    statement.push(&format!(
        ") AS hit CROSS JOIN products AS item ON item.seq = hit.seq ORDER BY 1 {direction}, 2 {direction}"
    ));
    statement
}

const ITEM: &str = "json_object(
    'id', item.id, 'slug', item.slug, 'title', item.title, 'brand', item.brand, 'image', item.image,
    'price', json_object('amount', item.price, 'currency', item.currency),
    'in_stock', json(iif(item.in_stock, 'true', 'false'))
)";

fn paginate(rows: Vec<Row>, query: &Query) -> Result<Page, Error> {
    let limit = query.limit.get() as usize;
    let more = rows.len() > limit;
    let mut page = Page { items: Vec::with_capacity(limit), next: None };
    for (index, mut row) in rows.into_iter().take(limit).enumerate() {
        page.items.push(row.take(2)?);
        if more && index + 1 == limit {
            let key = match row.take(0)? {
                Value::Real(score) => Key::Number(score.to_bits().cast_signed()),
                Value::Integer(number) => Key::Number(number),
                Value::Text(text) => Key::Text(text),
                _ => continue,
            };
            page.next = Some((key, row.take(1)?));
        }
    }
    Ok(page)
}

/// The counts of a query: for the facets without a filter over what is found, for each facet with one over what
/// would be found without it.
pub(crate) async fn facets(
    database: &Database,
    query: &Query,
    filters: &Filters,
    currency: Currency,
) -> Result<Facets, Error> {
    let groups = filters.groups.as_slice();
    let mut filtered: Vec<&str> = groups.iter().map(|group| group.facet.as_str()).collect();
    filtered.extend(query.has_price().then_some(PRICE));

    let mut statement = Statement::default();
    statement.push("SELECT facet, value, products FROM (SELECT *, row_number() OVER (PARTITION BY facet ORDER BY products DESC, value) AS place FROM (");
    statement.push("SELECT '' AS facet, '' AS value, count(*) AS products FROM (");
    statement.set(query, groups, true);
    statement.push(")");
    statement.counts(query, groups, "NOT IN", &filtered);
    for facet in &filtered {
        let others: Vec<Group> = groups.iter().filter(|group| group.facet != *facet).map(Group::copy).collect();
        let mut lifted = query.clone();
        if *facet == PRICE {
            (lifted.price_min, lifted.price_max) = (None, None);
        }
        statement.counts(&lifted, &others, "IN", &[facet]);
    }
    statement.push(")) WHERE place <= ? ORDER BY facet, place");
    statement.param(FACET_VALUES_MAX.into());

    let mut facets = Facets::default();
    for mut row in statement.run(database, query, filters).await? {
        match row.take::<String>(0)?.as_str() {
            "" => facets.total = row.take(2)?,
            facet => facets.add(facet, row.take(1)?, row.take(2)?, currency),
        }
    }
    Ok(facets)
}

impl Group {
    fn copy(&self) -> Self {
        Self { facet: self.facet.clone(), terms: self.terms.clone(), products: self.products }
    }
}

/// A statement as it grows. Only texts of this file become SQL; everything from outside is a parameter.
#[derive(Default)]
struct Statement {
    sql: String,
    params: Vec<Value>,
}

impl Statement {
    /// Runs it, in a single call to the host if there is little to look at.
    async fn run(self, database: &Database, query: &Query, filters: &Filters) -> Result<Vec<Row>, sql::Error> {
        match query.matching.is_none() && filters.leave_little() {
            true => database.read(&self.sql, &self.params),
            false => database.execute(&self.sql, &self.params).await,
        }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn param(&mut self, value: Value) {
        self.params.push(value);
    }

    fn list(&mut self, values: impl IntoIterator<Item = Value>) {
        let before = self.params.len();
        self.params.extend(values);
        let marks = vec!["?"; self.params.len() - before].join(", ");
        self.push(&format!(" ({marks})"));
    }

    /// A query for the numbers of the products found, in no order; prices are tested only if asked for.
    fn set(&mut self, query: &Query, groups: &[Group], priced: bool) {
        let priced = priced && query.has_price();
        match (query.matching.is_some(), groups.split_first()) {
            (true, _) => {
                self.push("SELECT p.rowid AS seq FROM product_search AS p WHERE ");
                self.restrict_search(&Query { price_min: None, price_max: None, ..query.clone() }, groups);
                self.restrict_price_of("p.rowid", query, priced);
            }
            (false, Some((narrowest, others))) => {
                // A product may have several of the terms, and counts once.
                let distinct = if narrowest.terms.len() > 1 { "DISTINCT " } else { "" };
                self.push(&format!("SELECT {distinct}p.product AS seq FROM product_terms AS p WHERE p.term IN "));
                self.list(narrowest.terms.iter().map(|term| Value::Integer(*term)));
                self.restrict_terms("p.product", others);
                self.restrict_price_of("p.product", query, priced);
            }
            (false, None) => {
                self.push("SELECT p.seq FROM products AS p WHERE p.archived = 0");
                if priced {
                    self.restrict_price(query);
                }
            }
        }
    }

    /// The counts of the facets in (or not in) a list over what is found.
    fn counts(&mut self, query: &Query, groups: &[Group], membership: &str, facets: &[&str]) {
        let everything = query.matching.is_none() && groups.is_empty() && !query.has_price();
        if everything {
            self.push(" UNION ALL SELECT facet, value, products FROM terms WHERE products > 0 AND facet ");
            self.push(membership);
            return self.list(facets.iter().map(|facet| Value::from(*facet)));
        }
        self.push(
            " UNION ALL SELECT terms.facet, terms.value, counted.products FROM (
                SELECT term, count(*) AS products FROM (",
        );
        self.set(query, groups, true);
        // Grouping sorts, so other facets' terms are left out before it. The plus sign keeps SQLite from looking
        // up each product under each of the facet's terms in place of reading the few terms that it has.
        self.push(
            ") AS found CROSS JOIN product_terms ON product_terms.product = found.seq
                AND +product_terms.term IN (SELECT id FROM terms WHERE facet ",
        );
        self.push(membership);
        self.list(facets.iter().map(|facet| Value::from(*facet)));
        self.push(") GROUP BY term) AS counted CROSS JOIN terms ON terms.id = counted.term");
    }

    fn restrict_search(&mut self, query: &Query, groups: &[Group]) {
        self.push("product_search MATCH ?");
        self.param(query.matching.clone().into());
        self.restrict_terms("p.rowid", groups);
        self.restrict_price_of("p.rowid", query, query.has_price());
    }

    fn restrict_terms(&mut self, seq: &str, groups: &[Group]) {
        for group in groups {
            self.push(&format!(" AND EXISTS (SELECT 1 FROM product_terms WHERE product = {seq} AND term IN "));
            self.list(group.terms.iter().map(|term| Value::Integer(*term)));
            self.push(")");
        }
    }

    fn restrict_price_of(&mut self, seq: &str, query: &Query, priced: bool) {
        if priced {
            self.push(&format!(" AND EXISTS (SELECT 1 FROM products AS priced WHERE priced.seq = {seq}"));
            self.bounds("priced.price", query);
            self.push(")");
        }
    }

    fn restrict_price(&mut self, query: &Query) {
        self.bounds("p.price", query);
    }

    fn bounds(&mut self, price: &str, query: &Query) {
        for (bound, comparison) in [(query.price_min, ">="), (query.price_max, "<=")] {
            if let Some(bound) = bound {
                self.push(&format!(" AND {price} {comparison} ?"));
                self.param(bound.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SCHEMA;
    use futures::executor::block_on;

    /// How many products the planned lists are out of.
    const PRODUCTS: i64 = 50_000;

    /// The steps by which SQLite would answer a list with this filter.
    fn plan(sort: Sort, matching: Option<&str>, products: i64) -> Vec<String> {
        let folder = service::testing::Folder::new();
        let database = folder.database();
        block_on(sql::migrate(&database, &[SCHEMA])).unwrap();
        let pairs = [("price_min".to_owned(), "1".to_owned())];
        let mut query = Query::parse(&pairs).unwrap();
        (query.sort, query.matching) = (sort, matching.map(str::to_owned));
        query.after = Some((Key::Number(1), 1));
        let group = Group { facet: "brand".to_owned(), terms: vec![7], products };
        let filters = Filters { groups: vec![group], products: PRODUCTS };
        let Statement { sql, params } = page_statement(&query, &filters);
        let rows = database.read(&format!("EXPLAIN QUERY PLAN {sql}"), &params).unwrap();
        rows.into_iter().map(|mut row| row.take::<String>(3).unwrap()).collect()
    }

    fn has(plan: &[String], step: &str) -> bool {
        plan.iter().any(|taken| taken.contains(step))
    }

    #[test]
    fn a_broad_filter_walks_the_index_of_the_order_without_sorting() {
        let broad = 2_000;
        for (sort, index) in [
            (Sort::Price, "products_by_price"),
            (Sort::PriceDescending, "products_by_price"),
            (Sort::Name, "products_by_name"),
            (Sort::Newest, "products_by_age"),
        ] {
            let plan = plan(sort, None, broad);
            assert!(has(&plan, &format!("USING COVERING INDEX {index}")), "{plan:?}");
            // The page itself is put in order again, which is at most a hundred rows.
            let sorts = plan.iter().filter(|step| step.contains("TEMP B-TREE")).count();
            assert!(sorts <= 1 && !has(&plan, "LAST TERM"), "{plan:?}");
        }
    }

    #[test]
    fn words_and_narrow_filters_drive() {
        let narrow = plan(Sort::Price, None, 500);
        assert!(has(&narrow, "SEARCH p USING PRIMARY KEY (term=?)"), "{narrow:?}");
        let words = plan(Sort::Relevance, Some("boots"), 2_000);
        assert!(has(&words, "VIRTUAL TABLE INDEX"), "{words:?}");
        assert!(has(&words, "SEARCH item USING INTEGER PRIMARY KEY"), "{words:?}");
    }

    #[test]
    fn filters_that_are_narrow_only_together_drive() {
        let drive = |counts: &[i64], matches: u32| {
            let group = |products: &i64| Group { facet: String::new(), terms: Vec::new(), products: *products };
            Filters { groups: counts.iter().map(group).collect(), products: PRODUCTS }.drive(matches)
        };
        assert!(!drive(&[2_000], 25), "a walk of 625 products fills the page");
        assert!(drive(&[2_000, 5_000, 5_000], 25), "a walk would pass all products for some 20 matches");
        assert!(drive(&[500], 25) && !drive(&[500], 2), "a short page is soon full");
        assert!(drive(&[0, 5_000], 25), "nothing has to be looked at");
        assert!(!drive(&[], 25));
    }
}
