//! Whether the books of all services agree, for who runs the shop.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use commerce::{Cursor, CursorError};
use identity::Role;
use serde_json::{Value, json};
use service::request::Pairs;
use service::{Error, answer};

use super::Reply;
use crate::app::App;
use crate::audit::{Page, page};

/// The order of the pages, as their cursors name it.
const SORT: &str = "audit";
/// Longest key that a service keeps something for an order by, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// `GET /api/orders/audit?cursor=`: one page of the audit. The last one has no `next_cursor`.
pub(crate) async fn audit(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.require(&headers, Role::Admin).await?;
    let mut after: Option<String> = None;
    for (name, value) in pairs {
        let refuse = |reason: String| Error::Query { name: name.clone(), reason };
        match name.as_str() {
            "cursor" => {
                let cursor: Cursor<String> = Cursor::decode(&value, SORT).map_err(|error| refuse(error.to_string()))?;
                if !is_key(&cursor.after) {
                    return Err(refuse(CursorError.to_string()));
                }
                after = Some(cursor.after);
            }
            _ => return Err(refuse("there is no such parameter".to_owned())),
        }
    }
    let page: Page = page(&app, after.as_deref()).await?;
    let mut shown: Value = json!(page);
    let next = page.next.map(|after| Cursor { sort: SORT.to_owned(), after }.encode());
    shown["next_cursor"] = json!(next);
    Ok(answer::json(shown.to_string()))
}

/// Whether others may keep something by this key; an order that is not ours need not be named as ours are.
fn is_key(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
