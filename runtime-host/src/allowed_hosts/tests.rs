//! Allowed hosts against what Spin documents.

use proptest::prelude::*;

use super::*;

fn allows(entry: &str, uri: &str) -> bool {
    AllowedHosts::parse(&[entry]).unwrap().allows(&uri.parse().unwrap())
}

#[test]
fn a_scheme_is_allowed_where_any_entry_has_it() {
    let hosts = |entries: &[&str]| AllowedHosts::parse(entries).unwrap();
    assert!(hosts(&["https://example.com", "tcp://127.0.0.1:5432"]).allows_scheme("tcp"));
    assert!(hosts(&["*://example.com:1"]).allows_scheme("udp"));
    assert!(!hosts(&["https://example.com", "tcp://127.0.0.1:5432"]).allows_scheme("udp"));
    assert!(!hosts(&[]).allows_scheme("tcp"));
}

#[test]
fn entries_allow_what_spin_allows() {
    let table = [
        ("https://example.com", "https://example.com/a?b", true),
        ("https://example.com", "https://example.com:443/", true),
        ("https://example.com", "https://EXAMPLE.com/", true),
        ("https://example.com", "http://example.com/", false),
        ("https://example.com", "https://example.com:8443/", false),
        ("https://example.com", "https://a.example.com/", false),
        ("https://example.com", "https://user:pw@example.com/", true),
        ("https://example.com", "https://example.com@evil.example/", false),
        ("https://example.com/", "https://example.com/", true),
        ("http://example.com:8080/", "http://example.com:8080/", true),
        ("http://localhost:3000..4000", "http://localhost:3000/", true),
        ("http://localhost:3000..4000", "http://localhost:3999/", true),
        ("http://localhost:3000..4000", "http://localhost:4000/", false),
        ("https://*.example.com", "https://a.b.example.com/", true),
        ("https://*.example.com", "https://example.com/", false),
        ("https://*.example.com", "https://myexample.com/", false),
        ("*://*:*", "https://anything.example:1/", true),
        ("https://*", "https://anything.example/", true),
        ("https://*", "https://anything.example:8443/", false),
        ("*://example.com:443", "https://example.com/", true),
        ("*://example.com:443", "http://example.com/", false),
        ("http://192.168.1.0/24", "http://192.168.1.77/", true),
        ("http://192.168.1.0/24", "http://192.168.2.1/", false),
        ("http://192.168.1.0/24", "http://192.168.1.evil.example/", false),
        ("*://127.0.0.1/24:63551", "tcp://127.0.0.9:63551/", true),
        ("http://ff00::/8:80", "http://[ff00::1]/", true),
        ("http://ff00::/8", "http://[fe00::1]/", false),
        ("http://[::1]:8001", "http://[::1]:8001/", true),
        ("http://[::1]", "http://[::1]/", true),
        ("http://cart.spin.internal", "http://cart.spin.internal/x", true),
        ("http://cart.spin.internal", "https://cart.spin.internal/x", false),
        ("http://cart.spin.internal", "http://cart.spin.internal:80/x", true),
        ("http://cart.spin.internal", "http://cart.spin.internal:8080/x", false),
        ("http://cart.spin.internal:8080", "http://cart.spin.internal/x", false),
        ("http://cart.spin.internal", "http://Cart.spin.internal/x", true),
        ("http://*.spin.internal", "http://cart.spin.internal/x", true),
        ("http://self", "http://self/", false),
        ("http://example.com", "/relative", false),
    ];
    for (entry, uri, expected) in table {
        assert_eq!(allows(entry, uri), expected, "{entry} {uri}");
    }
    assert!(!AllowedHosts::default().allows(&Uri::from_static("http://example.com/")));
    let redis = AllowedHosts::parse(&["redis://cache.example"]).unwrap();
    assert!(redis.allows_address("redis", "cache.example", None));
    assert!(!redis.allows_address("redis", "cache.example", Some(6380)));
}

