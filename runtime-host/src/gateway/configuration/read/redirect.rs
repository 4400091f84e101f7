//! `redirect`: where requests are sent instead of being answered.

use http::{HeaderValue, StatusCode};

use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::policies::Redirect;

const REDIRECTS: [StatusCode; 4] =
    [StatusCode::FOUND, StatusCode::SEE_OTHER, StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];

pub(super) fn redirect(mut table: Table<'_>) -> Result<Redirect, ConfigError> {
    let to: Value = table.required("to", "a URL or path, such as \"https://shop.example{uri}\"")?;
    let to = to.parse(|text| {
        // Whatever is asked for must not be able to choose the host.
        let is_path = |path: &str| path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
        let host_of = |path: &str| Some(url::Url::parse(&text.replace(Redirect::URI, path)).ok()?.origin());
        let is_web = text.starts_with("http://") || text.starts_with("https://");
        let is_place = match is_web {
            true => host_of("/a").is_some_and(|host| host_of("/b/c").as_ref() == Some(&host) && host.is_tuple()),
            false => is_path(&text.replace(Redirect::URI, "/a")),
        };
        match is_place && HeaderValue::from_str(text).is_ok() {
            true => Ok(text.to_owned()),
            false => Err(format!("{text:?} is neither a path nor a URL of http or https")),
        }
    })?;
    let status: Option<Located<u64>> = table.optional("status")?;
    let status = match status.map(|status| (status.value, status.position)) {
        None => StatusCode::PERMANENT_REDIRECT,
        Some((status, position)) => {
            let known = REDIRECTS.into_iter().find(|known| u64::from(known.as_u16()) == status);
            known.ok_or_else(|| table.error_at(position, "`status` is no redirect; expected 302, 303, 307 or 308"))?
        }
    };
    table.finish()?;
    Ok(Redirect { to: to.value, status })
}
