//! What may be stored, and what that gives: the tables of RFC 9111, 3 to 5, and RFC 9110, 13.

use std::time::Duration;

use http::uri::Authority;

use super::*;
use crate::gateway::cache::{Asked, CacheRule};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn at(seconds: u64) -> Moment {
    Moment { steady: Duration::from_secs(seconds), wall: Duration::from_secs(1_700_000_000 + seconds) }
}

fn fetched(seconds: u64) -> Fetched {
    Fetched { asked_after: 0, requested: at(seconds), received: at(seconds) }
}

fn ask(method: &str, request: &HeaderMap, rule: CacheRule) -> Ask {
    let mut parts = http::Request::builder().method(method).uri("/a").body(()).unwrap().into_parts().0;
    parts.headers = request.clone();
    let authority = Authority::from_static("shop.example");
    Ask::new(&parts, &Asked::by_anybody(&authority), rule).unwrap()
}

fn draft(rule: CacheRule, request: &[(&str, &str)], status: u16, answer: &[(&str, &str)]) -> Option<Draft> {
    let (request, answer) = (headers(request), headers(answer));
    let ask = ask("GET", &request, rule);
    Draft::new(&ask, &request, (StatusCode::from_u16(status).unwrap(), &answer), fetched(0), &Purges::new())
}

fn stored(answer: &[(&str, &str)]) -> Stored {
    draft(CacheRule::default(), &[], 200, answer).unwrap().with_body(b"body").unwrap()
}

