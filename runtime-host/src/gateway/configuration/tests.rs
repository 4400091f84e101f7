//! What `gateway.toml` may say, and the whole message for each kind of mistake.

use http::{Method, Request};

use super::*;
use crate::gateway::policies::Authentication;
use crate::manifest;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
[variables]
token_issuer = { default = "shop" }
[[trigger.http]]
route = "/api/orders/..."
component = "orders"
[[trigger.http]]
route = "/"
component = "orders"
[component.orders]
source = "orders.wasm"
"#;
const TOKENS: &str =
    "[tokens]\nissuer = \"{{ token_issuer }}\"\naudience = \"a\"\njwks_url = \"http://auth.spin.internal/jwks\"\n";

struct Fixture {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, MANIFEST).unwrap();
        Self { manifest: manifest::load(&path).unwrap(), folder }
    }

    fn load(&self, text: &str, former: Option<&Configuration>) -> Result<Configuration, ConfigError> {
        let path = self.folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        let variables =
            Variables::resolve(&self.manifest, Default::default(), &[], Default::default(), &|_| None).unwrap();
        Configuration::load(&path, &self.manifest, Some(&variables), former)
    }

    fn doubts(&self, text: &str) -> Vec<String> {
        let path = self.folder.path().join(FILE_NAME);
        let configuration = self.load(text, None).unwrap();
        self.told(configuration.doubts(&path, &self.manifest))
    }

    fn told(&self, errors: Vec<ConfigError>) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        errors.into_iter().map(|error| error.to_string().replace(&folder, "")).collect()
    }
}

fn request(method: Method, path: &str) -> Parts {
    Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
}

#[test]
fn the_first_rule_that_fits_says_what_is_done_and_the_rest_is_as_for_all() {
    let text = format!(
        "{TOKENS}\
        [rate_limits.all]\nrate = \"5/s\"\n[rate_limits.login]\nrate = \"3/m\"\nburst = 1\ntiers = {{ staff = \"9/h\" }}\n\
        [all]\nsecurity_headers = true\nrate_limits = [\"all\"]\n\
        [[rules]]\npath = \"/api/orders/:id\"\nmethods = [\"POST\"]\nauthentication = \"required\"\nroles = [\"staff\"]\n\
        [[rules]]\npath = \"/api/...\"\nrate_limits = [\"all\", \"login\"]\nsecurity_headers = false\n"
    );
    let configuration = Fixture::new().load(&text, None).unwrap();
    let of = |method, path| configuration.policies(configuration.rule_for(&request(method, path)));
    let names = |policies: &Policies| {
        policies.rate_limits.iter().map(|limit| limit.settings().name.clone()).collect::<Vec<_>>()
    };
    let post = of(Method::POST, "/api/orders/7");
    assert_eq!((post.authentication, post.roles.len(), post.security_headers), (Authentication::Required, 1, true));
    assert_eq!(names(post), ["all"]);
    let get = of(Method::GET, "/api/orders/7");
    assert_eq!((get.authentication, get.security_headers), (Authentication::Off, false));
    assert_eq!(names(get), ["all", "login"]);
    assert!(of(Method::GET, "/").security_headers);
    assert_eq!(configuration.tokens.as_ref().unwrap().settings().issuer, "shop");
}

