//! How rollouts of made-up revisions end: simulated from a seed, so that the figures are the same on every machine.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Bench;
use crate::report::{Bar, Section, Table};

const SEED: u64 = 1;
/// A false rollback in a thousand shows up.
const RUNS: usize = 2_000;
const RUNS_QUICK: usize = 100;
/// Of revisions that are as good, those that have to be promoted.
const PROMOTED_PERCENT_WANTED: f64 = 99.0;
/// Of revisions that are worse, those that may be promoted.
const MISSED_PERCENT_ALLOWED: f64 = 0.1;
/// The revisions that have to be found; the others show where the bounds of what is found are.
const MUST_BE_FOUND: [&str; 6] = [
    "5 % errors",
    "5 % errors, 2 requests/s",
    "twice as slow",
    "2 % of requests trap",
    "leaks 8 KiB a request",
    "20 % errors in 15 s of each minute",
];
/// Shoppers of 1000 who may see an error before one with 5 % errors is rolled back; half of the runs have fewer.
const SHOPPERS_HIT_ALLOWED: f64 = 20.0;

/// Has the host simulate, whose decisions they are.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let runs = if bench.rounds > 2 { RUNS } else { RUNS_QUICK };
    let mut simulate = Command::new(bench.host());
    let output = simulate.args(["simulate", "--runs", &runs.to_string(), "--seed", &SEED.to_string()]).output()?;
    ensure!(output.status.success(), "bodega simulate: {}", String::from_utf8_lossy(&output.stderr));
    let outcomes: Vec<Value> = serde_json::from_slice(&output.stdout).context("bodega simulate")?;
    let rows = outcomes.iter().map(row).collect::<Result<_>>()?;
    let bars = outcomes.iter().map(bars).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(Section {
        title: "Rollout",
        about: format!(
            "The default canary (10, 25, 50, 100 %, a minute and 200 requests each) with default analysis, {runs} simulated \
             rollouts of each revision, seed {SEED}.\nRequests come at random, 50 a second unless it says otherwise, from 1000 \
             shoppers, each of whom stays on one revision; latencies are log-normal around 8 ms (sigma 0.6), and one request \
             of 1000 fails anyway.\nFigures after the endings are the median and the 99th percentile of the runs: how long \
             the rollout took, and what the new revision had answered by then."
        ),
        table: Table {
            columns: vec![
                "new revision",
                "promoted, %",
                "rolled back, %",
                "of them in the first step, %",
                "stalled, %",
                "seconds",
                "requests",
                "failed",
                "shoppers who saw it",
            ],
            rows,
        },
        details: Vec::new(),
        bars,
    })
}

fn row(outcome: &Value) -> Result<Vec<String>> {
    let percent = |name: &str| Ok::<_, anyhow::Error>(format!("{:.2}", percent(outcome, name, "runs")?));
    let spread = |name: &str| {
        let spread = &outcome[name];
        Ok::<_, anyhow::Error>(format!("{:.0} / {:.0}", number(spread, "median")?, number(spread, "p99")?))
    };
    let in_first_step = match number(outcome, "rolled_back")? {
        0.0 => String::new(),
        _ => format!("{:.2}", self::percent(outcome, "rolled_back_in_first_step", "rolled_back")?),
    };
    Ok(vec![
        name(outcome)?.to_owned(),
        percent("promoted")?,
        percent("rolled_back")?,
        in_first_step,
        percent("stalled")?,
        spread("seconds")?,
        spread("requests")?,
        spread("failures")?,
        spread("shoppers_hit")?,
    ])
}

fn bars(outcome: &Value) -> Result<Vec<Bar>> {
    let name = name(outcome)?;
    let promoted = percent(outcome, "promoted", "runs")?;
    let mut bars = Vec::new();
    if outcome["expected"] == "promoted" {
        let what = format!("rollout, {name}: promoted");
        bars.push(Bar::at_least(PROMOTED_PERCENT_WANTED, " %", what, promoted));
    }
    if MUST_BE_FOUND.contains(&name) {
        let what = format!("rollout, {name}: promoted all the same");
        bars.push(Bar::at_most(MISSED_PERCENT_ALLOWED, " %", what, promoted));
    }
    if name == MUST_BE_FOUND[0] {
        let hit = number(&outcome["shoppers_hit"], "median")?;
        let what = format!("rollout, {name}: shoppers of 1000 who saw one, median");
        bars.push(Bar::at_most(SHOPPERS_HIT_ALLOWED, "", what, hit));
    }
    Ok(bars)
}

fn name(outcome: &Value) -> Result<&str> {
    outcome["scenario"].as_str().context("an outcome has no scenario")
}

fn percent(outcome: &Value, name: &str, of: &str) -> Result<f64> {
    Ok(100.0 * number(outcome, name)? / number(outcome, of)?)
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("there is no `{name}` in {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_outcome_is_a_row_and_is_held_against_what_is_wanted() {
        let spread = json!({ "median": 9, "p99": 15 });
        let outcome = json!({
            "scenario": "5 % errors", "expected": "rolled-back", "runs": 200, "promoted": 1, "rolled_back": 199,
            "stalled": 0, "rolled_back_in_first_step": 199, "seconds": spread, "requests": spread, "failures": spread,
            "shoppers_hit": spread,
        });
        let expected = ["5 % errors", "0.50", "99.50", "100.00", "0.00", "9 / 15", "9 / 15", "9 / 15", "9 / 15"];
        assert_eq!(row(&outcome).unwrap(), expected);
        let met: Vec<bool> = bars(&outcome).unwrap().iter().map(Bar::is_met).collect();
        assert_eq!(met, [false, true]);
    }
}
