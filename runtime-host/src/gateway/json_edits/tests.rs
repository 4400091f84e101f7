//! Which values pointers mean, and that nothing else changes.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn edits(remove: &[&str], rename: &[(&str, &str)]) -> JsonEdits {
    let pointer = |text: &&str| text.parse().unwrap();
    let rename: Vec<(Pointer, String)> = rename.iter().map(|(from, to)| (pointer(from), (*to).to_owned())).collect();
    JsonEdits::new(&remove.iter().map(pointer).collect::<Vec<_>>(), &rename, usize::MAX)
}

#[test]
fn pointers_mean_members_and_elements_and_a_star_all_of_them() {
    for (remove, document, expected) in [
        ("/a", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        ("/a/b", r#"{"a":{"b":1,"c":2},"b":3}"#, r#"{"a":{"c":2},"b":3}"#),
        (
            "/items/*/cost",
            r#"{"items":[{"cost":1,"x":2},{"cost":3},4,[{"cost":5}]]}"#,
            r#"{"items":[{"x":2},{},4,[{"cost":5}]]}"#,
        ),
        ("/*/cost", r#"{"a":{"cost":1},"b":[{"cost":2}]}"#, r#"{"a":{},"b":[{"cost":2}]}"#),
        ("/*", r#"[1,2]"#, "[]"),
        ("/*", r#"{"a":1}"#, "{}"),
        ("/1", r#"["a","b","c"]"#, r#"["a","c"]"#),
        ("/01", r#"["a","b"]"#, r#"["a","b"]"#),
        ("/-", r#"["a","b"]"#, r#"["a","b"]"#),
        ("/1", r#"{"1":"a","01":"b"}"#, r#"{"01":"b"}"#),
        ("/", r#"{"":1,"a":2}"#, r#"{"a":2}"#),
        ("/a~1b", r#"{"a/b":1,"a":{"b":2}}"#, r#"{"a":{"b":2}}"#),
        ("/~01", r#"{"~1":1,"/":2}"#, r#"{"/":2}"#),
        ("/caf\u{e9}", r#"{"caf\u00e9":1,"x":2}"#, r#"{"x":2}"#),
        ("/a", r#"{"\u0061":1,"a":2,"A":3}"#, r#"{"A":3}"#),
        ("/a", r#""a""#, r#""a""#),
        ("/a", "null", "null"),
    ] {
        assert_eq!(edits(&[remove], &[]).apply(document.as_bytes()).unwrap(), expected, "{remove} of {document}");
    }
}

#[test]
fn a_new_name_is_there_once_and_what_it_holds_is_meant_by_its_old_one() {
    for (remove, rename, document, expected) in [
        (vec![], vec![("/a", "b")], r#"{"a":1,"c":2}"#, r#"{"b":1,"c":2}"#),
        (vec![], vec![("/a", "b")], r#"{"b":0,"a":1}"#, r#"{"b":1}"#),
        (vec![], vec![("/a", "b")], r#"{"b":0}"#, r#"{"b":0}"#),
        (vec![], vec![("/a", "b"), ("/b", "a")], r#"{"a":1,"b":2}"#, r#"{"b":1,"a":2}"#),
        (vec!["/a/x"], vec![("/a", "b")], r#"{"a":{"x":1,"y":2},"b":{"x":3}}"#, r#"{"b":{"y":2}}"#),
        (vec!["/b"], vec![("/a", "b")], r#"{"a":1,"b":2}"#, r#"{"b":1}"#),
        (vec![], vec![("/items/*/qty", "quan\"tity")], r#"{"items":[{"qty":1}]}"#, r#"{"items":[{"quan\"tity":1}]}"#),
        (vec!["/*/x"], vec![("/a/y", "z")], r#"{"a":{"x":1,"y":2},"b":{"x":1,"y":2}}"#, r#"{"a":{"z":2},"b":{"y":2}}"#),
    ] {
        assert_eq!(edits(&remove, &rename).apply(document.as_bytes()).unwrap(), expected, "{document}");
    }
}

#[test]
fn what_is_kept_is_kept_as_it_is_written() {
    let document = r#" { "gone":1, "n":18446744073709551615, "d":1.10, "e":1E400, "m":-0, "z":123456789012345678901234567890.5,
        "s":"\u00e9\/", "list":[ 1.0 , {"k" : 1} ], "a":{"c":0.1000,"b":2} } "#;
    assert_eq!(
        edits(&["/gone", "/a/x"], &[]).apply(document.as_bytes()).unwrap(),
        r#"{"n":18446744073709551615,"d":1.10,"e":1E400,"m":-0,"z":123456789012345678901234567890.5,"s":"\u00e9\/","list":[ 1.0 , {"k" : 1} ],"a":{"c":0.1000,"b":2}}"#
    );
}

#[test]
fn what_is_no_document_is_not_passed_on() {
    let edits = edits(&["/a"], &[]);
    for document in ["", "{", "{\"a\":1}{}", "{\"a\":1}\n{\"a\":2}", "\u{feff}{}", "{'a':1}", "[1,]", "NaN", "<html>"] {
        assert!(matches!(edits.apply(document.as_bytes()), Err(NotEdited::NoJson(_))), "{document}");
    }
    assert!(matches!(edits.apply(b"{\"a\":\"\xff\"}"), Err(NotEdited::NoText(_))));
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    assert_eq!(edits.apply(deep.as_bytes()).unwrap(), deep, "however deep it is");
}

#[test]
fn what_may_be_read_as_json_is_edited_or_refused() {
    let edits = edits(&["/a"], &[]);
    let judged = |status: u16, headers: &[(&'static str, &'static str)]| {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        edits.is_for(StatusCode::from_u16(status).unwrap(), &headers)
    };
    for media_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/problem+json",
        "text/json",
        "application/x-ndjson",
        "application/vnd.api+json;ext=x",
        "",
    ] {
        assert!(judged(200, &[("content-type", media_type)]).unwrap(), "{media_type}");
        assert!(judged(500, &[("content-type", media_type)]).unwrap(), "{media_type}");
    }
    assert!(judged(200, &[]).unwrap(), "it may be anything");
    for media_type in ["text/html", "image/png", "application/octet-stream"] {
        assert!(!judged(200, &[("content-type", media_type), ("content-encoding", "gzip")]).unwrap(), "{media_type}");
    }
    let json = ("content-type", "application/json");
    assert!(judged(200, &[json, ("content-encoding", "identity")]).unwrap());
    assert!(matches!(judged(200, &[json, ("content-encoding", "br")]), Err(NotEdited::Encoded)));
    assert!(matches!(judged(206, &[json]), Err(NotEdited::Part)));
    assert!(matches!(judged(206, &[("content-type", "multipart/byteranges")]), Err(NotEdited::Part)));
    assert!(!judged(204, &[]).unwrap() && !judged(304, &[json]).unwrap());
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c~/\"\\\\é]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-d0-1*~/]", inner), 0..5)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn pointers() -> impl Strategy<Value = Pointer> {
    let token = prop_oneof![Just(Token::Each), "[a-d0-1~/]".prop_map(Token::Of)];
    prop::collection::vec(token, 1..4).prop_map(Pointer::from)
}

/// Does to a whole value what is asked, step by step: what the edits are to come to.
fn removed(value: Value, pointers: &[&[Token]]) -> Value {
    let inside = |is_meant: &dyn Fn(&Token) -> bool| -> Vec<&[Token]> {
        pointers.iter().filter(|tokens| is_meant(&tokens[0])).map(|tokens| &tokens[1..]).collect()
    };
    let go_on = |value: Value, own: Vec<&[Token]>| -> Option<Value> {
        (!own.contains(&[].as_slice())).then(|| removed(value, &own))
    };
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter_map(|(key, value)| {
                    let own = inside(&|token| *token == Token::Each || *token == Token::Of(key.clone()));
                    Some((key, go_on(value, own)?))
                })
                .collect(),
        ),
        Value::Array(elements) => Value::Array(
            elements
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    go_on(value, inside(&|token| *token == Token::Each || *token == Token::Of(index.to_string())))
                })
                .collect(),
        ),
        other => other,
    }
}

proptest! {
    #[test]
    fn what_is_removed_is_gone_and_all_else_is_equal(
        document in documents(),
        remove in prop::collection::vec(pointers(), 1..4),
        is_pretty in any::<bool>(),
    ) {
        let text = if is_pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let edited = JsonEdits::new(&remove, &[], usize::MAX).apply(text.unwrap().as_bytes()).unwrap();
        let tokens: Vec<&[Token]> = remove.iter().map(Pointer::tokens).collect();
        prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), removed(document, &tokens), "{}", edited);
    }

    #[test]
    fn a_renamed_member_has_its_value_under_the_new_name_and_all_else_is_equal(document in documents(), key in "[a-d]") {
        let text = document.to_string();
        let rename = [(Pointer::from(vec![Token::Of(key.clone())]), "new".to_owned())];
        let edited = JsonEdits::new(&[], &rename, usize::MAX).apply(text.as_bytes()).unwrap();
        let mut expected = document;
        if let Some(members) = expected.as_object_mut()
            && let Some(value) = members.remove(&key)
        {
            members.insert("new".to_owned(), value);
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), expected);
    }

    #[test]
    fn a_pointer_reads_as_it_is_written(pointer in pointers()) {
        prop_assert_eq!(pointer.to_string().parse::<Pointer>(), Ok(pointer));
    }

    #[test]
    fn no_input_is_too_much(document in prop::collection::vec(any::<u8>(), 0..200), pointer in pointers()) {
        let _ = JsonEdits::new(&[pointer], &[], usize::MAX).apply(&document);
    }
}
