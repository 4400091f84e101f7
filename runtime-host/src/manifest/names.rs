//! The forms that Spin allows for names.

/// Words of letters and digits, separated by `separator`; each all lower-case or all upper-case.
fn check_words(name: &str, separator: char) -> bool {
    name.split(separator).enumerate().all(|(index, word)| {
        let begins_well = |c: char| c.is_ascii_alphabetic() || index > 0 && c.is_ascii_digit();
        let digit = |b: &u8| b.is_ascii_digit();
        word.starts_with(begins_well)
            && (word.bytes().all(|b| b.is_ascii_lowercase() || digit(&b))
                || word.bytes().all(|b| b.is_ascii_uppercase() || digit(&b)))
    })
}

/// Checks the id of a component, or another name in kebab-case.
pub(super) fn check_id(name: &str) -> Result<(), String> {
    match check_words(name, '-') {
        true => Ok(()),
        false => Err(format!("{name:?} is no valid name; expected words of letters and digits joined by `-`")),
    }
}

/// Checks the label of a store.
pub(super) fn check_label(label: &str) -> Result<(), String> {
    match check_words(label, '-') || check_words(label, '_') {
        true => Ok(()),
        false => {
            Err(format!("{label:?} is no valid label; expected words of letters and digits joined by `-` or by `_`"))
        }
    }
}
