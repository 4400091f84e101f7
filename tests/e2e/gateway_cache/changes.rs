//! That something has changed is seen at once: it is purged, or another revision answers.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_at_once_however_it_is_told() {
    let host = host(TTL).await;
    let tagged = ["surrogate-key: a b"];
    let mut known = text(say(&host, "say?x=1", &tagged).await).await;
    let purge = async |query: &str| {
        let answer = host.control("POST", &format!("/v1/gateway/purge?{query}"), "").await;
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    assert_eq!(purge("tag=b&why=a%20test").await, (200, json!({ "purged": "tag b" })));
    let mut changed = async |how: &str| {
        let new = text(say(&host, "say?x=1", &tagged).await).await;
        assert_ne!(new, known, "{how}");
        assert!(is_hit(&say(&host, "say?x=1", &[]).await), "{how}");
        known = new;
    };
    changed("by tag").await;
    assert_eq!(purge("url=https%3A%2F%2Fany.example%2Fvariant%2Fsay%3Fx%3D1").await.0, 200);
    changed("by URL").await;
    assert_eq!(purge("all=true").await, (200, json!({ "purged": "all" })));
    changed("all").await;
    let output = host.operate(&["purge", "--tag", "a", "--why", "stock"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "purged tag a\n", "{output:?}");
    changed("by command").await;
    for wrong in ["", "tag=a&all=true", "all=false", "tag=", "url=nowhere"] {
        assert_eq!(purge(wrong).await.0, 422, "{wrong}");
    }
    let post = said(&host, Method::POST, "say?x=1", "", &[], &[]).await;
    assert_eq!(post.status(), 200);
    changed("by an unsafe method").await;
    said(&host, Method::POST, "say?y", "", &["location: /variant/say?x=1"], &[]).await;
    changed("by what an unsafe method made").await;
    let purging = said(&host, Method::POST, "say?y", "", &["x-bodega-purge: other a"], &[]).await;
    assert!(!purging.headers().contains_key("x-bodega-purge"), "{purging:?}");
    changed("by an answer").await;

    let failed = said(&host, Method::POST, "say?x=1", "status=400", &[], &[("x-bodega-purge", "a")]).await;
    assert_eq!(failed.status(), 400);
    assert!(is_hit(&say(&host, "say?x=1", &[]).await), "nothing was changed, and a client purges nothing");
    let actions: Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
    let said: Vec<&str> = actions.as_array().expect("a list").iter().filter_map(|a| a["action"].as_str()).collect();
    assert_eq!(said, ["purge cache tag a", "purge cache all", "purge cache url /variant/say?x=1", "purge cache tag b"]);
    let bare = App::new().guest("hello", "").start().await;
    assert_eq!(bare.control("POST", "/v1/gateway/purge?all=true", "").await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_before_a_change_is_not_stored_after_it() {
    let host = host(TTL).await;
    let slow = async { text(said(&host, Method::GET, "say", "delay_ms=600", &["surrogate-key: a"], &[]).await).await };
    let change = async {
        sleep(Duration::from_millis(300)).await;
        said(&host, Method::POST, "say?change", "", &["x-bodega-purge: a"], &[]).await;
        // It does not wait for the one that asked before.
        let started = Instant::now();
        let new = text(say(&host, "say", &["surrogate-key: a"]).await).await;
        assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
        new
    };
    let (old, new) = futures::join!(slow, change);
    assert_ne!(old, new);
    let now = say(&host, "say", &[]).await;
    assert_eq!((is_hit(&now), text(now).await), (true, new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_from_within_the_application_counts_too() {
    let allowed = "allowed_outbound_hosts = [\"http://variant.spin.internal\"]";
    let host = variant_app("strategy = \"rolling\"")
        .guest("interfaces", allowed)
        .file("gateway.toml", format!("{TTL}[[rules]]\npath = \"/interfaces/...\"\n"))
        .start()
        .await;
    let known = text(say(&host, "say", &["surrogate-key: a"]).await).await;
    let chained = host.json("/interfaces/outbound?url=http://variant.spin.internal/purge").await;
    assert_eq!(chained["status"], 200, "{chained}");
    let now = say(&host, "say", &[]).await;
    assert_ne!(text(now).await, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_although_nobody_waits_for_the_answer_that_tells_of_it() {
    let host = host(TTL).await;
    let known = text(say(&host, "say", &["surrogate-key: a"]).await).await;
    let request = format!(
        "POST /variant/say?change HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nx-say: delay_ms=500\r\n\
         x-say-header: x-bodega-purge: a\r\n\r\n",
        host.address()
    );
    let mut client = RawConnection::open(&host).await;
    assert!(client.send(request).await);
    sleep(Duration::from_millis(200)).await;
    client.reset();
    assert!(is_hit(&say(&host, "say", &[]).await), "nothing has changed yet");
    sleep(Duration::from_millis(600)).await;
    let now = say(&host, "say", &[]).await;
    assert!(!is_hit(&now), "{now:?}");
    assert_ne!(text(now).await, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_drops_what_the_former_revision_said() {
    let host = host(TTL).await;
    assert!(text(say(&host, "say", &[]).await).await.starts_with("one"));
    assert!(is_hit(&say(&host, "say", &[]).await));
    host.deploy("variant", &variant("two", &[])).await;
    assert!(text(say(&host, "say", &[]).await).await.starts_with("two"));
    host.operate(&["rollback", "variant"]).await;
    assert!(text(say(&host, "say", &[]).await).await.starts_with("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_and_the_revision_in_force_are_not_mixed() {
    let rollout = "strategy = \"canary\"\nsteps = [{ weight_percent = 50, duration = \"1h\" }, 100]";
    let host = variant_app(rollout).file("gateway.toml", TTL).start().await;
    assert!(text(say(&host, "say", &[]).await).await.starts_with("one"));
    host.deploy("variant", &variant("two", &[])).await;
    let mut versions = BTreeSet::new();
    for _ in 0..20 {
        let answer = say(&host, "say", &[]).await;
        let cookie = header(answer.headers(), "set-cookie").split(';').next().expect("a part").to_owned();
        assert!(cookie.starts_with("bodega-shopper="), "each has a key of its own: {answer:?}");
        assert!(header(answer.headers(), "cache-control").contains("private"));
        let version = text(answer).await[..3].to_owned();
        for _ in 0..2 {
            let again = said(&host, Method::GET, "say", "", &[], &[("cookie", &cookie)]).await;
            assert!(is_hit(&again) && !again.headers().contains_key("set-cookie"), "{again:?}");
            assert_eq!(text(again).await[..3], version, "a shopper stays on one revision");
        }
        versions.insert(version);
    }
    assert_eq!(versions.len(), 2, "{versions:?}");
    host.operate(&["promote", "variant", "--full"]).await;
    let deadline = Instant::now() + PATIENCE;
    while !text(say(&host, "say", &[]).await).await.starts_with("two") {
        assert!(Instant::now() < deadline, "what the former revision said is dropped");
        sleep(Duration::from_millis(20)).await;
    }
}
