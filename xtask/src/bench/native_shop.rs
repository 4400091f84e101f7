//! What the host is measured against: products served natively, by axum with SQLite in process.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path as PathSegment, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use crate::server::Server;

/// Which database, and where to listen.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The catalogue's database.
    #[arg(long)]
    database: PathBuf,
    /// The address to serve at.
    #[arg(long)]
    listen: SocketAddr,
}

thread_local! {
    /// Each thread of the runtime has a reader of its own, so that none waits for another.
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Starts this server in a process of its own, and waits until `path` is answered.
pub(crate) fn start(database: &Path, path: &str, log: &Path) -> Result<Server> {
    let program = std::env::current_exe()?;
    let command = |listen: SocketAddr| {
        let mut command = Command::new(program);
        command.arg("native-shop").arg("--database").arg(database).arg("--listen").arg(listen.to_string());
        command
    };
    Server::start(command, path, log).map(|(server, _)| server)
}

/// Serves `GET /api/products/{id}` until the process is ended.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(options.listen).await?;
        let database: Arc<Path> = options.database.as_path().into();
        let router = Router::new().route("/api/products/{id}", get(product)).with_state(database);
        let listener = axum::serve::ListenerExt::tap_io(listener, |connection| {
            // Without it, a slow answer is a matter of luck; if it cannot be set, figures are only worse.
            let _ = connection.set_nodelay(true);
        });
        axum::serve(listener, router).await.context("the server ended")
    })
}

/// A read by key takes a few microseconds, so it runs where it is asked for.
async fn product(State(database): State<Arc<Path>>, PathSegment(id): PathSegment<String>) -> Response {
    match READER.with_borrow_mut(|reader| find(reader, &database, &id)) {
        Ok(Some((document, etag))) => {
            ([(header::CONTENT_TYPE, "application/json"), (header::ETAG, &*etag)], document).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Runs the query that the catalog runs for this route, and fills in the counts of units as it does.
fn find(reader: &mut Option<Connection>, database: &Path, id: &str) -> rusqlite::Result<Option<(String, String)>> {
    const FIND: &str = "SELECT document, count_places, archived, version, (
            SELECT sum(moves) || ',' || group_concat(units)
            FROM (SELECT moves, on_hand - reserved AS units FROM variants WHERE product = seq ORDER BY position)
        ) FROM products WHERE id = ?1";
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?),
    };
    let row = |row: &Row<'_>| {
        let (document, places, stock): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let (moves, units) = stock.split_once(',').unwrap_or_default();
        let etag = format!("\"{}-{moves}\"", row.get::<_, i64>(3)?);
        Ok((row.get::<_, bool>(2)?, (fill(&document, &places, units), etag)))
    };
    let found = reader.prepare_cached(FIND)?.query_row([id], row).optional()?;
    Ok(found.filter(|(is_archived, _)| !is_archived).map(|(_, product)| product))
}

/// Puts the total and each variant's units where the document has zeros for them.
fn fill(document: &str, places: &str, units: &str) -> String {
    let total: u64 = units.split(',').filter_map(|units| units.parse::<u64>().ok()).sum();
    let total = total.to_string();
    let mut filled = String::with_capacity(document.len() + total.len() + units.len());
    let mut sent = 0;
    for (place, count) in places.split(',').zip(std::iter::once(&*total).chain(units.split(','))) {
        let place = place.parse().unwrap_or(sent);
        filled.push_str(&document[sent..place]);
        filled.push_str(count);
        sent = place + 1;
    }
    filled.push_str(&document[sent..]);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::fixture;

    #[test]
    fn finds_products_on_sale_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("native.db");
        let filled = fixture::filled(&Catalogue::generate(19, 30));
        filled.execute("UPDATE products SET archived = 1 WHERE seq = 2", []).unwrap();
        filled.execute("UPDATE variants SET on_hand = 10 + position, reserved = 3 WHERE product = 1", []).unwrap();
        filled.execute("VACUUM INTO ?1", [database.to_str().unwrap()]).unwrap();
        let mut reader = None;
        let (document, etag) = find(&mut reader, &database, "product-000001").unwrap().unwrap();
        let shown: serde_json::Value = serde_json::from_str(&document).unwrap();
        let units = shown["variants"].as_array().unwrap().iter().map(|variant| variant["available"].as_u64().unwrap());
        let units: Vec<u64> = units.collect();
        assert_eq!(units, (7..7 + units.len() as u64).collect::<Vec<_>>());
        assert_eq!(shown["available"], units.iter().sum::<u64>());
        assert_eq!(etag, "\"1-0\"");
        assert_eq!(find(&mut reader, &database, "product-000002").unwrap(), None);
        assert_eq!(find(&mut reader, &database, "product-999999").unwrap(), None);
    }
}
