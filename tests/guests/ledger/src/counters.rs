//! Counters in the bucket `default`, by increment and by compare-and-swap.

use serde_json::Value as Json;
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};
use spin_sdk::experimental::wasi::keyvalue::store::{self, Error};
use spin_sdk::http::StatusCode;

use crate::{Failure, LABEL};

pub(crate) fn increment() -> Result<Json, Failure> {
    Ok(atomics::increment(&store::open(LABEL)?, "increment", 1)?.into())
}

/// Repeats with the fresh value until no other request came in between.
pub(crate) fn swap() -> Result<Json, Failure> {
    let mut cas = Cas::new(&store::open(LABEL)?, "swap")?;
    loop {
        let next = number(cas.current()?) + 1;
        match atomics::swap(cas, next.to_string().as_bytes()) {
            Ok(()) => return Ok(next.into()),
            Err(CasError::CasFailed(fresh)) => cas = fresh,
            Err(CasError::StoreError(error)) => return Err(error.into()),
        }
    }
}

/// Reads by adding nothing, since the encoding of an incremented number is the store's own business.
pub(crate) fn read(name: &str) -> Result<Json, Failure> {
    let bucket = store::open(LABEL)?;
    if name == "increment" {
        return Ok(atomics::increment(&bucket, name, 0)?.into());
    }
    Ok(number(bucket.get(name)?).into())
}

fn number(value: Option<Vec<u8>>) -> i64 {
    value.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"))
    }
}
