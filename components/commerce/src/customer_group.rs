//! The name of a group of customers, which accounts are put into and promotions are for.

use serde::{Deserialize, Serialize};

/// Longest name of a customer group, in characters.
pub const CUSTOMER_GROUP_CHARS_MAX: usize = 64;

/// The name of a group of customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CustomerGroup(String);

/// The text names no group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group is named by 1 to {CUSTOMER_GROUP_CHARS_MAX} characters on one line, without space around them")]
pub struct CustomerGroupError;

impl TryFrom<String> for CustomerGroup {
    type Error = CustomerGroupError;

    fn try_from(text: String) -> Result<Self, CustomerGroupError> {
        let fits = (1..=CUSTOMER_GROUP_CHARS_MAX).contains(&text.chars().count());
        match fits && text.trim() == text && !text.chars().any(char::is_control) {
            true => Ok(Self(text)),
            false => Err(CustomerGroupError),
        }
    }
}

impl CustomerGroup {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_name_that_people_can_read() {
        let group = |text: &str| CustomerGroup::try_from(text.to_owned());
        for good in ["trade", "Friends & Family", &"ü".repeat(CUSTOMER_GROUP_CHARS_MAX)] {
            assert_eq!(group(good).unwrap().as_str(), good);
        }
        for wrong in ["", " ", " trade", "trade\n", "tra\0de", &"x".repeat(CUSTOMER_GROUP_CHARS_MAX + 1)] {
            assert_eq!(group(wrong), Err(CustomerGroupError), "{wrong:?}");
        }
    }
}
