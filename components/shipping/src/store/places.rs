//! Cities and postcodes.

use std::collections::BTreeSet;

use service::Error;
use service::column::name;
use sql::{Database, Row, Transaction, Value};

use crate::destination::fold;
use crate::place::{CityKey, CityQuery, Place, PostcodeQuery};

/// Adds places; one that is there already gets the population of the new one. A `sample` gives way to imports.
pub(crate) async fn save(transaction: &Transaction, places: &[Place], sample: bool) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO places (country, postcode, name, folded, region, population, sample)";
    const UPDATE: &str = "
        ON CONFLICT (country, folded, region, postcode)
        DO UPDATE SET name = excluded.name, population = excluded.population, sample = excluded.sample";
    let row = |place: &Place| {
        [
            place.country.as_str().into(),
            place.postcode.as_str().into(),
            place.name.as_str().into(),
            fold(&place.name).into(),
            place.region.as_str().into(),
            place.population.into(),
            Value::Integer(sample.into()),
        ]
    };
    Ok(transaction.insert(INSERT, places.iter().map(row), UPDATE).await?)
}

/// Takes the sample away for the countries of these places.
pub(crate) async fn forget_samples(transaction: &Transaction, places: &[Place]) -> Result<(), Error> {
    const DELETE: &str = "DELETE FROM places WHERE sample = 1 AND country = ?1";
    let countries: BTreeSet<&str> = places.iter().map(|place| place.country.as_str()).collect();
    for country in countries {
        transaction.execute(DELETE, &[country.into()]).await?;
    }
    Ok(())
}

/// A page of cities, and where it ended if there are more. A city with many postcodes stands there once.
pub(crate) async fn cities(database: &Database, query: &CityQuery) -> Result<(Vec<Place>, Option<CityKey>), Error> {
    // Prefixes use the unique index; without one, the order is that of the index by population.
    const BY_PREFIX: &str = "AND folded >= ?5 AND folded < ?5 || char(0x10FFFF)";
    const AFTER: &str = "AND (population < ?2 OR population = ?2 AND seq > ?3)";
    let filter = if query.prefix.is_empty() { "" } else { BY_PREFIX };
    let after = if query.after.is_some() { AFTER } else { "" };
    let sql = format!(
        "SELECT country, postcode, name, region, population, seq FROM places
         WHERE country = ?1 {filter} {after} AND NOT EXISTS (
             SELECT 1 FROM places AS other
             WHERE other.country = places.country AND other.folded = places.folded AND other.region = places.region
                 AND (other.population, -other.seq) > (places.population, -places.seq)
         )
         ORDER BY population DESC, seq LIMIT ?4"
    );
    let (population, seq) = query.after.unwrap_or_default();
    let rows = i64::from(query.limit.get());
    let mut params = vec![query.country.as_str().into(), population.into(), seq.into(), Value::Integer(rows + 1)];
    if !query.prefix.is_empty() {
        params.push(query.prefix.as_str().into());
    }
    let found = database.execute(&sql, &params).await?;
    let more = found.len() > query.limit.get() as usize;
    let mut cities = Vec::with_capacity(found.len());
    let mut last = None;
    for mut row in found.into_iter().take(query.limit.get() as usize) {
        last = Some((row.take(4)?, row.take(5)?));
        cities.push(place(row, last.map(|(population, _)| population).unwrap_or_default())?);
    }
    Ok((cities, last.filter(|_| more)))
}

/// The places of a postcode: those whose own begins it or is begun by it, the longest match first.
pub(crate) async fn by_postcode(database: &Database, query: &PostcodeQuery) -> Result<Vec<Place>, Error> {
    const FIND: &str = "
        SELECT country, postcode, name, region, population FROM places
        WHERE country = ?1 AND postcode <> '' AND (
            postcode IN (SELECT value FROM json_each(?2)) OR postcode >= ?3 AND postcode < ?3 || char(0x10FFFF)
        )
        ORDER BY min(length(postcode), length(?3)) DESC, population DESC, postcode, seq LIMIT ?4";
    let postcode = query.postcode.as_str();
    let beginnings: Vec<&str> = (1..postcode.len()).map(|end| &postcode[..end]).collect();
    let params = [
        query.country.as_str().into(),
        serde_json::to_string(&beginnings)?.into(),
        postcode.into(),
        query.limit.get().into(),
    ];
    let rows = database.execute(FIND, &params).await?;
    rows.into_iter().map(|mut row| row.take(4).map_err(Error::from).and_then(|people| place(row, people))).collect()
}

fn place(mut row: Row, population: i64) -> Result<Place, Error> {
    Ok(Place {
        country: name(&mut row, 0)?,
        postcode: name(&mut row, 1)?,
        name: row.take(2)?,
        region: row.take(3)?,
        population: population.try_into().unwrap_or(u32::MAX),
    })
}
