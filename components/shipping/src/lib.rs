//! Shipping: what it costs to send a parcel where, promises of that price that a client cannot alter, and the way of
//! each parcel.
//!
//! `routes` (what can be asked) -> domain, which is pure (`zone` and `method`: the tariff; `parcel`, `quote` and
//! `token`: a price and its promise; `calendar`: delivery dates; `destination`, `place`: where; `shipment`: a parcel's
//! way) and `store` (the SQL). Orders are told what happened to their parcels. `query` reads what lists are asked for,
//! `import` reads lists of places. `defaults` is what a new shop starts with.

mod app;
mod calendar;
mod component;
mod country;
mod defaults;
mod destination;
mod error;
mod import;
mod method;
mod parcel;
mod place;
mod query;
mod quote;
mod routes;
mod shipment;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod zone;
