//! Price rules: reading and changing them, with the version that everything about prices has together.

use commerce::{Id, Limit};
use service::Error;
use sql::{Database, Row, Transaction, Value};

use crate::rules::{Content, Kind, Limits, Rule, TaxSettings};

/// A list of rules, in the order of their making, one more than asked for if there are more.
pub(crate) async fn list<K: Kind>(database: &Database, after: &str, limit: Limit) -> Result<Vec<Rule>, Error> {
    const LIST: &str = "
        SELECT id, version, rule, usage_max, usage_max_per_customer, used FROM rules
        WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let params = [K::NAME.into(), after.into(), Value::Integer(i64::from(limit.get()) + 1)];
    database.execute(LIST, &params).await?.into_iter().map(rule).collect()
}

const FIND: &str = "
    SELECT id, version, rule, usage_max, usage_max_per_customer, used FROM rules WHERE kind = ?1 AND id = ?2";

/// One rule.
pub(crate) async fn find<K: Kind>(database: &Database, id: &str) -> Result<Rule, Error> {
    found::<K>(database.execute(FIND, &[K::NAME.into(), id.into()]).await?, id)
}

/// One rule as a transaction sees it.
pub(crate) async fn find_in<K: Kind>(transaction: &Transaction, id: &str) -> Result<Rule, Error> {
    found::<K>(transaction.execute(FIND, &[K::NAME.into(), id.into()]).await?, id)
}

fn found<K: Kind>(rows: Vec<Row>, id: &str) -> Result<Rule, Error> {
    let row = rows.into_iter().next();
    rule(row.ok_or_else(|| Error::NotFound { what: K::NAME, key: id.to_owned() })?)
}

fn rule(mut row: Row) -> Result<Rule, Error> {
    Ok(Rule {
        id: row.take(0)?,
        version: row.take(1)?,
        rule: row.take(2)?,
        limits: Limits { usage_max: row.take(3)?, usage_max_per_customer: row.take(4)? },
        used: row.take(5)?,
    })
}

/// How many rules of a kind there are.
pub(crate) async fn count<K: Kind>(transaction: &Transaction) -> Result<u32, Error> {
    const COUNT: &str = "SELECT count(*) FROM rules WHERE kind = ?1";
    let row = transaction.execute(COUNT, &[K::NAME.into()]).await?.pop();
    Ok(row.map_or(Ok(0), |mut row| row.take(0))?)
}

/// Adds a rule, or gives the one of this id other content.
pub(crate) async fn put<K: Kind>(
    transaction: &Transaction,
    id: Id,
    content: &Content,
    actor: &str,
) -> Result<(), Error> {
    const PUT: &str = "
        INSERT INTO rules (id, kind, key, rule, usage_max, usage_max_per_customer) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (id) DO UPDATE SET version = version + 1, key = excluded.key, rule = excluded.rule,
            usage_max = excluded.usage_max, usage_max_per_customer = excluded.usage_max_per_customer
        RETURNING iif(version = 1, 'made', 'changed')";
    let id = id.to_string();
    let params = [
        id.as_str().into(),
        K::NAME.into(),
        content.key.clone().into(),
        content.rule.as_str().into(),
        content.limits.usage_max.into(),
        content.limits.usage_max_per_customer.into(),
    ];
    let rows = match transaction.execute(PUT, &params).await {
        Err(error) if error.names("rules.key") => {
            return Err(Error::Taken { what: K::NAME, key: content.key.clone().unwrap_or_default() });
        }
        done => done?,
    };
    let change: String = rows.into_iter().next().map_or(Ok(String::new()), |mut row| row.take(0))?;
    note(transaction, K::NAME, &id, &change, &content.rule, actor).await
}

/// Removes a rule. What was redeemed by it stays counted for its orders.
pub(crate) async fn remove<K: Kind>(transaction: &Transaction, rule: &Rule, actor: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM rules WHERE id = ?1", &[rule.id.as_str().into()]).await?;
    note(transaction, K::NAME, &rule.id, "removed", &rule.rule, actor).await
}

/// Writes down who changed what; whoever knows the rules by their version has to read them again.
async fn note(
    transaction: &Transaction,
    kind: &str,
    id: &str,
    change: &str,
    content: &str,
    actor: &str,
) -> Result<(), Error> {
    const NOTE: &str = "INSERT INTO rule_changes (kind, rule_id, change, content, actor, at_ms)";
    let row = [kind.into(), id.into(), change.into(), content.into(), actor.into(), commerce::unix_ms().into()];
    transaction.insert(NOTE, [row], "").await?;
    transaction.execute("UPDATE rule_book SET version = version + 1", &[]).await?;
    Ok(())
}

const SETTINGS: &str = "SELECT settings_version, settings FROM rule_book";

/// The settings of taxes, with their version.
pub(crate) async fn settings(database: &Database) -> Result<(i64, TaxSettings), Error> {
    read_settings(database.execute(SETTINGS, &[]).await?)
}

/// The settings of taxes as a transaction sees them.
pub(crate) async fn settings_in(transaction: &Transaction) -> Result<(i64, TaxSettings), Error> {
    read_settings(transaction.execute(SETTINGS, &[]).await?)
}

fn read_settings(rows: Vec<Row>) -> Result<(i64, TaxSettings), Error> {
    let row = rows.into_iter().next();
    let mut row = row.ok_or_else(|| Error::NotFound { what: "rule book", key: String::new() })?;
    Ok((row.take(0)?, serde_json::from_str(&row.take::<String>(1)?)?))
}

/// Changes the settings of taxes.
pub(crate) async fn put_settings(transaction: &Transaction, settings: &TaxSettings, actor: &str) -> Result<(), Error> {
    const PUT: &str = "UPDATE rule_book SET settings_version = settings_version + 1, settings = ?1";
    let settings = serde_json::to_string(settings)?;
    transaction.execute(PUT, &[settings.as_str().into()]).await?;
    note(transaction, "tax_settings", "", "changed", &settings, actor).await
}

/// The version of the rules.
pub(crate) fn version(database: &Database) -> Result<i64, Error> {
    let row = database.read("SELECT version FROM rule_book", &[])?.pop();
    Ok(row.map_or(Ok(0), |mut row| row.take(0))?)
}

/// All that a cart is priced by, as JSON with its version. Promotions that are used up are left out.
pub(crate) async fn book(database: &Database) -> Result<(i64, String), Error> {
    const BOOK: &str = "
        SELECT version, json_object(
            'version', version,
            'prices_include_tax', json(settings -> '$.prices_include_tax'),
            'promotions', json((
                SELECT json_group_array(json(rule) ORDER BY id) FROM rules
                WHERE kind = 'promotion' AND (usage_max IS NULL OR used < usage_max)
            )),
            'tax_rates', json((SELECT json_group_array(json(rule) ORDER BY id) FROM rules WHERE kind = 'tax_rate'))
        ) FROM rule_book";
    let row = database.execute(BOOK, &[]).await?.pop();
    let mut row = row.ok_or_else(|| Error::NotFound { what: "rule book", key: String::new() })?;
    Ok((row.take(0)?, row.take(1)?))
}
