//! The router against Spin's documented precedence and against a naive model.

use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Uri};
use proptest::prelude::*;

use super::*;

fn router(routes: &[&'static str]) -> Router<&'static str> {
    Router::build(routes.iter().map(|route| (route.parse().unwrap(), *route))).unwrap()
}

fn facts<'a>(host: &'a str, uri: &'a Uri) -> RequestFacts<'a> {
    static CLIENT: HeaderValue = HeaderValue::from_static("127.0.0.1:53152");
    RequestFacts { scheme: &Scheme::HTTPS, host, uri, client: &CLIENT }
}

fn target(routes: &[&'static str], path: &str) -> Option<&'static str> {
    router(routes).route(path).map(|found| *found.target)
}

#[test]
fn the_most_exact_route_wins_whatever_the_order() {
    let mut routes = ["/", "/...", "/users/...", "/users/admin", "/users/:id", "/users/:id/edit", "/users/admin/..."];
    let table = [
        ("/", "/"),
        ("//", "/"),
        ("/favicon.ico", "/..."),
        ("/users", "/users/..."),
        ("/users/", "/users/..."),
        ("/users/admin", "/users/admin"),
        ("/users/admin/", "/users/admin"),
        ("/users/admin/x", "/users/admin/..."),
        ("/users/1", "/users/:id"),
        ("/users/1/", "/users/:id"),
        ("/users/1/edit", "/users/:id/edit"),
        ("/users/1/edit/more", "/users/..."),
        // A literal is tried before a parameter, even though its subtree only has a wildcard.
        ("/users/admin/edit", "/users/admin/..."),
        ("/usersadmin", "/..."),
        ("/Users/admin", "/..."),
        ("/users/%61dmin", "/users/:id"),
        ("/users//edit", "/users/:id/edit"),
    ];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        for (path, expected) in table {
            assert_eq!(target(&routes, path), Some(expected), "{path} among {routes:?}");
        }
    }
}

#[test]
fn a_literal_that_leads_nowhere_gives_way_to_a_parameter() {
    let routes = ["/a/b/c", "/a/:x/d"];
    assert_eq!(target(&routes, "/a/b/d"), Some("/a/:x/d"));
    assert_eq!(target(&routes, "/a/b/e"), None);
}

#[test]
fn paths_without_a_route_match_nothing() {
    for path in ["/", "/b", "/a/b", "/aa", "*", "", "a"] {
        assert_eq!(target(&["/a"], path), None, "{path}");
    }
    assert_eq!(target(&["/:x"], "/"), None);
}

#[test]
fn a_wildcard_captures_the_rest_with_its_slashes() {
    let table = [
        ("/...", "/", "/"),
        ("/...", "/1/2/3", "/1/2/3"),
        ("/...", "//1", "/1"),
        ("/test/...", "/test", ""),
        ("/test/...", "/test/", "/"),
        ("/test/...", "/test/hello", "/hello"),
        ("/test/...", "/test/hello/", "/hello/"),
        ("/test/...", "/test//hello", "//hello"),
        ("/1/:two/...", "/1/2/3", "/3"),
        ("/1/:two/...", "/1/2", ""),
        ("/1/:two", "/1/2/", ""),
    ];
    for (route, path, expected) in table {
        assert_eq!(router(&[route]).route(path).unwrap().path_info(), expected, "{route} {path}");
    }
}

#[test]
fn routes_may_be_written_in_all_of_spins_ways() {
    // The route, a path, what the wildcard stands for, and the headers for the component: matched, component's, raw.
    let table = [
        ("a/*", "/a/b/c", "/b/c", ["/a/*", "a/*", "a/*"]),
        ("/a/*", "/a", "", ["/a/*", "/a/*", "/a/*"]),
        ("a/...", "/a/b", "/b", ["/a/...", "a", "a/..."]),
        ("*", "/a", "/a", ["/*", "*", "*"]),
        ("...", "/", "/", ["/...", "...", "..."]),
        ("a/:x", "/a/b", "", ["/a/:x", "a/:x", "a/:x"]),
        ("", "/", "", ["", "", ""]),
    ];
    for (route, path, path_info, expected) in table {
        let router = router(&[route]);
        let found = router.route(path).unwrap_or_else(|| panic!("{route:?} does not match {path}"));
        assert_eq!(found.path_info(), path_info, "{route:?} {path}");
        let mut headers = HeaderMap::new();
        let uri = path.parse().unwrap();
        found.set_headers(&facts("shop", &uri), &mut headers);
        let told =
            ["spin-matched-route", "spin-component-route", "spin-raw-component-route"].map(|name| &headers[name]);
        assert_eq!(told, expected, "{route:?}");
    }
}

#[test]
fn parameters_are_captured_as_they_came() {
    let router = router(&["/shops/:shop_id/carts/:Cart/..."]);
    let found = router.route("/shops/a%20b/carts/7/items").unwrap();
    let params: Vec<_> = found.params().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(params, [("spin-path-match-shop-id", "a%20b"), ("spin-path-match-cart", "7")]);
}

#[test]
fn components_are_told_what_spin_documents() {
    let router = router(&["/users/:userid/cart/..."]);
    let uri = Uri::from_static("/users/1/cart/items/3/edit?theme=pink");
    let facts = facts("example.com:8080", &uri);
    let mut headers = HeaderMap::new();
    for forged in ["spin-path-match-admin", "spin-client-addr", "spin-path-match-userid"] {
        headers.append(forged, "forged".parse().unwrap());
        headers.append(forged, "twice".parse().unwrap());
    }
    // Names that Spin gives no meaning are the client's own.
    headers.insert("spin-my-own", "kept".parse().unwrap());
    router.route(uri.path()).unwrap().set_headers(&facts, &mut headers);
    let mut seen: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            ("spin-base-path", "/"),
            ("spin-client-addr", "127.0.0.1:53152"),
            ("spin-component-route", "/users/:userid/cart"),
            ("spin-full-url", "https://example.com:8080/users/1/cart/items/3/edit?theme=pink"),
            ("spin-matched-route", "/users/:userid/cart/..."),
            ("spin-my-own", "kept"),
            ("spin-path-info", "/items/3/edit"),
            ("spin-path-match-userid", "1"),
            ("spin-raw-component-route", "/users/:userid/cart/..."),
        ]
    );

    let mut headers = HeaderMap::new();
    Match::chained(&"cart", "/users/1").set_headers(&facts, &mut headers);
    assert_eq!(headers["spin-path-info"], "/users/1");
    assert_eq!(headers["spin-matched-route"], "/...");
    assert_eq!(headers["spin-component-route"], "");
}

#[test]
fn routes_that_match_the_same_paths_are_refused() {
    for (first, second) in [
        ("/a", "/a"),
        ("/a", "/a/"),
        ("/a", "a"),
        ("/a/:x/b", "/a/:y/b"),
        ("/a/...", "/a/..."),
        ("/a/...", "/a/*"),
        ("/", "/"),
        ("/", ""),
    ] {
        let routes = ["/other", first, second].map(|route| (route.parse().unwrap(), ()));
        let error = Router::build(routes).unwrap_err();
        assert_eq!((error.first_index, error.second_index), (1, 2));
        assert_eq!(error.to_string(), format!("the route {second:?} matches the same paths as {first:?}"));
    }
}

#[test]
fn texts_that_are_no_route_are_refused() {
    let table = [
        ("/a b", "contains ' ', which no path can hold; write it percent-encoded"),
        ("/é", "contains 'é', which no path can hold; write it percent-encoded"),
        ("/a?b=c", "contains '?', which no path can hold; write it percent-encoded"),
        ("/a//b", "has two slashes in a row"),
        ("/a//", "has two slashes in a row"),
        ("//", "has two slashes in a row"),
        ("/.../a", "has `...` before its end"),
        ("/*/a", "contains `*` other than in a trailing `/*`"),
        ("/a/*b", "contains `*` other than in a trailing `/*`"),
        ("/a.*", "contains `*` other than in a trailing `/*`"),
        ("/a.:b", "has a parameter that is only a part of the segment `a.:b`"),
        ("/:", "has a parameter without a name"),
        ("/:a.json", "has a parameter `a.json` with '.' in its name"),
        ("/:a/:a", "has two parameters named `a`"),
        ("/:a_b/:A-b", "has two parameters named `A-b`"),
        ("/livez", "is one that the host answers itself"),
        ("/.well-known/spin/...", "is one that the host answers itself"),
        ("livez", "is one that the host answers itself"),
        (".well-known/spin/*", "is one that the host answers itself"),
    ];
    for (route, problem) in table {
        let error = route.parse::<RoutePattern>().unwrap_err();
        assert_eq!(error.to_string(), format!("the route {route:?} {problem}"));
    }
    for route in ["/livez/a", "/.well-known/spindle/...", "/.well-known/...", "/a...", "/favicon.ico", "/a*"] {
        assert_eq!(route.parse::<RoutePattern>().unwrap().to_string(), route);
    }
}

/// What the documentation says, written down without regard to speed: the matching route whose segments are,
/// compared one by one, the most exact.
pub(super) fn naive(routes: &[RoutePattern], path: &str) -> Option<usize> {
    let segments: Vec<&str> = inner(path).map(|path| path.split('/').collect()).unwrap_or_default();
    let matches = |pattern: &RoutePattern| {
        let length_fits = match pattern.has_wildcard() {
            true => segments.len() >= pattern.segments().len(),
            false => segments.len() == pattern.segments().len(),
        };
        length_fits
            && pattern.segments().iter().zip(&segments).all(|(segment, text)| match segment {
                Segment::Literal(literal) => **literal == **text,
                Segment::Param(_) => true,
            })
    };
    let rank = |pattern: &RoutePattern| -> Vec<u8> {
        let end = if pattern.has_wildcard() { 0 } else { 1 };
        let ranks = pattern.segments().iter().map(|segment| if matches!(segment, Segment::Literal(_)) { 3 } else { 2 });
        ranks.chain([end]).collect()
    };
    (0..routes.len()).filter(|&index| matches(&routes[index])).max_by_key(|&index| rank(&routes[index]))
}

/// What is left of the path behind the pattern's own segments.
pub(super) fn naive_path_info(pattern: &RoutePattern, path: &str) -> String {
    let trimmed = path.trim_matches('/');
    let rest: Vec<&str> = trimmed.split('/').skip(pattern.segments().len()).filter(|_| !trimmed.is_empty()).collect();
    let before = if rest.is_empty() { "" } else { "/" };
    let after = if path.ends_with('/') { "/" } else { "" };
    if pattern.has_wildcard() { format!("{before}{}{after}", rest.join("/")) } else { String::new() }
}

proptest! {
    #[test]
    fn routes_as_the_naive_model_does(
        routes in prop::collection::vec("(/(a|b|:x)){0,1}(/(a|b|:y)){0,1}(/(a|b|:z)){0,1}(/|/\\.\\.\\.|/\\*)", 0..12),
        paths in prop::collection::vec("(/|//)(a|b|c)?(/(a|b|c)?){0,4}", 1..20),
    ) {
        let mut patterns: Vec<RoutePattern> = Vec::new();
        for route in routes {
            let pattern: RoutePattern = route.parse().unwrap();
            let candidate = patterns.iter().chain([&pattern]).cloned();
            if Router::build(candidate.map(|pattern| (pattern, ()))).is_ok() {
                patterns.push(pattern);
            }
        }
        let router = Router::build(patterns.iter().cloned().enumerate().map(|(index, pattern)| (pattern, index))).unwrap();
        for path in paths {
            let found = router.route(&path);
            prop_assert_eq!(found.map(|found| *found.target), naive(&patterns, &path), "{} among {:?}", path, patterns);
            if let Some(found) = found {
                prop_assert_eq!(found.path_info(), naive_path_info(found.pattern(), &path));
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_or_the_matcher_panic(route in "\\PC*", path in "\\PC*") {
        if let Ok(pattern) = route.parse::<RoutePattern>() {
            let router = Router::build([(pattern, ())]).unwrap();
            for path in [&path, &route] {
                if let Some(found) = router.route(path) {
                    found.path_info();
                    found.params().count();
                }
            }
        }
    }
}

#[test]
fn patterns_cover_and_meet_each_other_as_their_paths_do() {
    let patterns = ["/", "/...", "/a", "/a/...", "/a/b", "/a/:x", "/:x", "/:x/b", "/:x/...", "/a/b/...", "/a/:x/c"];
    let patterns: Vec<RoutePattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
    let paths = ["/", "/a", "/b", "/a/b", "/a/c", "/b/b", "/b/c", "/a/b/c", "/a/c/c", "/a/c/d", "/b/b/c", "/a/b/c/d"];
    for first in &patterns {
        for second in &patterns {
            let both = |path: &&&str| first.matches(path) && second.matches(path);
            let only_second = |path: &&&str| second.matches(path) && !first.matches(path);
            assert_eq!(first.meets(second), paths.iter().find(both).is_some(), "{first} meets {second}");
            assert_eq!(first.covers(second), paths.iter().find(only_second).is_none(), "{first} covers {second}");
        }
    }
}
