//! Payments: one intent per order, its capture and refunds, and what the provider reports about them.
//!
//! `routes` (what can be asked) -> `charges`, `refunds`, `webhooks`, `sweep` (what is done) -> `work` (an operation
//! with the provider) -> `provider` (`test`, `stripe`) and `reports` (what a provider told, taken in) -> `store` (the
//! SQL) and domain (`intent`, `refund`, `failure`, `operation`, `wish`, `signature`: pure). `owner` tells whose a
//! payment is, and `error` adds the refusals that only payments know.
//!
//! Every call to a provider is an operation: it is written down before the call, its id is the idempotency key of the
//! call, and it stays open until the outcome is known. Whoever comes next, a repeat or the sweep, goes on with it.

mod app;
mod charges;
mod component;
mod error;
mod failure;
mod intent;
mod operation;
mod owner;
mod provider;
mod refund;
mod refunds;
mod reports;
mod routes;
mod signature;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod view;
mod webhooks;
mod wish;
mod work;