#[test]
fn what_is_under_way_and_known_outlives_a_change_of_something_else() {
    let fixture = Fixture::new();
    let text = |other: &str| {
        format!(
            "[upstreams.old]\nservers = [\"http://10.0.0.5\"]\nbreaker = {{}}\n[components.orders]\nbreaker = {{}}\n\
             [shedding]\nconcurrency = 9\n[[rules]]\npath = \"/{other}\"\n[[rules]]\npath = \"/api/...\"\nconcurrency = 3\n"
        )
    };
    let first = fixture.load(&text("a"), None).unwrap();
    let second = fixture.load(&text("b"), Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first.upstreams["old"], &second.upstreams["old"]));
    assert!(Arc::ptr_eq(first.shedding.as_ref().unwrap(), second.shedding.as_ref().unwrap()));
    let breakers = |of: fn(&Configuration) -> Arc<crate::gateway::Guard>| {
        [&first, &second].map(|configuration| of(configuration).breaker.clone().unwrap())
    };
    for [one, two] in
        [breakers(|c| c.guards.upstreams["old"].clone()), breakers(|c| c.guards.components["orders"].clone())]
    {
        assert!(Arc::ptr_eq(&one, &two));
    }
    let own = |configuration: &Configuration| configuration.rules[1].policies.concurrency.clone().unwrap();
    assert!(Arc::ptr_eq(&own(&first), &own(&second)));
    let changed = fixture.load(&text("a").replace("10.0.0.5", "10.0.0.6"), Some(&first)).unwrap();
    assert!(!Arc::ptr_eq(&first.upstreams["old"], &changed.upstreams["old"]));
}

#[test]
fn paths_have_to_be_plain_only_where_somebody_could_get_past_a_rule() {
    let guards = |rule: &str| {
        Fixture::new().load(&format!("[[rules]]\npath = \"/api/...\"\n{rule}"), None).unwrap().has_guarded_paths()
    };
    for rule in ["cache = true", "security_headers = true", "compression = true", "timeout = \"5s\""] {
        assert!(!guards(rule), "{rule}");
    }
    for rule in [
        "deny = true",
        "body_bytes_max = 5",
        "to = { component = \"orders\" }",
        "response_json = { remove = [\"/a\"] }",
    ] {
        assert!(guards(rule), "{rule}");
    }
}

