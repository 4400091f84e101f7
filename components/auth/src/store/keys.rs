//! The keys that sign access tokens.

use commerce::Id;
use service::Error;
use sql::{Database, Row, Transaction};

use crate::error::Refusal;
use crate::keyring::{Key, Keyring, LEAD_MS};
use crate::secret::random;

const ALL: &str = "SELECT kid, seed, signs_from_ms FROM signing_keys";

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// The next key signs from then on.
    Begun,
    /// The next key is published already and has yet to sign.
    UnderWay,
    /// The key is too young to be replaced.
    NotDue,
}

/// All keys; the first one is made here, and the next one when its time has come.
pub(crate) async fn keyring(database: &Database, now_ms: i64) -> Result<Keyring, Error> {
    let keyring = read(database.read(ALL, &[])?)?;
    if !keyring.is_due(now_ms) {
        return Ok(keyring);
    }
    rotate_if(database, now_ms, |keyring| keyring.is_due(now_ms)).await?;
    read(database.read(ALL, &[])?)
}

/// Makes the next key if the newest one is old enough.
pub(crate) async fn rotate_when_due(database: &Database, now_ms: i64) -> Result<Rotation, Error> {
    rotate_if(database, now_ms, |keyring| keyring.is_due(now_ms)).await
}

/// Makes the next key, whatever the age of the newest one.
pub(crate) async fn rotate(database: &Database, now_ms: i64) -> Result<Rotation, Error> {
    rotate_if(database, now_ms, |_| true).await
}

/// Drops all keys for a new one that signs at once. Tokens of the former ones are good for nobody who fetches the
/// keys from then on.
pub(crate) async fn replace(database: &Database, now_ms: i64) -> Result<Rotation, Error> {
    let transaction = database.begin().await?;
    transaction.execute("DELETE FROM signing_keys", &[]).await?;
    add(&transaction, now_ms).await?;
    transaction.commit().await?;
    Ok(Rotation::Begun)
}

/// The condition is asked again in the transaction, since another instance may have been first.
async fn rotate_if(database: &Database, now_ms: i64, wanted: impl FnOnce(&Keyring) -> bool) -> Result<Rotation, Error> {
    let transaction = database.begin().await?;
    let keyring = read(transaction.execute(ALL, &[]).await?)?;
    if keyring.is_rotating(now_ms) {
        return Ok(Rotation::UnderWay);
    }
    if !wanted(&keyring) {
        return Ok(Rotation::NotDue);
    }
    // Nobody holds a set yet in which the very first key could be missing.
    let lead_ms = if keyring.newest().is_some() { LEAD_MS } else { 0 };
    add(&transaction, now_ms + lead_ms).await?;
    for kid in keyring.outlived(now_ms) {
        transaction.execute("DELETE FROM signing_keys WHERE kid = ?1", &[kid.into()]).await?;
    }
    transaction.commit().await?;
    Ok(Rotation::Begun)
}

async fn add(transaction: &Transaction, signs_from_ms: i64) -> Result<(), Error> {
    const ADD: &str = "INSERT INTO signing_keys (kid, seed, signs_from_ms) VALUES (?1, ?2, ?3)";
    let seed = hex::encode(random::<32>()?);
    transaction.execute(ADD, &[Id::new().to_string().into(), seed.into(), signs_from_ms.into()]).await?;
    Ok(())
}

fn read(rows: Vec<Row>) -> Result<Keyring, Error> {
    let key = |mut row: Row| {
        let (kid, text): (String, String) = (row.take(0)?, row.take(1)?);
        let mut seed = [0; 32];
        hex::decode_to_slice(&text, &mut seed).map_err(|_| Refusal::DamagedKey(kid.clone()))?;
        Ok(Key { kid, seed, signs_from_ms: row.take(2)? })
    };
    Ok(Keyring::new(rows.into_iter().map(key).collect::<Result<_, Error>>()?))
}
