//! Shipments and their events.

use commerce::{Id, Limit};
use serde_json::json;
use service::column::{id, name};
use service::{Error, outbox};
use sql::{Database, Row, Transaction};

use crate::shipment::{Event, Request, Shipment, State};

const COLUMNS: &str = "id, state, tracking_number, request, created_at_ms";

/// What a shipment is looked up by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Id(Id),
    Order(Id),
}

impl Key {
    fn sql(self) -> String {
        let column = match self {
            Self::Id(_) => "id",
            Self::Order(_) => "order_id",
        };
        format!("SELECT {COLUMNS} FROM shipments WHERE {column} = ?1")
    }

    fn value(self) -> Id {
        match self {
            Self::Id(key) | Self::Order(key) => key,
        }
    }

    /// That nothing has this key.
    pub(crate) fn not_found(self) -> Error {
        let what = match self {
            Self::Id(_) => "shipment",
            Self::Order(_) => "shipment of the order",
        };
        Error::NotFound { what, key: self.value().to_string() }
    }
}

const EVENTS: &str = "
    SELECT state, at_ms, recorded_at_ms, actor, note FROM shipment_events WHERE shipment = ?1 ORDER BY position";

/// A shipment with its events.
pub(crate) async fn find(database: &Database, key: Key) -> Result<Shipment, Error> {
    let row = database.execute(&key.sql(), &[id(key.value())]).await?.pop().ok_or_else(|| key.not_found())?;
    let mut shipment = shipment(row)?;
    shipment.events = events(database.execute(EVENTS, &[id(shipment.id)]).await?)?;
    Ok(shipment)
}

/// A shipment with its events, as a transaction sees it.
pub(crate) async fn load(transaction: &Transaction, key: Key) -> Result<Option<Shipment>, Error> {
    let Some(row) = transaction.execute(&key.sql(), &[id(key.value())]).await?.pop() else { return Ok(None) };
    let mut shipment = shipment(row)?;
    shipment.events = events(transaction.execute(EVENTS, &[id(shipment.id)]).await?)?;
    Ok(Some(shipment))
}

/// A page in the order of age, without their events; of all, or of those in a state.
pub(crate) async fn page(
    database: &Database,
    state: Option<State>,
    after: Option<Id>,
    limit: Limit,
) -> Result<Vec<Shipment>, Error> {
    let condition = if state.is_some() { "AND state = ?3" } else { "" };
    let sql = format!("SELECT {COLUMNS} FROM shipments WHERE id > ?1 {condition} ORDER BY id LIMIT ?2");
    let mut params = vec![after.map(|after| after.to_string()).unwrap_or_default().into(), limit.get().into()];
    params.extend(state.map(|state| state.as_str().into()));
    database.execute(&sql, &params).await?.into_iter().map(shipment).collect()
}

/// Writes down a shipment whose last event is new, and tells others.
pub(crate) async fn save(transaction: &Transaction, shipment: &Shipment) -> Result<(), Error> {
    const SAVE: &str = "INSERT INTO shipments (id, order_id, state, tracking_number, request, created_at_ms)";
    const MOVE: &str =
        "ON CONFLICT (id) DO UPDATE SET state = excluded.state, tracking_number = excluded.tracking_number";
    let row = [
        id(shipment.id),
        id(shipment.request.order_id),
        shipment.state.as_str().into(),
        shipment.tracking_number.as_deref().into(),
        serde_json::to_string(&shipment.request)?.into(),
        shipment.created_at_ms.into(),
    ];
    transaction.insert(SAVE, [row], MOVE).await?;
    let Some(event) = shipment.events.last() else { return Ok(()) };
    let told = tell(shipment, event.recorded_at_ms);
    const ADD: &str =
        "INSERT INTO shipment_events (shipment, position, state, at_ms, recorded_at_ms, actor, note, event_id)";
    let row = [
        id(shipment.id),
        sql::Value::Integer(shipment.events.len() as i64),
        event.state.as_str().into(),
        event.at_ms.into(),
        event.recorded_at_ms.into(),
        event.actor.as_str().into(),
        event.note.as_deref().into(),
        id(told.id()),
    ];
    transaction.insert(ADD, [row], "").await?;
    told.put(transaction).await
}

/// Whether the events about these orders agree with what happened to their shipments, and the last of them with where each
/// shipment is.
pub(crate) async fn audit(database: &Database, range: &outbox::Range) -> Result<outbox::Audit, Error> {
    const TOLD: &str = "
        SELECT event_id, order_id AS subject, recorded_at_ms AS at_ms,
            'bodega.shipment.' || shipment_events.state AS type
        FROM shipment_events JOIN shipments ON shipments.id = shipment
        WHERE order_id > ?1 AND order_id <= ?2
        UNION
        SELECT event_id, order_id, ifnull(recorded_at_ms, created_at_ms), 'bodega.shipment.' || shipments.state
        FROM shipments LEFT JOIN shipment_events AS last ON shipment = shipments.id
            AND position = (SELECT max(position) FROM shipment_events WHERE shipment = shipments.id)
        WHERE order_id > ?1 AND order_id <= ?2";
    outbox::audit(database, TOLD, range).await
}

/// What others are told of where a shipment is now. Notes are the shop's own and stay here.
fn tell(shipment: &Shipment, now_ms: i64) -> outbox::Event {
    let data = json!({
        "shipment_id": shipment.id,
        "order_id": shipment.request.order_id,
        "state": shipment.state,
        "tracking_number": shipment.tracking_number,
    });
    outbox::Event::new(format!("bodega.shipment.{}", shipment.state), shipment.request.order_id, now_ms, data)
}

fn shipment(mut row: Row) -> Result<Shipment, Error> {
    Ok(Shipment {
        id: name(&mut row, 0)?,
        state: name(&mut row, 1)?,
        tracking_number: row.take(2)?,
        request: serde_json::from_str::<Request>(&row.take::<String>(3)?)?,
        created_at_ms: row.take(4)?,
        events: Vec::new(),
    })
}

fn events(rows: Vec<Row>) -> Result<Vec<Event>, Error> {
    let event = |mut row: Row| {
        Ok(Event {
            state: name(&mut row, 0)?,
            at_ms: row.take(1)?,
            recorded_at_ms: row.take(2)?,
            actor: row.take(3)?,
            note: row.take(4)?,
        })
    };
    rows.into_iter().map(event).collect()
}
