//! The whole service over its router, on a real database in a folder of its own and with a clock that can be set.

mod admin;
mod api_keys;
mod desk;
mod keys;
mod lockout;
mod login;
mod oidc;
mod openapi;
mod password;
mod profile;
mod register;
mod sessions;
