//! Which metrics and labels an expression of PromQL names: as much of its grammar as ours use.

use std::collections::BTreeSet;

/// Words of the language, and its functions.
const WORDS: [&str; 34] = [
    "sum",
    "min",
    "max",
    "count",
    "avg",
    "group",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "rate",
    "increase",
    "changes",
    "absent",
    "vector",
    "histogram_quantile",
    "label_replace",
    "max_over_time",
    "min_over_time",
    "avg_over_time",
    "predict_linear",
    "time",
    "scalar",
    "clamp_max",
    "clamp_min",
    "topk",
    "irate",
];
/// Before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) metrics: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
}

/// Reads an expression.
pub(super) fn names(expression: &str) -> Names {
    let (mut names, mut made) = (Names::default(), BTreeSet::new());
    let mut rest = expression;
    // Braces hold labels, and so do the parentheses after some words.
    let (mut in_braces, mut in_list, mut last_word) = (false, false, String::new());
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let text = rest[1..].split('"').next().unwrap_or_default();
                // The first string is the label that it makes.
                if last_word == "label_replace" && made.is_empty() {
                    made.insert(text.to_owned());
                }
                text.len() + 2
            }
            '[' => rest.find(']').expect("a range ends") + 1,
            '{' | '}' => {
                in_braces = first == '{';
                1
            }
            '(' => {
                in_list = LISTS.contains(&last_word.as_str());
                if in_list {
                    last_word.clear();
                }
                1
            }
            ')' => {
                in_list = false;
                1
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
                let word = &rest[..rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())];
                if in_braces || in_list {
                    names.labels.insert(word.to_owned());
                } else if !WORDS.contains(&word) {
                    names.metrics.insert(word.to_owned());
                } else {
                    word.clone_into(&mut last_word);
                }
                word.len()
            }
            digit if digit.is_ascii_digit() => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    names.labels.retain(|label| !made.contains(label));
    names
}

#[test]
fn an_expression_names_metrics_and_labels() {
    let of = |expression: &str| {
        let Names { metrics, labels } = names(expression);
        (metrics.into_iter().collect::<Vec<_>>().join(" "), labels.into_iter().collect::<Vec<_>>().join(" "))
    };
    let pair = |metrics: &str, labels: &str| (metrics.to_owned(), labels.to_owned());
    assert_eq!(
        of("sum by (a, b) (rate(x_total{c=~\"d|e\",f!=\"g\"}[5m])) / on (h) group_left () bodega:y:rate5m > 0.5"),
        pair("bodega:y:rate5m x_total", "a b c f h")
    );
    assert_eq!(of("count(z) or vector(0) * 3e9"), pair("z", ""));
    assert_eq!(
        of("label_replace(sum by (name) (q), \"currency\", \"$1\", \"name\", \"r_(.+)\") / 100"),
        pair("q", "name")
    );
}
