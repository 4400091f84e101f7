//! The whole service over its router, on a real database in a folder of its own.

mod audit;
mod categories;
mod dry_runs;
mod import_reports;
mod openapi;
mod products;
mod redemptions;
mod reservations;
mod restocks;
mod rules;
mod search;
mod shop;
mod tags;
mod transfer;
