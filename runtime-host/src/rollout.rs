//! The decisions of a rollout: how much traffic a new revision gets, when it gets more, and when it goes back.
//!
//! Pure: clock, counters and random numbers are passed in. A [`Rollout`] is a value that is advanced:
//!
//! ```text
//! Rollout::new(plan, now, salt)      Warming
//!   .warmed(now)                     Step 0 of a canary or shadow; Baking or Promoted otherwise
//!   .advance(now, &samples)          once a second or so: what has to change, as `Transition`s with their reasons
//!   .share()                         for every request: old or new
//! ```
//!
//! ```text
//! Warming -> Step(0) -> [Waiting for a person] -> Step(1) -> ... -> Promoted
//!    |          \-> RolledBack: at once when a comparison finds the new revision worse
//!    \-> [Waiting] -> Baking (blue-green) -> Promoted
//! ```
//!
//! A state is left only by a transition; `Promoted`, `RolledBack` and `Aborted` are left by none.
//! How old and new are compared, and how often by chance a healthy revision goes back, is in [`analysis`].
//! What a rollout holds is serialised whole: who reads it back goes on with the same decisions. Times are Unix
//! milliseconds, and durations milliseconds.

pub mod analysis;
mod choice;
mod memory;
mod plan;
mod samples;
pub mod simulation;
mod state;
mod statistics;
mod transition;

pub use analysis::{Analysis, CounterRatio, Finding, Verdict, Worse};
pub use choice::{BUCKETS, Share, Side, Sides};
pub use memory::{Growth, InstanceMemory, MEMORY_AGES, Memory};
pub use plan::{Gate, OnRestart, Plan, STEPS_MAX, Step, Sticky, Strategy, StrategyName, check_steps};
pub use samples::{Count, LATENCY_BUCKETS, Latency, Samples, Window, latency_bucket};
pub use state::{Rollout, WARMING_MAX_MS};
pub use transition::{Change, Hold, Refused, State, Transition};

#[cfg(test)]
mod tests;
