//! Reads the metrics of the admin listener (OpenMetrics text).

use std::collections::BTreeSet;

/// The samples of one scrape.
#[derive(Debug)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Parses a scrape; fails on a line that is no sample and no comment.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(samples.map(|line| Sample::parse(line).unwrap_or_else(|| panic!("no sample: {line}"))).collect())
    }

    /// The sum of all samples of `name` that have all of `labels`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has =
            |sample: &Sample, (key, value): &(&str, &str)| sample.labels.iter().any(|(k, v)| k == key && v == value);
        let matching = self.0.iter().filter(|sample| sample.name == name);
        matching.filter(|sample| labels.iter().all(|l| has(sample, l))).map(|s| s.value).sum()
    }

    /// The values that a label has in the samples of `name`, each once.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let labels = self.0.iter().filter(|sample| sample.name == name).flat_map(|sample| &sample.labels);
        labels.filter(|(key, _)| key == label).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is any sample of `name`.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.name == name)
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = match line.rfind('}') {
            Some(end) => line.split_at(end + 1),
            None => line.split_once(' ')?,
        };
        let value = value.split_whitespace().next()?.parse().ok()?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut rest = labels.trim_end_matches('}');
        let mut labels = Vec::new();
        while let Some((key, after)) = rest.split_once("=\"") {
            let end = after.find('"')?;
            labels.push((key.trim_start_matches(',').to_owned(), after[..end].to_owned()));
            rest = &after[end + 1..];
        }
        Some(Self { name: name.to_owned(), labels, value })
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_the_samples_that_match() {
        let text = "# TYPE requests counter\nrequests_total{component=\"a\",method=\"GET\"} 2\n\
                    requests_total{component=\"a\",method=\"POST\"} 3.5\nrequests_total{component=\"b\"} 7\nup 1\n# EOF\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("requests_total", &[("component", "a")]), 5.5);
        assert_eq!(metrics.sum("requests_total", &[("component", "a"), ("method", "GET")]), 2.0);
        assert_eq!(metrics.sum("up", &[]), 1.0);
        assert_eq!(metrics.values("requests_total", "component"), ["a", "b"].into());
        assert!(!metrics.has("requests"));
    }
}
