//! The events of each service that has some, held against what it wrote down.

use futures::try_join;
use service::Error;
use service::outbox::{self, Breach, Kind, Range};

use super::Finding;
use crate::app::App;
use crate::{peers, store};

/// Whether the events about these orders agree with what happened to them. They do at any moment, so that orders in motion
/// are looked at as well, and events about orders that are not there.
pub(super) async fn audit(app: &App, range: &Range) -> Result<Vec<Finding>, Error> {
    let (paid, sent) =
        try_join!(peers::audit_outbox(&app.peers.payments, range), peers::audit_outbox(&app.peers.shipping, range))?;
    let own = store::audit::outbox(&app.database, range).await?;
    let audits = [("orders", Some(own)), ("payments", paid), ("shipping", sent)];
    let findings = audits.into_iter().flat_map(|(service, audit)| match audit {
        Some(audit) => breaches(service, audit),
        None => vec![unread(service)],
    });
    Ok(findings.collect())
}

/// All else is looked at, though this service cannot say.
fn unread(service: &str) -> Finding {
    let detail = format!("{service}: its revision cannot audit its events; deploy the one of orders' release");
    Finding { kind: "events-unread".to_owned(), order_id: None, detail }
}

/// Each breach that a service names, and how many it does not name.
fn breaches(service: &str, audit: outbox::Audit) -> Vec<Finding> {
    let unlisted = audit.total.saturating_sub(audit.breaches.len() as u64);
    let more = (unlisted > 0).then(|| Finding {
        kind: "events-unlisted".to_owned(),
        order_id: None,
        detail: format!("{service}: {unlisted} more events or changes, which are not listed"),
    });
    let listed = audit.breaches.into_iter().map(|Breach { kind, subject, event, time }| {
        let (kind, detail) = match kind {
            Kind::EventMissing => ("event-missing", format!("{service}: no {event} tells of what happened at {time}")),
            Kind::EventWithoutChange => {
                ("event-without-change", format!("{service}: the {event} of {time} tells of what never happened"))
            }
        };
        Finding { kind: kind.to_owned(), order_id: Some(subject), detail }
    });
    listed.chain(more).collect()
}
