//! Load by `wrk`, and what it measured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::statistics::Pairs;

/// The load generator's threads, at most; each fills a core.
const THREADS_MAX: usize = 2;

/// Requests to one URL over connections that are kept, each sending its next request when it has its answer.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Where the requests go.
    pub(crate) url: String,
    /// The connections.
    pub(crate) connections: usize,
    /// A Lua script that writes the requests, instead of GET of the URL.
    pub(crate) script: Option<PathBuf>,
}

/// Writes a script to `path` that asks for each of `paths` in turn.
pub(crate) fn paths_script(path: PathBuf, paths: &[String]) -> Result<PathBuf> {
    let paths: String = paths.iter().map(|path| format!("  {path:?},\n")).collect();
    let script = format!(
        "local paths = {{\n{paths}}}\nlocal requests, last = {{}}, 0\n\
         function init()\n  for i, path in ipairs(paths) do requests[i] = wrk.format(\"GET\", path) end\nend\n\
         function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n"
    );
    fs::write(&path, script)?;
    Ok(path)
}

/// What one run of a load measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    /// Answered requests per second.
    pub(crate) requests_per_s: f64,
    /// The median latency in microseconds.
    pub p50_us: f64,
    /// The latency in microseconds that 99 of 100 requests did not exceed.
    pub p99_us: f64,
}

/// The columns of [`rows`], with the names of both sides.
pub(crate) fn columns(ours: &'static str, theirs: &'static str) -> Vec<&'static str> {
    vec!["connections", "", ours, theirs, "ratio (lowest to highest round)"]
}

/// A table's rows on the rounds of both sides.
pub(crate) fn rows(connections: usize, pairs: &Pairs<Throughput>) -> Vec<Vec<String>> {
    let row = |name: &str, figure: fn(&Throughput) -> f64| {
        let (ours, theirs) = (pairs.ours(figure), pairs.theirs(figure));
        let ratio = pairs.ratio(figure).to_string();
        vec![connections.to_string(), name.to_owned(), format!("{ours:.0}"), format!("{theirs:.0}"), ratio]
    };
    vec![
        row("requests/s", |run| run.requests_per_s),
        row("p50, us", |run| run.p50_us),
        row("p99, us", |run| run.p99_us),
    ]
}

impl Load {
    /// GET requests to `url`.
    pub(crate) fn get(url: String, connections: usize) -> Self {
        Self { url, connections, script: None }
    }

    /// Runs for `duration` (whole seconds). An answer that is not 2xx, or none, is an error.
    pub(crate) fn run(&self, duration: Duration) -> Result<Throughput> {
        let mut command = Command::new("wrk");
        command.arg("--latency").arg(format!("-d{}s", duration.as_secs()));
        command.arg(format!("-c{}", self.connections)).arg(format!("-t{}", self.connections.min(THREADS_MAX)));
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        let output = command.arg(&self.url).output().context("wrk does not run (Debian has it as package `wrk`)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
        parse(&text)
    }
}

fn parse(text: &str) -> Result<Throughput> {
    let problem = text.lines().find(|line| ["Non-2xx", "Socket errors"].iter().any(|word| line.contains(word)));
    ensure!(problem.is_none(), "requests failed under load: {}", problem.unwrap_or_default().trim());
    let value = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name));
        values.next().map(str::trim).with_context(|| format!("no `{name}` in:\n{text}"))
    };
    Ok(Throughput {
        requests_per_s: value("Requests/sec:")?.parse().context("requests per second")?,
        p50_us: microseconds(value("50%")?)?,
        p99_us: microseconds(value("99%")?)?,
    })
}

fn microseconds(text: &str) -> Result<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).with_context(|| format!("no unit in {text}"))?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => anyhow::bail!("unknown unit of time in {text}"),
    };
    Ok(number.parse::<f64>().with_context(|| format!("no number in {text}"))? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 4s test @ http://127.0.0.1:8080/\n  2 threads and 16 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   425.14us  115.33us   3.02ms   97.15%\n    \
        Req/Sec    39.47k     2.03k   42.52k    76.19%\n  Latency Distribution\n     50%  402.50us\n     \
        75%  476.00us\n     90%    0.91ms\n     99%    1.25ms\n  329848 requests in 4.10s, 38.67MB read\n\
        Requests/sec:  80451.20\nTransfer/sec:      9.43MB\n";

    #[test]
    fn reads_rate_and_percentiles() {
        let expected = Throughput { requests_per_s: 80451.2, p50_us: 402.5, p99_us: 1250.0 };
        assert_eq!(parse(OUTPUT).unwrap(), expected);
        assert_eq!(microseconds("1.02s").unwrap(), 1.02e6);
        assert!(microseconds("3.00m").is_err());
    }

    #[test]
    fn failing_answers_are_no_throughput() {
        for line in ["  Non-2xx or 3xx responses: 12", "  Socket errors: connect 0, read 3, write 0, timeout 0"] {
            let error = parse(&format!("{OUTPUT}{line}\n")).unwrap_err().to_string();
            assert!(error.contains(line.trim()), "{error}");
        }
        assert!(parse("wrk died").unwrap_err().to_string().contains("Requests/sec:"));
    }
}
