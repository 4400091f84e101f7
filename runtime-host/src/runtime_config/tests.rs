//! The runtime configuration's reading, and the whole message for each kind of bad one.

use super::*;

fn load(text: &str) -> (tempfile::TempDir, Result<RuntimeConfig, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runtime-config.toml");
    std::fs::write(&path, text).unwrap();
    let config = RuntimeConfig::load(&path);
    (folder, config)
}

#[test]
fn everything_that_spin_documents_and_the_host_offers_is_read() {
    let (folder, config) = load(
        r#"
        state_dir = "state"
        [[variables_provider]]
        type = "static"
        values = { a = "1" }
        [[variables_provider]]
        type = "env"
        prefix = "SHOP"
        dotenv_path = "shop.env"
        [[variables_provider]]
        type = "env"
        [sqlite_database.orders]
        type = "spin"
        path = "orders.db"
        [sqlite_database.scratch]
        type = "spin"
        [sqlite_database.catalog]
        type = "libsql"
        url = "https://stores.internal/catalog"
        token = "secret"
        [key_value_store.default]
        type = "spin"
        path = "carts.db"
        [key_value_store.sessions]
        type = "spin"
        path = "/var/lib/sessions.db"
        [key_value_store.shared]
        type = "redis"
        url = "rediss://shop:secret@redis.internal/2"
        [outbound_http]
        connection_pooling = false
        max_connections = 10
        [[client_tls]]
        component_ids = ["cart", "orders"]
        hosts = ["bank.internal", "10.0.0.1"]
        ca_roots_file = "ca.pem"
        client_cert_file = "shop.pem"
        client_private_key_file = "/run/secrets/shop.key"
        "#,
    );
    let env = |prefix: &str, dotenv_path: Option<&str>| VariableProvider::Environment {
        prefix: prefix.into(),
        dotenv_path: dotenv_path.map(PathBuf::from),
    };
    let expected = RuntimeConfig {
        path: Some(folder.path().join("runtime-config.toml")),
        state_dir: Some("state".into()),
        sqlite_databases: BTreeMap::from([
            ("orders".into(), DatabasePlace::Spin(StoreLocation::File("orders.db".into()))),
            ("scratch".into(), DatabasePlace::Spin(StoreLocation::Memory)),
            (
                "catalog".into(),
                DatabasePlace::Libsql(LibsqlServer::parse("https://stores.internal/catalog", "secret").unwrap()),
            ),
        ]),
        key_value_stores: BTreeMap::from([
            ("default".into(), KeyValuePlace::Spin(StoreLocation::File(folder.path().join("carts.db")))),
            ("sessions".into(), KeyValuePlace::Spin(StoreLocation::File("/var/lib/sessions.db".into()))),
            (
                "shared".into(),
                KeyValuePlace::Redis(RedisServer::parse("rediss://shop:secret@redis.internal/2").unwrap()),
            ),
        ]),
        variables_providers: vec![
            VariableProvider::Static([("a".into(), "1".into())].into_iter().collect()),
            env("SHOP", Some("shop.env")),
            env("SPIN_VARIABLE", None),
        ],
        outbound_http: OutboundHttp { connection_pooling: false, connections_max: Some(10) },
        client_tls: vec![ClientTls {
            components: vec!["cart".into(), "orders".into()],
            hosts: vec!["bank.internal".into(), "10.0.0.1".into()],
            roots: TlsRoots { platform: false, webpki: false, file: Some(folder.path().join("ca.pem")) },
            identity: Some(ClientIdentity {
                certificate: folder.path().join("shop.pem"),
                key: "/run/secrets/shop.key".into(),
            }),
        }],
    };
    assert_eq!(config.unwrap(), expected);
}

#[test]
fn what_is_left_out_has_a_default() {
    let (folder, config) = load("");
    let path = Some(folder.path().join("runtime-config.toml"));
    assert_eq!(config.unwrap(), RuntimeConfig { path, ..Default::default() });
    assert!(OutboundHttp::default().connection_pooling);
    let (_folder, config) = load("[outbound_http]\nmax_concurrent_requests = 10\n[[config_provider]]\ntype = 'env'");
    let config = config.unwrap();
    assert_eq!(config.outbound_http, OutboundHttp { connection_pooling: true, connections_max: Some(11) });
    assert_eq!(config.variables_providers.len(), 1);
}

#[test]
fn what_is_said_of_certificate_authorities_replaces_the_default() {
    let table = [
        ("", (true, false)),
        ("ca_roots_file = 'ca.pem'", (false, false)),
        ("ca_roots_file = 'ca.pem'\nca_use_platform_roots = true", (true, false)),
        ("ca_use_webpki_roots = true", (false, true)),
        ("ca_use_platform_roots = true\nca_use_webpki_roots = true", (true, true)),
    ];
    for (roots, expected) in table {
        let (_folder, config) = load(&format!("[[client_tls]]\ncomponent_ids = ['a']\nhosts = ['b']\n{roots}"));
        let found = &config.unwrap().client_tls[0].roots;
        assert_eq!((found.platform, found.webpki), expected, "{roots}");
    }
}

