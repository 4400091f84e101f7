//! What a new shop starts with, so that it quotes at once: two zones with a tariff, and a sample of cities.

use commerce::{Currency, Money, MoneyError};
use serde_json::json;
use service::Error;
use service::request::parse_value;
use sql::{Database, Transaction};

use crate::country::Country;
use crate::import::read_all;
use crate::method::{Method, MethodInput};
use crate::store::{documents, places, seeds};
use crate::zone::{Area, Zone};

/// Some of the world's large cities, with the beginning of their postcodes and a rounded population.
const CITIES: &str = include_str!("cities.csv");
/// The name under which it is written down that the defaults were put in.
const SEED: &str = "defaults";

/// Fills a new database, once: what the merchant then deletes does not come back.
pub(crate) async fn fill(database: &Database, currency: Currency, home: &Country) -> Result<(), Error> {
    if seeds::is_in(database, SEED)? {
        return Ok(());
    }
    let transaction = database.begin().await?;
    // Another instance may have done it while this one waited for the write lock.
    if seeds::put(&transaction, SEED).await? {
        tariff(&transaction, currency, home).await?;
        // The list is part of the program, and a test reads it.
        let cities = read_all(CITIES).unwrap_or_default();
        places::save(&transaction, &cities, true).await?;
    }
    Ok(transaction.commit().await?)
}

async fn tariff(transaction: &Transaction, currency: Currency, home: &Country) -> Result<(), Error> {
    let everywhere = |country| vec![Area { country, region: None, postcode: None }];
    let domestic = documents::insert(transaction, Zone::new("Domestic", everywhere(Some(home.clone())))).await?;
    let world = documents::insert(transaction, Zone::new("Rest of the world", everywhere(None))).await?;
    for (zone, name, days, brackets, free_from) in [
        (domestic.id, "Standard", (2, 4), vec![(1_000, "4"), (5_000, "7"), (30_000, "15")], Some("60")),
        (domestic.id, "Express", (1, 1), vec![(1_000, "9"), (5_000, "14"), (30_000, "28")], None),
        (world.id, "International", (5, 12), vec![(1_000, "14"), (5_000, "32"), (20_000, "75")], None),
    ] {
        let price = |decimal: &str| Money::from_decimal(decimal, currency);
        let brackets: Result<Vec<_>, MoneyError> =
            brackets.iter().map(|(up_to, decimal)| Ok(json!({"up_to": up_to, "price": price(decimal)?}))).collect();
        let method = json!({
            "name": name, "carrier": "Post", "tax_class": "standard", "days_min": days.0, "days_max": days.1,
            "cutoff_hour": 14, "by": "weight", "brackets": brackets.map_err(|error| Error::invalid("defaults", error))?,
            "free_from": free_from.map(price).transpose().map_err(|error| Error::invalid("defaults", error))?,
        });
        let content: MethodInput = parse_value(method)?;
        let method = Method::new(zone, content, currency).map_err(Error::Invalid)?;
        documents::insert(transaction, method).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::fold;
    use std::collections::BTreeSet;

    #[test]
    fn the_sample_of_cities_is_without_mistake() {
        let cities = read_all(CITIES).unwrap();
        assert!(cities.len() >= 200, "{}", cities.len());
        let keys: BTreeSet<_> = cities.iter().map(|city| (city.country.as_str(), fold(&city.name))).collect();
        assert_eq!(keys.len(), cities.len(), "a city stands there twice");
        assert!(cities.iter().all(|city| city.population > 0));
    }
}
