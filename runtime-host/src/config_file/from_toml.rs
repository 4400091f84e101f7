//! The types that a configuration's values are read as.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{ConfigError, Located, Table, Value};

/// A type that a [`Value`] can be read as.
pub trait FromToml<'f>: Sized {
    /// Reads the value or says what was expected.
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError>;
}

impl<'f> FromToml<'f> for Value<'f> {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        Ok(value)
    }
}

impl<'f> FromToml<'f> for String {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        match value.value {
            DeValue::String(text) => Ok(text.into_owned()),
            _ => Err(value.expected("a string")),
        }
    }
}

impl<'f> FromToml<'f> for bool {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        value.value.as_bool().ok_or_else(|| value.expected("true or false"))
    }
}

impl<'f> FromToml<'f> for u64 {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let DeValue::Integer(integer) = &value.value else {
            return Err(value.expected("a whole number"));
        };
        u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
            value.error(format!("`{}` is {integer}; expected a whole number from 0 to {}", value.name, u64::MAX))
        })
    }
}

impl<'f> FromToml<'f> for f64 {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let number = match &value.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| value.expected("a number"))
    }
}

impl<'f> FromToml<'f> for Table<'f> {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        match value.value {
            DeValue::Table(table) => Ok(Self::new(value.file, value.name, value.position, table)),
            _ => Err(value.expected("a table")),
        }
    }
}

impl<'f, T: FromToml<'f>> FromToml<'f> for Vec<T> {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let DeValue::Array(array) = value.value else {
            return Err(value.expected("a list"));
        };
        let element = |(index, element): (usize, toml::Spanned<DeValue<'f>>)| {
            T::from_toml(Value {
                file: value.file,
                name: format!("{}[{index}]", value.name),
                position: value.file.position(element.span().start),
                value: element.into_inner(),
            })
        };
        array.into_iter().enumerate().map(element).collect()
    }
}

impl<'f, T: FromToml<'f>> FromToml<'f> for BTreeMap<String, T> {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let entries = value.read::<Table>()?.into_entries();
        entries.into_iter().map(|(key, value)| Ok((key.value, value.read()?))).collect()
    }
}

impl<'f, T: FromToml<'f>> FromToml<'f> for Located<T> {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let position = value.position;
        Ok(Self { position, value: value.read()? })
    }
}
