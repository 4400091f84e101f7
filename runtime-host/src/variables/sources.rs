//! Where the values of application variables come from.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::template::check_name;

/// What the names of environment variables begin with unless a provider says otherwise.
pub const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";
/// The file in the current folder that completes the environment.
const DOTENV: &str = ".env";

/// Values by name. They may be secret, so that neither `Debug` nor an error shows any.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values(pub(super) BTreeMap<String, String>);

impl Values {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// One `[[variables_provider]]` of the runtime configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableProvider {
    /// `type = "env"`: environment variables named `<prefix>_<NAME>`.
    Environment {
        /// What the names begin with.
        prefix: String,
        /// A file that completes the environment; it must exist.
        dotenv_path: Option<PathBuf>,
    },
    /// `type = "static"`: values from the file itself.
    Static(Values),
}

/// Why values could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file is missing or is not readable text.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not made of names and strings. The parser's own words may quote a secret and are left out.
    #[error("{}: is not {expected}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it has to be.
        expected: &'static str,
    },
    /// A `--variable` that has none of the forms that are allowed. It may be a lone secret, so it is told by its place.
    #[error(
        "--variable number {position}: expected NAME=VALUE, NAME=@FILE, @FILE.json or @FILE.toml, \
         where NAME is made of lower-case letters, digits and underscores"
    )]
    Argument {
        /// Its place among the `--variable` arguments, from 1.
        position: usize,
    },
}

/// Reads the values of `--variable`, of which a later one wins: `NAME=VALUE`, `NAME=@FILE` (the file's text),
/// `@FILE.json` or `@FILE.toml` (names with strings).
pub fn read_overrides<S: AsRef<str>>(arguments: &[S]) -> Result<Values, SourceError> {
    let mut values = Values::default();
    for (index, argument) in arguments.iter().map(S::as_ref).enumerate() {
        let misshapen = SourceError::Argument { position: index + 1 };
        if let Some(path) = argument.strip_prefix('@') {
            values.0.extend(read_file(Path::new(path), misshapen)?.0);
        } else {
            // Only the name may show up in an error. What stands before the padding of a secret in Base64 is no name.
            let pair = argument.split_once('=').filter(|(name, _)| check_name(name).is_ok());
            let (name, value) = pair.ok_or(misshapen)?;
            let value = match value.strip_prefix('@') {
                Some(path) => read(Path::new(path))?,
                None => value.into(),
            };
            values.0.insert(name.into(), value);
        }
    }
    Ok(values)
}

fn read_file(path: &Path, misshapen: SourceError) -> Result<Values, SourceError> {
    let (parsed, expected) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => (serde_json::from_str(&read(path)?).ok(), "a JSON object of strings"),
        Some("toml") => (toml::from_str(&read(path)?).ok(), "a TOML file of strings"),
        _ => return Err(misshapen),
    };
    parsed.map(Values).ok_or_else(|| SourceError::Parse { path: path.into(), expected })
}

fn read(path: &Path) -> Result<String, SourceError> {
    std::fs::read_to_string(path).map_err(|source| SourceError::Read { path: path.into(), source })
}

/// A source with its files read, ready to be asked.
pub(super) enum Source<'e> {
    Values(Values),
    Environment { prefix: String, environment: &'e dyn Fn(&str) -> Option<String>, dotenv: Values },
}

impl<'e> Source<'e> {
    /// The environment of the process, completed by `.env` if there is one, which Spin always asks.
    pub(super) fn of_process(environment: &'e dyn Fn(&str) -> Option<String>) -> Result<Self, SourceError> {
        let dotenv = match read_dotenv(Path::new(DOTENV)) {
            Err(SourceError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Values::default(),
            values => values?,
        };
        Ok(Self::Environment { prefix: DEFAULT_PREFIX.into(), environment, dotenv })
    }

    pub(super) fn of_provider(
        provider: &VariableProvider,
        environment: &'e dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SourceError> {
        Ok(match provider {
            VariableProvider::Static(values) => Self::Values(values.clone()),
            VariableProvider::Environment { prefix, dotenv_path } => {
                let dotenv = dotenv_path.as_deref().map(read_dotenv).transpose()?.unwrap_or_default();
                Self::Environment { prefix: prefix.clone(), environment, dotenv }
            }
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Values(values) => values.get(name).map(String::from),
            Self::Environment { prefix, environment, dotenv } => {
                let key = format!("{prefix}_{}", name.to_ascii_uppercase());
                environment(&key).or_else(|| dotenv.get(&key).map(String::from))
            }
        }
    }
}

fn read_dotenv(path: &Path) -> Result<Values, SourceError> {
    let text = read(path)?;
    let entries = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>();
    entries.map_err(|_| SourceError::Parse { path: path.into(), expected: "made of NAME=VALUE lines" })
}
