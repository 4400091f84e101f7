//! The whole service over its router, on a real database in a folder of its own, in a world of other services that can
//! be lost, slow, or dead.

mod audit;
mod cancelling;
mod chaos;
mod checkout;
mod events;
mod faults;
mod figures;
mod journal;
mod openapi;
mod overtaken;
mod ownership;
mod paying;
mod refunds;
mod shop;
mod transitions;
mod world;
