//! The whole service over its router, on a real database in a folder of its own.

mod cards;
mod chaos;
mod charges;
mod events;
mod faults;
mod journal;
mod openapi;
mod owners;
mod refunds;
mod releases;
mod shop;
mod webhooks;
