//! The whole message for each kind of bad manifest.

use super::*;

fn problem(text: &str) -> String {
    let folder = Folder::new();
    folder.message(folder.load(text))
}

/// The problem with lines that are added to a manifest that is otherwise right; they begin in line 4.
fn problem_after_head(lines: &str) -> String {
    let rest = if lines.contains("[[trigger.") { "" } else { "[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n" };
    let component = if lines.contains("[component.cart]") { "" } else { "[component.cart]\nsource = 'cart.wasm'\n" };
    problem(&format!("{HEAD}{lines}\n{rest}{component}"))
}

#[test]
fn a_file_that_is_no_manifest_is_refused() {
    let table = [
        ("", "spin.toml:1:1: the top level has no `spin_manifest_version`; expected 2"),
        (
            "spin_manifest_version = '1'",
            "spin.toml:1:25: the manifest is of another version; expected `spin_manifest_version = 2`",
        ),
        ("spin_manifest_version = 3", "spin.toml:1:25: `spin_manifest_version` is 3; expected 2"),
        (
            "spin_manifest_version = 2",
            "spin.toml:1:1: the top level has no `application`; expected a table with the `name`",
        ),
        (
            "spin_manifest_version = 2\napplication = 'shop'",
            "spin.toml:2:15: `application` is a string; expected a table",
        ),
        (
            "spin_manifest_version = 2\n[application]",
            "spin.toml:2:1: [application] has no `name`; expected the application's name",
        ),
        ("spin_manifest_version = 2\n[application]\nname = ''", "spin.toml:3:8: the name is empty"),
        (HEAD, "spin.toml:1:1: the top level has no `trigger`; expected at least one `[[trigger.http]]`"),
        (&format!("{HEAD}[trigger]"), "spin.toml:4:1: there is no trigger; expected at least one `[[trigger.http]]`"),
        ("spin_manifest_version = 2\n[application\n", "spin.toml:2:13: unclosed table, expected `]`"),
        (&format!("{HEAD}name = 'b'"), "spin.toml:4:1: duplicate key"),
    ];
    for (text, expected) in table {
        assert_eq!(problem(text), expected, "{text}");
    }
    let missing = load(Path::new("no/such/spin.toml")).unwrap_err();
    assert_eq!(missing.to_string(), "no/such/spin.toml: cannot be read");
    assert!(std::error::Error::source(&missing).is_some());
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let table = [
        ("verison = '1'", "4:1: unknown key `verison` in [application]; did you mean `version`?"),
        ("[variable]", "4:2: unknown key `variable` in the top level; did you mean `variables`?"),
        (
            "[component.cart]\nsorce = 'a'\nsource = 'a'",
            "5:1: unknown key `sorce` in [component.cart]; did you mean `source`?",
        ),
        (
            "[component.cart]\nsource = 'a'\nbuild = { comand = 'a', command = 'a' }",
            "6:11: unknown key `comand` in [component.cart.build]; did you mean `command`?",
        ),
        (
            "[component.cart]\nsource = 'a'\nfiles = [{ source = 'a', destination = '/', x = 1 }]",
            "6:45: unknown key `x` in [component.cart.files[0]]; expected `source` or `destination`",
        ),
        (
            "[component.cart]\nsource = 'a'\n[component.cart.tool.bodega]\ndeadline = 1",
            "7:1: unknown key `deadline` in [component.cart.tool.bodega]; did you mean `deadline_ms`?",
        ),
        (
            "[application.tool.bodega]\nqueue_length = 1",
            "5:1: unknown key `queue_length` in [application.tool.bodega]; did you mean `queue_length_max`?",
        ),
        (
            "[component.cart]\nsource = 'a'\n[component.cart.tool.bodega]\npriority = 'lowest'",
            "7:12: unknown priority `lowest`; expected `normal` or `low`",
        ),
        (
            "[variables]\na = { defualt = 'x', default = 'x' }",
            "5:7: unknown key `defualt` in [variables.a]; did you mean `default`?",
        ),
        (
            "[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\nrout = 1",
            "7:1: unknown key `rout` in [trigger.http[0]]; did you mean `route`?",
        ),
        (
            "[[trigger.http]]\nroute = '/'\nstatic_response = { status = 200 }",
            "6:21: unknown key `status` in [trigger.http[0].static_response]; expected `status_code`, `headers` or `body`",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(problem_after_head(lines), format!("spin.toml:{expected}"), "{lines}");
    }
}

#[test]
fn what_is_not_run_is_refused_by_name() {
    let component = |lines: &str| format!("[component.cart]\nsource = 'cart.wasm'\n{lines}");
    let trigger = |lines: &str| format!("[[trigger.http]]\nroute = '/'\n{lines}");
    let table = [
        (
            "[application.trigger.http]\nbase = '/shop'".into(),
            "5:8: `application.trigger.http.base` is not supported: Spin 3 removed it; write the whole path in every `route`",
        ),
        (
            "[application.trigger.redis]\naddress = ''".into(),
            "4:22: `redis` triggers are not supported; expected `http`",
        ),
        (
            "[[trigger.redis]]\nchannel = 'a'\ncomponent = 'cart'".into(),
            "4:11: `redis` triggers are not supported; expected `http`",
        ),
        (
            trigger("component = 'cart'\nexecutor = { type = 'wagi' }"),
            "7:21: the executor `wagi` is not supported: build the program as a component for `wasi:http`",
        ),
        (
            trigger("component = 'cart'\nexecutor = { type = 'htp' }"),
            "7:21: unknown executor `htp`; did you mean `http`?",
        ),
        (
            trigger("component = 'cart'\ndependencies.middleware = [{ component = 'auth' }]"),
            "7:1: `trigger.http[0].dependencies` is not supported: middleware is not run here; call it from the component or use the gateway",
        ),
        (
            trigger("component = 'cart'\ncomponents = {}"),
            "7:14: `trigger.http[0].components` is not supported: a trigger runs one `component`",
        ),
        (
            component("ai_models = ['llama']"),
            "6:13: `component.cart.ai_models` is not supported: no language models are offered",
        ),
        (
            component("allowed_http_hosts = []"),
            "6:22: `component.cart.allowed_http_hosts` is not supported: it is superseded by `allowed_outbound_hosts`",
        ),
        (
            component("[component.cart.profile.debug]\nsource = 'a'"),
            "6:17: `component.cart.profile` is not supported: there are no build profiles; the component itself says what is built and run",
        ),
        (
            "[component.cart]\nsource = { url = 'https://a', digest = 'sha256:0' }".into(),
            "5:18: `component.cart.source.url` is not supported: a component is not fetched from a URL yet; download it and give its path",
        ),
        (
            "[component.cart]\nsource = { registry = 'r', package = 'a:b', version = '1' }".into(),
            "5:23: `component.cart.source.registry` is not supported: a component is not fetched from a registry; download it and give its path",
        ),
        (
            component("dependencies.\"a:b\" = '1.0'"),
            "6:22: `component.cart.dependencies.a:b` is a string; expected a table with `path` or `component`; a dependency from a registry is not supported",
        ),
        (
            component("dependencies.\"a:b\" = { version = '1' }"),
            "6:34: `component.cart.dependencies.a:b.version` is not supported: a dependency comes from a `path` or a `component`, not from a registry",
        ),
        (
            component("dependencies.\"a:b\" = { url = '', digest = '' }"),
            "6:30: `component.cart.dependencies.a:b.url` is not supported: a dependency comes from a `path` or a `component`, not from a URL",
        ),
        (
            component("dependencies.\"a:b\" = { path = 'b', inherit_configuration = ['ai_models'] }"),
            "6:61: `ai_models` cannot be inherited; expected `allowed_outbound_hosts`, `environment`, `files`, `key_value_stores`, `sqlite_databases` or `variables`",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(problem_after_head(&lines), format!("spin.toml:{expected}"), "{lines}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let component = |lines: &str| format!("[component.cart]\nsource = 'cart.wasm'\n{lines}");
    let table = [
        (
            "[component.Cart_1]\nsource = 'a'".into(),
            "4:12: \"Cart_1\" is no valid name; expected words of letters and digits joined by `-`",
        ),
        (
            "[component.cart]\ndescription = 'a'".into(),
            "4:1: [component.cart] has no `source`; expected the path of a wasm file",
        ),
        ("[component.cart]\nsource = 7".into(), "5:10: `component.cart.source` is an integer; expected a string"),
        ("[component.cart]\nsource = ''".into(), "5:10: `source` is empty; expected the path of a wasm file"),
        (
            "[component.cart]\nsource = {}".into(),
            "5:10: [component.cart.source] is a table; expected the path of a wasm file",
        ),
        (
            component("files = ['../secret']"),
            "6:10: the files \"../secret\" are outside the application; expected a path or a glob pattern below its folder",
        ),
        (
            component("files = ['/etc/*']"),
            "6:10: the files \"/etc/*\" are outside the application; expected a path or a glob pattern below its folder",
        ),
        (
            component("files = ['a/.']"),
            "6:10: \"a/.\" names a folder by dots; expected a path, a glob pattern such as \"**/*\", or { source = \".\", destination = \"/\" }",
        ),
        (
            component("files = [{ source = '/etc', destination = '/' }]"),
            "6:21: the source \"/etc\" is not in the application; expected a path relative to its folder",
        ),
        (
            component("files = [{ source = 'a', destination = 'b' }]"),
            "6:40: the destination \"b\" is not an absolute path without `..`",
        ),
        (
            component("files = [{ source = 'a' }]"),
            "6:10: [component.cart.files[0]] has no `destination`; expected an absolute path for the component",
        ),
        (component("environment = { A = 1 }"), "6:21: `component.cart.environment.A` is an integer; expected a string"),
        (
            component("variables = { A = 'x' }"),
            "6:15: \"A\": a variable's name is made of lower-case letters, digits and underscores",
        ),
        (component("variables = { a = '{{ b' }"), "6:19: `{{` is not closed; expected `}}` after the variable's name"),
        (
            component("allowed_outbound_hosts = ['example.com']"),
            "6:27: the allowed host \"example.com\" has no scheme; expected `scheme://host[:port]`, for example `https://example.com`",
        ),
        (
            component("key_value_stores = ['b@d']"),
            "6:21: \"b@d\" is no valid label; expected words of letters and digits joined by `-` or by `_`",
        ),
        (
            component("build = {}"),
            "6:9: [component.cart.build] has no `command`; expected a shell command, or a list of them",
        ),
        (component("tool.bodega.memory_bytes_max = 4096"), "6:32: `memory_bytes_max` is 4096; expected at least 65536"),
        (
            component("tool.bodega.schedule = [{ every = 'often', path = '/' }]"),
            "6:35: \"often\" is not a duration (expected number at 0); expected one such as \"5s\" or \"30m\"",
        ),
        (
            component("tool.bodega.schedule = [{ every = '1ms', path = '/' }]"),
            "6:35: \"1ms\" is out of range; expected 100ms to 31days",
        ),
        (
            component("tool.bodega.schedule = [{ every = '5s', path = 'sweep' }]"),
            "6:48: \"sweep\" is not a path; expected one such as \"/internal/sweep\"",
        ),
        (
            component("tool.bodega.schedule = [{ every = '5s', path = '/', headers.a = '{{ x }}' }]"),
            "6:65: `{{ x }}` is not declared in [variables]",
        ),
        (component("tool.bodega.deadline_ms = 0"), "6:27: `deadline_ms` is 0; expected at least 1"),
        (
            component("tool.bodega.deadline_ms = -5"),
            "6:27: `component.cart.tool.bodega.deadline_ms` is -5; expected a whole number from 0 to 18446744073709551615",
        ),
        (
            component("dependencies.\"a:\" = { path = 'b' }"),
            "6:14: \"a:\" is no import; expected `namespace:package/interface@1.0.0`, of which the interface and the version may be left out",
        ),
        (
            component("dependencies.\"a:b@one\" = { path = 'b' }"),
            "6:14: \"a:b@one\" is no import; expected `namespace:package/interface@1.0.0`, of which the interface and the version may be left out",
        ),
        (
            component("dependencies.\"a:b\" = {}"),
            "6:22: expected either `path` or `component` in [component.cart.dependencies.a:b]",
        ),
        (
            component("dependencies.\"a:b\" = { path = 'b', export = 'c:d/e' }"),
            "6:45: `export` needs the name of one interface, but `a:b` is a whole package",
        ),
        (
            component(
                "dependencies_inherit_configuration = true\ndependencies.\"a:b\" = { path = 'b', inherit_configuration = false }",
            ),
            "7:60: `inherit_configuration` is set as well as the component's `dependencies_inherit_configuration`; expected one of the two",
        ),
        (
            component("dependencies.\"a:b\" = { path = 'b' }\ndependencies.\"a:b/c@1.0.0\" = { path = 'c' }"),
            "7:14: `a:b/c@1.0.0` stands for imports that `a:b` in line 6 stands for as well",
        ),
        ("[variables]\na = {}".into(), "5:5: expected either `default` or `required = true` in [variables.a]"),
        (
            "[variables]\na = { required = true, default = '' }".into(),
            "5:5: expected either `default` or `required = true` in [variables.a]",
        ),
        ("[variables]\na = { default = 5 }".into(), "5:17: `variables.a.default` is an integer; expected a string"),
        (
            "[variables]\na-b = { default = '' }".into(),
            "5:1: \"a-b\": a variable's name is made of lower-case letters, digits and underscores",
        ),
        (
            "[[trigger.http]]\ncomponent = 'cart'".into(),
            "4:1: [trigger.http[0]] has no `route`; expected a path, or `{ private = true }`",
        ),
        (
            "[[trigger.http]]\nroute = 'a b'\ncomponent = 'cart'".into(),
            "5:9: the route \"a b\" contains ' ', which no path can hold; write it percent-encoded",
        ),
        (
            "[[trigger.http]]\nroute = 1\ncomponent = 'cart'".into(),
            "5:9: `trigger.http[0].route` is an integer; expected a path, or `{ private = true }`",
        ),
        (
            "[[trigger.http]]\nroute = { private = false }\ncomponent = 'cart'".into(),
            "5:9: `private` is false; expected a path, or `{ private = true }`",
        ),
        (
            "[[trigger.http]]\nroute = '/'".into(),
            "4:1: expected either `component` or `static_response` in [trigger.http[0]]",
        ),
        (
            "[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\nstatic_response = {}".into(),
            "4:1: expected either `component` or `static_response` in [trigger.http[0]]",
        ),
        (
            "[[trigger.http]]\nroute = '/'\ncomponent = 1".into(),
            "6:13: `trigger.http[0].component` is an integer; expected the name of a component, or a table that defines one",
        ),
        (
            "[[trigger.http]]\nroute = { private = true }\nstatic_response = {}".into(),
            "6:19: a static response on a private route could never be reached",
        ),
        (
            "[[trigger.http]]\nroute = '/'\nstatic_response = { status_code = 99 }".into(),
            "6:35: `status_code` is 99; expected a status from 200 to 599",
        ),
        (
            "[[trigger.http]]\nroute = '/'\nstatic_response = { headers = { 'a b' = '' } }".into(),
            "6:33: \"a b\" is no name of a header",
        ),
        (
            "[[trigger.http]]\nroute = '/'\nstatic_response = { headers = { a = \"\\n\" } }".into(),
            "6:37: \"\\n\" is no value of a header",
        ),
        ("[trigger]\nhttp = { route = '/' }\n[[trigger.x]]".into(), "5:8: `trigger.http` is a table; expected a list"),
        (
            "[application.tool.bodega.sqlite_database.x]\ndurability = 'some'".into(),
            "5:14: unknown durability `some`; expected `full` or `normal`",
        ),
        (
            "[application.tool.bodega.sqlite_database.x]\nbytes_max = 65535".into(),
            "5:13: `bytes_max` is 65535; expected at least 65536",
        ),
        (
            "[application.tool.bodega.sqlite_database.x]\ntransaction_timeout_ms = 0".into(),
            "5:26: `transaction_timeout_ms` is 0; expected at least 1",
        ),
        (
            "[application.tool.bodega.sqlite_database.x]\nread_timeout_ms = 0".into(),
            "5:19: `read_timeout_ms` is 0; expected at least 1",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(problem_after_head(&lines), format!("spin.toml:{expected}"), "{lines}");
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let component = |lines: &str| format!("[component.cart]\nsource = 'cart.wasm'\n{lines}");
    let table = [
        ("[[trigger.http]]\nroute = '/'\ncomponent = 'crat'".into(), "6:13: there is no component `crat`; did you mean `cart`?"),
        ("[[trigger.http]]\nroute = '/a/:x'\ncomponent = 'cart'\n[[trigger.http]]\nroute = '/a/:y'\ncomponent = 'cart'".into(), "8:9: the route \"/a/:y\" matches the same paths as \"/a/:x\" in line 5"),
        ("[[trigger.http]]\nid = 'a'\nroute = '/a'\ncomponent = 'cart'\n[[trigger.http]]\nid = 'a'\nroute = '/b'\ncomponent = 'cart'".into(), "8:1: the trigger `a` has the id of the one in line 4"),
        (component("variables = { url = 'http://{{ api_hots }}' }\n[variables]\napi_host = { default = '' }"), "6:21: `{{ api_hots }}` is not declared in [variables]; did you mean `api_host`?"),
        (component("allowed_outbound_hosts = ['http://{{ host }}']"), "6:27: `{{ host }}` is not declared in [variables]"),
        (component("allowed_outbound_hosts = ['http://crat.spin.internal']"), "6:27: there is no component `crat`; did you mean `cart`?"),
        (component("dependencies.\"a:b\" = { component = 'pricing' }"), "6:36: there is no component `pricing`; expected `cart`"),
        ("[component.sweeper]\nsource = 's'\ntool.bodega.schedule = [{ every = '5s', path = '/' }]".into(), "6:25: no trigger runs `sweeper`, which has a schedule; add a `[[trigger.http]]` for it, with `route = { private = true }` where it is not for clients"),
        (component("dependencies.\"a:b\" = { component = 'pricing' }\n[component.pricing]\nsource = 'p'\nfiles = ['a']"), "6:36: `pricing` cannot be a dependency of `cart`, because it has `files` of its own"),
        (component("[component.tax]\nsource = 't'\ntool.bodega.migration = { path = '/m' }"), "8:25: no trigger runs `tax`, which has a migration; add a `[[trigger.http]]` for it, with `route = { private = true }` where it is not for clients"),
        (component("tool.bodega.migration = { path = '/m', headers = { x = '{{ y }}' } }"), "6:56: `{{ y }}` is not declared in [variables]"),
        (component("tool.bodega.migration = { path = '/m', timeout = '2days' }"), "6:50: \"2days\" is out of range; expected 100ms to 1days"),
        (component("dependencies.\"a:b\" = { component = 'cart' }"), "6:36: `cart` cannot be a dependency of `cart`, because it has `dependencies` of its own"),
        (component("sqlite_databases = ['orders']\n[application.tool.bodega.sqlite_database.order]\n"), "7:1: no component opens the store `order`; did you mean `orders`?"),
        (component("tool.bodega.rollout.webhooks = ['https://hooks.example.com/{{ token }}']"), "6:33: `{{ token }}` is not declared in [variables]"),
        ("[application.tool.bodega.key_value_store.carts]\nttl_seconds = 5".into(), "4:1: no component opens the store `carts`"),
    ];
    for (lines, expected) in table {
        assert_eq!(problem_after_head(&lines), format!("spin.toml:{expected}"), "{lines}");
    }
}

#[test]
fn a_generated_secret_belongs_to_a_secret_variable() {
    let generated = |variable: &str, kind: &str| {
        format!("[application.tool.bodega.generate]\nsigning_key = \"{kind}\"\n[variables]\nsigning_key = {variable}")
    };
    assert_eq!(
        problem_after_head(&generated("{ required = true }", "secret")),
        "spin.toml:5:15: a secret is generated for the variable `signing_key`, which is not declared as one; \
         expected `secret = true` in [variables] signing_key"
    );
    let rest = "[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n[component.cart]\nsource = 'cart.wasm'\n";
    // Public keys are for everybody.
    for (variable, kind) in [("{ required = true, secret = true }", "secret"), ("{ default = \"\" }", "staff-jwks")] {
        let folder = Folder::new();
        assert!(folder.load(&format!("{HEAD}{}\n{rest}", generated(variable, kind))).is_ok(), "{variable}");
    }
}
