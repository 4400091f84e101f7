//! Describes the machine that the figures were taken on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::statistics::Latencies;

const SYNC_PROBES: usize = 200;

/// Name and value of what matters for the figures; `folder` is where the stores are.
pub(crate) fn describe(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("CPU", field("/proc/cpuinfo", "model name")?);
    row("cores", available_parallelism()?.to_string());
    row("memory", gibibytes(&field("/proc/meminfo", "MemTotal")?)?);
    row("kernel", read("/proc/sys/kernel/osrelease")?.trim().to_owned());
    row("filesystem of the stores", filesystem(&read("/proc/self/mounts")?, folder));
    row("4 KiB write and fdatasync there, median of 200", format!("{:.0} us", sync_us(folder)?));
    row("rustc", version("rustc")?);
    row("wrk", version("wrk")?);
    row("SQLite", rusqlite::version().to_owned());
    Ok(rows)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Result<String> {
    let text = read(path)?;
    let values = text.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| key.trim() == name);
    let mut values = values.map(|(_, value)| value.trim().to_owned());
    // Not every architecture names its CPU's model.
    Ok(values.next().unwrap_or_else(|| "unknown".to_owned()))
}

fn gibibytes(kilobytes: &str) -> Result<String> {
    let kilobytes: f64 = kilobytes.trim_end_matches(" kB").parse().context("MemTotal")?;
    Ok(format!("{:.1} GiB", kilobytes / f64::from(1 << 20)))
}

/// The type of the filesystem that `folder` is on: that of the longest mount point above it.
fn filesystem(mounts: &str, folder: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map_or("unknown", |(_, kind)| kind).to_owned()
}

/// The first line that names a version; `wrk` prints it with its usage, and exits with an error.
fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("`{program}` does not run"))?;
    let text = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
    let line = text.lines().next().unwrap_or_default();
    Ok(line.split(" Copyright").next().unwrap_or_default().trim_start_matches(program).trim().to_owned())
}

/// The median time, in microseconds, of a write of a page that is synced: what a durable commit costs at least.
fn sync_us(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let page = [1_u8; 4096];
    let probe = |_| -> Result<_> {
        let begin = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        Ok(begin.elapsed())
    };
    let latencies: Latencies = (0..SYNC_PROBES).map(probe).collect::<Result<_>>()?;
    Ok(latencies.percentile(50).as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filesystem_is_that_of_the_longest_mount_point_above() {
        let mounts =
            "/dev/a / ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n/dev/b /srv/shop xfs rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(filesystem(mounts, Path::new("/srv/shop/state")), "xfs");
        assert_eq!(filesystem(mounts, Path::new("/srv/shopping")), "tmpfs");
        assert_eq!(filesystem(mounts, Path::new("/home")), "ext4");
        assert_eq!(filesystem("", Path::new("/home")), "unknown");
    }

    #[test]
    fn memory_is_told_in_gibibytes() {
        assert_eq!(gibibytes("24684112 kB").unwrap(), "23.5 GiB");
        assert!(gibibytes("unknown").is_err());
    }
}