#[test]
fn what_did_not_change_goes_on() {
    let fixture = Fixture::new();
    let text = |rate: &str| format!("{TOKENS}[rate_limits.a]\nrate = \"5/s\"\n[rate_limits.b]\nrate = \"{rate}\"\n");
    let first = fixture.load(&text("1/s"), None).unwrap();
    let second = fixture.load(&text("2/s"), Some(&first)).unwrap();
    let same = |name: &str| Arc::ptr_eq(&first.rate_limits[name], &second.rate_limits[name]);
    assert!(same("a") && !same("b"));
    assert!(Arc::ptr_eq(first.tokens.as_ref().unwrap(), second.tokens.as_ref().unwrap()));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("rules = 1", "gateway.toml:1:9: `rules` is an integer; expected a list"),
        ("[[rules]]\npaht = \"/\"", "gateway.toml:2:1: unknown key `paht` in [rules[0]]; did you mean `path`?"),
        (
            "[[rules]]\npath = \"/a?b\"",
            "gateway.toml:2:8: the route \"/a?b\" contains '?', which no path can hold; write it percent-encoded",
        ),
        ("[[rules]]\nmethods = [\"get\"]", "gateway.toml:2:12: \"get\" is no method; expected one such as \"GET\""),
        ("[[rules]]\nheaders = { x = false }", "gateway.toml:2:17: expected a text, or `true` for any value"),
        (
            "[all]\nrate_limits = [\"x\"]\n[rate_limits.y]\nrate = \"1/s\"",
            "gateway.toml:2:16: there is no rate limit `x`; did you mean `y`?",
        ),
        (
            "[rate_limits.x]\nrate = \"1/w\"",
            "gateway.toml:2:8: \"1/w\" is no rate; expected one such as \"50/s\", \"30/m\", \"1000/h\" or \"5000/d\"",
        ),
        ("[rate_limits.x]\nrate = \"1/s\"\nburst = 0", "gateway.toml:3:9: `burst` is out of range; expected 1 or more"),
        (
            "[rate_limits.\"a b\"]\nrate = \"1/s\"",
            "gateway.toml:1:14: the rate limit \"a b\" has a name that is no name; expected letters, digits, `_` and `-`",
        ),
        (
            "[all]\nauthentication = \"required\"",
            "gateway.toml:1:1: [all] asks who it is, and neither [tokens] nor [clients] says who counts",
        ),
        (
            "[all]\nroles = [\"staff\"]",
            "gateway.toml:1:1: [all] asks for roles or scopes of nobody; expected `authentication` too",
        ),
        (
            "[tokens]\nissuer = \"a\"\naudience = \"b\"",
            "gateway.toml:1:1: [tokens] has no keys; expected `jwks`, `jwks_url` or both",
        ),
        (
            "[tokens]\nissuer = \"{{ x }}\"\naudience = \"b\"",
            "gateway.toml:2:10: the application has no variable `x`; expected `token_issuer`",
        ),
        (
            "[tokens]\nissuer = \"a\"\naudience = \"b\"\njwks_url = \"auth\"",
            "gateway.toml:4:12: \"auth\" is no URL of http or https",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/99\"]",
            "gateway.toml:1:20: \"10.0.0.0/99\" is no network; expected one such as \"10.0.0.0/8\" or \"::1\"",
        ),
        (
            "forwarded_header = \"x\"",
            "gateway.toml:1:20: `forwarded_header` is \"x\"; expected `x-forwarded-for` or `forwarded`",
        ),
        (
            "[all.cors]\norigins = [\"*\"]\ncredentials = true",
            "gateway.toml:3:15: everybody's pages would act with the credentials of whoever visits them; name the origins",
        ),
        (
            "[all.cors]\norigins = [\"https://a.example/\"]",
            "gateway.toml:2:12: \"https://a.example/\" is no origin; expected scheme, host and port only, such as \"https://shop.example\"",
        ),
        (
            "[all]\nresponse_headers = { remove = [\"content-length\"] }",
            "gateway.toml:2:32: the header `content-length` frames or addresses the message and cannot be changed",
        ),
        (
            "[all]\nredirect = { to = \"shop.example\" }",
            "gateway.toml:2:19: \"shop.example\" is neither a path nor a URL of http or https",
        ),
        (
            "[all]\nredirect = { to = \"/\", status = 200 }",
            "gateway.toml:2:33: `status` is no redirect; expected 302, 303, 307 or 308",
        ),
        (
            "[clients.erp]\nkey_sha256 = \"my key\"",
            "gateway.toml:2:14: this is no SHA-256; expected the 64 hexadecimal digits of the key's digest",
        ),
        (
            "[clients.erp]\nroles = [\"staff\"]",
            "gateway.toml:1:1: [clients.erp] cannot show who it is; expected `key_sha256`, `certificate` or both",
        ),
        (
            "[[rules]]\npath = \"/a\"\nto = { component = \"order\" }",
            "gateway.toml:3:20: no component `order` answers requests; did you mean `orders`?",
        ),
        (
            "[upstreams.old]\nservers = [\"http://10.0.0.5\"]\n[all]\nto = { upstream = \"odl\" }",
            "gateway.toml:4:19: there is no upstream `odl`; did you mean `old`?",
        ),
        (
            "[[rules]]\npath = \"/a\"\nto = { weight = 2 }",
            "gateway.toml:3:6: [rules[0].to] names no target; expected `component` or `upstream`",
        ),
        (
            "[upstreams.old]\nservers = [\"10.0.0.5:80\"]",
            "gateway.toml:2:12: \"10.0.0.5:80\" is no server; expected scheme, host and port only, such as \"http://10.0.0.5:8080\"",
        ),
        ("[upstreams.old]", "gateway.toml:1:1: [upstreams.old] has no servers; expected `servers`, `dns` or both"),
        (
            "[upstreams.old]\nservers = [\"http://a\"]\nhash_by = \"user\"",
            "gateway.toml:3:11: `hash_by` has no meaning without `balance = \"hash\"`",
        ),
        (
            "[[rules]]\npath = \"/a/:b\"\nrewrite = \"/c/:d\"",
            "gateway.toml:3:11: \"/c/:d\" has a part `:d` that is not in the rule's path `/a/:b`",
        ),
        (
            "[all]\nrewrite = \"/c\"",
            "gateway.toml:2:11: `rewrite` needs a rule with a `path`, whose parts it is made of",
        ),
        ("[all]\ntimeout = \"0s\"", "gateway.toml:2:11: `timeout` leaves no time; expected one such as \"5s\""),
        ("[all]\nretry = { retries = 9 }", "gateway.toml:2:21: `retries` is out of range; expected 1 to 5"),
        (
            "[all]\nconcurrency = {}",
            "gateway.toml:2:15: [all.concurrency] has no limit; expected `max`, or `adaptive = true`",
        ),
        (
            "[components.orders]\nbreaker = { failure_ratio = 2 }",
            "gateway.toml:2:29: `failure_ratio` is out of range; expected more than 0, up to 1",
        ),
        (
            "[all]\ncompression = { encodings = [\"bz2\"] }",
            "gateway.toml:2:30: \"bz2\" is no way to compress; expected `zstd`, `br` or `gzip`",
        ),
        (
            "[all]\ncompression = { encodings = [] }",
            "gateway.toml:2:15: [all.compression] has no encodings; leave `encodings` out for all, or say `compression = false`",
        ),
        (
            "[all]\nresponse_json = { remove = [\"cost\"] }",
            "gateway.toml:2:29: \"cost\" is no pointer to a part of a document; expected one such as \"/items/*/cost\"",
        ),
        (
            "[all]\nresponse_json = { remove = [\"/a~b\"] }",
            "gateway.toml:2:29: \"a~b\" has a `~` that is none; write `~0` for `~` and `~1` for `/`",
        ),
        (
            "[all]\nresponse_json = { rename = { \"/items/*\" = \"x\" } }",
            "gateway.toml:2:30: `/items/*` would give several members one name; expected the name of one at the end",
        ),
        (
            "[all]\nresponse_json = { rename = { \"/a/b\" = \"x\", \"/a/c\" = \"x\" } }",
            "gateway.toml:2:44: `/a/c` is to be named \"x\", as `/a/b` is; expected different names",
        ),
        (
            "[all]\nresponse_json = { remove = [\"/a\"], rename = { \"/a\" = \"x\" } }",
            "gateway.toml:2:47: `/a` is removed and renamed; expected either",
        ),
        (
            "[all]\nresponse_json = {}",
            "gateway.toml:2:17: [all.response_json] changes nothing; expected `remove`, `rename` or both",
        ),
        (
            "[all]\nresponse_json = { remove = [\"/a\"], bytes_max = 0 }",
            "gateway.toml:2:48: `bytes_max` is out of range; expected 1 to 67108864",
        ),
        ("[all]\nresponse_headers = { set = { \"a b\" = \"\" } }", "gateway.toml:2:30: \"a b\" is no name of a header"),
    ] {
        let error = fixture.load(text, None).expect_err(text);
        assert_eq!(fixture.told(vec![error]), [expected], "{text}");
    }
}

#[test]
fn rules_that_no_request_reaches_are_doubted() {
    let fixture = Fixture::new();
    let told = fixture
        .doubts("[[rules]]\npath = \"/api/...\"\n[[rules]]\npath = \"/api/orders\"\n[[rules]]\npath = \"/other\"");
    assert_eq!(
        told,
        [
            "gateway.toml:3:1: no request reaches this rule: the one in line 1 fits all that this one does",
            "gateway.toml:5:1: no request reaches this rule: `/other` is on no route of the application",
        ]
    );
    assert!(
        fixture.doubts("[[rules]]\npath = \"/api/orders/:id\"\n[[rules]]\npath = \"/api/...\"\n[[rules]]").is_empty()
    );
}
