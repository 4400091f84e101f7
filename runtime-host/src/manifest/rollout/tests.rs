//! The table as it is documented, and each kind of mistake in it.

use super::*;
use crate::config_file::ConfigFile;
use crate::rollout::{CounterRatio, Worse};

fn read(text: &str) -> Result<RolloutSettings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spin.toml");
    std::fs::write(&path, text).unwrap();
    let file = ConfigFile::read(&path)?;
    let mut root = file.root()?;
    let message = |error: ConfigError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    root.required("rollout", "")
        .map_err(|error| ConfigError::new(std::path::Path::new(""), root.position(), message(error)))
}

#[track_caller]
fn assert_refused(text: &str, expected: &str) {
    let message = read(text).err().map(|error| error.to_string()).unwrap_or("no error".into());
    assert!(message.ends_with(&format!("spin.toml:{expected}")), "{text}:\n{message}, expected\n{expected}");
}

#[test]
fn the_documented_table_is_the_default_but_for_what_is_marked() {
    let source = include_str!("../rollout.rs");
    let lines = source.lines().skip_while(|line| *line != "//! ```toml").skip(1).take_while(|line| *line != "//! ```");
    let text: Vec<_> =
        lines.map(|line| line.trim_start_matches("//!").replace("component.catalog.tool.bodega.", "")).collect();
    let settings = read(&text.join("\n")).unwrap();
    let default = RolloutSettings::default();
    let declined = CounterRatio {
        name: "declined".into(),
        events: "payments_declined_total".into(),
        of: "payments_total".into(),
        worse: Worse::Higher,
        increase_min: 0.01,
    };
    let expected = RolloutSettings {
        gate: Some(Gate::Automatic),
        smoke: Some(Smoke {
            path: "/api/products".into(),
            method: Method::GET,
            status: Some(StatusCode::OK),
            body_contains: Some("items".into()),
        }),
        preview_host: settings.preview_host.clone(),
        webhooks: settings.webhooks.clone(),
        analysis: Analysis {
            memory_peak_ratio_max: Some(2.0),
            different_ratio_max: Some(0.01),
            counters: vec![declined],
            ..default.analysis
        },
        ..default
    };
    assert_eq!(settings, expected);
    assert_eq!(settings.preview_host.as_ref().map(|host| host.as_str()), Some("preview.shop.example"));
    assert_eq!(settings.webhooks[0].to_string(), "https://hooks.example.com/{{ hook_token }}");
}

#[test]
fn an_empty_table_is_the_default() {
    let settings = read("[rollout]").unwrap();
    assert_eq!(settings, RolloutSettings::default());
    assert_eq!(settings.plan(None), Plan::default());
    assert_eq!(settings.plan(Some(StrategyName::Shadow)), Plan::new(StrategyName::Shadow.into()));
    assert_eq!(settings.plan(Some(StrategyName::Canary)), Plan::new(StrategyName::Canary.into()));
    assert_eq!(settings.plan(Some(StrategyName::BlueGreen)), Plan::new(StrategyName::BlueGreen.into()));
}

#[test]
fn steps_are_weights_or_tables_and_take_what_they_do_not_say_from_around_them() {
    let settings = read(
        "[rollout]\nstrategy = 'canary'\nduration = '10s'\nsamples_min = 50\nsticky = { header = 'X-Session' }\n\
         steps = [5, { weight_percent = 20, duration = '2m', samples_min = 500, gate = 'manual' }, 100]",
    )
    .unwrap();
    let step = |weight_percent, duration_ms, samples_min, gate| Step { weight_percent, duration_ms, samples_min, gate };
    let steps =
        vec![step(5, 10_000, 50, None), step(20, 120_000, 500, Some(Gate::Manual)), step(100, 10_000, 50, None)];
    let strategy = Strategy::Canary { steps, sticky: Sticky::Header("x-session".into()) };
    assert_eq!(settings.plan(None).strategy, strategy);
    let defaults = read("[rollout]\nduration = '10s'").unwrap();
    assert!(defaults.steps.iter().all(|step| step.duration_ms == 10_000));
}

#[test]
fn a_shadow_waits_for_a_person_unless_it_need_not() {
    let gate = |text: &str| read(text).unwrap().plan(Some(StrategyName::Shadow)).gate;
    assert_eq!(gate("[rollout]"), Gate::Manual);
    assert_eq!(gate("[rollout]\ngate = 'automatic'"), Gate::Automatic);
}

