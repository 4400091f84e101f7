//! Who asks, as a verified token says.

/// A caller whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    subject: String,
    roles: Vec<String>,
    scopes: Vec<String>,
    key: u128,
}

impl Principal {
    /// The bearer of a token with these claims; `scope` separates scopes by blanks (RFC 8693, 4.2).
    pub(super) fn new<R: Into<String>>(subject: String, roles: impl IntoIterator<Item = R>, scope: &str) -> Self {
        let digest = blake3::hash(subject.as_bytes());
        let (start, _) = digest.as_bytes().split_at(size_of::<u128>());
        // The slice has just that length.
        let key = start.try_into().map(u128::from_be_bytes).unwrap_or_default();
        let scopes = scope.split_ascii_whitespace().map(str::to_owned).collect();
        Self { subject, roles: roles.into_iter().map(Into::into).collect(), scopes, key }
    }

    /// The subject of the token.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A number that stands for the subject.
    pub(super) fn key(&self) -> u128 {
        self.key
    }

    pub(super) fn roles(&self) -> &[String] {
        &self.roles
    }

    pub(super) fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}
