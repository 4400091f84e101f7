//! Orders: checkout as a saga, and what becomes of an order after.
//!
//! `routes` (what can be asked) -> `checkout` (placing an order; `quoting` prices it), `cancelling`, `transitions`,
//! `refunding` (what is done with one), `payment_news`, `parcel_news` (what others tell), `sweep` (what is taken up
//! again), `audit` (whether the books of all services agree) -> `work` (a task, with the service that it asks) ->
//! `peers` (what is asked of whom), `store` (the SQL) -> `request` (who asks to check out) and domain (`state`, `saga`,
//! `task`, `order`, `priced`, `refund`, `failure`, `wish`, `address`, `number`, `token`: pure). `access` tells who may
//! see an order, `view` what they see, and `error` adds the refusals that only orders know.
//!
//! Everything that another service has to do is a task: it is written down in the transaction that makes it necessary,
//! asks for an effect that the other service has once, and is gone when the outcome is written down.

mod access;
mod address;
mod app;
mod audit;
mod cancelling;
mod checkout;
mod component;
mod error;
mod failure;
mod number;
mod order;
mod parcel_news;
mod payment_news;
mod peers;
mod priced;
mod query;
mod quoting;
mod refund;
mod refunding;
mod request;
mod routes;
mod saga;
mod state;
mod store;
mod sweep;
mod task;
#[cfg(test)]
mod tests;
mod token;
mod transitions;
mod view;
mod wish;
mod work;
