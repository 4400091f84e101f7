//! Accounts.

use commerce::{CustomerGroup, email};
use identity::Role;
use service::Error;
use sql::{Database, Row, Transaction};

use crate::account::{Account, Profile};

const SELECT: &str = "
    SELECT id, email, email_verified, password, name, locale, marketing, role, customer_group, version, created_at_ms
    FROM accounts";

/// The account of an id.
pub(crate) async fn find(database: &Database, id: &str) -> Result<Option<Account>, Error> {
    one(database.execute(&format!("{SELECT} WHERE id = ?1"), &[id.into()]).await?)
}

/// The account of an email key.
pub(crate) async fn find_by_email(database: &Database, email_key: &str) -> Result<Option<Account>, Error> {
    one(database.execute(&format!("{SELECT} WHERE email_key = ?1"), &[email_key.into()]).await?)
}

/// The account of an id, as a transaction sees it.
pub(crate) async fn load(transaction: &Transaction, id: &str) -> Result<Option<Account>, Error> {
    one(transaction.execute(&format!("{SELECT} WHERE id = ?1"), &[id.into()]).await?)
}

/// The account of an email key, as a transaction sees it.
pub(crate) async fn load_by_email(transaction: &Transaction, email_key: &str) -> Result<Option<Account>, Error> {
    one(transaction.execute(&format!("{SELECT} WHERE email_key = ?1"), &[email_key.into()]).await?)
}

/// Accounts in the order of their making, after the one with this id; of this email key alone, if one is given.
pub(crate) async fn page(
    database: &Database,
    after: &str,
    email_key: Option<&str>,
    limit: u32,
) -> Result<Vec<Account>, Error> {
    let sql = format!("{SELECT} WHERE id > ?1 AND (?2 IS NULL OR email_key = ?2) ORDER BY id LIMIT ?3");
    let rows = database.execute(&sql, &[after.into(), email_key.into(), limit.into()]).await?;
    rows.into_iter().map(account).collect()
}

/// Adds an account; false if its address belongs to another one.
pub(crate) async fn add(transaction: &Transaction, account: &Account) -> Result<bool, Error> {
    const ADD: &str = "
        INSERT INTO accounts
            (id, email, email_key, email_verified, password, name, locale, marketing, role, created_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (email_key) DO NOTHING RETURNING id";
    let params = [
        account.id.as_str().into(),
        account.email.as_str().into(),
        email::key(&account.email).into(),
        i64::from(account.email_verified).into(),
        account.password.as_deref().into(),
        account.profile.name.as_str().into(),
        account.profile.locale.as_deref().into(),
        i64::from(account.profile.marketing).into(),
        role_text(account.role).into(),
        account.created_at_ms.into(),
    ];
    Ok(!transaction.execute(ADD, &params).await?.is_empty())
}

/// Changes what the owner says of themselves.
pub(crate) async fn set_profile(transaction: &Transaction, id: &str, profile: &Profile) -> Result<(), Error> {
    const SET: &str = "UPDATE accounts SET name = ?2, locale = ?3, marketing = ?4, version = version + 1 WHERE id = ?1";
    let locale = profile.locale.as_deref().into();
    let params = [id.into(), profile.name.as_str().into(), locale, i64::from(profile.marketing).into()];
    transaction.execute(SET, &params).await?;
    Ok(())
}

/// Changes the password.
pub(crate) async fn set_password(transaction: &Transaction, id: &str, hash: &str) -> Result<(), Error> {
    const SET: &str = "UPDATE accounts SET password = ?2, version = version + 1 WHERE id = ?1";
    transaction.execute(SET, &[id.into(), hash.into()]).await?;
    Ok(())
}

/// Notes that the owner reads mail to this address, if it still is the account's.
pub(crate) async fn verify_email(transaction: &Transaction, id: &str, email: &str) -> Result<(), Error> {
    const SET: &str = "
        UPDATE accounts SET email_verified = 1, version = version + 1
        WHERE id = ?1 AND email = ?2 AND email_verified = 0";
    transaction.execute(SET, &[id.into(), email.into()]).await?;
    Ok(())
}

/// Changes the role.
pub(crate) async fn set_role(transaction: &Transaction, id: &str, role: Role) -> Result<(), Error> {
    const SET: &str = "UPDATE accounts SET role = ?2, version = version + 1 WHERE id = ?1";
    transaction.execute(SET, &[id.into(), role_text(role).into()]).await?;
    Ok(())
}

/// Puts the account into a group, or into none.
pub(crate) async fn set_customer_group(
    transaction: &Transaction,
    id: &str,
    group: Option<&CustomerGroup>,
) -> Result<(), Error> {
    const SET: &str = "UPDATE accounts SET customer_group = ?2, version = version + 1 WHERE id = ?1";
    transaction.execute(SET, &[id.into(), group.map(CustomerGroup::as_str).into()]).await?;
    Ok(())
}

/// How many admins there are.
pub(crate) async fn admins(transaction: &Transaction) -> Result<i64, Error> {
    let mut rows = transaction.execute("SELECT count(*) FROM accounts WHERE role = 'admin'", &[]).await?;
    Ok(rows.pop().map_or(Ok(0), |mut row| row.take(0))?)
}

/// Removes an account with its API keys and linked logins.
pub(crate) async fn delete(transaction: &Transaction, id: &str) -> Result<(), Error> {
    for sql in [
        "DELETE FROM api_keys WHERE account = ?1",
        "DELETE FROM linked_logins WHERE account = ?1",
        "DELETE FROM accounts WHERE id = ?1",
    ] {
        transaction.execute(sql, &[id.into()]).await?;
    }
    Ok(())
}

/// A role as it is kept.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Staff => "staff",
        Role::Admin => "admin",
    }
}

/// A kept role.
pub(super) fn role(text: String) -> Result<Role, Error> {
    Ok(serde_json::from_value(text.into())?)
}

fn one(rows: Vec<Row>) -> Result<Option<Account>, Error> {
    rows.into_iter().next().map(account).transpose()
}

fn account(mut row: Row) -> Result<Account, Error> {
    let group: Option<String> = row.take(8)?;
    let group = group.map(CustomerGroup::try_from).transpose();
    Ok(Account {
        id: row.take(0)?,
        email: row.take(1)?,
        email_verified: row.take(2)?,
        password: row.take(3)?,
        profile: Profile { name: row.take(4)?, locale: row.take(5)?, marketing: row.take(6)? },
        role: role(row.take(7)?)?,
        customer_group: group.map_err(|_| sql::Error::Column { column: 8, expected: "CustomerGroup" })?,
        version: row.take(9)?,
        created_at_ms: row.take(10)?,
    })
}
