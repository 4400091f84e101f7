//! `[clients]`: machines that are known by a key or a certificate.

use super::{Context, fields};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::machines::{Machine, Machines};

/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

impl Context<'_> {
    pub(super) fn machines(&self, table: Table<'_>) -> Result<Machines, ConfigError> {
        let machine = |(name, value): (Located<String>, Value<'_>)| self.machine(&name, value.read()?);
        table.into_entries().into_iter().map(machine).collect::<Result<_, _>>().map(Machines)
    }

    fn machine(&self, name: &Located<String>, mut table: Table<'_>) -> Result<Machine, ConfigError> {
        fields::name(&table, "client", name)?;
        let keys = match table.optional::<Value>("key_sha256")? {
            None => Vec::new(),
            Some(value) if value.is_list() => value.read::<Vec<Value>>()?,
            Some(value) => vec![value],
        };
        let certificate: Option<String> = table.optional("certificate")?;
        if keys.is_empty() && certificate.is_none() {
            return Err(
                table.error(format!("{table} cannot show who it is; expected `key_sha256`, `certificate` or both"))
            );
        }
        let digest = |value: Value<'_>| {
            let Some(text) = self.text(Some(value))? else { return Ok(None) };
            let digest = hex::decode(text.trim()).ok().and_then(|bytes| <[u8; DIGEST_BYTES]>::try_from(bytes).ok());
            // The text may be a key that somebody forgot to hash: it is not repeated.
            let problem = "this is no SHA-256; expected the 64 hexadecimal digits of the key's digest";
            digest.map(Some).ok_or_else(|| table.error_at(text.position, problem))
        };
        let keys = keys.into_iter().map(digest).collect::<Result<Vec<_>, ConfigError>>()?;
        let (roles, scopes): (Vec<String>, Vec<String>) = (table.or_default("roles")?, table.or_default("scopes")?);
        table.finish()?;
        Ok(Machine {
            // Without the values of variables none is known.
            keys: keys.into_iter().flatten().collect(),
            certificate,
            principal: Machine::principal(name, roles, &scopes),
        })
    }
}
