//! Patterns and paths of any text: one pattern a line, an empty line, one path a line.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::tests::{naive, naive_path_info};
use super::*;
use crate::fuzz::fuzz;

const WORDS: [&str; 16] =
    ["/", "//", "/...", "/*", "/:a", "/:b", ":", "*", ".", "..", "a", "b", "%2f", "/a/b\n", "/:x/b\n", "/:x/...\n"];

#[test]
fn any_patterns_match_as_they_are_written() {
    fuzz("routes", &WORDS, |text| text, check);
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let (patterns, paths) = text.split_once("\n\n").unwrap_or((text, text));
    let patterns: Vec<RoutePattern> = patterns.lines().filter_map(|line| line.parse().ok()).collect();
    let paths: Vec<&str> = paths.lines().collect();
    let mut distinct: Vec<RoutePattern> = Vec::new();
    for pattern in &patterns {
        let again: RoutePattern =
            pattern.to_string().parse().map_err(|error| TestCaseError::fail(format!("{error}")))?;
        prop_assert_eq!(again.segments(), pattern.segments());
        prop_assert_eq!(again.has_wildcard(), pattern.has_wildcard());
        let together = distinct.iter().chain([pattern]).cloned().map(|pattern| (pattern, ()));
        if Router::build(together).is_ok() {
            distinct.push(pattern.clone());
        }
    }
    let targets = distinct.iter().cloned().enumerate().map(|(index, pattern)| (pattern, index));
    let router = Router::build(targets).map_err(|error| TestCaseError::fail(error.to_string()))?;
    for path in paths {
        let found = router.route(path);
        let expected = path.starts_with('/').then(|| naive(&distinct, path)).flatten();
        prop_assert_eq!(found.as_ref().map(|found| *found.target), expected, "{} among {:?}", path, distinct);
        if let Some(found) = found {
            prop_assert_eq!(found.path_info(), naive_path_info(found.pattern(), path));
        }
        for first in &patterns {
            let alone = Router::build([(first.clone(), ())]).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(first.matches(path), alone.route(path).is_some(), "{} alone for {}", first, path);
            for second in patterns.iter().filter(|second| second.matches(path)) {
                prop_assert!(!first.covers(second) || first.matches(path), "{first} covers {second}, but not {path}");
                prop_assert!(!first.matches(path) || first.meets(second), "{first} and {second} meet at {path}");
            }
        }
    }
    Ok(())
}