#[test]
fn an_answer_is_stored_if_nothing_forbids_it() {
    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    let none = CacheRule::default();
    let with_ttl = CacheRule { ttl: Some(Duration::from_secs(5)), ..none };
    let with_users = CacheRule { authenticated: true, ..with_ttl };
    let with_cookies = CacheRule { set_cookie: true, ..none };
    let many: String = (0..100).map(|number| format!("tag-{number} ")).collect();
    let token = &[("authorization", "Bearer a")][..];
    for (rule, request, status, answer, is_stored) in [
        (none, &[][..], 200, &[FRESH][..], true),
        (none, &[], 200, &[], false),
        (with_ttl, &[], 200, &[], true),
        (with_ttl, &[], 404, &[], false),
        (none, &[], 404, &[FRESH], true),
        (none, &[], 301, &[FRESH], true),
        (none, &[], 500, &[FRESH], false),
        (none, &[], 201, &[FRESH], false),
        (none, &[], 206, &[FRESH], false),
        (none, &[], 200, &[FRESH, ("content-range", "bytes 0-1/2")], false),
        (none, &[], 200, &[("cache-control", "max-age=60, no-store")], false),
        (none, &[], 200, &[("cache-control", "max-age=60, private")], false),
        (with_ttl, &[], 200, &[("cache-control", "private=\"set-cookie\"")], false),
        (none, &[], 200, &[("cache-control", "max-age=60, no-cache")], false),
        (none, &[], 200, &[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")], true),
        (none, &[], 200, &[("cache-control", "max-age=0")], false),
        (none, &[], 200, &[("cache-control", "max-age=0"), ("etag", "\"a\"")], true),
        (with_ttl, &[], 200, &[("expires", "0")], false),
        (none, &[], 200, &[FRESH, ("vary", "*")], false),
        (none, &[], 200, &[FRESH, ("vary", "accept, *")], false),
        (none, &[], 200, &[FRESH, ("vary", "accept-language, Accept")], true),
        (none, &[], 200, &[FRESH, ("vary", "spin-client-addr")], false),
        (none, &[], 200, &[FRESH, ("set-cookie", "a=b")], false),
        (with_cookies, &[], 200, &[FRESH, ("set-cookie", "a=b")], true),
        (with_users, token, 200, &[FRESH], false),
        (with_users, token, 200, &[], false),
        (with_users, token, 200, &[("cache-control", "max-age=60, public")], true),
        (with_users, token, 200, &[("cache-control", "max-age=60, must-revalidate")], true),
        (with_users, token, 200, &[("cache-control", "s-maxage=60")], true),
        (none, &[], 200, &[FRESH, ("surrogate-key", &many)], false),
    ] {
        assert_eq!(draft(rule, request, status, answer).is_some(), is_stored, "{status} {answer:?} to {request:?}");
    }
}

#[test]
fn nothing_of_the_connection_is_stored_and_nothing_is_told_that_is_kept_from_clients() {
    let stored = stored(&[
        ("cache-control", "max-age=60"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("surrogate-key", "a b"),
        ("x-kept", "1"),
        ("x-kept", "2"),
    ]);
    let ask = ask("GET", &HeaderMap::new(), CacheRule::default());
    let answer = stored.answer(&ask, &HeaderMap::new(), Told::Hit, at(5));
    let mut names: Vec<&str> = answer.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["age", "cache-control", "cache-status", "content-length", "date", "x-kept"]);
    assert_eq!(answer.headers().get_all("x-kept").iter().count(), 2);
    assert_eq!((&answer.headers()["age"], &answer.headers()["content-length"]), (&5.into(), &4.into()));
    assert_eq!(answer.headers()["cache-status"], "Bodega; hit; ttl=55");
    assert_eq!(answer.into_body(), "body");
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_not_stored() {
    for (length, is_stored) in [("4", true), ("5", false), ("3", false)] {
        let answer = [("cache-control", "max-age=60"), ("content-length", length)];
        let draft = draft(CacheRule::default(), &[], 200, &answer).unwrap();
        assert_eq!(draft.with_body(b"body").is_some(), is_stored, "{length}");
    }
}

#[test]
fn who_has_it_is_told_so_and_head_gets_no_body() {
    let stored = stored(&[
        ("cache-control", "max-age=60"),
        ("content-type", "text/plain"),
        ("etag", "\"a,b\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ]);
    for (request, status) in [
        (&[][..], 200),
        (&[("if-none-match", "\"a,b\"")], 304),
        (&[("if-none-match", "\"x\", W/\"a,b\"")], 304),
        (&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"a\"")], 200),
        (&[("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 304),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200),
        (&[("if-modified-since", "yesterday")], 200),
    ] {
        for method in ["GET", "HEAD"] {
            let request = headers(request);
            let answer = stored.answer(&ask(method, &request, CacheRule::default()), &request, Told::Hit, at(1));
            assert_eq!(answer.status().as_u16(), status, "{request:?}");
            assert_eq!(answer.headers().contains_key("content-type"), status == 200);
            assert_eq!(answer.headers().get("content-length"), (status == 200).then_some(&4.into()));
            assert_eq!(answer.headers()["etag"], "\"a,b\"");
            assert_eq!(answer.body().is_empty(), status == 304 || method == "HEAD");
        }
    }
}

#[test]
fn a_304_of_the_service_makes_it_new_unless_it_is_about_another() {
    let stored = stored(&[("cache-control", "max-age=60"), ("etag", "\"a\""), ("x-old", "1"), ("content-type", "a/b")]);
    let request = HeaderMap::new();
    let ask = ask("GET", &request, CacheRule::default());
    let mut asked = HeaderMap::new();
    assert!(stored.ask_whether_it_holds(&mut asked));
    assert_eq!(asked, headers(&[("if-none-match", "\"a\"")]));
    let freshened = |said: &[(&str, &str)]| {
        let said = headers(said);
        stored.freshened(&ask, &said, Fetched { asked_after: 7, ..fetched(100) }, &Purges::new())
    };
    let new = freshened(&[("cache-control", "max-age=10"), ("x-new", "2"), ("content-type", "c/d"), ("age", "3")]);
    let new = new.unwrap();
    assert_eq!((new.reuse(&ask, at(106)), new.reuse(&ask, at(107))), (Use::Fresh, Use::Revalidate));
    let answer = new.answer(&ask, &request, Told::Hit, at(101));
    for (name, value) in [("x-old", "1"), ("x-new", "2"), ("content-type", "a/b"), ("age", "4"), ("etag", "\"a\"")] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert_eq!(answer.body(), "body");
    assert_eq!(new.asked_after, 7, "a purge between the two concerns the former one only");
    assert!(freshened(&[("etag", "W/\"a\"")]).is_some());
    for said in [
        ("etag", "\"b\""),
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("vary", "*"),
        ("vary", "accept"),
    ] {
        assert!(freshened(&[said]).is_none(), "{said:?}");
    }
}

#[test]
fn a_304_keeps_what_was_said_to_a_user_for_others_only_if_all_may_have_it() {
    let rule = CacheRule { authenticated: true, ..CacheRule::default() };
    let token = [("authorization", "Bearer a")];
    let ask = ask("GET", &headers(&token), rule);
    let own = [("cache-control", "max-age=60, public"), ("etag", "\"a\""), ("vary", "accept")];
    let stored = draft(rule, &token, 200, &own).unwrap().with_body(b"body").unwrap();
    for (said, is_kept) in [
        (&[][..], true),
        (&[("vary", "Accept")], true),
        (&[("vary", "accept, cookie")], false),
        (&[("cache-control", "max-age=60")], false),
        (&[("cache-control", "max-age=60, must-revalidate")], true),
    ] {
        let freshened = stored.freshened(&ask, &headers(said), fetched(100), &Purges::new());
        assert_eq!(freshened.is_some(), is_kept, "{said:?}");
    }
}
