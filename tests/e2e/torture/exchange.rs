//! What HTTP/1 clients send byte for byte, and what comes back on the same connection.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tests::host::Host;
use tests::raw::RawConnection;

use super::{app, assert_serves};

/// How long the end of a connection may take: less than any timeout of the host.
const CLOSES_WITHIN: Duration = Duration::from_secs(3);
/// Cases that are tried at the same time.
const AT_ONCE: usize = 8;
/// A request that must be answered only where it is one.
pub(super) const HIDDEN: &str = "GET /fixed HTTP/1.1\r\nhost: shop\r\n\r\n";
const LAST: &str = "GET /fixed HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";

/// What a client sends, and what it gets.
pub(super) struct Case {
    name: String,
    sent: Vec<u8>,
    /// Each answer's status and body; of a problem document its type.
    answers: Vec<&'static str>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Closes,
    GoesOn,
}

pub(super) fn case(name: &str, sent: impl AsRef<[u8]>, answers: &[&'static str], then: Then) -> Case {
    Case { name: name.to_owned(), sent: sent.as_ref().to_vec(), answers: answers.to_vec(), then }
}

/// Tries all of them on one host, which it gives back.
pub(super) async fn try_all(cases: Vec<Case>) -> Host {
    let running = app().start().await;
    let mut wrong = Vec::new();
    let host = &running;
    let trying = stream::iter(&cases).map(async |case| (case, outcome(host, case).await));
    for (case, found) in trying.buffered(AT_ONCE).collect::<Vec<_>>().await {
        if found != (case.answers.iter().map(|answer| (*answer).to_owned()).collect(), case.then) {
            wrong.push(format!("{}: {found:?}, not {:?} {:?}", case.name, case.answers, case.then));
        }
    }
    assert_serves(host, "all cases").await;
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    running
}

/// What comes back, and whether the connection is of use after it.
async fn outcome(host: &Host, case: &Case) -> (Vec<String>, Then) {
    let mut connection = RawConnection::open(host).await;
    connection.send(&case.sent).await;
    if case.then == Then::GoesOn {
        connection.send(LAST).await;
    }
    let (read, is_closed) = connection.read_for(CLOSES_WITHIN).await;
    let mut answers = answers(&read, case.sent.starts_with(b"HEAD"));
    // The answer to the last request is no answer to the case.
    let went_on = case.then == Then::GoesOn
        && answers.len() > case.answers.len()
        && answers.last().is_some_and(|last| last == "200 fixed");
    if went_on {
        answers.pop();
    }
    if !is_closed {
        answers.push("no end".to_owned());
    }
    (answers, if went_on { Then::GoesOn } else { Then::Closes })
}

/// All answers in what a connection has sent.
fn answers(mut read: &str, is_head: bool) -> Vec<String> {
    let mut answers = Vec::new();
    while let Some((head, rest)) = read.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).unwrap_or(head);
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let has_none = matches!(status, "100" | "204" | "304") || (is_head && answers.is_empty());
        let (body, rest) = if has_none {
            (String::new(), rest)
        } else if header("transfer-encoding").is_some() {
            unchunk(rest)
        } else {
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(rest.len());
            let (body, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
            (body.to_owned(), rest)
        };
        let problem = body.split_once("urn:bodega:problem:").and_then(|(_, rest)| rest.split('"').next());
        answers.push(format!("{status} {}", problem.unwrap_or(body.trim_end())).trim_end().to_owned());
        read = rest;
    }
    if !read.is_empty() {
        answers.push(format!("no answer: {read:?}"));
    }
    answers
}

fn unchunk(mut rest: &str) -> (String, &str) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        body.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    (body, rest)
}
