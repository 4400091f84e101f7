//! How arguments become settings.

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};
use crate::manifest;

fn up(arguments: &[&str]) -> Up {
    match Cli::try_parse_from(["bodega", "up"].iter().chain(arguments)).unwrap().command {
        Command::Up(up) => *up,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_arguments_the_listener_has_its_defaults() {
    let config = up(&[]).listener_config();
    let default = listener::Config::new("127.0.0.1:3000".parse().unwrap());
    assert_eq!(format!("{config:?}"), format!("{default:?}"));
    assert_eq!(up(&[]).readiness_delay(), Duration::ZERO);
    assert_eq!(up(&[]).admin_listen, "127.0.0.1:3001".parse().unwrap());
}

#[test]
fn limits_are_what_was_asked_for() {
    let up = up(&[
        "--workers=3",
        "--connections-max=5",
        "--body-bytes-max=7",
        "--header-bytes-max=8192",
        "--header-read-timeout-ms=11",
        "--connection-idle-timeout-ms=13",
        "--write-timeout-ms=17",
        "--drain-timeout-ms=19",
        "--readiness-delay-ms=23",
    ]);
    let config = up.listener_config();
    assert_eq!((config.workers.get(), config.connections_max), (3, 5));
    assert_eq!((config.limits.body_bytes_max, config.limits.header_bytes_max), (Some(7), 8192));
    assert_eq!(config.limits.header_read_timeout, Duration::from_millis(11));
    assert_eq!(config.limits.idle_timeout, Duration::from_millis(13));
    assert_eq!(config.limits.write_timeout, Duration::from_millis(17));
    assert_eq!(config.drain_timeout, Duration::from_millis(19));
    assert_eq!(up.readiness_delay(), Duration::from_millis(23));
}

#[test]
fn a_body_limit_of_0_is_none() {
    assert_eq!(up(&["--body-bytes-max=0"]).listener_config().limits.body_bytes_max, None);
}

#[test]
fn tls_has_a_certificate_and_a_key() {
    let tls = up(&["--tls-cert=c.pem", "--tls-key=k.pem"]).listener_config().tls.unwrap();
    assert_eq!((tls.certificate, tls.key), ("c.pem".into(), "k.pem".into()));
}

#[test]
fn environment_variables_are_for_every_component_and_above_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spin.toml");
    let text = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n\
                [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n\
                [component.a]\nsource = \"a.wasm\"\nenvironment = { MODE = \"manifest\", KEPT = \"1\" }\n\
                [[trigger.http]]\nroute = \"/b\"\ncomponent = \"b\"\n[component.b]\nsource = \"b.wasm\"\n";
    std::fs::write(&path, text).unwrap();
    let mut manifest = manifest::load(&path).unwrap();

    up(&["-e", "MODE=a=b", "-e", "EMPTY="]).application.add_environment(&mut manifest).unwrap();
    let of = |id: &str| manifest.component(id).unwrap().environment.clone();
    assert_eq!((of("a")["MODE"].as_str(), of("b")["MODE"].as_str()), ("a=b", "a=b"));
    assert_eq!((of("a")["KEPT"].as_str(), of("a")["EMPTY"].as_str()), ("1", ""));
    assert_eq!(of("b").len(), 2);

    let refused = up(&["-e", "MODE"]).application.add_environment(&mut manifest).unwrap_err();
    assert_eq!(refused.to_string(), "--env MODE: expected NAME=VALUE");
}
