//! SQLite for guests: `spin:sqlite@3.1.0`, `spin:sqlite@3.0.0` and `fermyon:spin/sqlite@2.0.0`.
//!
//! The three share their types, which the component model compares by shape, so one implementation serves them all.

use std::sync::Arc;
use std::task::Context;

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::pages::{self, NextPage, Pages};
use crate::engine::state::{GuestState, STORES_OPEN_MAX};
use crate::stores::sql::Connection;
use crate::stores::sqlite::{self, QueryResult};
use crate::telemetry::metrics::{ComponentMetrics, StoreOperation};

/// `variant error`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-database")]
    NoSuchDatabase,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "invalid-connection")]
    InvalidConnection,
    #[component(name = "database-full")]
    DatabaseFull,
    #[component(name = "io")]
    Io(String),
}

/// `variant value`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum Value {
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "real")]
    Real(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
    #[component(name = "null")]
    Null,
}

/// `record row-result`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
struct Row {
    values: Vec<Value>,
}

/// `record query-result`.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<Row>,
}

type Handle = Resource<Arc<Connection>>;

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_open_and_execute(&mut linker.instance("fermyon:spin/sqlite@2.0.0")?)?;
    for name in ["spin:sqlite/sqlite@3.0.0", "spin:sqlite/sqlite@3.1.0"] {
        let mut instance = linker.instance(name)?;
        add_open_and_execute(&mut instance)?;
        instance.func_wrap(
            "[method]connection.last-insert-rowid",
            |store: StoreContextMut<'_, GuestState>, (handle,): (Handle,)| {
                Ok((store.data().table.get(&handle)?.last_insert_rowid(),))
            },
        )?;
        instance.func_wrap(
            "[method]connection.changes",
            |store: StoreContextMut<'_, GuestState>, (handle,): (Handle,)| {
                Ok((store.data().table.get(&handle)?.changes(),))
            },
        )?;
    }
    add_async(&mut linker.instance("spin:sqlite/sqlite@3.1.0")?)
}

fn add_open_and_execute(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.resource("connection", ResourceType::host::<Arc<Connection>>(), |mut store, rep| {
        close(store.data_mut(), rep)
    })?;
    instance
        .func_wrap("[static]connection.open", |mut store: StoreContextMut<'_, GuestState>, (label,): (String,)| {
            Ok((open(store.data_mut(), &label)?,))
        })?;
    instance.func_wrap_async(
        "[method]connection.execute",
        |store: StoreContextMut<'_, GuestState>, (handle, sql, params): (Handle, String, Vec<Value>)| {
            Box::new(async move {
                let (connection, metrics) = opened(store.data(), &handle)?;
                let timer = metrics.store_timer(StoreOperation::SqliteExecute);
                let params = params.into_iter().map(sqlite::Value::from).collect();
                let result = match connection.execute_at_standstill(&sql, params).await {
                    Ok(result) => result.collect().await,
                    Err(error) => Err(error),
                };
                timer.finish(result.is_ok());
                let result = result.map(|(columns, rows)| Rows {
                    columns: columns.to_vec(),
                    rows: rows.into_iter().map(Row::from).collect(),
                });
                Ok((result.map_err(Error::from),))
            })
        },
    )
}

fn add_async(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap_concurrent(
        "[static]connection.open-async",
        |accessor: &Accessor<GuestState>, (label,): (String,)| {
            Box::pin(async move { Ok((accessor.with(|mut access| open(access.get(), &label))?,)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]connection.execute-async",
        |accessor: &Accessor<GuestState>, (handle, sql, params): (Handle, String, Vec<Value>)| {
            Box::pin(async move {
                let (connection, metrics) = accessor.with(|mut access| opened(access.get(), &handle))?;
                let timer = metrics.store_timer(StoreOperation::SqliteExecute);
                let result = connection.execute(&sql, params.into_iter().map(sqlite::Value::from).collect()).await;
                timer.finish(result.is_ok());
                Ok((match result {
                    Ok(result) => {
                        let columns = result.columns.to_vec();
                        let (rows, outcome) = accessor.with(|access| pages::stream(access, RowPages(result)))?;
                        Ok((columns, rows, outcome))
                    }
                    Err(error) => Err(Error::from(error)),
                },))
            })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]connection.last-insert-rowid-async",
        |accessor: &Accessor<GuestState>, (handle,): (Handle,)| {
            Box::pin(
                async move { Ok((accessor.with(|mut access| opened(access.get(), &handle))?.0.last_insert_rowid(),)) },
            )
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]connection.changes-async",
        |accessor: &Accessor<GuestState>, (handle,): (Handle,)| {
            Box::pin(async move { Ok((accessor.with(|mut access| opened(access.get(), &handle))?.0.changes(),)) })
        },
    )
}

fn open(state: &mut GuestState, label: &str) -> wasmtime::Result<Result<Handle, Error>> {
    let Some(database) = state.component.databases.get(label) else {
        return Ok(Err(Error::AccessDenied));
    };
    if state.stores_open == STORES_OPEN_MAX {
        return Ok(Err(Error::Io(format!(
            "this instance holds {STORES_OPEN_MAX} stores and connections open; close some first"
        ))));
    }
    let handle = state.table.push(Arc::new(database.connect()))?;
    state.stores_open += 1;
    Ok(Ok(handle))
}

fn opened(state: &GuestState, handle: &Handle) -> wasmtime::Result<(Arc<Connection>, Arc<ComponentMetrics>)> {
    Ok((state.table.get(handle)?.clone(), state.component.metrics.clone()))
}

fn close(state: &mut GuestState, rep: u32) -> wasmtime::Result<()> {
    // Dropping the connection rolls an open transaction back.
    state.table.delete(Handle::new_own(rep))?;
    state.stores_open -= 1;
    Ok(())
}

/// The rows of a result.
struct RowPages(QueryResult);

impl Pages for RowPages {
    type Item = Row;
    type Error = Error;

    fn poll_page(&mut self, cx: &mut Context<'_>) -> NextPage<Row, Error> {
        let to_guest = |rows: Vec<sqlite::Row>| rows.into_iter().map(Row::from).collect();
        self.0.poll_batch(cx).map(|batch| batch.map(|rows| rows.map(to_guest).map_err(Error::from)))
    }

    fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Self {
        match error {
            sqlite::Error::Full => Self::DatabaseFull,
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<Value> for sqlite::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value),
            Value::Null => Self::Null,
        }
    }
}

impl From<sqlite::Value> for Value {
    fn from(value: sqlite::Value) -> Self {
        match value {
            sqlite::Value::Integer(value) => Self::Integer(value),
            sqlite::Value::Real(value) => Self::Real(value),
            sqlite::Value::Text(value) => Self::Text(value),
            sqlite::Value::Blob(value) => Self::Blob(value),
            sqlite::Value::Null => Self::Null,
        }
    }
}

impl From<sqlite::Row> for Row {
    fn from(row: sqlite::Row) -> Self {
        Self { values: row.into_iter().map(Value::from).collect() }
    }
}
