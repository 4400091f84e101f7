//! The catalog: products with variants, categories, search with facets, stock and its reservations, and the rules
//! by which its products are priced.
//!
//! `routes` (what can be asked) -> `import`, `export` (many products at once) -> domain (`product`, `counts`,
//! `category`, `search`, `reservation`, `restock`,
//! `rules`, `redemption`, `terms`, `tags`: pure) and `store` (the SQL). `error` adds the refusals that only the catalog knows.

mod app;
mod category;
mod component;
mod counts;
mod error;
mod export;
mod import;
mod product;
mod redemption;
mod reservation;
mod restock;
mod routes;
mod rules;
mod search;
mod store;
mod tags;
mod terms;
#[cfg(test)]
mod tests;
