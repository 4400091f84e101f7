//! Email addresses: what is accepted, and which spellings mean the same account.

/// Longest address, in bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321 section 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest part of a domain between dots, in bytes (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// An address in ASCII, its domain in lower case. An international domain comes in its `xn--` form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// The text is no address that mail could be sent to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an email address such as ann@example.com")]
pub struct EmailError;

impl Email {
    /// Reads an address; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let good = text.len() <= EMAIL_BYTES_MAX && is_local(local) && is_domain(domain);
        match good {
            true => Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase()))),
            false => Err(EmailError),
        }
    }

    /// Where mail goes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What one account has alone. The standard lets a mail server tell `Ann@` from `ann@`; none does, and people
    /// do not either.
    pub fn key(&self) -> String {
        key(&self.0)
    }
}

/// The key of a text that somebody gave as their address, whether or not it is one.
pub fn key(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// A dot-atom (RFC 5322 section 3.2.3).
fn is_local(local: &str) -> bool {
    let atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    local.len() <= LOCAL_BYTES_MAX && local.split('.').all(atom)
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_have_one_key() {
        let email = Email::parse(" Ann.Lee+shop@Example.COM ").unwrap();
        assert_eq!(email.as_str(), "Ann.Lee+shop@example.com");
        assert_eq!(email.key(), "ann.lee+shop@example.com");
        assert_eq!(key(" Ann.Lee+SHOP@example.com"), email.key());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(LOCAL_BYTES_MAX + 1));
        let longer = format!("a@{}.com", vec!["b".repeat(LABEL_BYTES_MAX); 4].join("."));
        for text in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@localhost",
            "ann@-a.com",
            "ann@a-.com",
            "ann@a..com",
            ".ann@a.com",
            "a..b@a.com",
            "ann lee@a.com",
            "ann@a.com\r\nbcc: eve@a.com",
            "änn@a.com",
            "ann@ä.com",
            "a@b@c.com",
            "<ann@a.com>",
            &long,
            &longer,
        ] {
            assert_eq!(Email::parse(text), Err(EmailError), "{text:?}");
        }
    }
}
