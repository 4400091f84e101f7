//! The parameters of a statement by name, and the statements of a text, for clients of protocols that have both.
//!
//! SQLite decides in the end: it counts the parameters again when it prepares the statement, and prepares one statement only.

/// The names of a statement's parameters in their order, with their signs; `None` for one without a name.
pub fn parameter_names(sql: &str) -> Vec<Option<String>> {
    let mut names: Vec<Option<String>> = Vec::new();
    for token in Tokens(sql, 0) {
        if let Some(number) = token.strip_prefix('?') {
            // `?NNN` is the parameter of that number, `?` the one after the highest.
            match number.parse::<usize>() {
                Ok(number @ 1..=PARAMETERS_MAX) => {
                    let count = names.len().max(number);
                    names.resize(count, None);
                    names[number - 1] = Some(token.to_owned());
                }
                _ => names.push(None),
            }
        } else if token.len() > 1 && token.starts_with([':', '@', '$']) {
            let name = Some(token.to_owned());
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Parameters that SQLite lets a statement have.
const PARAMETERS_MAX: usize = 32_766;

/// The statements of a text, which are separated by semicolons. Those in a trigger's body belong to the trigger.
pub fn split_statements(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut tokens = Tokens(sql, 0);
    let (mut start, mut words, mut last) = (0, Vec::<&str>::new(), "");
    while let Some(token) = tokens.next() {
        let is_trigger = words.first().is_some_and(|word| word.eq_ignore_ascii_case("create"))
            && words.iter().skip(1).any(|word| word.eq_ignore_ascii_case("trigger"));
        if token != ";" {
            if words.len() < FIRST_WORDS {
                words.push(token);
            }
            last = token;
        } else if !is_trigger || last.eq_ignore_ascii_case("end") {
            if !words.is_empty() {
                statements.push(sql[start..tokens.1].trim());
            }
            (start, last) = (tokens.1, "");
            words.clear();
        } else {
            last = token;
        }
    }
    if !words.is_empty() {
        statements.push(sql[start..].trim());
    }
    statements
}

/// As many as tell a trigger: CREATE TEMPORARY TRIGGER.
const FIRST_WORDS: usize = 3;

/// The tokens of a SQL text without blanks and comments: quoted texts whole, names, parameters, any other character by itself. With the
/// place after the last one.
struct Tokens<'a>(&'a str, usize);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = &self.0[self.1..];
            let first = rest.chars().next()?;
            let after = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
            let name_from = |from: usize| rest[from..].find(|c| !is_name(c)).map_or(rest.len(), |at| from + at);
            let (length, is_token) = match first {
                _ if first.is_whitespace() => (first.len_utf8(), false),
                '-' if rest.starts_with("--") => (after("\n", 2), false),
                '/' if rest.starts_with("/*") => (after("*/", 2), false),
                // A doubled quote ends one text and begins another, which makes no difference here.
                '\'' | '"' | '`' => (after(first.encode_utf8(&mut [0; 4]), 1), true),
                '[' => (after("]", 1), true),
                '?' | ':' | '@' => (name_from(1), true),
                _ if is_name(first) => (name_from(0), true),
                _ => (first.len_utf8(), true),
            };
            self.1 += length;
            if is_token {
                return Some(&rest[..length]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_by_name() {
        let names = |sql: &str| -> Vec<String> {
            parameter_names(sql).into_iter().map(|name| name.unwrap_or_else(|| "-".into())).collect()
        };
        let table: [(&str, &[&str]); 6] = [
            ("SELECT :a, @b, $c, :a", &[":a", "@b", "$c"]),
            ("SELECT ?, ?, ?", &["-", "-", "-"]),
            ("SELECT ?2, ?", &["-", "?2", "-"]),
            ("SELECT ':a', \":b\", [:c], `:d`, 'it''s :e' -- :f\n, /* :g */ :h", &[":h"]),
            ("SELECT j -> '$.a' FROM t WHERE ü = :ü AND b=:b", &[":ü", ":b"]),
            ("SELECT ?99999", &["-"]),
        ];
        for (sql, expected) in table {
            assert_eq!(names(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_text_is_split_where_statements_end() {
        let trigger = "CREATE TEMP TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u; SELECT ';'; END;";
        let text = format!(" SELECT 1; ; -- a; b\nSELECT ';', \"x;\" ;{trigger} SELECT 2 ; -- the end");
        assert_eq!(split_statements(&text), ["SELECT 1;", "-- a; b\nSELECT ';', \"x;\" ;", trigger, "SELECT 2 ;"]);
        assert!(split_statements(" ;; -- nothing").is_empty());
    }
}
