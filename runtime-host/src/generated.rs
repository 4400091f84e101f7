//! Values that the host generates on first start, so that no secret is ever built in.
//!
//! `[application.tool.bodega.generate]` names the variables that get such a value when nothing else provides one. Another runtime
//! ignores the table and takes the variables from its own providers.

use identity::{Claims, Role, Settings, Signer};

use crate::state_dir::{StateDir, StateDirError};

/// Bytes of randomness in a generated secret; also the length of an Ed25519 seed.
const SECRET_BYTES: usize = 32;
/// The secret file with the seed of the key by which the host's own commands act as staff.
const STAFF_KEY: &str = "staff-key";
/// The key's id in the JWKS, and the subject of its tokens.
const STAFF_KEY_ID: &str = "bodega-host";
/// How long a token for one of the host's own commands is good.
const TOKEN_LIFETIME_S: i64 = 15 * 60;

/// What to generate for a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generate {
    /// A random string.
    Secret,
    /// A JWKS with the public half of the host's staff key.
    StaffJwks,
}

/// A generated value could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The state folder failed.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes")]
    Random,
    /// The key file was changed by hand.
    #[error("the staff key in the state folder is not readable; delete it to get a new one")]
    DamagedKey,
}

impl Generate {
    /// The value for the variable `name`, the same at every start.
    pub fn value(self, name: &str, state: &StateDir) -> Result<String, GenerateError> {
        match self {
            Self::Secret => secret(name, state),
            Self::StaffJwks => Ok(staff_signer(state)?.jwks()),
        }
    }
}

/// The bearer token of the control API, the same at every start.
pub fn admin_token(state: &StateDir) -> Result<String, GenerateError> {
    secret("admin-token", state)
}

/// The token by which other hosts use the databases that `bodega stores` serves, the same at every start.
pub fn stores_token(state: &StateDir) -> Result<String, GenerateError> {
    secret("stores-token", state)
}

/// The token by which the host's own user has another process take over, the same at every start.
pub fn upgrade_token(state: &StateDir) -> Result<String, GenerateError> {
    secret("upgrade-token", state)
}

/// What a tester sends as `x-bodega-preview` to be answered by a revision that is rolled out, the same at every start.
pub fn preview_token(state: &StateDir) -> Result<String, GenerateError> {
    secret("preview-token", state)
}

/// The key by which the values of secret variables are told apart without being kept, the same at every start.
pub fn seal_key(state: &StateDir) -> Result<String, GenerateError> {
    secret("seal-key", state)
}

/// A short-lived token of a role by which one of the host's own commands acts, good where the application's keys are
/// the generated ones. Whoever can read the key in the state folder can do all that the host can.
pub fn command_token(state: &StateDir, role: Role) -> Result<String, GenerateError> {
    let claims = Claims::access(&Settings::default(), STAFF_KEY_ID, &[role], TOKEN_LIFETIME_S);
    Ok(staff_signer(state)?.sign(&claims))
}

fn staff_signer(state: &StateDir) -> Result<Signer, GenerateError> {
    let seed = hex::decode(secret(STAFF_KEY, state)?).map_err(|_| GenerateError::DamagedKey)?;
    let seed: [u8; SECRET_BYTES] = seed.try_into().map_err(|_| GenerateError::DamagedKey)?;
    Ok(Signer::new(STAFF_KEY_ID, seed))
}

/// The secret `name` in the state folder, random bytes in hex.
fn secret(name: &str, state: &StateDir) -> Result<String, GenerateError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| GenerateError::Random)?;
    Ok(state.secret(name, || hex::encode(bytes))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_the_same_and_differ_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = Generate::Secret.value("a", &state).unwrap();
        assert_eq!(first.len(), 2 * SECRET_BYTES);
        assert_eq!(Generate::Secret.value("a", &state).unwrap(), first);
        assert_ne!(Generate::Secret.value("b", &state).unwrap(), first);
        assert_eq!(
            Generate::StaffJwks.value("jwks", &state).unwrap(),
            Generate::StaffJwks.value("jwks", &state).unwrap()
        );
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.secret(STAFF_KEY, || "no key".to_owned()).unwrap();
        assert!(matches!(command_token(&state, Role::Staff), Err(GenerateError::DamagedKey)));
    }

    #[test]
    fn secret_files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        admin_token(&state).unwrap();
        let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("state"), mode("state/secrets/admin-token")), (0o700, 0o600));
    }
}
