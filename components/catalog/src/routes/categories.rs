//! The category tree.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use commerce::{Precondition, Slug};
use serde_json::json;
use service::answer::{self, Answer};
use service::idempotency::Attempt;
use service::request::{Segments, parse, read_body};
use service::tags::{changed, made_of};
use service::{Error, Violation};

use crate::app::App;
use crate::category::{CATEGORIES_MAX, Category, CategoryInput, Taxonomy};
use crate::store::categories;
use crate::tags::{CATALOG, CATEGORIES, PRODUCTS, repeated};

type Reply = Result<Response, Error>;

/// `GET /api/categories`: the tree, each category with the number of its products.
pub(crate) async fn tree(State(app): State<Arc<App>>) -> Reply {
    let taxonomy = categories::all(&app.database).await?;
    let tree = answer::json(serde_json::to_string(&json!({ "categories": taxonomy.tree() }))?);
    Ok(made_of(tree, &[CATALOG, CATEGORIES]))
}

/// `GET /api/categories/{slug}`: one category, with the entity tag that a change needs.
pub(crate) async fn show(State(app): State<Arc<App>>, Segments(slug): Segments<String>) -> Reply {
    let taxonomy = categories::all(&app.database).await?;
    let category = described(&taxonomy, &slug, |_, body| Answer::ok(body))?;
    Ok(made_of(category.into_response(), &[CATALOG, CATEGORIES]))
}

/// `POST /api/categories`
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let attempt = Attempt::new(&headers, staff.subject(), "POST /api/categories", &body)?;
    let input: CategoryInput = parse(&body)?;

    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(repeated(answer));
    }
    let mut taxonomy = categories::load(&transaction).await?;
    let slug = match &input.slug {
        Some(slug) => Slug::try_from(slug.clone()).map_err(|error| Violation::new("slug", error)),
        None => Slug::from_title(&input.name).ok_or_else(|| Violation::new("slug", "is required for this name")),
    };
    let slug = slug.map_err(|violation| Error::Invalid(vec![violation]))?.to_string();
    if taxonomy.get(&slug).is_some() {
        return Err(Error::Taken { what: "slug", key: slug });
    }
    let category = placed(&taxonomy, slug.clone(), input)?;
    if taxonomy.len() >= CATEGORIES_MAX {
        return Err(Error::Invalid(vec![Violation::new("", format!("at most {CATEGORIES_MAX} categories"))]));
    }
    categories::add(&transaction, std::slice::from_ref(&category)).await?;
    taxonomy.insert(category);
    let answer = described(&taxonomy, &slug, |slug, body| Answer::created(&format!("/api/categories/{slug}"), body))?;
    attempt.keep(&transaction, &answer).await?;
    transaction.commit().await?;
    Ok(changed(answer.into_response(), &[CATEGORIES]))
}

/// `PUT /api/categories/{slug}`: another name, place or position; the slug stays.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(slug): Segments<String>,
    body: Body,
) -> Reply {
    app.access.staff(&headers).await?;
    let input: CategoryInput = parse(&read_body(body).await?)?;
    let precondition = Precondition::from_headers(&headers)?;
    if input.slug.as_ref().is_some_and(|given| *given != slug) {
        return Err(Error::Invalid(vec![Violation::new("slug", "the slug of a category never changes")]));
    }
    let transaction = app.database.begin().await?;
    let taxonomy = categories::load(&transaction).await?;
    let not_found = || Error::NotFound { what: "category", key: slug.clone() };
    let before = taxonomy.get(&slug).ok_or_else(not_found)?;
    precondition.check(before.version)?;
    let category = placed(&taxonomy, slug.clone(), input)?;
    let moved = category.parent != before.parent;
    categories::update(&transaction, &category, moved).await?;
    let taxonomy = categories::load(&transaction).await?;
    transaction.commit().await?;
    let category = described(&taxonomy, &slug, |_, body| Answer::ok(body))?;
    // Lists go by the ancestors of a category too.
    Ok(changed(category.into_response(), &[CATEGORIES, PRODUCTS]))
}

fn placed(taxonomy: &Taxonomy, slug: String, input: CategoryInput) -> Result<Category, Error> {
    let (name, parent) = (input.name.trim().to_owned(), input.parent.unwrap_or_default());
    let wrong = taxonomy.check_place(&slug, &name, &parent);
    match wrong.is_empty() {
        true => Ok(Category { slug, name, parent, position: input.position, version: 1, products: 0 }),
        false => Err(Error::Invalid(wrong)),
    }
}

fn described(taxonomy: &Taxonomy, slug: &str, answer: impl FnOnce(&str, String) -> Answer) -> Result<Answer, Error> {
    let not_found = || Error::NotFound { what: "category", key: slug.to_owned() };
    let category = taxonomy.get(slug).ok_or_else(not_found)?;
    let parent = (!category.parent.is_empty()).then_some(&category.parent);
    let body = json!({
        "slug": category.slug,
        "name": category.name,
        "parent": parent,
        "position": category.position,
        "products": category.products,
    });
    Ok(answer(slug, body.to_string()).etag(format!("\"{}-0\"", category.version)))
}