#[test]
fn bad_files_are_refused() {
    let table = [
        ("[sqlite_databse.a]", "1:2: unknown key `sqlite_databse` in the top level; did you mean `sqlite_database`?"),
        ("[sqlite_database.a]\npath = 'a'", "1:1: [sqlite_database.a] has no `type`; expected one of `spin`, `libsql`"),
        (
            "[sqlite_database.a]\ntype = 'turso'",
            "2:8: the type `turso` is not offered yet; expected one of `spin`, `libsql`",
        ),
        (
            "[sqlite_database.a]\ntype = 'libsql'\nurl = 'http://host'",
            "1:1: [sqlite_database.a] has no `token`; expected the token that the server asks for",
        ),
        (
            "[sqlite_database.a]\ntype = 'libsql'\nurl = 'http://shop:secret@host'\ntoken = 't'",
            "3:7: the URL is none of a libSQL database; expected http(s)://host[:port][/path]",
        ),
        (
            "[key_value_store.a]\ntype = 'redis'",
            "1:1: [key_value_store.a] has no `url`; expected a URL such as \"redis://host:6379/0\"",
        ),
        (
            "[key_value_store.a]\ntype = 'redis'\nurl = 'http://shop:secret@host'",
            "3:7: the URL is none of a Redis server; expected redis://host[:port][/database], or rediss:// with TLS",
        ),
        (
            "[key_value_store.a]\ntype = 'redis'\nurl = 'redis://host'\npath = 'a'",
            "4:1: unknown key `path` in [key_value_store.a]; expected `type` or `url`",
        ),
        (
            "[key_value_store.a]\ntype = 'azure_cosmos'",
            "2:8: the type `azure_cosmos` is not offered yet; expected one of `spin`, `redis`",
        ),
        (
            "[key_value_store.a]\ntype = 'aws_dynamo'",
            "2:8: the type `aws_dynamo` is not offered yet; expected one of `spin`, `redis`",
        ),
        ("[key_value_store.a]\ntype = 'spim'", "2:8: unknown type `spim`; did you mean `spin`?"),
        (
            "[key_value_store.a]\ntype = 'spin'\nttl_seconds = 5",
            "3:1: unknown key `ttl_seconds` in [key_value_store.a]; expected `type` or `path`",
        ),
        ("key_value_store = 5", "1:19: `key_value_store` is an integer; expected a table"),
        (
            "[[variables_provider]]\ntype = 'vault'",
            "2:8: the type `vault` is not offered yet; expected one of `env`, `static`",
        ),
        (
            "[[variables_provider]]\ntype = 'azure_key_vault'",
            "2:8: the type `azure_key_vault` is not offered yet; expected one of `env`, `static`",
        ),
        (
            "[[variables_provider]]\ntype = 'static'\nvalues = { a = 5 }",
            "3:16: `variables_provider[0].values.a` is an integer; expected a string",
        ),
        (
            "[[variables_provider]]\ntype = 'static'",
            "1:1: [variables_provider[0]] has no `values`; expected a table of names and values",
        ),
        (
            "[[variables_provider]]\ntype = 'env'\n[[config_provider]]\ntype = 'env'",
            "3:1: `config_provider` is the older name of `variables_provider`; expected one of the two",
        ),
        ("state_dir = ''", "1:13: the folder is empty, which Spin takes for no folder at all; expected a path"),
        ("log_dir = '/var/log/shop'", "1:11: `log_dir` is not supported: the log goes to standard error; redirect it"),
        ("[llm_compute]\ntype = 'spin'", "1:1: `llm_compute` is not supported: no language models are offered"),
        (
            "[outbound_redis]\nmax_connections = 1",
            "1:1: `outbound_redis` is not supported: components can only send HTTP requests",
        ),
        (
            "[outbound_http]\nmax_connections = 1\nmax_concurrent_requests = 1",
            "3:27: `max_concurrent_requests` is the older form of `max_connections`; expected one of the two",
        ),
        (
            "[[client_tls]]\ncomponent_ids = []\nhosts = ['a']",
            "1:1: [[client_tls]] applies to nothing: `component_ids` and `hosts` must each have an entry",
        ),
        (
            "[[client_tls]]\ncomponent_ids = ['a']\nhosts = ['b:443']",
            "3:10: \"b:443\" is not a host; expected a name or an address without a port",
        ),
        (
            "[[client_tls]]\ncomponent_ids = ['a']\nhosts = ['b']\nclient_cert_file = 'c'",
            "1:1: [[client_tls]] needs both `client_cert_file` and `client_private_key_file`, or neither",
        ),
        (
            "[[client_tls]]\ncomponent_ids = ['a']\nhosts = ['b']\nca_use_webpki_roots = false",
            "1:1: [[client_tls]] trusts no certificate authority; set `ca_roots_file`, `ca_use_webpki_roots` or `ca_use_platform_roots`",
        ),
        (
            "[outbound_http]\nmax_connections = 'ten'",
            "2:19: `outbound_http.max_connections` is a string; expected a whole number",
        ),
    ];
    for (text, expected) in table {
        let (folder, config) = load(text);
        let message = config.unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(message, format!("runtime-config.toml:{expected}"), "{text}");
    }
}
