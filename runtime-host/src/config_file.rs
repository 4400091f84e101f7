//! Reads TOML so that every error names file, line and column, what was found and what was expected.

mod from_toml;

use std::fmt::Display;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

pub use from_toml::FromToml;

/// Why a configuration file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or is not readable text.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// Something in the file is not as it has to be.
    #[error("{}:{position}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        position: Position,
        /// What was found and what was expected.
        problem: String,
    },
}

impl ConfigError {
    /// A problem at `position` of the file `path`.
    pub fn new(path: &Path, position: Position, problem: impl Display) -> Self {
        Self::Invalid { path: path.to_owned(), position, problem: problem.to_string() }
    }
}

/// A line and a column, both counted from one; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value that knows where it stands in its file, for checks that come after reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub position: Position,
}

impl<T> Located<T> {
    /// The same place with another value.
    pub fn with<U>(&self, value: U) -> Located<U> {
        Located { value, position: self.position }
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A file's path and text.
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl ConfigFile {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self::new(path.to_owned(), text))
    }

    fn new(path: PathBuf, text: String) -> Self {
        let after = |(newline, _): (usize, &str)| newline + 1;
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(after)).collect();
        Self { path, text, lines }
    }

    /// Parses the text and gives its top level.
    pub fn root(&self) -> Result<Table<'_>, ConfigError> {
        match DeTable::parse(&self.text) {
            Ok(table) => Ok(Table::new(self, String::new(), Position { line: 1, column: 1 }, table.into_inner())),
            Err(error) => {
                let position = self.position(error.span().map_or(0, |span| span.start));
                Err(ConfigError::new(&self.path, position, error.message()))
            }
        }
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).map_or(0, |index| self.lines[index]);
        let before = &self.text[start..self.text.floor_char_boundary(offset).max(start)];
        Position { line, column: before.chars().count() + 1 }
    }
}

/// A table whose keys are taken out one by one; [`Table::finish`] reports what nobody asked for.
pub struct Table<'f> {
    file: &'f ConfigFile,
    /// The dotted name, empty for the top level.
    name: String,
    position: Position,
    /// In the order of the file.
    entries: Vec<(Located<String>, Value<'f>)>,
    known: Vec<&'static str>,
}

impl<'f> Table<'f> {
    fn new(file: &'f ConfigFile, name: String, position: Position, table: DeTable<'f>) -> Self {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries
            .into_iter()
            .map(|(key, value)| {
                let position = file.position(key.span().start);
                let key = key.into_inner().into_owned();
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let value =
                    Value { file, name, position: file.position(value.span().start), value: value.into_inner() };
                (Located { value: key, position }, value)
            })
            .collect();
        Self { file, name, position, entries, known: Vec::new() }
    }

    /// Takes out the value of `key`, if there is one.
    pub fn optional<T: FromToml<'f>>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.known.push(key);
        let Some(index) = self.entries.iter().position(|(name, _)| name.value == key) else {
            return Ok(None);
        };
        T::from_toml(self.entries.remove(index).1).map(Some)
    }

    /// Takes out the value of `key`, or the type's default.
    pub fn or_default<T: FromToml<'f> + Default>(&mut self, key: &'static str) -> Result<T, ConfigError> {
        Ok(self.optional(key)?.unwrap_or_default())
    }

    /// Takes out the value of `key`; without one the error says what was `expected`.
    pub fn required<T: FromToml<'f>>(&mut self, key: &'static str, expected: &str) -> Result<T, ConfigError> {
        self.optional(key)?.ok_or_else(|| self.error(format!("{self} has no `{key}`; expected {expected}")))
    }

    /// Fails if `key` is there, saying `why`: for what the format knows and this host does not run.
    pub fn refuse(&mut self, key: &'static str, why: &str) -> Result<(), ConfigError> {
        match self.optional::<Value>(key)? {
            Some(value) => Err(value.error(format!("`{}` is not supported: {why}", value.name))),
            None => Ok(()),
        }
    }

    /// Fails if a key is left that was never asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some((key, _)) = self.entries.first() else {
            return Ok(());
        };
        let hint = suggestion(key, self.known.iter().copied());
        Err(ConfigError::new(&self.file.path, key.position, format!("unknown key `{}` in {self}{hint}", key.value)))
    }

    /// All entries in the order of the file, for tables whose keys the user makes up.
    pub fn into_entries(self) -> Vec<(Located<String>, Value<'f>)> {
        self.entries
    }

    /// Where the table begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// A problem with the table as a whole.
    pub fn error(&self, problem: impl Display) -> ConfigError {
        ConfigError::new(&self.file.path, self.position, problem)
    }

    /// A problem with something that stood in this file.
    pub fn error_at(&self, position: Position, problem: impl Display) -> ConfigError {
        ConfigError::new(&self.file.path, position, problem)
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { f.write_str("the top level") } else { write!(f, "[{}]", self.name) }
    }
}

/// One value, not yet of any type.
pub struct Value<'f> {
    file: &'f ConfigFile,
    name: String,
    position: Position,
    value: DeValue<'f>,
}

impl<'f> Value<'f> {
    /// The value as a `T`.
    pub fn read<T: FromToml<'f>>(self) -> Result<T, ConfigError> {
        T::from_toml(self)
    }

    /// Whether it is a string, where the format allows either a string or a table.
    pub fn is_string(&self) -> bool {
        self.value.is_str()
    }

    /// Whether it is a table, where the format allows either a string or a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a list, where the format allows either a list or something else.
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// The string as whatever `parse` makes of it, whose error has to be a whole sentence.
    pub fn parse<T, E: Display>(self, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Located<T>, ConfigError> {
        match &self.value {
            DeValue::String(text) => match parse(text) {
                Ok(value) => Ok(Located { value, position: self.position }),
                Err(problem) => Err(self.error(problem)),
            },
            _ => Err(self.expected("a string")),
        }
    }

    /// A problem with something that stood in this file.
    pub fn error_at(&self, position: Position, problem: impl Display) -> ConfigError {
        ConfigError::new(&self.file.path, position, problem)
    }

    /// A problem with this value.
    pub fn error(&self, problem: impl Display) -> ConfigError {
        ConfigError::new(&self.file.path, self.position, problem)
    }

    /// The error for a value of the wrong type.
    pub fn expected(&self, expected: &str) -> ConfigError {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.error(format!("`{}` is {article} {found}; expected {expected}", self.name))
    }
}

/// The end of an "unknown name" message: the nearest known name, or all of them when none is near.
pub fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(found, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("; did you mean `{name}`?")
        }
        Some(_) => format!("; expected {}", list(&known)),
        None => String::new(),
    }
}

/// `a`, `b` or `c`.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests;
