//! The container image, as its Dockerfile describes it.

use std::fs;

use crate::programs::repository;

/// The environment of the image's process: the `ENV` of the last stage.
pub fn environment() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("Dockerfile")).expect("the Dockerfile is readable");
    let last_stage = text.rsplit("\nFROM ").next().expect("it has a stage");
    let joined = last_stage.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = lines.flat_map(str::split_whitespace);
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.map(|text| pair(text).expect("NAME=VALUE without spaces")).collect()
}
