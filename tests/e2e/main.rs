//! End-to-end tests: the real host, its own state folder, requests through HTTP; named for what a shopper or an operator does.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the reason")]

mod aborted_requests;
mod accounts;
mod backup;
mod bad_components;
mod bad_manifests;
mod build;
mod busy_guests;
mod catalog;
mod chain_cycles;
mod check;
mod code_cache;
mod command_line;
mod conformance;
mod counters;
mod disk_full;
mod drain;
mod first_start;
mod guest_interfaces;
mod import_files;
mod instance_settings;
mod kill_and_recover;
mod limits;
mod login_elsewhere;
mod misbehaving_guests;
mod outbound_tls;
mod payments;
mod pricing;
mod schedules;
mod service_chaining;
mod shipping;
mod sockets;
mod store_settings;
mod telemetry;
mod tls;
mod token_keys;
