//! What keeps a shop up when a part of it is slow, failing or asked too much. All of it is told the time, and decides by nothing else.

mod breaker;
mod concurrency;
mod guard;
mod retry;

pub(super) use breaker::BreakerSettings;
pub use breaker::Change;
use breaker::{Breaker, LetThrough};
pub(super) use concurrency::{Concurrency, ConcurrencySettings, Place};
pub(super) use guard::Guards;
pub use guard::{Attempt, Guard};
use retry::RetryBudget;
pub(super) use retry::{RetrySettings, backoff};
