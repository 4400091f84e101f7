//! What the command line takes, and where it looks for files.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["bodega"].iter().chain(arguments))
}

fn refusal(arguments: &[&str]) -> ErrorKind {
    parse(arguments).err().unwrap_or_else(|| panic!("{arguments:?} was taken")).kind()
}

#[test]
fn the_commands_are_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_of_spin_up_are_taken() {
    let spin = "up --from shop.toml --listen 0.0.0.0:80 --runtime-config-file stores.toml --component-id cart \
                -c catalog --variable a=b --env C=D --build --state-dir state --tls-cert c.pem --tls-key k.pem";
    parse(&spin.split_whitespace().collect::<Vec<_>>()).unwrap();
    parse(&["up", "--file", "shop.toml"]).unwrap();
    parse(&["build", "-f", "shop.toml", "-c", "cart"]).unwrap();
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for arguments in [
        &["up", "--listen", "localhost"][..],
        &["up", "--workers", "0"],
        &["up", "--drain-timeout-ms", "-1"],
        &["up", "--log-format", "xml"],
    ] {
        let kind = refusal(arguments);
        assert!(
            matches!(kind, ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::UnknownArgument),
            "{kind:?}"
        );
    }
    assert_eq!(refusal(&["up", "--tls-cert", "c.pem"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["up", "--quit"]), ErrorKind::UnknownArgument);
    assert_eq!(refusal(&["import"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["deploy"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["sell"]), ErrorKind::InvalidSubcommand);
}

#[test]
fn a_folder_stands_for_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let path = |from: &Path| ManifestArgs { from: from.to_owned() }.path();
    assert_eq!(path(dir.path()), dir.path().join("spin.toml"));
    assert_eq!(path(&dir.path().join("shop.toml")), dir.path().join("shop.toml"));
}

#[test]
fn the_runtime_configuration_is_the_named_one_else_the_one_beside_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = ManifestArgs { from: dir.path().join("spin.toml") };
    assert_eq!(runtime_config(&manifest, None).unwrap(), RuntimeConfig::default());

    let beside = dir.path().join("runtime-config.toml");
    std::fs::write(&beside, "state_dir = \"beside\"\n").unwrap();
    assert_eq!(runtime_config(&manifest, None).unwrap().state_dir, Some("beside".into()));

    let named = dir.path().join("named.toml");
    assert!(runtime_config(&manifest, Some(&named)).is_err(), "one that is named has to be there");
    std::fs::write(&named, "state_dir = \"named\"\n").unwrap();
    assert_eq!(runtime_config(&manifest, Some(&named)).unwrap().state_dir, Some("named".into()));
}
