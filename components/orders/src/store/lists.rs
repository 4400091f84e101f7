//! Lists of orders, the newest first.

use commerce::{Id, rfc3339};
use serde_json::{Value, json};
use service::Error;
use service::column::{id, money, name};
use sql::{Database, Row};

use crate::query::Query;

/// An order in a list.
pub(crate) struct Listed {
    pub(crate) id: Id,
    /// As it is shown.
    pub(crate) shown: Value,
}

/// The orders that a query asks for, one more than a page has if there are more.
pub(crate) async fn page(database: &Database, query: &Query) -> Result<Vec<Listed>, Error> {
    let mut conditions = vec!["true".to_owned()];
    let mut params = Vec::new();
    let mut require = |condition: &str, value: sql::Value| {
        params.push(value);
        conditions.push(format!("{condition} ?{}", params.len()));
    };
    if let Some(before) = query.before {
        require("id <", id(before));
    }
    if let Some(customer) = &query.customer {
        require("customer =", customer.as_str().into());
    }
    if let Some(email) = &query.email {
        require("email =", email.as_str().into());
    }
    if let Some(state) = query.state {
        require("state =", state.as_str().into());
    }
    if let Some(from_ms) = query.from_ms {
        require("created_at_ms >=", from_ms.into());
    }
    if let Some(until_ms) = query.until_ms {
        require("created_at_ms <", until_ms.into());
    }
    let sql = format!(
        "SELECT id, number, state, customer, email, currency, total, refunded, created_at_ms, updated_at_ms,
            json_array_length(content, '$.lines'), content ->> '$.lines[0].title'
        FROM orders WHERE {} ORDER BY id DESC LIMIT {}",
        conditions.join(" AND "),
        query.limit.get() + 1
    );
    database.execute(&sql, &params).await?.into_iter().map(listed).collect()
}

fn listed(mut row: Row) -> Result<Listed, Error> {
    let id = name(&mut row, 0)?;
    let currency: String = row.take(5)?;
    let shown = json!({
        "id": id,
        "number": row.take::<String>(1)?,
        "state": row.take::<String>(2)?,
        "customer": row.take::<Option<String>>(3)?,
        "email": row.take::<Option<String>>(4)?,
        "total": money(row.take(6)?, &currency)?,
        "refunded": money(row.take(7)?, &currency)?,
        "line_count": row.take::<u32>(10)?,
        "first_title": row.take::<Option<String>>(11)?,
        "created_at": rfc3339(row.take(8)?),
        "updated_at": rfc3339(row.take(9)?),
    });
    Ok(Listed { id, shown })
}
