//! What the host grants one revision of a component: variables, files, hosts, stores, limits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::allowed_hosts::AllowedHosts;
use crate::stores::key_value::KeyValue;
use crate::stores::sql::Database;
use crate::telemetry::guest_output::GuestOutput;
use crate::telemetry::metrics::ComponentMetrics;
use crate::variables::Values;

/// One revision of a component with its grants; shared by all of its instances.
#[derive(Clone)]
pub struct Component {
    /// The id in the manifest.
    pub id: String,
    /// Environment variables of the guest.
    pub environment: Vec<(String, String)>,
    /// A folder on the host that the guest sees, read-only, as `/`. Whoever made it may remove it once nobody holds this.
    pub files: Option<Arc<dyn AsRef<Path> + Send + Sync>>,
    /// Where the guest may send requests.
    pub allowed_hosts: AllowedHosts,
    /// Variables by name, templates resolved.
    pub variables: Values,
    /// Granted SQLite databases by label.
    pub databases: HashMap<String, Database>,
    /// Granted key-value stores by label.
    pub key_value_stores: HashMap<String, Arc<dyn KeyValue>>,
    /// Bounds on its instances.
    pub limits: InstanceLimits,
    /// Counters of this component and revision.
    pub metrics: Arc<ComponentMetrics>,
    /// Where its standard output goes.
    pub stdout: Arc<GuestOutput>,
    /// Where its standard error goes.
    pub stderr: Arc<GuestOutput>,
    /// Is told how its instances grow.
    pub growth: Arc<dyn GrowthObserver>,
}

/// Is told how the instances of a revision grow.
pub trait GrowthObserver: Send + Sync {
    /// Who is told of a new instance.
    fn instance(&self) -> Box<dyn InstanceObserver>;
}

/// Is told how one instance grows.
pub trait InstanceObserver: Send {
    /// A request has ended, at which the instance has this much linear memory.
    fn request_ended(&mut self, bytes: u64);
}

/// On which threads the instances of a component run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// On the worker threads, where a request need not wake another thread.
    #[default]
    Normal,
    /// On threads that stand back for all others: for who computes for many milliseconds at once.
    Low,
}

/// Bounds on the instances of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Requests that one instance answers before it is replaced.
    pub reuse_max: usize,
    /// Requests that one instance works on at once.
    pub concurrency_max: usize,
    /// Instances alive at once, over all worker threads; at least 1.
    pub instances_max: usize,
    /// How long an instance without work is kept.
    pub idle_timeout: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes_max: usize,
    /// How long a request may take until its response begins, and how long a response may stand still.
    pub deadline: Duration,
    /// Requests that may wait because there is no room in an instance nor another instance; one more is answered 503.
    pub queue_length_max: usize,
    /// On which threads they run.
    pub priority: Priority,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self {
            reuse_max: 4_096,
            concurrency_max: 16,
            instances_max: 128,
            idle_timeout: Duration::from_secs(10),
            memory_bytes_max: 128 << 20,
            deadline: Duration::from_secs(30),
            queue_length_max: 1_024,
            priority: Priority::Normal,
        }
    }
}
