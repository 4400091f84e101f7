//! What identifies the bytes of an answer, where the gateway sends others than it has got.

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Digests of the content or of the representation (RFC 9530, and what was before).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// A tag says from now on that the content means the same, not that it is the same (RFC 9110, 8.8.1).
pub(super) fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get_mut(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
    {
        // What was a value is one with two letters more.
        if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
            *tag = weak;
        }
    }
}

/// Has a service see the tags as it has given them, of which [`weaken`] has made weak ones. A tag that was weak from the start
/// fits none of its own (RFC 9110, 13.1.1), before and after.
pub(super) fn restore_if_match(headers: &mut HeaderMap) {
    let restored = headers.get_all(IF_MATCH).into_iter().map(|line| {
        let mut is_quoted = false;
        let strong = line.as_bytes().iter().copied().filter(|byte| {
            is_quoted ^= *byte == b'"';
            is_quoted || !matches!(byte, b'W' | b'/')
        });
        HeaderValue::from_bytes(&strong.collect::<Vec<u8>>()).unwrap_or_else(|_| line.clone())
    });
    let restored: Vec<HeaderValue> = restored.collect();
    headers.remove(IF_MATCH);
    headers.extend(restored.into_iter().map(|line| (IF_MATCH, line)));
}

/// Takes away what is of other bytes.
pub(super) fn remove_digests(headers: &mut HeaderMap) {
    for name in &DIGESTS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_weak_on_its_way_out_and_strong_again_when_an_edit_asks_for_it() {
        for (given, sent) in [("\"7-1\"", "W/\"7-1\""), ("W/\"7\"", "W/\"7\"")] {
            let mut headers: HeaderMap = [(ETAG, HeaderValue::from_static(given))].into_iter().collect();
            weaken(&mut headers);
            assert_eq!(headers[ETAG], sent);
        }
        for (asked, seen) in [("W/\"7-1\"", "\"7-1\""), ("\"a,W/\", W/\"b\"", "\"a,W/\", \"b\""), ("*", "*")] {
            let mut headers: HeaderMap = [(IF_MATCH, HeaderValue::from_static(asked))].into_iter().collect();
            restore_if_match(&mut headers);
            assert_eq!(headers[IF_MATCH], seen);
        }
        let mut none = HeaderMap::new();
        restore_if_match(&mut none);
        assert!(none.is_empty());
    }
}
