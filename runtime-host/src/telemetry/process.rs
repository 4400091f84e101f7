//! The process itself as metrics, read from `/proc` when they are asked for; where there is no `/proc`, none are given.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// Gives resident memory, file descriptors and the start time, by the names that Prometheus clients agree on.
#[derive(Debug, Clone)]
pub(super) struct ProcessMetrics {
    start_time_seconds: f64,
}

impl ProcessMetrics {
    /// For a process that starts now.
    pub(super) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start_time_seconds: since_epoch.as_secs_f64() }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, unit: Option<Unit>, value: Option<f64>| match value {
            Some(value) => {
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
            }
            None => Ok(()),
        };
        gauge("process_resident_memory", "Memory in use", Some(Unit::Bytes), resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors", None, open_fds())?;
        gauge("process_max_fds", "File descriptors that may be open", None, max_fds())?;
        gauge("process_start_time", "When the process started", Some(Unit::Seconds), Some(self.start_time_seconds))
    }
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn open_fds() -> Option<f64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn max_fds() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    soft.parse().ok()
}
