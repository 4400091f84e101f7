//! `[[client_tls]]`: how some components make sure of some hosts over TLS, and what they show them.

use std::path::{Path, PathBuf};

use http::uri::Authority;

use crate::config_file::{ConfigError, Located, Table, Value};

/// One setting; the first one that names both the component and the host applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Ids of components.
    pub components: Vec<String>,
    /// Names or addresses, without a port.
    pub hosts: Vec<String>,
    /// Who vouches for the hosts.
    pub roots: TlsRoots,
    /// Who the components are.
    pub identity: Option<ClientIdentity>,
}

/// Certificate authorities; at least one kind of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRoots {
    /// Those that the operating system trusts.
    pub platform: bool,
    /// Those that Mozilla trusts, compiled in.
    pub webpki: bool,
    /// Those in this file, PEM.
    pub file: Option<PathBuf>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate chain, PEM, the client's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl ClientTls {
    /// Reads one table; paths are relative to `folder`.
    pub(super) fn read(mut table: Table<'_>, folder: &Path) -> Result<Self, ConfigError> {
        let file = |path: String| folder.join(path);
        let hosts: Vec<Value> = table.required("hosts", "a list of hosts")?;
        let setting = Self {
            components: table.required("component_ids", "a list of components")?,
            hosts: hosts.into_iter().map(read_host).collect::<Result<_, _>>()?,
            roots: TlsRoots::read(&mut table, folder)?,
            identity: match (table.optional("client_cert_file")?, table.optional("client_private_key_file")?) {
                (Some(certificate), Some(key)) => {
                    Some(ClientIdentity { certificate: file(certificate), key: file(key) })
                }
                (None, None) => None,
                _ => {
                    return Err(table.error(
                        "[[client_tls]] needs both `client_cert_file` and `client_private_key_file`, or neither",
                    ));
                }
            },
        };
        if setting.components.is_empty() || setting.hosts.is_empty() {
            return Err(
                table.error("[[client_tls]] applies to nothing: `component_ids` and `hosts` must each have an entry")
            );
        }
        table.finish()?;
        Ok(setting)
    }
}

fn read_host(value: Value<'_>) -> Result<String, ConfigError> {
    let host: Located<String> = value.parse(|host| match host.parse::<Authority>() {
        Ok(authority) if authority.host() == host => Ok(host.to_owned()),
        _ => Err(format!("{host:?} is not a host; expected a name or an address without a port")),
    })?;
    Ok(host.value)
}

impl TlsRoots {
    fn read(table: &mut Table<'_>, folder: &Path) -> Result<Self, ConfigError> {
        let file = table.optional::<String>("ca_roots_file")?.map(|path| folder.join(path));
        let platform: Option<bool> = table.optional("ca_use_platform_roots")?;
        let webpki: Option<bool> = table.optional("ca_use_webpki_roots")?;
        let roots = Self {
            // The defaults are Spin's: what is said replaces them.
            platform: platform.unwrap_or(webpki.is_none() && file.is_none()),
            webpki: webpki.unwrap_or(false),
            file,
        };
        if !roots.platform && !roots.webpki && roots.file.is_none() {
            return Err(table.error(
                "[[client_tls]] trusts no certificate authority; set `ca_roots_file`, `ca_use_webpki_roots` or `ca_use_platform_roots`",
            ));
        }
        Ok(roots)
    }
}
