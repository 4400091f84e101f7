//! Texts with application variables in them, `https://{{ api_host }}/v1`, and what a variable may be called.

use std::fmt::Display;

/// A parsed text. As in Spin there is no escape: `{{` always opens an expression, and `}}` alone is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// `{{` without its end.
    #[error("`{{{{` is not closed; expected `}}}}` after the variable's name")]
    Unclosed,
    /// `{{ }}`.
    #[error("`{{{{ }}}}` is empty; expected a variable's name")]
    Empty,
}

impl Template {
    /// Parses the text.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(InvalidTemplate::Unclosed)?;
            if name.trim().is_empty() {
                return Err(InvalidTemplate::Empty);
            }
            parts.extend((!before.is_empty()).then(|| Part::Text(before.into())));
            parts.push(Part::Variable(name.trim().into()));
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.into())));
        Ok(Self { parts })
    }

    /// The names of the variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether it is the same whatever the variables are.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The text with the values in the places of the variables, or the first name that has none.
    pub fn render<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Text(literal) => literal,
                Part::Variable(name) => value_of(name).ok_or(name.as_str())?,
            });
        }
        Ok(text)
    }
}

impl Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

/// Checks that a text can be the name of a variable, by Spin's rules.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("a variable's name must not be empty")
    } else if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        Err("a variable's name is made of lower-case letters, digits and underscores")
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Err("a variable's name begins with a letter")
    } else if name.ends_with('_') || name.contains("__") {
        Err("a variable's name has single underscores, and none at its end")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(text: &str) -> String {
        let template = Template::parse(text).unwrap();
        template.render(|name| (name == "a").then_some("1").or((name == "b").then_some("{{ a }}"))).unwrap()
    }

    #[test]
    fn values_take_the_places_of_the_variables() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{{a}}", "1"),
            ("x{{ a }}y{{  a}}z", "x1y1z"),
            ("{{a}}{{a}}", "11"),
            // A value is never read as a template again.
            ("{{ b }}", "{{ a }}"),
            ("} }} {", "} }} {"),
        ] {
            assert_eq!(render(text), expected, "{text}");
        }
        // The first two braces open the expression, as in Spin.
        assert_eq!(Template::parse("{{{a}}").unwrap().variables().collect::<Vec<_>>(), ["{a"]);
        let template = Template::parse("{{ a }} {{ c }}").unwrap();
        assert_eq!(template.render(|name| (name == "a").then_some("1")), Err("c"));
    }

    #[test]
    fn broken_texts_are_refused() {
        assert_eq!(Template::parse("{{ a }} {{ b"), Err(InvalidTemplate::Unclosed));
        assert_eq!(Template::parse("{{ }}"), Err(InvalidTemplate::Empty));
        assert_eq!(
            InvalidTemplate::Unclosed.to_string(),
            "`{{` is not closed; expected `}}` after the variable's name"
        );
        assert_eq!(InvalidTemplate::Empty.to_string(), "`{{ }}` is empty; expected a variable's name");
    }

    #[test]
    fn names_follow_the_rules_of_spin() {
        for name in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y", "é"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["a", "abc", "a1b2c3", "a_1", "a_1_b_3"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_text_parses_and_prints_to_an_equal_template(text in "[ab{} ]{0,16}|\\PC*") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()));
                prop_assert_eq!(template.is_literal(), template.render(|_| None).is_ok());
            }
        }
    }
}
