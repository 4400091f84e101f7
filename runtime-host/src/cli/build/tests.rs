//! Which commands run, where, and what a failure says.

use std::fs;

use super::*;
use crate::manifest;

/// An application whose components build by these tables.
fn manifest(dir: &Path, components: &[(&str, &str)]) -> Manifest {
    let mut text = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n".to_owned();
    for (id, build) in components {
        text += &format!(
            "[[trigger.http]]\nroute = \"/{id}\"\ncomponent = \"{id}\"\n\
             [component.{id}]\nsource = \"{id}.wasm\"\n[component.{id}.build]\n{build}\n"
        );
    }
    let path = dir.join("spin.toml");
    fs::write(&path, text).unwrap();
    manifest::load(&path).unwrap()
}

#[test]
fn commands_run_in_order_in_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    let manifest = manifest(
        dir.path(),
        &[
            ("a", "command = [\"echo 1 >> log\", \"echo 2 >> log\"]\nworkdir = \"src\""),
            ("b", "command = \"echo 3 >> src/log\""),
        ],
    );
    build(&manifest, &[], None).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("src/log")).unwrap(), "1\n2\n3\n");
    build(&manifest, &["b".to_owned()], None).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("src/log")).unwrap(), "1\n2\n3\n3\n");
}

#[test]
fn a_failure_ends_the_build_and_names_component_and_command() {
    let dir = tempfile::tempdir().unwrap();
    let manifest =
        manifest(dir.path(), &[("a", "command = [\"exit 7\", \"touch later\"]"), ("b", "command = \"touch later\"")]);
    let error = format!("{:#}", build(&manifest, &[], None).unwrap_err());
    assert_eq!(error, "component `a` was not built: `exit 7` ended with exit status: 7");
    assert!(!dir.path().join("later").exists());
}

#[test]
fn an_unknown_component_is_refused_before_anything_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = manifest(dir.path(), &[("a", "command = \"touch built\"")]);
    let error = build(&manifest, &["a".to_owned(), "c".to_owned()], None).unwrap_err();
    assert_eq!(error.to_string(), "the application has no component `c`");
    assert!(!dir.path().join("built").exists());
}

#[test]
fn what_is_stopped_ends_with_all_that_it_has_started_and_nothing_begins_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let command = "(sleep 600; touch later) & echo $! > pid; wait";
    let manifest = manifest(dir.path(), &[("a", &format!("command = {command:?}"))]);
    let running = Running::default();
    let pid = dir.path().join("pid");
    std::thread::scope(|scope| {
        let building = scope.spawn(|| build(&manifest, &[], Some(&running)));
        while !fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')) {
            std::thread::yield_now();
        }
        running.stop();
        let error = building.join().unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("ended with signal: 15"), "{error:#}");
    });
    fs::remove_file(&pid).unwrap();
    let error = build(&manifest, &[], Some(&running)).unwrap_err();
    assert!(format!("{error:#}").contains("cannot be started"), "{error:#}");
    assert!(!pid.exists());
}