#[test]
fn mistakes_are_refused_with_what_is_expected() {
    let table = [
        (
            "strategy = 'canari'",
            "2:12: unknown strategy `canari`; expected `rolling`, `blue-green`, `canary` or `shadow`",
        ),
        ("step = [10]", "2:1: unknown key `step` in [rollout]; did you mean `steps`?"),
        ("steps = []", "2:9: there are 0 steps; expected 1 to 20"),
        ("steps = [10, 10]", "2:9: a step has the weight 10 %; expected 11 to 100, more than before"),
        ("steps = [101]", "2:9: a step has the weight 101 %; expected 1 to 100, more than before"),
        ("steps = ['10']", "2:10: `rollout.steps[0]` is a string; expected a whole number"),
        ("steps = [{}]", "2:10: [rollout.steps[0]] has no `weight_percent`; expected a whole number from 1 to 100"),
        (
            "steps = [{ weight_percent = 5, weight = 5 }]",
            "2:32: unknown key `weight` in [rollout.steps[0]]; expected `weight_percent`, `duration`, `samples_min` or `gate`",
        ),
        ("duration = 60", "2:12: `rollout.duration` is an integer; expected a string"),
        ("bake = '1year'", "2:8: \"1year\" is out of range; expected 0ms to 31days"),
        ("samples_min = 0", "2:15: `samples_min` is 0; expected at least 1"),
        (
            "sticky = 'cookie'",
            "2:10: unknown key of shoppers \"cookie\"; expected \"user\", \"none\", { cookie = \"name\" } or { header = \"name\" }",
        ),
        ("sticky = {}", "2:10: expected either `cookie` or `header` in [rollout.sticky]"),
        ("sticky = { cookie = 'a b' }", "2:21: \"a b\" is not the name of a cookie or a header"),
        ("gate = 'open'", "2:8: unknown gate `open`; expected `automatic` or `manual`"),
        ("on_restart = 'promote'", "2:14: unknown reaction to a restart `promote`; expected `resume` or `rollback`"),
        (
            "preview_host = 'preview.shop.example:8080'",
            "2:16: \"preview.shop.example:8080\" is not the name of a host; expected one such as \"preview.shop.example\"",
        ),
        ("preview_host = ''", "2:16: \"\" is not the name of a host; expected one such as \"preview.shop.example\""),
        ("revisions_kept = 0", "2:18: `revisions_kept` is 0; expected 1 to 32"),
        (
            "webhooks = ['hooks.example.com']",
            "2:13: the webhook is no URL of http or https without a user; expected one such as \"https://hooks.example.com/x\"",
        ),
        (
            "webhooks = ['https://me:secret@hooks.example.com']",
            "2:13: the webhook is no URL of http or https without a user; expected one such as \"https://hooks.example.com/x\"",
        ),
        ("smoke = {}", "2:9: [rollout.smoke] has no `path`; expected a path of the component"),
        ("smoke = { path = 'x' }", "2:18: \"x\" is not a path; expected one such as \"/api/products\""),
        ("smoke = { path = '/', status = 99 }", "2:32: `status` is 99; expected 200 to 599"),
        ("smoke = { path = '/', method = 'G T' }", "2:32: \"G T\" is no method; expected one such as \"GET\""),
        ("analysis.false_rollback_percent_max = 50", "2:39: `false_rollback_percent_max` is 50; expected 0.0001 to 10"),
        ("analysis.latency_ratio_min = 0.5", "2:30: `latency_ratio_min` is 0.5; expected 1 to 1000"),
        (
            "analysis.latency_ratio_min = inf",
            "2:30: `rollout.analysis.latency_ratio_min` is a float; expected a number",
        ),
        (
            "analysis.latency_percentiles = [99, 100]",
            "2:37: a percentile is 100; expected more than 0 and less than 100",
        ),
        (
            "analysis.counters.x = { events = 'a' }",
            "2:23: [rollout.analysis.counters.x] has no `of`; expected the name of a counter that every event is counted in as well",
        ),
        (
            "analysis.counters.x = { events = 'a b', of = 'b' }",
            "2:34: \"a b\" is not the name of a counter; expected one such as \"payments_total\"",
        ),
        (
            "analysis.counters.x = { events = 'a', of = 'b', worse = 'up' }",
            "2:57: unknown direction `up`; expected `higher` or `lower`",
        ),
        (
            "analysis.eror = 1",
            "2:10: unknown key `eror` in [rollout.analysis]; expected `false_rollback_percent_max`, `settle`, `error_percent_increase_min`, `latency_percentiles`, `latency_ratio_min`, `trap_percent_max`, `memory_growth_bytes_min`, `memory_peak_ratio_max`, `different_percent_max` or `counters`",
        ),
    ];
    for (line, expected) in table {
        assert_refused(&format!("[rollout]\n{line}"), expected);
    }
}
