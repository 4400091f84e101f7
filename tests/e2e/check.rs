//! An operator checks a manifest before anything is started: a good one is said to be sound, a bad one is refused with the place.

use std::path::Path;
use std::process::Output;

use tests::app::App;

async fn check(app: &App) -> (Output, String) {
    let output = app.command(&["check"]).await.expect("the host's binary runs");
    assert!(!app.folder().join(".bodega").exists(), "a check makes nothing");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[tokio::test]
async fn a_good_manifest_is_sound() {
    let app = App::new().guest("hello", "key_value_stores = [\"default\"]").guest("hello-p2", "");
    let (output, said) = check(&app).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("spin.toml is sound: 2 components, 2 triggers"), "{said}");
}

#[tokio::test]
async fn a_bad_manifest_is_refused_with_the_place_of_the_mistake() {
    let store = App::new().guest("hello", "key_value_stores = [\"carts\"]");
    let file = App::new().component("hello", "\"/hello\"", Path::new("absent.wasm"), "");
    let key = App::new().guest("hello", "enviroment = {}");
    for (app, words) in [
        (store, ["spin.toml:9:21", "the store `carts` of component `hello` is not set up"]),
        (file, ["spin.toml:8:10", "absent.wasm"]),
        (key, ["spin.toml:9:1", "did you mean `environment`?"]),
    ] {
        let (output, said) = check(&app).await;
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in:\n{said}");
        }
    }
}
