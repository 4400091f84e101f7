//! Locked applications that somebody has changed: none of them leads out of its folder.

use std::path::Component;

use proptest::prelude::*;

use super::{parse, unlock};
use crate::fuzz::fuzz;

const WORDS: &[&str] = &[
    "\"id\": ",
    "\"path\": ",
    "\"inline\": ",
    "\"digest\": ",
    "\"source\": ",
    "\"bodega\": ",
    "\"files\": ",
    "\"tool\": ",
    "null",
    "true",
    "{}",
    "[]",
    "1e400",
    "-0.0",
    "../",
    "/",
    "..",
    "sha256:",
    "gateway.toml",
    "spin.toml",
    "demo/",
    "\"inherit\": \"All\"",
    "\"host_requirements\": ",
];

#[test]
fn whatever_a_document_says_files_stay_in_the_folder() {
    fuzz(
        "locked_app",
        WORDS,
        |text| text,
        |text| {
            let Ok(unlocked) = parse(text.as_bytes()).and_then(|app| unlock(&app)) else { return Ok(()) };
            for placement in &unlocked.placements {
                let stays = placement.path.components().all(|part| matches!(part, Component::Normal(_)));
                let is_known =
                    ["wasm", "files", "demo", "gateway.toml"].iter().any(|known| placement.path.starts_with(known));
                prop_assert!(stays && is_known, "{}", placement.path.display());
            }
            let manifest = toml::to_string_pretty(&unlocked.manifest);
            let manifest = manifest.map_err(|error| TestCaseError::fail(format!("it cannot be written: {error}")))?;
            let read: toml::Table =
                manifest.parse().map_err(|error| TestCaseError::fail(format!("{error} in {manifest}")))?;
            // Text compares floats that are no numbers as well.
            prop_assert_eq!(read.to_string(), unlocked.manifest.to_string());
            Ok(())
        },
    );
}
