//! The whole service over its router, on a real database in a folder of its own.

mod events;
mod openapi;
mod places;
mod quotes;
mod shipments;
mod shop;
mod tariff;
