//! Zones and methods: JSON by id, with the version that an edit has to name.

use commerce::{Id, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::Error;
use service::column::{id, name};
use sql::{Database, Row, Transaction, Value};

use crate::method::{METHODS_MAX, Method};
use crate::zone::{Area, ZONES_MAX, Zone};

/// What is kept as a document.
pub(crate) trait Document: Serialize + DeserializeOwned {
    /// Its table.
    const TABLE: &'static str;
    /// What a human calls it.
    const WHAT: &'static str;
    /// Its path, to which the id is added.
    const PATH: &'static str;
    /// Most of them in one place.
    const COUNT_MAX: u32;

    /// The zone that it belongs to.
    fn zone(&self) -> Option<Id>;
}

impl Document for Zone {
    const TABLE: &'static str = "zones";
    const WHAT: &'static str = "zone";
    const PATH: &'static str = "/api/shipping/zones";
    const COUNT_MAX: u32 = ZONES_MAX;

    fn zone(&self) -> Option<Id> {
        None
    }
}

impl Document for Method {
    const TABLE: &'static str = "methods";
    const WHAT: &'static str = "method";
    const PATH: &'static str = "/api/shipping/methods";
    const COUNT_MAX: u32 = METHODS_MAX;

    fn zone(&self) -> Option<Id> {
        Some(self.zone_id)
    }
}

/// A document as it is kept and shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept<T> {
    pub(crate) id: Id,
    #[serde(skip)]
    pub(crate) version: i64,
    #[serde(flatten)]
    pub(crate) content: T,
}

impl<T> Kept<T> {
    /// Names the version for `If-Match`.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-0\"", self.version)
    }
}

fn kept<T: Document>(mut row: Row) -> Result<Kept<T>, Error> {
    let content = serde_json::from_str(&row.take::<String>(2)?)?;
    Ok(Kept { id: name(&mut row, 0)?, version: row.take(1)?, content })
}

/// The part of a condition that keeps to a zone, whose id is the parameter `number`.
fn within(zone: Option<Id>, number: u32) -> (String, Vec<Value>) {
    match zone {
        Some(zone) => (format!("AND zone_id = ?{number}"), vec![id(zone)]),
        None => (String::new(), Vec::new()),
    }
}

/// A page in the order of age; of all, or of those of a zone.
pub(crate) async fn page<T: Document>(
    database: &Database,
    zone: Option<Id>,
    after: Option<Id>,
    limit: Limit,
) -> Result<Vec<Kept<T>>, Error> {
    let (condition, zone) = within(zone, 3);
    let sql = format!("SELECT id, version, body FROM {} WHERE id > ?1 {condition} ORDER BY id LIMIT ?2", T::TABLE);
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    let params = [vec![after.into(), limit.get().into()], zone].concat();
    database.execute(&sql, &params).await?.into_iter().map(kept).collect()
}

/// One of them.
pub(crate) async fn find<T: Document>(database: &Database, key: Id) -> Result<Kept<T>, Error> {
    only(database.execute(&find_sql::<T>(), &[id(key)]).await?, key)
}

/// One of them, as a transaction sees it.
pub(crate) async fn load<T: Document>(transaction: &Transaction, key: Id) -> Result<Kept<T>, Error> {
    only(transaction.execute(&find_sql::<T>(), &[id(key)]).await?, key)
}

fn find_sql<T: Document>() -> String {
    format!("SELECT id, version, body FROM {} WHERE id = ?1", T::TABLE)
}

fn only<T: Document>(mut rows: Vec<Row>, key: Id) -> Result<Kept<T>, Error> {
    let row = rows.pop().ok_or_else(|| Error::NotFound { what: T::WHAT, key: key.to_string() })?;
    kept(row)
}

/// How many there are; of all, or of those of a zone.
pub(crate) async fn count<T: Document>(transaction: &Transaction, zone: Option<Id>) -> Result<u32, Error> {
    let (condition, zone) = within(zone, 1);
    let sql = format!("SELECT count(*) FROM {} WHERE TRUE {condition}", T::TABLE);
    let mut rows = transaction.execute(&sql, &zone).await?;
    Ok(rows.pop().map_or(Ok(0), |mut row| row.take(0))?)
}

/// Adds one.
pub(crate) async fn insert<T: Document>(transaction: &Transaction, content: T) -> Result<Kept<T>, Error> {
    let made = Kept { id: Id::new(), version: 1, content };
    let row = [id(made.id), serde_json::to_string(&made.content)?.into()];
    transaction.insert(&format!("INSERT INTO {} (id, body)", T::TABLE), [row], "").await?;
    Ok(made)
}

/// Replaces the content of one.
pub(crate) async fn replace<T: Document>(transaction: &Transaction, kept: Kept<T>) -> Result<Kept<T>, Error> {
    let sql = format!("UPDATE {} SET body = ?2, version = version + 1 WHERE id = ?1", T::TABLE);
    transaction.execute(&sql, &[id(kept.id), serde_json::to_string(&kept.content)?.into()]).await?;
    Ok(Kept { version: kept.version + 1, ..kept })
}

/// Deletes one.
pub(crate) async fn delete<T: Document>(transaction: &Transaction, key: Id) -> Result<(), Error> {
    transaction.execute(&format!("DELETE FROM {} WHERE id = ?1", T::TABLE), &[id(key)]).await?;
    Ok(())
}

/// The areas that may have a place of this country in them, with their zones.
pub(crate) async fn areas(database: &Database, country: &str) -> Result<Vec<(Id, Area)>, Error> {
    const FIND: &str = "
        SELECT zones.id, area.value FROM zones, json_each(zones.body, '$.areas') AS area
        WHERE coalesce(area.value ->> 'country', ?1) = ?1";
    let area = |mut row: Row| Ok((name(&mut row, 0)?, serde_json::from_str(&row.take::<String>(1)?)?));
    database.execute(FIND, &[country.into()]).await?.into_iter().map(area).collect()
}

/// All methods of a zone.
pub(crate) async fn methods(database: &Database, zone: Id) -> Result<Vec<(Id, Method)>, Error> {
    const FIND: &str = "SELECT id, version, body FROM methods WHERE zone_id = ?1";
    let rows = database.execute(FIND, &[id(zone)]).await?;
    rows.into_iter().map(|row| kept(row).map(|kept| (kept.id, kept.content))).collect()
}
