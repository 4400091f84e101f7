//! What is left of an application when only some of its components run.

use super::*;

const APP: &str = r#"
[[trigger.http]]
route = "/cart"
component = "cart"
[[trigger.http]]
route = "/orders"
component = "orders"
[[trigger.http]]
route = "/gone"
static_response = { status_code = 410 }
[component.cart]
source = "cart.wasm"
dependencies."a:b" = { component = "pricing" }
[component.orders]
source = "orders.wasm"
sqlite_databases = ["orders"]
[component.pricing]
source = "pricing.wasm"
"#;

fn retain(manifest: &mut Manifest, ids: &[&str]) -> Result<(), RetainError> {
    manifest.retain(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
}

/// What is left of triggers and components.
fn left(manifest: &Manifest) -> (Vec<&str>, Vec<&str>) {
    let routes = manifest.triggers.iter().filter_map(|trigger| trigger.route.as_ref()).map(|route| route.as_str());
    (routes.collect(), manifest.components.iter().map(|component| component.id.as_str()).collect())
}

#[test]
fn components_stay_with_their_triggers_and_with_what_is_composed_into_them() {
    let folder = Folder::new();
    let load = || folder.load(&format!("{HEAD}{APP}")).unwrap();
    for (ids, routes, components) in [
        (&["cart"][..], &["/cart"][..], &["cart", "pricing"][..]),
        (&["orders"], &["/orders"], &["orders"]),
        (&["orders", "cart"], &["/cart", "/orders"], &["cart", "orders", "pricing"]),
        (&[], &["/cart", "/orders", "/gone"], &["cart", "orders", "pricing"]),
    ] {
        let mut manifest = load();
        retain(&mut manifest, ids).unwrap();
        assert_eq!(left(&manifest), (routes.to_vec(), components.to_vec()), "{ids:?}");
    }
}

#[test]
fn only_what_is_left_has_to_be_set_up_and_built() {
    let folder = Folder::new();
    let mut manifest = folder.load(&format!("{HEAD}{APP}")).unwrap();
    assert!(manifest.check_stores(&RuntimeConfig::default()).is_err());
    retain(&mut manifest, &["cart"]).unwrap();
    manifest.check_stores(&RuntimeConfig::default()).unwrap();
    let create = |name: &str| std::fs::write(folder.0.path().join(name), "").unwrap();
    create("cart.wasm");
    assert!(folder.message(manifest.check_sources()).contains("pricing.wasm"), "it is composed into the cart");
    create("pricing.wasm");
    manifest.check_sources().unwrap();
}

#[test]
fn a_selection_that_cannot_run_by_itself_is_refused() {
    let folder = Folder::new();
    let refused = |allowed: &str, ids: &[&str]| {
        let app =
            APP.replace("source = \"orders.wasm\"", &format!("source = \"o\"\nallowed_outbound_hosts = [{allowed}]"));
        let variables = "[variables]\nhost = { default = \"cart\" }\n";
        let mut manifest = folder.load(&format!("{HEAD}{app}{variables}")).unwrap();
        let error = retain(&mut manifest, ids).err().map(|error| error.to_string()).unwrap_or("no error".into());
        error.replace(&format!("{}/", folder.0.path().display()), "")
    };
    let cart = "\"https://example.com\", \"http://cart.spin.internal\"";
    assert_eq!(
        refused(cart, &["orders"]),
        "spin.toml:19:50: the selected component `orders` may call the component `cart`, which is not selected with it"
    );
    assert_eq!(refused(cart, &["orders", "cart"]), "no error");
    assert_eq!(refused(cart, &["cart"]), "no error", "who is not selected may want what he likes");
    assert_eq!(
        refused("\"http://*.spin.internal\"", &["orders", "cart"]),
        "spin.toml:19:27: the selected component `orders` may call every component of the application, which is not selected with it"
    );
    assert_eq!(refused("\"http://{{ host }}.spin.internal\", \"http://self\", \"http://*\"", &["orders"]), "no error");
    assert_eq!(refused("", &["orders", "ordres"]), "the application has no component `ordres`");
    assert_eq!(refused("", &["pricing"]), "no trigger runs any of the selected components");
}
