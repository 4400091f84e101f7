//! What the environment says of tracing, by the names of the OpenTelemetry specification ("Environment Variable Specification", "OTLP
//! Exporter Configuration"); pure.
//!
//! As the specification has it, what is not understood is told of and left aside: a shop does not stay closed because of its traces.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

/// The only encoding that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// What comes after the endpoint for all signals.
const TRACES_PATH: &str = "v1/traces";
const QUEUE_LENGTH_MAX: usize = 2_048;
const BATCH_LENGTH_MAX: usize = 512;
const DELAY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Spans that may wait, whatever the environment says.
const QUEUE_LENGTH_BOUND: usize = 1 << 16;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where they are posted to.
    pub endpoint: Uri,
    /// Headers of each post, such as a key; a secret.
    pub headers: HeaderMap,
    /// How long one post may take.
    pub timeout: Duration,
    /// What every span is from: the service's name and other attributes.
    pub resource: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Spans that wait; one more is dropped.
    pub queue_length_max: usize,
    /// Spans in one post.
    pub batch_length_max: usize,
    /// How long a span waits for others.
    pub delay: Duration,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the caller decides where there is one.
    is_parent_based: bool,
    /// The part of all others, from 0 to 1.
    ratio: f64,
}

impl Sampler {
    /// Whether a trace is recorded whose caller, if there is one, records it or not.
    pub fn samples(self, trace_id: u128, parent: Option<bool>) -> bool {
        match parent.filter(|_| self.is_parent_based) {
            Some(is_sampled) => is_sampled,
            // The lower 63 bits decide, as in other implementations, so that all hosts decide alike.
            None => ((trace_id as u64) >> 1) < (self.ratio * (1u64 << 63) as f64) as u64,
        }
    }
}

impl Settings {
    /// The defaults, for this endpoint.
    #[cfg(test)]
    pub(super) fn of(endpoint: &'static str) -> Self {
        let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| endpoint.to_owned());
        let mut complaints = Vec::new();
        Self::read("shop", "", variable, &mut complaints).unwrap_or_else(|| panic!("{complaints:?}"))
    }

    /// What the environment says for the application `name`; `None` where there is nobody to send spans to. `complaints` gets what is
    /// not understood.
    pub fn read(
        name: &str,
        version: &str,
        variable: impl Fn(&str) -> Option<String>,
        complaints: &mut Vec<String>,
    ) -> Option<Self> {
        // An empty variable is as good as none.
        let variable =
            |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        // What is said of traces goes before what is said of all signals.
        let of_exporter = |part: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{part}"), format!("OTEL_EXPORTER_OTLP_{part}")];
            names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        match variable("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                complaints.push(format!(
                    "OTEL_TRACES_EXPORTER is {other:?}; expected \"otlp\" or \"none\", so no traces are sent"
                ));
                return None;
            }
        }
        let (endpoint_name, endpoint) = of_exporter("ENDPOINT")?;
        if let Some((name, other)) = of_exporter("PROTOCOL").filter(|(_, protocol)| protocol != PROTOCOL) {
            complaints.push(format!("{name} is {other:?}; only {PROTOCOL:?} is spoken, so no traces are sent"));
            return None;
        }
        let endpoint = match endpoint_name.contains("_TRACES_") {
            true => endpoint,
            false => format!("{}/{TRACES_PATH}", endpoint.trim_end_matches('/')),
        };
        let is_usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        let Some(endpoint) = endpoint.parse().ok().filter(is_usable) else {
            complaints.push(format!("{endpoint_name} is no URL with http or https, so no traces are sent"));
            return None;
        };
        let mut number = |name: &str, default: u64| match variable(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(number)) if number > 0 => number,
            Some(_) => {
                complaints.push(format!("{name} is no number above 0; {default} is taken"));
                default
            }
        };
        let millis = |time: Duration| time.as_millis() as u64;
        let timeout = number("OTEL_EXPORTER_OTLP_TIMEOUT", millis(TIMEOUT));
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_LENGTH_MAX as u64);
        let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_LENGTH_MAX as u64);
        let delay = number("OTEL_BSP_SCHEDULE_DELAY", millis(DELAY));
        let queue_length_max = usize::try_from(queue).unwrap_or(usize::MAX).min(QUEUE_LENGTH_BOUND);
        Some(Self {
            endpoint,
            headers: of_exporter("HEADERS").map(|(name, text)| headers(&name, &text, complaints)).unwrap_or_default(),
            timeout: Duration::from_millis(timeout),
            resource: resource(name, version, &variable, complaints),
            sampler: sampler(&variable, complaints),
            queue_length_max,
            batch_length_max: usize::try_from(batch).unwrap_or(usize::MAX).min(queue_length_max),
            delay: Duration::from_millis(delay),
        })
    }
}

/// `name=value,name=value`, percent-encoded (W3C Baggage).
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        Some((name.trim().to_owned(), value)).filter(|(name, _)| !name.is_empty())
    })
}

