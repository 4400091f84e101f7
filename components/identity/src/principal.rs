//! The caller that a token names, and what it may do.

use serde::{Deserialize, Serialize};

use crate::IdentityError;

/// A rank of callers; a higher one may do all that a lower one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Buys.
    Customer,
    /// Runs the shop.
    Staff,
    /// Runs the shop and its settings.
    Admin,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    subject: String,
    roles: Vec<Role>,
    customer_group: Option<String>,
}

impl Principal {
    pub(crate) fn new(subject: String, roles: Vec<Role>, customer_group: Option<String>) -> Self {
        Self { subject, roles, customer_group }
    }

    /// The account's id: the token's `sub`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The group that the account is priced in, which staff has put it in; empty for none.
    pub fn customer_group(&self) -> &str {
        self.customer_group.as_deref().unwrap_or_default()
    }

    /// Passes callers of this role or a higher one.
    pub fn require(&self, role: Role) -> Result<(), IdentityError> {
        match self.roles.iter().any(|held| *held >= role) {
            true => Ok(()),
            false => Err(IdentityError::Forbidden(role)),
        }
    }
}
