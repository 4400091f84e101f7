//! The harness of the end-to-end tests: apps in folders of their own, run by the real host as a process.
//!
//! `app` writes an app down, `host` runs it, `control` operates it, `shop` is the app of this repository; the rest are tools for the tests.
#![expect(clippy::expect_used, reason = "a harness that cannot go on ends the test, with the reason")]

pub mod app;
pub mod client;
pub mod control;
pub mod host;
pub mod image;
pub mod key_server;
pub mod legacy;
pub mod load;
pub mod metrics;
pub mod programs;
pub mod prometheus;
pub mod raw;
pub mod redis;
pub mod registry;
pub mod rollouts;
pub mod shop;
pub mod shopper;
pub mod stores;
pub mod stripe;
pub mod tokens;
pub mod upgrades;
pub mod visitor;
