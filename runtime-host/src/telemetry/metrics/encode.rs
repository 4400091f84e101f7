//! Writes down everything that was counted, family by family.

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::CacheOutcome;
use super::{ComponentMetrics, Families, HOST, Labels, Observed, lock};

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let components: Vec<_> = lock(&self.components).values().filter_map(Weak::upgrade).collect();
        let each = || components.iter().map(|component| &**component);
        let count = |(labels, observed): (_, Observed)| (labels, observed.count);
        let requests = || {
            let components = each().flat_map(|component| component.requests.read(component.own_labels()));
            components.chain(self.host.read([("component", HOST), ("revision", "")]))
        };
        let encoder = &mut encoder;

        counters(encoder, "bodega_http_requests", "Requests answered", requests().map(count))?;
        histograms(
            encoder,
            "bodega_http_request_duration",
            "Time from the dispatch of a request until its answer begins",
            requests(),
        )?;
        counters(
            encoder,
            "bodega_store_calls",
            "Store calls",
            each().flat_map(ComponentMetrics::store_calls).map(count),
        )?;
        histograms(
            encoder,
            "bodega_store_call_duration",
            "Time that store calls took",
            each().flat_map(ComponentMetrics::store_calls),
        )?;
        let created =
            each().map(|component| (component.labels(&[]), component.instances_created.load(Ordering::Relaxed)));
        counters(encoder, "bodega_instances_created", "Instances made", created)?;
        let live = each().map(|component| (component.labels(&[]), component.instances_live()));
        gauges(encoder, "bodega_instances_live", "Instances at this moment", live)?;
        let bound = each().map(|component| (component.labels(&[]), component.instances_max.load(Ordering::Relaxed)));
        gauges(encoder, "bodega_instances_max", "Instances that there may be", bound)?;
        let queues =
            each().filter_map(|component| Some((component.labels(&[]), lock(&component.queue_length).as_ref()?())));
        gauges(encoder, "bodega_queue_length", "Requests that wait for an instance", queues)?;
        let bound = each().map(|component| (component.labels(&[]), component.queue_length_max.load(Ordering::Relaxed)));
        gauges(encoder, "bodega_queue_length_max", "Requests that may wait for an instance", bound)?;
        let trapped = each().flat_map(|component| component.by_reason(&component.trapped));
        counters(encoder, "bodega_instances_trapped", "Instances lost to a trap", trapped)?;
        let rejected = each().flat_map(|component| component.by_reason(&component.rejected));
        counters(encoder, "bodega_requests_rejected", "Requests turned away before an instance saw them", rejected)?;
        let cut = each().flat_map(|component| component.by_reason(&component.bodies_cut));
        counters(encoder, "bodega_response_bodies_cut", "Bodies of answers that did not come to their end", cut)?;
        let scheduled: Vec<_> = each().flat_map(ComponentMetrics::scheduled_runs).collect();
        let runs = scheduled.iter().map(|(component, path, result, count)| {
            let own = component.labels(&[]).into_iter();
            (own.chain([("path", path.as_str()), ("result", *result)]).collect(), *count)
        });
        counters(encoder, "bodega_scheduled_runs", "Runs of schedules, and those that were skipped", runs)?;
        let own = |read: &dyn Fn(&ComponentMetrics) -> Vec<(String, u64)>| -> Vec<_> {
            each().flat_map(|component| read(component).into_iter().map(move |own| (component, own))).collect()
        };
        let counted = own(&|component| component.own.all());
        counters(encoder, "bodega_component_counts", "What components count themselves", counted.iter().map(named))?;
        let levels = own(&|component| component.own.levels(Instant::now()));
        gauges(encoder, "bodega_component_level", "At what something stands in a component", levels.iter().map(named))?;
        let weights = lock(&self.rollout_weights);
        let weights = weights.iter().map(|(component, weight)| (vec![("component", &**component)], u64::from(*weight)));
        gauges(encoder, "bodega_rollout_weight_percent", "Share of a revision that is rolled out", weights)?;
        let transitions = lock(&self.rollout_transitions);
        let transitions = transitions
            .iter()
            .map(|((component, change), count)| (vec![("component", &**component), ("change", *change)], *count));
        counters(encoder, "bodega_rollout_transitions", "Changes of rollouts", transitions)?;
        let actions = lock(&self.control_actions);
        let actions = actions.iter().map(|((component, action, result), count)| {
            (vec![("component", &**component), ("action", *action), ("result", *result)], *count)
        });
        counters(encoder, "bodega_control_actions", "What people asked for through the control API", actions)?;
        let build = [(vec![("version", env!("CARGO_PKG_VERSION"))], 1)];
        gauges(encoder, "bodega_build_info", "Which host this is", build)?;
        let refused = lock(&self.refused);
        let refused = refused.iter().map(|(reason, count)| (vec![("reason", *reason)], *count));
        counters(encoder, "bodega_gateway_refused", "Requests that the gateway refused", refused)?;
        for (name, help, count) in [
            ("bodega_gateway_retries", "Requests that the gateway sent once more", &self.retries),
            ("bodega_gateway_fallbacks", "Failures in whose place something else was answered", &self.fallbacks),
        ] {
            counters(encoder, name, help, [(Vec::new(), count.load(Ordering::Relaxed))])?;
        }
        let changes = lock(&self.breaker_changes);
        let changes =
            changes.iter().map(|((target, change), count)| (vec![("target", &**target), ("change", *change)], *count));
        counters(encoder, "bodega_gateway_breaker_changes", "Times that a breaker opened or closed", changes)?;
        let upstreams = lock(&self.upstreams);
        let asked = || upstreams.iter().flat_map(|(name, counts)| counts.read([("upstream", &**name)]));
        counters(
            encoder,
            "bodega_upstream_requests",
            "Requests that upstreams answered, or the host for them",
            asked().map(count),
        )?;
        histograms(encoder, "bodega_upstream_request_duration", "Time until upstreams began to answer", asked())?;
        let cached = CacheOutcome::ALL.into_iter().zip(&self.cache);
        let cached =
            cached.map(|(outcome, count)| (vec![("outcome", outcome.as_str())], count.load(Ordering::Relaxed)));
        counters(encoder, "bodega_gateway_cache", "What the gateway's cache did about requests", cached)?;
        let webhooks = lock(&self.webhooks);
        let webhooks = webhooks
            .iter()
            .map(|((component, result), count)| (vec![("component", &**component), ("result", *result)], *count));
        counters(encoder, "bodega_webhooks", "Messages to webhooks", webhooks)?;
        for (name, help, read) in lock(&self.counters).iter() {
            counters(encoder, name, help, [(Vec::new(), read())])?;
        }
        for (name, help, read) in lock(&self.gauges).iter() {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&read())?;
        }
        Ok(())
    }
}

/// What a component counts, with the name that it gives it.
fn named<'m>((component, (name, value)): &'m (&'m ComponentMetrics, (String, u64))) -> (Labels<'m>, u64) {
    (component.own_labels().into_iter().chain([("name", name.as_str())]).collect(), *value)
}

fn counters<'m>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'m>, u64)>,
) -> fmt::Result {
    let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    family_of(family, samples, |mut sample, value| sample.encode_counter::<NoLabelSet, u64, f64>(&value, None))
}

fn gauges<'m>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'m>, u64)>,
) -> fmt::Result {
    let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    family_of(family, samples, |mut sample, value| sample.encode_gauge(&value))
}

fn histograms<'m>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'m>, Observed)>,
) -> fmt::Result {
    let family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    family_of(family, samples, |mut sample, value| {
        sample.encode_histogram::<NoLabelSet>(value.sum_s, value.count, &value.buckets, None)
    })
}

fn family_of<'m, V>(
    mut family: MetricEncoder<'_>,
    samples: impl IntoIterator<Item = (Labels<'m>, V)>,
    encode: impl Fn(MetricEncoder<'_>, V) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in samples {
        encode(family.encode_family(&labels)?, value)?;
    }
    Ok(())
}
