//! Whether the books of all services agree, for who runs the shop.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use commerce::{Cursor, CursorError};
use identity::Role;
use serde_json::{Value, json};
use service::answer;
use service::request::{Pairs, parse_cursor, unknown, unusable};

use super::Reply;
use crate::app::App;
use crate::audit::{Page, Shop, page};

/// The order of the pages, as their cursors name it.
const SORT: &str = "audit";
/// Longest key that a service keeps something for an order by, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// `GET /api/orders/audit?cursor=&stopped=`: one page of the audit. The last one has no `next_cursor`.
pub(crate) async fn audit(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.require(&headers, Role::Admin).await?;
    let (mut after, mut shop): (Option<String>, Shop) = Default::default();
    for (name, value) in pairs {
        match (name.as_str(), value.as_str()) {
            ("cursor", text) => {
                let key: String = parse_cursor(text, SORT)?;
                after = Some(key).filter(|key| is_key(key));
                if after.is_none() {
                    return Err(unusable("cursor", CursorError));
                }
            }
            ("stopped", "true") => shop = Shop::Stopped,
            ("stopped", "false") => shop = Shop::Running,
            ("stopped", _) => return Err(unusable("stopped", "true or false")),
            _ => return Err(unknown(&name)),
        }
    }
    let page: Page = page(&app, after.as_deref(), shop).await?;
    let mut shown: Value = json!(page);
    let next = page.next.map(|after| Cursor { sort: SORT.to_owned(), after }.encode());
    shown["next_cursor"] = json!(next);
    Ok(answer::json(shown.to_string()))
}

/// Whether others may keep something by this key; an order that is not ours need not be named as ours are.
fn is_key(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
