//! Products: listed and shown to everyone, changed by staff.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commerce::{Cursor, Id, Precondition, QUANTITY_MAX, Slug, not_modified, rfc3339, unix_ms};
use serde::Deserialize;
use service::answer::{self, Answer};
use service::idempotency::Attempt;
use service::request::{Pairs, Segments, parse, parse_value, read_body};
use service::tags::{changed, made_of};
use service::{Error, Violation};
use sql::Transaction;

use crate::app::App;
use crate::product::{Product, ProductInput};
use crate::search::Query;
use crate::store::products::{Keys, Loaded, document, document_of, load, load_one};
use crate::store::save::{Edited, save};
use crate::store::stock::Cause;
use crate::store::{categories, search, stock};
use crate::tags::{self, CATALOG, CATEGORIES, PRODUCTS, repeated, stock_changed};

/// Longest reason of a stock adjustment, in characters.
const REASON_CHARS_MAX: usize = 200;

type Reply = Result<Response, Error>;

/// `GET /api/products`: a page of what is searched for, with counts if asked.
pub(crate) async fn list(State(app): State<Arc<App>>, Pairs(pairs): Pairs) -> Reply {
    let query = Query::parse(&pairs)?;
    let filters = search::filters(&app.database, &query)?;
    let counts = async {
        match query.facets {
            true => Some(search::facets(&app.database, &query, &filters, app.currency).await).transpose(),
            false => Ok(None),
        }
    };
    let (page, facets) = futures::try_join!(search::page(&app.database, &query, &filters), counts)?;
    let sort = query.sort.as_str().to_owned();
    let next = page.next.map(|after| Cursor { sort, after }.encode());
    // The items are JSON already, so the page is put together as text.
    let mut body = format!(r#"{{"items":[{}],"next_cursor":{}"#, page.items.join(","), serde_json::to_string(&next)?);
    if let Some(facets) = facets {
        body.push_str(&format!(r#","facets":{}"#, serde_json::to_string(&facets)?));
    }
    body.push('}');
    Ok(made_of(answer::json(body), &[CATALOG, PRODUCTS]))
}

/// `GET /api/products/{id or slug}`: one row of one statement, sent as it is stored.
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Segments(key): Segments<String>) -> Reply {
    let found = document(&app.database, &key)?;
    if found.archived && app.access.staff(&headers).await.is_err() {
        return Err(Error::NotFound { what: "product", key });
    }
    let mut response = match not_modified(&headers, &found.etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer::json(found.document),
    };
    // An entity tag is made of quotes, digits and a hyphen.
    if let Ok(etag) = HeaderValue::from_maybe_shared(found.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    if found.archived {
        // Only staff sees it.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    Ok(made_of(response, &[CATALOG, &tags::product(found.seq)]))
}

/// `POST /api/products`
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let attempt = Attempt::new(&headers, staff.subject(), "POST /api/products", &body)?;
    let input: ProductInput = parse(&body)?;

    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(repeated(answer));
    }
    let now = rfc3339(unix_ms());
    let slug = input.slug.is_none().then(|| Slug::from_title(&input.title)).flatten();
    let id = Id::new();
    // A title without a letter or digit gives no slug; the random end of the id stands in.
    let fallback = || Slug::from_title(&format!("product-{}", &id.to_string()[24..]));
    let Some(slug) = slug.or_else(fallback) else {
        return Err(Error::Invalid(vec![Violation::new("slug", "is required for this title")]));
    };
    let mut product = Product::new(id, slug, now.clone());
    product.replace(input, app.currency, now).map_err(Error::Invalid)?;
    let cause = Cause { actor: staff.subject(), reason: "product created" };
    let edited = write(&transaction, Edited { before: None, product }, &cause).await?;
    let answer = Answer::created(&format!("/api/products/{}", edited.id), edited.document).etag(edited.etag);
    attempt.keep(&transaction, &answer).await?;
    transaction.commit().await?;
    Ok(saved(answer, edited.seq))
}

/// `PUT /api/products/{id}`: the whole content anew.
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(key): Segments<String>,
    body: Body,
) -> Reply {
    let actor = app.access.staff(&headers).await?;
    let input: ProductInput = parse(&read_body(body).await?)?;
    edit(&app, &headers, &key, actor.subject(), |_| Ok(input)).await
}

/// `PATCH /api/products/{id}`: a JSON merge patch (RFC 7396) of the content.
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(key): Segments<String>,
    body: Body,
) -> Reply {
    let actor = app.access.staff(&headers).await?;
    let patch: serde_json::Value = parse(&read_body(body).await?)?;
    let patched = |product: &Product| {
        let mut content = serde_json::to_value(product.to_input())?;
        merge(&mut content, patch);
        parse_value(content)
    };
    edit(&app, &headers, &key, actor.subject(), patched).await
}

