//! Who is answered by a revision that is rolled out because they ask for it: a tester with the preview token.
//!
//! They show it as the header [`PREVIEW`], or at a `preview_host`, where testers meet the new revision of any component. A browser cannot send a header of its own, so at
//! this host a cookie of the same name will do. Who shows none is refused, so that nobody takes the old revision for the new one,
//! nor the host for another way in: this goes for all components, whoever's preview host it is. No component sees the cookie, at
//! whatever host.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq as _;

/// By which a tester asks for the new revision; its value is the preview token. No component sees it.
pub const PREVIEW: HeaderName = HeaderName::from_static("x-bodega-preview");

/// Whether the request asks for the new revision and may.
pub(super) fn may_preview(headers: &HeaderMap, token: &str) -> bool {
    headers.get(PREVIEW).is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}

/// Has a request at the preview host ask for the new revision; whether it may.
pub(super) fn admit(headers: &mut HeaderMap, token: &str) -> bool {
    if let Some(given) = take_cookie(headers) {
        headers.entry(PREVIEW).or_insert(given);
    }
    may_preview(headers, token)
}

/// Whether the request may have the cookie.
pub(super) fn has_cookie(headers: &HeaderMap) -> bool {
    let name = PREVIEW;
    let name = name.as_str().as_bytes();
    headers.get_all(COOKIE).iter().any(|line| line.as_bytes().windows(name.len()).any(|part| part == name))
}

/// Takes the cookie out of all that the request has.
pub(super) fn take_cookie(headers: &mut HeaderMap) -> Option<HeaderValue> {
    // Hardly any request has it, and the others need no copies.
    if !has_cookie(headers) {
        return None;
    }
    let name = PREVIEW;
    let name = name.as_str().as_bytes();
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    let mut taken = None;
    for line in lines {
        let mut rest = Vec::with_capacity(line.len());
        for pair in line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let value = pair.strip_prefix(name).and_then(|pair| pair.strip_prefix(b"="));
            match value {
                Some(value) => taken = taken.or_else(|| HeaderValue::from_bytes(value).ok()),
                None if pair.is_empty() => {}
                None => {
                    if !rest.is_empty() {
                        rest.extend_from_slice(b"; ");
                    }
                    rest.extend_from_slice(pair);
                }
            }
        }
        // Parts of a header are one.
        if let Ok(line) = HeaderValue::from_bytes(&rest)
            && !line.is_empty()
        {
            headers.append(COOKIE, line);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_or_the_header_admits_who_has_the_token() {
        for (lines, expected) in [
            (&[("x-bodega-preview", "s3cret")][..], true),
            (&[("cookie", "cart=1; x-bodega-preview=s3cret")], true),
            (&[("cookie", "cart=1"), ("cookie", "x-bodega-preview=s3cret")], true),
            (&[("cookie", "x-bodega-preview=other")], false),
            (&[("cookie", "my-x-bodega-preview=s3cret")], false),
            (&[("cookie", "cart=1")], false),
            (&[], false),
        ] {
            assert_eq!(admit(&mut headers(lines), "s3cret"), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_who_has_the_token_may_preview() {
        assert!(may_preview(&headers(&[("x-bodega-preview", "s3cret")]), "s3cret"));
        for given in ["", "s3cre", "s3cret2", "new"] {
            assert!(!may_preview(&headers(&[("x-bodega-preview", given)]), "s3cret"), "{given}");
        }
        assert!(!may_preview(&HeaderMap::new(), "s3cret"));
    }

    #[test]
    fn no_component_sees_the_cookie_and_all_see_the_others() {
        let mut headers = headers(&[("cookie", "a=1; x-bodega-preview=s3cret;b=2"), ("cookie", "x-bodega-preview=t")]);
        assert!(admit(&mut headers, "s3cret"));
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
