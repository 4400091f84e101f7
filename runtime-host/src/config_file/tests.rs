//! The reader's messages.

use super::*;

fn message<T>(text: &str, read: impl FnOnce(Table<'_>) -> Result<T, ConfigError>) -> String {
    let file = ConfigFile::new("a.toml".into(), text.into());
    file.root().and_then(read).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn errors_name_the_place_the_find_and_the_expectation() {
    assert_eq!(
        message("colour = 1\n", |mut root| {
            root.optional::<String>("color")?;
            root.finish()
        }),
        "a.toml:1:1: unknown key `colour` in the top level; did you mean `color`?"
    );
    assert_eq!(
        message("'é' = 1\n\n[shop.hours]\n'é' = { from = 9 }\n", |mut root| {
            root.optional::<u64>("é")?;
            let mut hours = root.required::<Table>("shop", "a table")?.required::<Table>("hours", "a table")?;
            hours.required::<Table>("é", "a table")?.required::<String>("from", "a time")
        }),
        "a.toml:4:16: `shop.hours.é.from` is an integer; expected a string"
    );
    assert_eq!(
        message("[shop]\nx = 1\n", |mut root| {
            let mut shop: Table = root.required("shop", "a table")?;
            shop.required::<String>("name", "the shop's name")
        }),
        "a.toml:1:1: [shop] has no `name`; expected the shop's name"
    );
    assert_eq!(
        message("zzz = 1\n", |mut root| {
            root.optional::<u64>("a")?;
            root.optional::<u64>("b")?;
            root.optional::<u64>("c")?;
            root.finish()
        }),
        "a.toml:1:1: unknown key `zzz` in the top level; expected `a`, `b` or `c`"
    );
    assert_eq!(
        message("n = -1\n", |mut root| root.required::<u64>("n", "")),
        "a.toml:1:5: `n` is -1; expected a whole number from 0 to 18446744073709551615"
    );
    assert_eq!(
        message("l = ['a', true]\n", |mut root| root.required::<Vec<String>>("l", "")),
        "a.toml:1:11: `l[1]` is a boolean; expected a string"
    );
    assert_eq!(message("a = 1\na = 2\n", |root| root.finish()), "a.toml:2:1: duplicate key");
    assert_eq!(
        message("a = \n", |root| root.finish()),
        "a.toml:1:5: string values must be quoted, expected literal string"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = ConfigFile::read(Path::new("no/such.toml")).err().unwrap();
    assert_eq!(error.to_string(), "no/such.toml: cannot be read");
}

#[test]
fn entries_keep_the_order_of_the_file() {
    let file = ConfigFile::new("a.toml".into(), "z = 1\na = 2\n[m]\n".into());
    let keys: Vec<String> = file.root().unwrap().into_entries().into_iter().map(|(key, _)| key.value).collect();
    assert_eq!(keys, ["z", "a", "m"]);
}
