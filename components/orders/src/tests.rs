//! The whole service over its router, on a real database, in a world of fake peers.
