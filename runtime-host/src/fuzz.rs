//! Fuzzing on the stable toolchain: the inputs of a corpus, as they are and changed at random, for a bounded time.
//!
//! A corpus is a folder of `tests/fuzz/`. An input that fails is made small, printed, and kept there. Every run is another one;
//! `BODEGA_FUZZ_SECONDS` makes it longer.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::config_file::ConfigError;

const SECONDS: &str = "BODEGA_FUZZ_SECONDS";
/// How long a target is fuzzed where nothing else is said: every change waits for it.
const USUAL: Duration = Duration::from_secs(8);
/// Changes that are made in one input.
const EDITS_MAX: usize = 5;
/// Inputs between two looks at the clock.
const BATCH: u32 = 200;
/// Inputs that are larger are not changed further.
const BYTES_MAX: usize = 64 << 10;
/// What breaks parsers of any kind.
const TOKENS: [&str; 24] = [
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"",
    "'''",
    "\"\"\"",
    "\\",
    "\\u0000",
    "{",
    "}",
    "[",
    "]",
    ",",
    "=",
    "#",
    ":",
    "/",
    "%2f",
    "é",
    "\u{feff}",
    "-1",
    "18446744073709551616",
];

/// One change of a text. Places are shares of its length.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, String),
    /// Puts a word at the beginning of a line.
    Begin(Index, String),
    Remove(Index, Index),
    /// Puts a line where another one is.
    Move(Index, Index),
    /// Has a line twice.
    Repeat(Index, Index),
    /// Goes on as another input does.
    Splice(Index, Index, Index),
}

/// Tries `property` with the corpus `target`, whose inputs are made of its files by `prepare`; `words` are what its language knows.
pub(crate) fn fuzz(
    target: &str,
    words: &'static [&'static str],
    prepare: impl Fn(String) -> String,
    property: impl Fn(&str) -> Result<(), TestCaseError>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz").join(target);
    let corpus: Vec<String> = files(&folder).iter().map(|path| prepare(fs::read_to_string(path).unwrap())).collect();
    assert!(!corpus.is_empty(), "{} holds no input", folder.display());
    let inputs = (any::<Index>(), prop::collection::vec(edit(words), 1..=EDITS_MAX));
    for text in &corpus {
        property(text).unwrap_or_else(|error| panic!("{target}: {error}, with the input of the corpus:\n{text}"));
    }
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
    let (started, time, tried) = (Instant::now(), seconds.map_or(USUAL, Duration::from_secs), Cell::new(0));
    while started.elapsed() < time {
        let mut runner = TestRunner::new(Config { cases: BATCH, failure_persistence: None, ..Config::default() });
        let run = runner.run(&inputs, |(place, edits)| {
            tried.set(tried.get() + 1);
            property(&changed(&corpus, place, &edits))
        });
        if let Err(TestError::Fail(reason, (place, edits))) = run {
            let text = changed(&corpus, place, &edits);
            let kept = folder.join(format!("found-{}", &blake3::hash(text.as_bytes()).to_hex()[..8]));
            let _ = fs::write(&kept, &text);
            panic!("{target}: {reason}\nThis input is kept as {}:\n{text}\n", kept.display());
        }
    }
    println!("{target}: {} inputs beside {} of the corpus", tried.get(), corpus.len());
}

/// Fails unless a refusal says something about a place that is in the file.
pub(crate) fn check_refusal(text: &str, error: &ConfigError) -> Result<(), TestCaseError> {
    let ConfigError::Invalid { position, problem, .. } = error else {
        return Err(TestCaseError::fail(format!("it was not read: {error}")));
    };
    prop_assert!(!problem.is_empty(), "nothing is said");
    let line = text.split('\n').nth(position.line.wrapping_sub(1));
    let columns = line.map(|line| line.chars().count() + 1);
    prop_assert!(
        columns.is_some_and(|columns| (1..=columns).contains(&position.column)),
        "{error}: there is no such place"
    );
    Ok(())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn edit(words: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    let word = prop_oneof![
        3 => prop::sample::select(words).prop_map(str::to_owned),
        2 => prop::sample::select(&TOKENS[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    let places = || (any::<Index>(), any::<Index>());
    prop_oneof![
        3 => (any::<Index>(), word.clone()).prop_map(|(place, word)| Edit::Insert(place, word)),
        3 => (any::<Index>(), word).prop_map(|(line, word)| Edit::Begin(line, word)),
        2 => places().prop_map(|(place, length)| Edit::Remove(place, length)),
        1 => places().prop_map(|(from, to)| Edit::Move(from, to)),
        1 => places().prop_map(|(from, to)| Edit::Repeat(from, to)),
        1 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(at, other, from)| Edit::Splice(at, other, from)),
    ]
}

fn changed(corpus: &[String], place: Index, edits: &[Edit]) -> String {
    let mut text = place.get(corpus).clone();
    for edit in edits {
        if text.len() > BYTES_MAX {
            break;
        }
        apply(edit, &mut text, corpus);
    }
    text
}

fn apply(edit: &Edit, text: &mut String, corpus: &[String]) {
    let place = |text: &str, index: &Index| text.floor_char_boundary(index.index(text.len() + 1));
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    match edit {
        Edit::Insert(at, word) => text.insert_str(place(text, at), word),
        Edit::Begin(line, word) => {
            lines.insert(line.index(lines.len() + 1), word);
            *text = lines.concat();
        }
        Edit::Remove(at, length) => {
            let start = place(text, at);
            // Mostly little.
            let end = text.floor_char_boundary((start + 1 + length.index(16)).min(text.len())).max(start);
            text.replace_range(start..end, "");
        }
        Edit::Move(from, to) if !lines.is_empty() => {
            let line = lines.remove(from.index(lines.len()));
            lines.insert(to.index(lines.len() + 1), line);
            *text = lines.concat();
        }
        Edit::Repeat(from, to) if !lines.is_empty() => {
            lines.insert(to.index(lines.len() + 1), lines[from.index(lines.len())]);
            *text = lines.concat();
        }
        Edit::Splice(at, other, from) => {
            let other = other.get(corpus);
            let (at, from) = (place(text, at), place(other, from));
            text.truncate(at);
            text.push_str(&other[from..]);
        }
        Edit::Move(..) | Edit::Repeat(..) => {}
    }
}
