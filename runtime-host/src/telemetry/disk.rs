//! How full the file systems are that hold the state folder and the stores, and how large each store is.
//!
//! It is measured now and then by a task of its own, not by a scrape: a file system that hangs must not take the thread that answers
//! it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// How often it is measured.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// What SQLite writes to before the file itself.
const LOG_SUFFIX: &str = "-wal";

/// A file of stores.
#[derive(Debug, Clone)]
pub struct StoreFile {
    /// `sqlite` or `key-value`.
    pub store_kind: &'static str,
    /// The store's label.
    pub store: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it may grow to.
    pub bytes_max: Option<u64>,
}

/// Free and used room as it was last measured. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Measured>>);

#[derive(Debug, Default)]
struct Measured {
    volumes: Vec<Volume>,
    stores: Vec<(StoreFile, u64)>,
}

#[derive(Debug)]
struct Volume {
    path: String,
    bytes: u64,
    free_bytes: u64,
}

impl Disk {
    /// Measures all; blocks. What cannot be read is left out.
    pub(super) fn measure(&self, state_dir: &Path, files: &[StoreFile]) {
        let folders = files.iter().filter_map(|file| file.path.parent());
        let mut seen = BTreeSet::new();
        let volumes = std::iter::once(state_dir).chain(folders).filter_map(|folder| {
            // Each file system is told once, by the first of its folders.
            let is_new = fs::metadata(folder).is_ok_and(|metadata| seen.insert(metadata.dev()));
            let statistics = is_new.then(|| rustix::fs::statvfs(folder).ok()).flatten()?;
            Some(Volume {
                path: folder.display().to_string(),
                bytes: statistics.f_blocks.saturating_mul(statistics.f_frsize),
                // Without what is kept for the superuser.
                free_bytes: statistics.f_bavail.saturating_mul(statistics.f_frsize),
            })
        });
        let stores = files.iter().filter_map(|file| {
            let bytes = fs::metadata(&file.path).ok()?.len();
            let mut log = file.path.clone().into_os_string();
            log.push(LOG_SUFFIX);
            Some((file.clone(), bytes + fs::metadata(log).map_or(0, |log| log.len())))
        });
        let measured = Measured { volumes: volumes.collect(), stores: stores.collect() };
        // It is replaced as a whole.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = measured;
    }
}

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut volumes = |name: &str, help: &str, value: fn(&Volume) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
            measured.volumes.iter().try_for_each(|volume| {
                family.encode_family(&[("path", volume.path.as_str())])?.encode_gauge(&value(volume))
            })
        };
        volumes("bodega_disk_size", "Size of the file system of a folder", |volume| volume.bytes)?;
        volumes("bodega_disk_free", "What of it the host may still write", |volume| volume.free_bytes)?;
        let mut stores = |name: &str, help: &str, value: fn(&(StoreFile, u64)) -> Option<u64>| {
            let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
            let measured = measured.stores.iter().filter_map(|store| Some((&store.0, value(store)?)));
            measured.into_iter().try_for_each(|(file, value)| {
                let labels = [("store_kind", file.store_kind), ("store", file.store.as_str())];
                family.encode_family(&labels)?.encode_gauge(&value)
            })
        };
        stores("bodega_store_size", "Size of a store's file and its log", |(_, bytes)| Some(*bytes))?;
        stores("bodega_store_size_max", "What a store's file may grow to, if it is bounded", |(file, _)| file.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn each_file_system_is_told_once_and_each_store_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes_max| StoreFile {
            store_kind: "sqlite",
            store: name.to_owned(),
            path: folder.path().join(name),
            bytes_max,
        };
        fs::write(folder.path().join("orders"), [0; 100]).unwrap();
        fs::write(folder.path().join("orders-wal"), [0; 11]).unwrap();
        let disk = Disk::default();
        disk.measure(folder.path(), &[file("orders", Some(5_000)), file("missing", None)]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(disk));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let values = |name: &str| -> Vec<&str> { text.lines().filter(|line| line.starts_with(name)).collect() };
        assert_eq!(
            values("bodega_store_size_bytes"),
            [r#"bodega_store_size_bytes{store_kind="sqlite",store="orders"} 111"#]
        );
        assert_eq!(
            values("bodega_store_size_max_bytes"),
            [r#"bodega_store_size_max_bytes{store_kind="sqlite",store="orders"} 5000"#]
        );
        let number = |line: &str| -> u64 { line.rsplit(' ').next().unwrap().parse().unwrap() };
        let [size, free] = ["size", "free"].map(|part| values(&format!("bodega_disk_{part}_bytes")));
        assert_eq!((size.len(), free.len()), (1, 1), "{text}");
        assert!(number(size[0]) >= number(free[0]) && number(size[0]) > 1 << 20, "{text}");
    }
}