fn headers(variable: &str, text: &str, complaints: &mut Vec<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in pairs(text) {
        let header = pair.and_then(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            let mut value: HeaderValue = value.parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        match header {
            Some((name, value)) => drop(headers.insert(name, value)),
            // The value may be a secret.
            None => {
                complaints.push(format!("a part of {variable} is no header, written as NAME=VALUE; it is left out"))
            }
        }
    }
    headers
}

fn resource(
    name: &str,
    version: &str,
    variable: &impl Fn(&str) -> Option<String>,
    complaints: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut resource = vec![("service.name".to_owned(), name.to_owned())];
    if !version.is_empty() {
        resource.push(("service.version".to_owned(), version.to_owned()));
    }
    let mut set = |name: String, value: String| match resource.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => resource.push((name, value)),
    };
    for pair in pairs(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()) {
        match pair {
            Some((name, value)) => set(name, value),
            None => complaints.push("a part of OTEL_RESOURCE_ATTRIBUTES is not NAME=VALUE; it is left out".to_owned()),
        }
    }
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        set("service.name".to_owned(), name);
    }
    resource
}

fn sampler(variable: &impl Fn(&str) -> Option<String>, complaints: &mut Vec<String>) -> Sampler {
    let always = Sampler { is_parent_based: true, ratio: 1.0 };
    let Some(name) = variable("OTEL_TRACES_SAMPLER") else { return always };
    let (is_parent_based, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, name.as_str()),
    };
    let ratio = match own {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => match variable("OTEL_TRACES_SAMPLER_ARG").map(|ratio| ratio.parse::<f64>()) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                complaints.push("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1; 1 is taken".to_owned());
                1.0
            }
        },
        _ => {
            complaints
                .push(format!("OTEL_TRACES_SAMPLER is {name:?}, which is not known; parentbased_always_on is taken"));
            return always;
        }
    };
    Sampler { is_parent_based, ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these variables come to, and what is complained of.
    fn read(variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut complaints = Vec::new();
        (Settings::read("shop", "1.2", variable, &mut complaints), complaints)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn without_an_endpoint_or_where_it_is_switched_off_nothing_is_sent() {
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(read(variables), (None, Vec::new()), "{variables:?}");
        }
    }

    #[test]
    fn an_endpoint_for_all_signals_gets_the_path_of_traces() {
        let settings = read(&[ENDPOINT]).0.unwrap();
        assert_eq!(settings.endpoint, "http://collector:4318/v1/traces");
        assert_eq!(settings.resource, [("service.name", "shop"), ("service.version", "1.2")].map(own));
        assert_eq!((settings.queue_length_max, settings.batch_length_max, settings.delay), (2_048, 512, DELAY));
        let of_traces = [ENDPOINT, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/in")];
        assert_eq!(read(&of_traces).0.unwrap().endpoint, "https://other/in");
    }

    fn own((name, value): (&str, &str)) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_and_resource_are_read_as_the_specification_writes_them() {
        let settings = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b, x-team = shop"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,service.name=other"),
            ("OTEL_SERVICE_NAME", "orders"),
        ]);
        let (settings, complaints) = (settings.0.unwrap(), settings.1);
        assert_eq!(
            (&settings.headers["x-key"], &settings.headers["x-team"]),
            (&"a b".parse().unwrap(), &"shop".parse().unwrap())
        );
        let resource =
            [("service.name", "orders"), ("service.version", "1.2"), ("deployment.environment.name", "staging")];
        assert_eq!(settings.resource, resource.map(own));
        assert_eq!(complaints, [""; 0]);
    }

    #[test]
    fn what_is_not_understood_is_told_of_without_secrets() {
        for (variable, value, is_off) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", true),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317", true),
            ("OTEL_TRACES_EXPORTER", "zipkin", true),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", false),
            ("OTEL_RESOURCE_ATTRIBUTES", "=a", false),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", false),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", false),
        ] {
            let (settings, complaints) = read(&[ENDPOINT, (variable, value)]);
            assert_eq!(settings.is_none(), is_off, "{variable}");
            let [complaint] = &complaints[..] else { panic!("{variable}: {complaints:?}") };
            assert!(complaint.contains(variable) && !complaint.contains("s3cret"), "{complaint}");
        }
    }

    #[test]
    fn a_sampler_follows_the_caller_where_it_is_to() {
        let sampler = |name, argument| {
            let variables = [ENDPOINT, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)];
            read(&variables).0.unwrap().sampler
        };
        let parents = [None, Some(true), Some(false)];
        for (name, expected) in [
            ("", [true, true, false]),
            ("parentbased_always_off", [false, true, false]),
            ("always_on", [true, true, true]),
            ("always_off", [false, false, false]),
            ("parentbased_traceidratio", [true, true, false]),
        ] {
            assert_eq!(parents.map(|parent| sampler(name, "1").samples(1, parent)), expected, "{name}");
        }
        let tenth = sampler("traceidratio", "0.1");
        let sampled = (0..10_000).filter(|_| tenth.samples(fastrand::u128(..), Some(true))).count();
        assert!((800..1_200).contains(&sampled), "{sampled}");
    }
}
