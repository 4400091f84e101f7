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

/// Runs the query that the catalog runs for this route.
fn find(reader: &mut Option<Connection>, database: &Path, id: &str) -> rusqlite::Result<Option<(String, String)>> {
    const FIND: &str =
        r#"SELECT document, '"' || version || '-' || stock_version || '"', archived FROM products WHERE id = ?1"#;
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?),
    };
    let row = |row: &Row<'_>| Ok((row.get::<_, bool>(2)?, (row.get(0)?, row.get(1)?)));
    let found = reader.prepare_cached(FIND)?.query_row([id], row).optional()?;
    Ok(found.filter(|(is_archived, _)| !is_archived).map(|(_, product)| product))
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
        filled.execute("VACUUM INTO ?1", [database.to_str().unwrap()]).unwrap();
        let mut reader = None;
        let (document, etag) = find(&mut reader, &database, "product-000001").unwrap().unwrap();
        assert!(document.starts_with("{\"available\":"), "{document}");
        assert_eq!(etag, "\"1-0\"");
        assert_eq!(find(&mut reader, &database, "product-000002").unwrap(), None);
        assert_eq!(find(&mut reader, &database, "product-999999").unwrap(), None);
    }
}