#[test]
fn own_routes_are_granted_as_such() {
    let hosts = |entry: &str| AllowedHosts::parse(&[entry]).unwrap();
    for (entry, expected) in [
        ("http://self", true),
        ("https://self.alt", true),
        ("*://*:*", true),
        ("redis://*", false),
        ("http://self.example", false),
        ("http://*.spin.internal", false),
    ] {
        assert_eq!(hosts(entry).allows_self(), expected, "{entry}");
    }
    assert_eq!(service_chaining_target("cart.spin.internal"), Some("cart"));
    assert_eq!(service_chaining_target("a.cart.spin.internal"), None);
    assert_eq!(service_chaining_target(".spin.internal"), None);
    assert_eq!(service_chaining_target("cart.spin.internal.example"), None);
}

#[test]
fn names_below_the_domain_of_components_are_told_from_others() {
    for host in ["spin.internal", ".spin.internal", "a.cart.spin.internal", "Cart.SPIN.Internal."] {
        assert!(is_service_chaining_host(host), "{host}");
    }
    for host in ["cartspin.internal", "internal", "cart.spin.internal.example", "self.alt", "é.pin.internal"] {
        assert!(!is_service_chaining_host(host), "{host}");
    }
}

#[test]
fn other_texts_are_refused() {
    use InvalidHost as I;
    for (entry, expected) in [
        ("", I::NoScheme),
        ("*", I::NoScheme),
        ("example.com", I::NoScheme),
        ("localhost:3000", I::NoScheme),
        ("insecure:allow-all", I::NoScheme),
        ("://example.com", I::Scheme),
        ("{http,https}://example.com", I::Scheme),
        ("h2://example.com", I::Scheme),
        ("http://", I::Host),
        ("http://a b", I::Host),
        ("http://é.example", I::Host),
        ("http://a..b", I::Host),
        ("http://user@example.com", I::Host),
        ("http://10.0.0.0/33", I::Host),
        ("http://*.10.0.0.1", I::Host),
        ("http://*.*", I::Wildcard),
        ("http://a.*.example", I::Wildcard),
        ("http://*example.com", I::Wildcard),
        ("http://example.com/a", I::Path),
        ("http://*.example.com/a", I::Path),
        ("http://example.com/a:80", I::Path),
        ("http://example.com:80/a", I::Port),
        ("http://example.com:http", I::Port),
        ("http://example.com:", I::Port),
        ("http://example.com:+80", I::Port),
        ("http://example.com:65536", I::Port),
        ("http://example.com:9..9", I::Port),
        ("http://example.com:9..", I::Port),
        ("tcp://example.com", I::NoPort),
        ("*://127.0.0.0/24", I::NoPort),
    ] {
        assert_eq!(AllowedHost::parse(entry), Err(expected), "{entry}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(entry in "([a-z*]{0,3}://)?[\\[\\]a-z0-9.:*/é-]{0,12}|\\PC*", host in "\\PC*", port: Option<u16>) {
        if let Ok(hosts) = AllowedHosts::parse(&[&entry]) {
            hosts.allows_address("http", &host, port);
            service_chaining_target(&host);
            is_service_chaining_host(&host);
        }
    }

    #[test]
    fn a_named_host_allows_itself_and_nothing_else(
        name in "[a-z][a-z0-9-]{0,5}(\\.[a-z]{1,4}){1,2}",
        other in "[a-z][a-z0-9-]{0,5}(\\.[a-z]{1,4}){1,2}",
        port: u16,
    ) {
        prop_assume!(name != "self.alt");
        let hosts = AllowedHosts::parse(&[format!("http://{name}:{port}")]).unwrap();
        prop_assert!(hosts.allows_address("http", &name, Some(port)));
        prop_assert_eq!(hosts.allows_address("http", &other, Some(port)), other == name);
        prop_assert!(!hosts.allows_address("http", &name, Some(port ^ 1)));
        let below = AllowedHosts::parse(&[format!("http://*.{name}:{port}")]).unwrap();
        let sub = format!("x.{name}");
        prop_assert!(below.allows_address("http", &sub, Some(port)));
        prop_assert!(!below.allows_address("http", &name, Some(port)));
    }
}
