//! The catalog: products with variants, categories, search with facets, stock and its reservations.
//!
//! `routes` (what can be asked) -> `import`, `export` (many products at once) -> domain (`product`, `category`,
//! `search`, `reservation`, `terms`: pure) and `store` (the SQL). `error` maps failures to answers.

mod answer;
mod app;
mod category;
mod component;
mod error;
mod export;
mod import;
mod product;
mod request;
mod reservation;
mod routes;
mod search;
mod store;
mod terms;
#[cfg(test)]
mod tests;
