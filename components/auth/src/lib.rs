//! Accounts: register, log in, refresh, profile, passwords, API keys, login by other issuers, and the keys of tokens.
//!
//! `routes` (what can be asked) -> `guard` (attempts at passwords), `tokens` (what is issued), `oidc` (what another
//! issuer says), `events` (what others hear of) -> domain (`account`, `password`, `secret`, `throttle`,
//! `keyring`: pure) and `store` (the SQL). `error` adds the refusals that only accounts know.

mod account;
mod app;
mod component;
mod error;
mod events;
mod guard;
mod keyring;
mod oidc;
mod password;
mod routes;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;
