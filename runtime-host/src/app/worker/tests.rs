//! What the worker makes of requests before a guest sees them, and of failures before a client does.

use http::{HeaderMap, HeaderValue, StatusCode};

use super::*;

fn failures() -> [DispatchError; 7] {
    let (component, reason) = ("cart".to_owned(), "the reason".to_owned());
    [
        DispatchError::QueueFull { component: component.clone() },
        DispatchError::DeadlineExceeded { component: component.clone(), deadline_ms: 30 },
        DispatchError::BodyTooLarge { component: component.clone() },
        DispatchError::Trapped { component: component.clone(), reason: reason.clone() },
        DispatchError::ErrorCode { component: component.clone(), reason: reason.clone() },
        DispatchError::Instantiate { component: component.clone(), reason },
        DispatchError::CutOff { component },
    ]
}

#[test]
fn nobody_outside_asks_a_component_by_its_name() {
    let host = |uri: &str| {
        let parts = Request::get(uri).body(()).unwrap().into_parts().0;
        authority(&parts).map(|authority| authority.to_string())
    };
    assert_eq!(host("http://shop.example:8080/a").as_deref(), Some("shop.example:8080"));
    for uri in ["/a", "http://cart.spin.internal/a", "http://Cart.Spin.Internal.:80/a"] {
        assert_eq!(host(uri), None, "{uri}");
    }
}

#[test]
fn guests_see_absolute_uris() {
    let made = |uri: &str, scheme: Scheme| {
        absolute(&uri.parse().unwrap(), scheme, Authority::from_static("shop.example:8080")).to_string()
    };
    assert_eq!(made("/a/b?c=%20d", Scheme::HTTP), "http://shop.example:8080/a/b?c=%20d");
    assert_eq!(made("https://other.example/a", Scheme::HTTP), "http://shop.example:8080/a");
    assert_eq!(made("other.example:443", Scheme::HTTPS), "https://shop.example:8080/");
}

#[test]
fn clients_get_the_status_of_each_failure() {
    let statuses = failures().map(|error| problem(&error).status().as_u16());
    assert_eq!(statuses, [503, 504, 413, 500, 500, 500, 503]);
    let rejected = failures().map(|error| rejection(&error));
    assert_eq!(rejected, [Some("queue_full"), None, None, None, None, Some("no_instance"), None]);
}

#[tokio::test]
async fn clients_are_not_told_why_a_guest_failed() {
    for error in failures() {
        let answer = problem(&error).response("id-1");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("id-1") && !text.contains("the reason"), "{text}");
    }
}

#[tokio::test]
async fn a_static_response_is_sent_as_written() {
    let headers = HeaderMap::from_iter([(http::header::LOCATION, HeaderValue::from_static("/new"))]);
    let written = StaticResponse { status: StatusCode::MOVED_PERMANENTLY, headers, body: "moved".into() };
    let answer = static_response(&written);
    assert_eq!(answer.status(), 301);
    assert_eq!(answer.headers(), &written.headers);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "moved");
}
