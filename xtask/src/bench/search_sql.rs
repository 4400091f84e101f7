//! The statements that the catalog runs for the searches that are measured, written out.
//!
//! Parameters: ?1 the words in FTS5's syntax (or the category), ?2 the colour (or the highest price).

/// Selects what a list shows of `hit`, its id first.
macro_rules! items {
    ($hits:literal, $order:literal) => {
        concat!(
            "SELECT item.id, key, hit.seq, json_object(
                'id', item.id, 'slug', item.slug, 'title', item.title, 'brand', item.brand, 'image', item.image,
                'price', json_object('amount', item.price, 'currency', item.currency),
                'in_stock', json(iif(item.in_stock, 'true', 'false'))
            ) FROM (",
            $hits,
            ") AS hit CROSS JOIN products AS item ON item.seq = hit.seq ORDER BY key ",
            $order,
            ", hit.seq ",
            $order
        )
    };
}

/// Counts the terms of the products that `set` numbers.
macro_rules! counts {
    ($set:literal) => {
        concat!(
            " UNION ALL SELECT terms.facet, terms.value, counted.products FROM (
                SELECT term, count(*) AS products FROM (",
            $set,
            ") AS found
                CROSS JOIN product_terms ON product_terms.product = found.seq GROUP BY term
            ) AS counted CROSS JOIN terms ON terms.id = counted.term WHERE true"
        )
    };
}

/// The total of `set`, and up to 50 values of each facet.
macro_rules! facets {
    ($set:literal, $counts:expr) => {
        concat!(
            "SELECT facet, value, products FROM (
                SELECT *, row_number() OVER (PARTITION BY facet ORDER BY products DESC, value) AS place FROM (
                    SELECT '' AS facet, '' AS value, count(*) AS products FROM (",
            $set,
            ")",
            $counts,
            "
                )
            ) WHERE place <= 50 ORDER BY facet, place"
        )
    };
}

/// A page of what has all words, by relevance.
pub(crate) const BY_WORDS: &str = items!(
    "SELECT rank AS key, rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1
    ORDER BY key ASC, seq ASC LIMIT 25",
    "ASC"
);

/// The facets of the same.
pub(crate) const WORDS_FACETS: &str = facets!(
    "SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1",
    counts!("SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1")
);

/// A page of what has a word and a colour, by price.
pub(crate) const BY_WORD_AND_COLOR: &str = items!(
    "SELECT p.price AS key, p.seq FROM (
        SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1
        AND EXISTS (SELECT 1 FROM product_terms WHERE product = p.rowid
            AND term IN (SELECT id FROM terms WHERE facet = 'attr.color' AND value = ?2))
    ) AS found CROSS JOIN products AS p ON p.seq = found.seq WHERE true ORDER BY key ASC, p.seq ASC LIMIT 25",
    "ASC"
);

/// The facets of the same; colours are counted as if none were asked for.
pub(crate) const WORD_AND_COLOR_FACETS: &str = facets!(
    "SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1
    AND EXISTS (SELECT 1 FROM product_terms WHERE product = p.rowid
        AND term IN (SELECT id FROM terms WHERE facet = 'attr.color' AND value = ?2))",
    concat!(
        counts!(
            "SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1
            AND EXISTS (SELECT 1 FROM product_terms WHERE product = p.rowid
                AND term IN (SELECT id FROM terms WHERE facet = 'attr.color' AND value = ?2))"
        ),
        " AND facet NOT IN ('attr.color')",
        counts!("SELECT p.rowid AS seq FROM product_search AS p WHERE product_search MATCH ?1"),
        " AND facet IN ('attr.color')"
    )
);

/// A page of a category's products at hand up to a price, the dearest first.
pub(crate) const BY_CATEGORY: &str = items!(
    "SELECT p.price AS key, p.seq FROM products AS p INDEXED BY products_by_price WHERE p.archived = 0
    AND p.price <= CAST(?2 AS INTEGER)
    AND EXISTS (SELECT 1 FROM product_terms WHERE product = p.seq
        AND term IN (SELECT id FROM terms WHERE facet = 'category' AND value = ?1))
    AND EXISTS (SELECT 1 FROM product_terms WHERE product = p.seq
        AND term IN (SELECT id FROM terms WHERE facet = 'in_stock' AND value = 'true'))
    ORDER BY key DESC, seq DESC LIMIT 25",
    "DESC"
);
