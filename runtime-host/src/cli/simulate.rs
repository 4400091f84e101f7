//! `bodega simulate`: how rollouts of made-up revisions end. For the benchmark, which must not link the whole host.

use crate::rollout::simulation;

/// Arguments of `bodega simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// Rollouts of each made-up revision.
    #[arg(long, default_value_t = 1_000)]
    runs: usize,
    /// What all that is random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Simulate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let outcomes = simulation::run(self.runs, self.seed);
        println!("{}", serde_json::to_string(&outcomes)?);
        Ok(())
    }
}
