//! Headers that are taken away, renamed, set or added, on the way in or on the way out.

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::principal::Principal;

/// Headers by which some services believe who asks; what a client writes there is always taken away.
pub(super) const USER: HeaderName = HeaderName::from_static("x-user-id");
/// The roles of who asks.
pub(super) const ROLES: HeaderName = HeaderName::from_static("x-user-roles");

/// Headers by which messages are framed or addressed: who changed them would change what the message is.
const FRAMING: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What browsers are told where a component does not say it itself.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
];
/// A year of nothing but TLS, which browsers take seriously only over TLS (RFC 6797, 7.2).
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Changes of headers, made in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct HeaderEdits {
    pub(super) remove: Vec<HeaderName>,
    pub(super) rename: Vec<(HeaderName, HeaderName)>,
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
    pub(super) add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (from, to) in &self.rename {
            if let Entry::Occupied(entry) = headers.entry(from) {
                let (_, values) = entry.remove_entry_mult();
                let values: Vec<HeaderValue> = values.collect();
                headers.remove(to);
                headers.extend(values.into_iter().map(|value| (to.clone(), value)));
            }
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// Whether a configuration may name this header.
pub(super) fn check_name(name: &HeaderName) -> Result<(), String> {
    if FRAMING.contains(name) {
        return Err(format!("the header `{name}` frames or addresses the message and cannot be changed"));
    }
    match [USER, ROLES].contains(name) {
        true => Err(format!("the header `{name}` would say who asks, which nobody outside may")),
        false => Ok(()),
    }
}

/// Tells browsers what they may not do, where the answer does not say so itself.
pub(super) fn secure(headers: &mut HeaderMap, is_tls: bool) {
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(STRICT_TRANSPORT);
    }
}

/// Takes away what nobody outside may say.
pub(super) fn strip_identity(headers: &mut HeaderMap) {
    remove_however_spelt(headers, &[USER, ROLES]);
}

/// Says who asks, which only the gateway may.
pub(super) fn tell_identity(headers: &mut HeaderMap, principal: &Principal) {
    let told = [(USER, principal.subject().to_owned()), (ROLES, principal.roles().join(","))];
    for (name, text) in told {
        headers.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
    }
}

/// Takes headers away, also where they are written with `_`: programs behind CGI and the like cannot tell that from `-`.
pub(super) fn remove_however_spelt(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
    let stands_for = |found: &HeaderName| {
        found.as_str().contains('_') && names.iter().any(|name| found.as_str().replace('_', "-") == name.as_str())
    };
    let found: Vec<HeaderName> = headers.keys().filter(|name| stands_for(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Takes away what the client says is for its connection only (RFC 9110, 7.6.1). It comes first: what the gateway writes itself
/// would be taken away too.
pub(super) fn strip_for_connection(headers: &mut HeaderMap) {
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let listed = listed.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let listed: Vec<HeaderName> = listed.filter(|name| !FRAMING.contains(name)).collect();
    for name in listed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn name(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    #[test]
    fn nobody_passes_off_as_somebody_by_another_spelling() {
        let mut headers =
            headers(&[("x-user-id", "a"), ("x_user_id", "b"), ("x-user_roles", "c"), ("x_user", "d"), ("x-kept", "e")]);
        strip_identity(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-kept", "x_user"]);
    }

    #[test]
    fn what_is_for_the_connection_is_taken_away_but_not_what_frames_the_message() {
        let mut headers = headers(&[
            ("connection", "close, X-Gone, host, content-length"),
            ("x-gone", "1"),
            ("host", "shop.example"),
            ("content-length", "5"),
        ]);
        strip_for_connection(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["connection", "content-length", "host"]);
    }

    #[test]
    fn edits_are_made_in_their_order() {
        let edits = HeaderEdits {
            remove: vec![name("x-gone")],
            rename: vec![(name("x-old"), name("x-new"))],
            set: vec![(name("x-set"), HeaderValue::from_static("1"))],
            add: vec![(name("x-new"), HeaderValue::from_static("c"))],
        };
        let mut edited =
            headers(&[("x-gone", "1"), ("x-old", "a"), ("x-old", "b"), ("x-new", "former"), ("x-set", "0")]);
        edits.apply(&mut edited);
        assert_eq!(edited, headers(&[("x-new", "a"), ("x-new", "b"), ("x-new", "c"), ("x-set", "1")]));
    }

    #[test]
    fn what_a_component_says_of_security_stands() {
        let mut answer = headers(&[("x-frame-options", "SAMEORIGIN")]);
        secure(&mut answer, false);
        assert_eq!(answer["x-frame-options"], "SAMEORIGIN");
        assert_eq!(answer["x-content-type-options"], "nosniff");
        assert!(!answer.contains_key("strict-transport-security"), "not over an open connection");
        secure(&mut answer, true);
        assert!(answer.contains_key("strict-transport-security"));
    }

    #[test]
    fn framing_is_not_to_be_touched() {
        assert!(check_name(&name("content-length")).is_err());
        assert!(check_name(&name("server")).is_ok());
    }
}
