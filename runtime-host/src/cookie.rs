//! Cookies: what a request has, and how one of ours is given.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The value of the first cookie with this name.
pub fn find<'h>(name: &str, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next()
}

/// Whether there are cookies with other names than these.
pub fn has_others(names: &[&str], headers: &HeaderMap) -> bool {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut found = pairs.filter_map(|pair| pair.trim_ascii().split(|byte| *byte == b'=').next());
    found.any(|found| !found.is_empty() && !names.iter().any(|name| name.as_bytes() == found))
}

/// One for the whole site, for as long as the browser is open. `None` is a name or value that no cookie can have.
pub fn for_session(name: &str, value: &str, is_https: bool) -> Option<HeaderValue> {
    let secure = if is_https { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_others_are_seen_beside_our_own() {
        for (lines, expected) in [
            (&[][..], false),
            (&["own=1"], false),
            (&["own=1; ours"], false),
            (&["own=1; ; "], false),
            (&["own=1; session=2"], true),
            (&["own=1", "session=2"], true),
            (&["owner=1"], true),
            (&["=1; session"], true),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            assert_eq!(has_others(&["own", "ours"], &headers), expected, "{headers:?}");
        }
    }
}
