//! The log: one line per event on standard error, for people or as JSON.

use std::io;

use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Lines that wait to be written; what comes when they are as many is dropped rather than holding up a request.
const LINES_WAITING_MAX: usize = 16_384;

/// A line for each request is for those who ask for it.
const ACCESS_LOG_OFF: &str = "access=off";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message`, the event's fields, the spans' under `spans`.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("the log filter {filter:?} is not understood")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// There is a log already.
    #[error("the log was set up twice")]
    Twice(#[source] TryInitError),
}

/// Writes what still waits when it is dropped: to be kept until the process ends.
#[must_use = "without it nothing is written"]
pub struct LogWriter {
    _thread: WorkerGuard,
}

/// Begins to log what `filter` lets through (`info`, `runtime_host=debug,guest=warn`, ...).
pub fn init(format: Format, filter: &str) -> Result<LogWriter, LogError> {
    let filter_error = |source| LogError::Filter { filter: filter.to_owned(), source };
    // What comes later counts more, so that whoever wants the access log names it.
    let filter = EnvFilter::builder().parse(format!("{ACCESS_LOG_OFF},{filter}")).map_err(filter_error)?;
    let (writer, thread): (NonBlocking, WorkerGuard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING_MAX).thread_name("log").finish(io::stderr());
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    subscriber(format, filter, colours, writer).try_init().map_err(LogError::Twice)?;
    Ok(LogWriter { _thread: thread })
}

fn subscriber(
    format: Format,
    filter: EnvFilter,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Box<dyn Subscriber + Send + Sync> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(writer);
    match format {
        Format::Human => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).with_current_span(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::super::guest_output::GuestOutput;
    use super::super::request_context::RequestContext;
    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, filter.parse().unwrap(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    fn some_events() {
        let _request = tracing::info_span!("request", request_id = "r-1", trace_id = "4bf9").entered();
        tracing::info!(target: "guest", component = "cart", "first\nline");
        tracing::debug!("too fine");
        tracing::warn!(attempt = 2, "second");
    }

    #[test]
    fn json_is_one_object_per_line_with_all_fields() {
        let text = logged(Format::Json, "info", some_events);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["target"], "guest");
        assert_eq!(lines[0]["message"], "first\nline");
        assert_eq!(lines[0]["component"], "cart");
        assert_eq!(lines[0]["spans"], json!([{"name": "request", "request_id": "r-1", "trace_id": "4bf9"}]));
        assert_eq!(lines[1]["attempt"], 2);
        assert!(lines[1]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_filter_goes_by_target() {
        let text = logged(Format::Human, "info,guest=warn", some_events);
        assert!(text.contains("second") && text.contains("request_id=\"r-1\""), "{text}");
        assert!(!text.contains("first"), "{text}");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = init(Format::Human, "info,a=b=c").err().unwrap();
        assert_eq!(error.to_string(), "the log filter \"info,a=b=c\" is not understood");
    }

    #[test]
    fn guest_output_is_logged_with_component_and_stream_and_by_instance() {
        let text = logged(Format::Json, "info", || {
            let output = Arc::new(GuestOutput::new("cart", "stderr"));
            let (mut one, mut other) = (output.lines(), output.lines());
            one.write(b"half", None);
            other.write(b"no", None);
            one.write(b" a line\n", None);
            other.write(b" end", None);
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let messages: Vec<&Value> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["half a line", "no end"]);
        assert_eq!((&lines[0]["component"], &lines[0]["stream"]), (&json!("cart"), &json!("stderr")));
    }
    #[test]
    fn a_guests_line_has_the_id_of_the_one_request_that_wrote_it() {
        let [first, second] = ["one", "two"].map(|id| {
            let header = ("x-request-id".parse().unwrap(), id.parse().unwrap());
            Some(Arc::new(RequestContext::of_request(&[header].into_iter().collect())))
        });
        let text = logged(Format::Json, "info", || {
            let mut lines = Arc::new(GuestOutput::new("cart", "stdout")).lines();
            lines.write(b"a", first.clone());
            lines.write(b"\nb\nc", first.clone());
            lines.write(b"c\nd\n", second.clone());
            lines.write(b"e", None);
            lines.write(b"e\n", second.clone());
            lines.write(b"f", second);
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines {
            let trace_id = line["trace_id"].as_str().map(str::len);
            assert_eq!(trace_id, line["request_id"].is_string().then_some(32), "{line}");
        }
        let found: Vec<(Value, Value)> =
            lines.into_iter().map(|mut line| (line["message"].take(), line["request_id"].take())).collect();
        let expected = [("a", json!("one")), ("b", json!("one")), ("cc", Value::Null)];
        let expected = expected.into_iter().chain([("d", json!("two")), ("ee", Value::Null), ("f", json!("two"))]);
        assert_eq!(found, expected.map(|(line, id)| (json!(line), id)).collect::<Vec<_>>());
    }
}
