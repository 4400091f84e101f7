//! What is kept of a configuration, what is told of it, and what a former revision gets back.

use super::*;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
[variables]
color = { default = "red" }
token = { required = true, secret = true }
[[trigger.http]]
route = "/"
component = "cart"
[component.cart]
source = "cart.wasm"
environment = { LEVEL = "info" }
files = ["page.html"]
allowed_outbound_hosts = ["https://{{ color }}.example", "https://{{ token }}.example"]
[component.cart.variables]
color = "{{ color }}"
login = "user:{{ token }}"
"#;

struct Shop {
    dir: tempfile::TempDir,
    configurer: Configurer,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("spin.toml"), MANIFEST).unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        Self { dir, configurer: Configurer::new(&state, "key".to_owned()) }
    }

    /// What the component is given with these values.
    fn given(&self, color: &str, token: &str, page: &str) -> Configuration {
        std::fs::write(self.dir.path().join("page.html"), page).unwrap();
        let manifest = manifest::load(&self.dir.path().join("spin.toml")).unwrap();
        let values = [("color", color), ("token", token)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let values = values.into_iter().collect();
        let variables = Variables::resolve(&manifest, values, &[], Values::default(), &|_| None).unwrap();
        self.configurer.read(&manifest, &manifest.components[0], &variables).unwrap()
    }
}

fn page_of(configuration: &Configuration) -> String {
    let folder = configuration.files().unwrap();
    std::fs::read_to_string((*folder).as_ref().join("page.html")).unwrap()
}

#[test]
fn a_change_is_told_by_name_and_the_same_is_the_same() {
    let shop = Shop::new();
    let red = shop.given("red", "s3cret", "page");
    assert_eq!(red.digest(), shop.given("red", "s3cret", "page").digest());
    assert_eq!(shop.given("red", "s3cret", "page").changes_since(&red), [""; 0]);
    assert_eq!(shop.given("blue", "s3cret", "page").changes_since(&red), ["variable color", "allowed hosts"]);
    assert_eq!(shop.given("red", "other", "page").changes_since(&red), ["variable login", "allowed hosts"]);
    assert_eq!(shop.given("red", "s3cret", "new page").changes_since(&red), ["files"]);
    let other = Configuration { environment: BTreeMap::new(), ..red.clone() };
    assert_eq!(shop.configurer.sealed(other).changes_since(&red), ["environment LEVEL"]);
}

#[test]
fn no_secret_is_in_the_record_nor_shown() {
    let shop = Shop::new();
    let red = shop.given("red", "s3cret", "page");
    assert!(red.record().contains("red.example") && !red.record().contains("s3cret"), "{}", red.record());
    assert!(!format!("{red:?}").contains("s3cret"));
    let elsewhere = Configurer { seal_key: "another".to_owned(), ..Shop::new().configurer };
    assert_ne!(
        elsewhere.sealed(red.clone()).record(),
        red.record(),
        "without the key nobody can guess what was sealed"
    );
}

#[test]
fn a_former_revision_gets_all_back_and_its_secrets_while_they_are_known() {
    let shop = Shop::new();
    let former = shop.given("red", "old", "old page");
    let now = shop.given("blue", "new", "new page");
    let restored = shop.configurer.restore(&former.record(), [&former], &now).unwrap();
    assert_eq!((restored.configuration.digest(), restored.warning().len()), (former.digest(), 0));
    assert_eq!(restored.configuration.values().get("login"), Some("user:old"));
    assert_eq!((page_of(&restored.configuration), page_of(&now)), ("old page".to_owned(), "new page".to_owned()));

    let restored = shop.configurer.restore(&former.record(), [], &now).unwrap();
    let values = restored.configuration.values();
    assert_eq!((values.get("color"), values.get("login")), (Some("red"), Some("user:new")));
    assert_eq!(restored.renewed, ["login", "allowed hosts"]);
    assert!(restored.warning()[0].contains("login, allowed hosts") && !restored.warning()[0].contains("new"));
    let hosts = restored.configuration.allowed_hosts().unwrap();
    let allows = |host: &str| hosts.allows_address("https", host, None);
    assert!(allows("red.example") && allows("new.example") && !allows("blue.example") && !allows("old.example"));
}

#[test]
fn a_secret_host_is_found_wherever_the_manifest_has_it_by_now() {
    let shop = Shop::new();
    let former = shop.given("red", "old", "page");
    let reordered = |mut now: Configuration| {
        now.hosts.reverse();
        shop.configurer.sealed(now)
    };
    let now = reordered(shop.given("blue", "old", "page"));
    let restored = shop.configurer.restore(&former.record(), [], &now).unwrap();
    assert_eq!((restored.configuration.digest(), restored.warning()), (former.digest(), vec![]));

    let now = reordered(shop.given("blue", "new", "page"));
    let restored = shop.configurer.restore(&former.record(), [], &now).unwrap();
    assert_eq!(restored.renewed, ["login", "allowed hosts"]);
    let hosts = restored.configuration.allowed_hosts().unwrap();
    let allows = |host: &str| hosts.allows_address("https", host, None);
    assert!(allows("red.example") && allows("new.example") && !allows("blue.example"));
}

#[test]
fn a_secret_that_is_gone_is_asked_for_by_name() {
    let shop = Shop::new();
    let former = shop.given("red", "old", "page");
    let error = shop.configurer.restore(&former.record(), [], &Configuration::default()).err().unwrap().to_string();
    assert!(error.contains("`login`"), "{error}");
    let unknown = shop.configurer.restore("{}", [], &former).err().unwrap().to_string();
    assert!(unknown.contains("not understood"), "{unknown}");
    let earlier = shop.configurer.restore("", [], &former).unwrap();
    assert_eq!(earlier.configuration.digest(), former.digest(), "an earlier version of the host recorded nothing");
}
