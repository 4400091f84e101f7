//! Cookies: what a request has, and how one of ours is given.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The value of the first cookie with this name.
pub fn find<'h>(name: &str, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next()
}

/// One for the whole site, for as long as the browser is open. `None` is a name or value that no cookie can have.
pub fn for_session(name: &str, value: &str, is_https: bool) -> Option<HeaderValue> {
    let secure = if is_https { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
}
