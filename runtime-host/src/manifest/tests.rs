//! What a good manifest means, and what is checked later.

mod refused;
mod retained;

use std::collections::BTreeSet;

use http::StatusCode;

use super::*;
use crate::engine::component::Priority;
use crate::runtime_config::RuntimeConfig;
use crate::stores::sqlite::Durability;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn load(&self, text: &str) -> Result<Manifest, ConfigError> {
        let path = self.0.path().join("spin.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    /// The message of an error, with paths relative to this folder.
    fn message<T>(&self, result: Result<T, ConfigError>) -> String {
        let message = result.err().map(|error| error.to_string()).unwrap_or("no error".into());
        message.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// Three lines, so that what follows begins in line 4.
const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n";

const FULL: &str = r#"
spin_manifest_version = 2

[application]
name = "shop"
version = "1.2.3"
description = "A shop"
authors = ["A <a@example.com>"]
targets = ["spin-up:4.1", { path = "env.toml" }]

[application.tool.bodega]
deadline_ms = 10_000
queue_length_max = 64
[application.tool.bodega.sqlite_database.orders]
durability = "normal"
bytes_max = 1_048_576
transaction_timeout_ms = 500
read_timeout_ms = 2_000
[application.tool.bodega.key_value_store.default]
ttl_seconds = 2_592_000
[application.tool.other]
anything = { goes = true }

[variables]
api_host = { default = "api.example.com", description = "Where" }
token = { required = true, secret = true }

[[trigger.http]]
route = "/api/cart/..."
component = "cart"

[[trigger.http]]
id = "admin"
route = "/admin/:page"
component = "cart"
executor = { type = "spin" }

[[trigger.http]]
route = "/api/cart/health"
component = "cart"

[[trigger.http]]
route = { private = true }
component = { source = "inline.wasm" }

[[trigger.http]]
route = "/gone"
static_response = { status_code = 410, headers = { "x-why" = "moved" }, body = "gone" }

[[trigger.http]]
route = "/ok"
static_response = {}

[component.pricing]
source = "target/pricing.wasm"

[component.cart]
description = "The cart"
source = "target/cart.wasm"
files = ["assets/**/*.css", { source = "images", destination = "/img" }]
exclude_files = ["assets/draft/*"]
environment = { LOG = "debug" }
allowed_outbound_hosts = ["https://{{ api_host }}", "http://*.spin.internal", "http://self", "http://pricing.spin.internal"]
key_value_stores = ["default", "my-carts", "my_carts"]
sqlite_databases = ["orders"]
targets = ["spin-up:4.1"]
[component.cart.variables]
url = "https://{{ api_host }}/v1?token={{token}}"
[component.cart.build]
command = ["npm ci", "npm run build"]
workdir = "components/cart"
watch = ["src/**/*.ts"]
[component.cart.dependencies]
"bodega:pricing/calculator@1.0.0" = { component = "pricing" }
"acme:tax" = { path = "tax.wasm", inherit_configuration = ["variables", "allowed_outbound_hosts"] }
logger = { path = "log.wasm", export = "acme:log/sink", inherit_configuration = true }
[component.cart.tool.bodega]
instances_max = 8
instance_reuse_max = 1000
instance_concurrency_max = 16
idle_timeout_ms = 0
memory_bytes_max = 67_108_864
deadline_ms = 500
priority = "low"
[component.cart.tool.other]
anything = 1
"#;

#[test]
fn everything_that_spin_documents_is_read() {
    let folder = Folder::new();
    let manifest = folder.load(FULL).unwrap();
    let root = folder.0.path();

    let application = &manifest.application;
    assert_eq!((application.name.as_str(), application.version.as_str()), ("shop", "1.2.3"));
    assert_eq!((application.description.as_str(), application.authors.len()), ("A shop", 1));
    let database = SqliteSettings {
        durability: Durability::Normal,
        bytes_max: Some(1_048_576),
        transaction_timeout_ms: Some(500),
        read_timeout_ms: Some(2_000),
    };
    assert_eq!(application.settings.sqlite_databases["orders"].value, database);
    let store = application.settings.key_value_stores["default"].value;
    assert_eq!(store, KeyValueSettings { durability: Durability::Full, ttl_seconds: Some(2_592_000) });

    assert_eq!(manifest.variables["api_host"].default(), Some("api.example.com"));
    assert_eq!(manifest.variables["token"].default(), None);
    assert!(manifest.variables["token"].secret);

    let triggers: Vec<_> = manifest
        .triggers
        .iter()
        .map(|trigger| {
            let route = trigger.route.as_ref().map(|route| route.to_string());
            let target = match &trigger.target {
                TriggerTarget::Component(id) => id.value.clone(),
                TriggerTarget::Static(response) => response.status.to_string(),
            };
            (trigger.id.as_str(), route, target)
        })
        .collect();
    let expected = [
        ("cart-http-trigger", Some("/api/cart/..."), "cart"),
        ("admin", Some("/admin/:page"), "cart"),
        ("http-trigger1", Some("/api/cart/health"), "cart"),
        ("http-trigger2", None, "http-trigger2-component"),
        ("http-trigger3", Some("/gone"), "410 Gone"),
        ("http-trigger4", Some("/ok"), "200 OK"),
    ];
    assert_eq!(triggers, expected.map(|(id, route, target)| (id, route.map(String::from), target.to_owned())));
    let TriggerTarget::Static(gone) = &manifest.triggers[4].target else { panic!("not a static response") };
    assert_eq!(
        (gone.status, gone.headers["x-why"].to_str().unwrap(), &gone.body[..]),
        (StatusCode::GONE, "moved", &b"gone"[..])
    );

    let ids: Vec<_> = manifest.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["pricing", "cart", "http-trigger2-component"]);
    let cart = manifest.component("cart").unwrap();
    assert_eq!(cart.source.value, root.join("target/cart.wasm"));
    assert_eq!(cart.files[0].value, FilesMount::Pattern("assets/**/*.css".into()));
    let placement = FilesMount::Placement { source: root.join("images"), destination: "/img".into() };
    assert_eq!(cart.files[1].value, placement);
    assert_eq!((cart.exclude_files.len(), cart.environment["LOG"].as_str()), (1, "debug"));
    assert_eq!(cart.variables["url"].to_string(), "https://{{ api_host }}/v1?token={{ token }}");
    assert_eq!((cart.key_value_stores.len(), cart.sqlite_databases[0].as_str()), (3, "orders"));
    let build = cart.build.as_ref().unwrap();
    assert_eq!(
        (build.commands.as_slice(), &build.workdir),
        (&["npm ci".into(), "npm run build".into()][..], &root.join("components/cart"))
    );
    let expected = ComponentLimits {
        instances_max: Some(8),
        instance_reuse_max: Some(1000),
        instance_concurrency_max: Some(16),
        idle_timeout_ms: Some(0),
        memory_bytes_max: Some(67_108_864),
        deadline_ms: Some(500),
        // From the application.
        queue_length_max: Some(64),
        priority: Some(Priority::Low),
    };
    assert_eq!(cart.limits, expected);

    let [calculator, tax, logger] = &cart.dependencies[..] else { panic!("{:?}", cart.dependencies) };
    assert_eq!(calculator.name.to_string(), "bodega:pricing/calculator@1.0.0");
    assert_eq!(manifest.dependency_source(calculator), Some(root.join("target/pricing.wasm").as_path()));
    assert_eq!(calculator.inherit, Inheritance::Only(BTreeSet::new()));
    assert_eq!(manifest.dependency_source(tax), Some(root.join("tax.wasm").as_path()));
    let rights = BTreeSet::from([Capability::AllowedOutboundHosts, Capability::Variables]);
    assert_eq!((tax.name.to_string().as_str(), &tax.inherit), ("acme:tax", &Inheritance::Only(rights)));
    assert_eq!((&logger.name.value, &logger.inherit), (&DependencyName::Plain("logger".into()), &Inheritance::All));
    assert_eq!(logger.export.as_deref(), Some("acme:log/sink"));
}

#[test]
fn one_switch_lets_all_dependencies_inherit() {
    let text = format!(
        "{HEAD}[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n[component.cart]\nsource = 'cart.wasm'\n\
         dependencies_inherit_configuration = true\ndependencies = {{ 'a:b' = {{ path = 'b.wasm' }} }}"
    );
    let manifest = Folder::new().load(&text).unwrap();
    assert_eq!(manifest.components[0].dependencies[0].inherit, Inheritance::All);
}

#[test]
fn stores_have_to_be_set_up() {
    let folder = Folder::new();
    let manifest = folder.load(FULL).unwrap();
    let config_path = folder.0.path().join("runtime-config.toml");
    let check = |text: &str| {
        std::fs::write(&config_path, text).unwrap();
        folder.message(manifest.check_stores(&RuntimeConfig::load(&config_path).unwrap()))
    };
    let line = FULL.lines().position(|line| line.starts_with("sqlite_databases")).unwrap() + 1;
    assert_eq!(
        folder.message(manifest.check_stores(&RuntimeConfig::default())),
        format!(
            "spin.toml:{line}:21: the store `orders` of component `cart` is not set up; expected [sqlite_database.orders] in a runtime configuration"
        )
    );
    let orders = "[sqlite_database.orders]\ntype = 'spin'\n";
    let line = line - 1;
    assert_eq!(
        check(orders),
        format!(
            "spin.toml:{line}:32: the store `my-carts` of component `cart` is not set up; expected [key_value_store.my-carts] in runtime-config.toml"
        )
    );
    let carts = "[key_value_store.my-carts]\ntype = 'spin'\n[key_value_store.my_carts]\ntype = 'spin'\n";
    assert_eq!(check(&format!("{orders}{carts}")), "no error");
}

#[test]
fn files_have_to_exist_when_the_application_is_run() {
    let folder = Folder::new();
    let manifest = folder
        .load(&format!(
            "{HEAD}[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n[component.cart]\nsource = 'cart.wasm'\n\
             build.command = 'make'\nfiles = [{{ source = 'img', destination = '/img' }}]\n\
             dependencies = {{ 'a:b' = {{ path = 'b.wasm' }} }}"
        ))
        .unwrap();
    let check = || folder.message(manifest.check_sources());
    let create = |name: &str| std::fs::write(folder.0.path().join(name), "").unwrap();
    assert_eq!(
        check(),
        "spin.toml:8:10: the wasm file cart.wasm of the component `cart` does not exist; run `bodega build`"
    );
    create("cart.wasm");
    assert_eq!(
        check(),
        "spin.toml:11:35: the wasm file b.wasm of the component `cart` does not exist; run `bodega build`"
    );
    create("b.wasm");
    assert_eq!(check(), "spin.toml:10:10: img does not exist");
    create("img");
    assert_eq!(check(), "no error");
}

#[test]
fn components_see_the_files_that_are_granted() {
    let folder = Folder::new();
    for path in
        ["assets/a.css", "assets/deep/b.css", "assets/deep/c.txt", "assets/draft/d.css", "img[1]/e.png", "one.txt"]
    {
        let path = folder.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let seen = |entries: &str| {
        let manifest = folder.load(&format!(
            "{HEAD}[[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n[component.cart]\nsource = 'cart.wasm'\n{entries}"
        ))?;
        let files = manifest.files_of(&manifest.components[0])?;
        assert!(files.iter().all(|file| file.source.is_file()));
        Ok(files.into_iter().map(|file| file.guest_path.display().to_string()).collect::<Vec<_>>())
    };
    let table = [
        ("files = ['assets/**/*.css']", vec!["assets/a.css", "assets/deep/b.css", "assets/draft/d.css"]),
        ("files = ['assets/**/*.css']\nexclude_files = ['assets/draft/*']", vec!["assets/a.css", "assets/deep/b.css"]),
        ("files = ['assets/deep', 'one.txt']", vec!["assets/deep/b.css", "assets/deep/c.txt", "one.txt"]),
        ("files = ['img[1]']", vec!["img[1]/e.png"]),
        ("files = ['assets/*.none']", vec![]),
        ("files = [{ source = 'assets/deep', destination = '/' }]", vec!["b.css", "c.txt"]),
        ("files = [{ source = 'img[1]', destination = '/pictures' }]", vec!["pictures/e.png"]),
        ("files = [{ source = 'one.txt', destination = '/two.txt' }]", vec!["two.txt"]),
        ("files = [{ source = 'assets', destination = '/' }]\nexclude_files = ['**/d*/*']", vec!["a.css"]),
        (
            "files = ['one.txt', 'assets/a.css', 'assets/deep']\nexclude_files = ['**/*']",
            vec!["one.txt", "assets/a.css"],
        ),
    ];
    for (entries, expected) in table {
        assert_eq!(seen(entries).unwrap(), expected, "{entries}");
    }
    assert_eq!(folder.message(seen("files = ['none.txt']")), "spin.toml:9:10: none.txt does not exist");
    assert_eq!(
        folder.message(seen("files = [{ source = 'one.txt', destination = '/' }]")),
        "spin.toml:9:10: one.txt is a file; expected its name in the destination"
    );
    assert_eq!(
        folder.message(seen("files = ['a[']")),
        "spin.toml:9:10: \"a[\" is no glob pattern: invalid range pattern"
    );
    assert_eq!(
        folder.message(seen("exclude_files = ['a[']")),
        "spin.toml:9:18: \"a[\" is no glob pattern: invalid range pattern"
    );
}

#[test]
fn secrets_do_not_show_up_in_logs() {
    let text = format!(
        "{HEAD}[variables]\npin = {{ default = 'hunter2', secret = true }}\nlang = {{ default = 'en' }}\n\
         [[trigger.http]]\nroute = '/'\nstatic_response = {{}}"
    );
    let shown = format!("{:?}", Folder::new().load(&text).unwrap());
    assert!(shown.contains("\"en\"") && shown.contains("(secret)") && !shown.contains("hunter2"), "{shown}");
}
