//! Carts as shoppers and the shop's other services meet them, over a store in memory and a catalog that stands in for
//! the real one.

mod checkout;
mod conditions;
mod contention;
mod expiry;
mod limits;
mod lines;
mod memory;
mod merging;
mod model;
mod openapi;
mod prices;
mod secrets;
mod shelf;
mod shop;
