//! End-to-end tests: the real host, its own state folder, requests through HTTP; named for what a shopper or an operator does.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the reason")]

mod backup;
mod bad_components;
mod bad_manifests;
mod catalog;
mod code_cache;
mod conformance;
mod counters;
mod disk_full;
mod drain;
mod first_start;
mod guest_interfaces;
mod kill_and_recover;
mod limits;
mod misbehaving_guests;
mod service_chaining;
mod telemetry;
mod tls;