/// `DELETE /api/products/{id}`: takes the product out of the shop and keeps it for the orders that name it.
pub(crate) async fn archive(State(app): State<Arc<App>>, headers: HeaderMap, Segments(key): Segments<String>) -> Reply {
    let actor = app.access.staff(&headers).await?;
    let archived = |product: &Product| Ok(ProductInput { archived: true, ..product.to_input() });
    edit(&app, &headers, &key, actor.subject(), archived).await
}

/// Gives a product the content that `content` makes of it, if it still has the version that the client read.
async fn edit(
    app: &App,
    headers: &HeaderMap,
    key: &str,
    actor: &str,
    content: impl FnOnce(&Product) -> Result<ProductInput, Error>,
) -> Reply {
    let precondition = Precondition::from_headers(headers)?;
    let transaction = app.database.begin().await?;
    let before = load_one(&transaction, key).await?;
    precondition.check(before.version)?;
    let mut product = before.product.clone();
    let input = content(&product)?;
    product.replace(input, app.currency, rfc3339(unix_ms())).map_err(Error::Invalid)?;
    let cause = Cause { actor, reason: "product edited" };
    let written = write(&transaction, Edited { before: Some(before), product }, &cause).await?;
    transaction.commit().await?;
    Ok(saved(Answer::ok(written.document).etag(written.etag), written.seq))
}

/// An answer after which a product is another one.
fn saved(answer: Answer, seq: i64) -> Response {
    changed(answer.into_response(), &[&tags::product(seq), PRODUCTS, CATEGORIES])
}

struct Written {
    id: Id,
    seq: i64,
    document: String,
    etag: String,
}

/// Saves one product after the checks that take the store, and reads back what is now shown.
async fn write(transaction: &Transaction, edited: Edited, cause: &Cause<'_>) -> Result<Written, Error> {
    let product = &edited.product;
    let taxonomy = categories::load(transaction).await?;
    let unknown = taxonomy.check(&product.categories);
    if !unknown.is_empty() {
        return Err(Error::Invalid(unknown));
    }
    let skus = product.variants.iter().map(|variant| variant.sku.as_str().to_owned()).collect();
    let keys = Keys { slugs: vec![product.slug.to_string()], skus, ..Keys::default() };
    for other in load(transaction, &keys).await? {
        taken_by(product, &other)?;
    }
    let id = product.id;
    save(transaction, &[edited], &taxonomy, cause).await?;
    let found = document_of(transaction, id).await?;
    Ok(Written { id, seq: found.seq, document: found.document, etag: found.etag })
}

/// Another product may have neither the slug nor a SKU of this one.
fn taken_by(product: &Product, other: &Loaded) -> Result<(), Error> {
    let other = &other.product;
    if other.id == product.id {
        return Ok(());
    }
    if other.slug == product.slug {
        return Err(Error::Taken { what: "slug", key: product.slug.to_string() });
    }
    let theirs = |sku| other.variants.iter().any(|variant| variant.sku == sku);
    match product.variants.iter().find(|variant| theirs(variant.sku.clone())) {
        Some(variant) => Err(Error::Taken { what: "SKU", key: variant.sku.as_str().to_owned() }),
        None => Ok(()),
    }
}

/// RFC 7396: objects merge, `null` removes, everything else replaces.
fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    use serde_json::Value::{Null, Object};
    let Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Object(serde_json::Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        match value {
            Null => {
                members.remove(&name);
            }
            value => merge(members.entry(name).or_insert(Null), value),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    delta: i64,
    reason: String,
}

/// `POST /api/products/{id}/variants/{sku}/stock`: a delivery, a loss, a count.
pub(crate) async fn adjust_stock(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    Segments((key, sku)): Segments<(String, String)>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let attempt = Attempt::new(&headers, staff.subject(), &format!("{method} stock of {key} {sku}"), &body)?;
    let adjustment: Adjustment = parse(&body)?;
    let mut wrong = Vec::new();
    if adjustment.delta == 0 || adjustment.delta.unsigned_abs() > u64::from(QUANTITY_MAX) {
        wrong.push(Violation::new("delta", format!("up to {QUANTITY_MAX} units more or less, and not 0")));
    }
    let reason = adjustment.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        wrong.push(Violation::new("reason", format!("1 to {REASON_CHARS_MAX} characters")));
    }
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }

    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(repeated(answer));
    }
    let product = load_one(&transaction, &key).await?;
    let cause = Cause { actor: staff.subject(), reason };
    let adjusted = stock::adjust(&transaction, product.seq, &sku, adjustment.delta, &cause).await?;
    let answer = Answer::ok(serde_json::to_string(&adjusted)?);
    attempt.keep(&transaction, &answer).await?;
    transaction.commit().await?;
    Ok(stock_changed(answer.into_response(), &BTreeSet::from([product.seq])))
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::json;

    /// The examples of RFC 7396 appendix A that tell implementations apart.
    #[test]
    fn merge_follows_the_rfc() {
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
