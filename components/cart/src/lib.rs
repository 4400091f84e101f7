//! Carts: of guests, who hold a token that nobody can guess, and of accounts. A cart keeps what is wanted; what it is,
//! what it costs and whether there is enough of it is asked anew whenever the cart is shown.
//!
//! `routes` (what can be asked) -> `changes` (one change against all others), `merge` (a guest's cart becomes an
//! account's), `sweep` -> `view` (a cart as it is shown) and `asked` (what the catalog says) -> `store` (documents by
//! key) and domain (`cart`, `taking_in`, `owner`, `attempt`, `recent`: pure). `error` adds the refusals that only carts
//! know.
//!
//! A cart is one document, and every write is a compare-and-swap of it: what somebody else wrote meanwhile is read and
//! the change made again, so that no update is lost.

mod app;
mod asked;
mod attempt;
mod cart;
mod changes;
mod component;
mod error;
mod merge;
mod owner;
mod recent;
mod routes;
mod store;
mod sweep;
mod taking_in;
#[cfg(test)]
mod tests;
mod view;
