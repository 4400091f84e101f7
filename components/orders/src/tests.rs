//! The whole service over its router, on a real database in a folder of its own, in a world of other services that can
//! be lost, slow, or dead.

mod cancelling;
mod chaos;
mod checkout;
mod faults;
mod overtaken;
mod refunds;
mod shop;
mod transitions;
mod world;
