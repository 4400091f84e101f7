//! Cities and postcodes: searched by everyone, loaded by staff.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::Cursor;
use serde_json::json;
use service::request::{Pairs, media_type, unknown, unusable};
use service::{Error, answer};

use crate::app::App;
use crate::import::{self, Columns, Format};
use crate::place::{CITY_ORDER, CityQuery, PostcodeQuery};
use crate::store::places;

type Reply = Result<Response, Error>;

/// `GET /api/shipping/cities?country=&q=&limit=&cursor=`: the largest first.
pub(crate) async fn cities(State(app): State<Arc<App>>, Pairs(pairs): Pairs) -> Reply {
    let query = CityQuery::parse(pairs)?;
    let (cities, last) = places::cities(&app.database, &query).await?;
    let next = last.map(|after| Cursor { sort: CITY_ORDER.to_owned(), after }.encode());
    Ok(answer::json(json!({"items": serde_json::to_value(cities)?, "next_cursor": next}).to_string()))
}

/// `GET /api/shipping/postcodes?country=&postcode=&limit=`: the places that a postcode, or its beginning, may mean.
pub(crate) async fn postcodes(State(app): State<Arc<App>>, Pairs(pairs): Pairs) -> Reply {
    let query = PostcodeQuery::parse(pairs)?;
    let places = places::by_postcode(&app.database, &query).await?;
    Ok(answer::json(json!({"items": serde_json::to_value(places)?}).to_string()))
}

/// `POST /api/shipping/places/import?columns=country,postcode,name`: a list of any length. `columns` names the
/// columns of a list whose first line does not; an empty name leaves a column out.
pub(crate) async fn import(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs, body: Body) -> Reply {
    app.access.staff(&headers).await?;
    let given = media_type(&headers);
    let format = Format::of_media_type(&given);
    let format = format.ok_or(Error::ContentType { given, expected: Format::MEDIA_TYPES })?;
    let mut columns = None;
    for (name, value) in pairs {
        match name.as_str() {
            "columns" => {
                let read = Columns::new(value.split(','));
                columns = Some(read.map_err(|reason| unusable("columns", reason))?);
            }
            _ => return Err(unknown(&name)),
        }
    }
    let report = import::run(&app.database, format, columns, body.into_data_stream()).await?;
    Ok(answer::json(serde_json::to_string(&report)?))
}
