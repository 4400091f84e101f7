//! Why an artifact cannot be pushed, pulled or trusted.

use std::io;
use std::path::{Path, PathBuf};

use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::ArtifactReference;

/// Why an artifact cannot be pushed, pulled or trusted.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A text is no name of an artifact.
    #[error(
        "{text:?} is no reference of an artifact; expected `registry/repository:tag` or `registry/repository@sha256:...`"
    )]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: oci_client::ParseError,
    },
    /// A digest is of another kind.
    #[error("the digest {digest} cannot be used; expected `sha256:` and 64 lower-case hexadecimal digits")]
    DigestKind {
        /// The digest.
        digest: String,
    },
    /// The client cannot be made.
    #[error(
        "registries cannot be asked: TLS has no certificate authorities; install the package ca-certificates, or name a file with SSL_CERT_FILE"
    )]
    Client(#[source] OciDistributionError),
    /// The registry wants to know who asks.
    #[error("{registry} refuses access to {repository}: {}", if *.as_somebody { "the credentials that are kept for it do not allow it; log in again with `docker login`, as somebody who may" } else { "no credentials are kept for it; log in with `docker login`, or name the folder of a Docker configuration with DOCKER_CONFIG" })]
    Unauthorized {
        /// The registry.
        registry: String,
        /// What was asked for.
        repository: String,
        /// Whether it was asked with credentials.
        as_somebody: bool,
    },
    /// There is no such artifact.
    #[error("{registry} has no {reference}; check the name, and that it was pushed")]
    NotFound {
        /// The registry.
        registry: String,
        /// The name.
        reference: String,
    },
    /// The registry does not answer.
    #[error("the registry {registry} cannot be reached{}{}", if *.is_plain { "" } else { " over TLS; if it speaks plain HTTP, say so with --insecure" }, known_text(.known))]
    Unreachable {
        /// The registry.
        registry: String,
        /// Whether it was asked in plain HTTP.
        is_plain: bool,
        /// What was pulled last by the same name.
        known: Option<String>,
        /// What went wrong.
        source: OciDistributionError,
    },
    /// The registry answers something else than it should.
    #[error("{registry} did not {operation}: {problem}")]
    Registry {
        /// The registry.
        registry: String,
        /// What it was asked for.
        operation: String,
        /// What it said.
        problem: String,
    },
    /// What was received is not what was asked for.
    #[error(
        "{what} is damaged: its content is not that of the digest {digest}; pull it again, and if that does not help, push it again"
    )]
    Digest {
        /// What.
        what: String,
        /// What it should be.
        digest: String,
    },
    /// What was received has another size than was announced.
    #[error("{what} is damaged: it does not have the {bytes} bytes that the manifest says")]
    Size {
        /// What.
        what: String,
        /// What the manifest says.
        bytes: u64,
    },
    /// A bound is crossed.
    #[error("{what} too large: at most {max} are taken")]
    TooLarge {
        /// What, with its verb.
        what: String,
        /// The bound, with its unit.
        max: String,
    },
    /// The artifact is something else.
    #[error("{reference} is no Spin application: {problem}")]
    NotAnApplication {
        /// Its name.
        reference: String,
        /// What it is instead.
        problem: String,
    },
    /// The locked application is not understood.
    #[error("the application in the artifact cannot be used: {0}")]
    Content(String),
    /// The application cannot be pushed as it is.
    #[error("{0}")]
    Unpushable(String),
    /// A file or folder of this machine.
    #[error("{} cannot be {operation}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was to be done to it.
        operation: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A key is of another kind.
    #[error("{} cannot be used as a key: {problem}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Nobody whose word counts has signed it.
    #[error("{reference} is not trusted: {problem}")]
    Untrusted {
        /// The artifact.
        reference: String,
        /// Why.
        problem: String,
    },
}

impl OciError {
    /// What failed at a file or folder.
    pub(super) fn file(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, operation, source }
    }

    /// What the client says of a request for `operation`. Neither credentials nor what a login server answered are passed on.
    pub(super) fn of_client(
        error: OciDistributionError,
        reference: &ArtifactReference,
        operation: &str,
        as_somebody: bool,
        is_plain: bool,
    ) -> Self {
        let registry = reference.registry().to_owned();
        let unauthorized = |registry| Self::Unauthorized { registry, repository: reference.repository(), as_somebody };
        let not_found = |registry| Self::NotFound { registry, reference: reference.to_string() };
        let other = |registry, problem: String| Self::Registry { registry, operation: operation.to_owned(), problem };
        match error {
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
                unauthorized(registry)
            }
            OciDistributionError::ServerError { code: 401 | 403, .. } => unauthorized(registry),
            OciDistributionError::ServerError { code: 404, .. }
            | OciDistributionError::ImageManifestNotFoundError(_) => not_found(registry),
            OciDistributionError::ServerError { code, .. } => other(registry, format!("the answer has status {code}")),
            OciDistributionError::RegistryError { envelope, .. } => {
                let codes = || envelope.errors.iter().map(|error| &error.code);
                if codes().any(|code| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied)) {
                    return unauthorized(registry);
                }
                let is_missing = |code: &OciErrorCode| {
                    use OciErrorCode::{BlobUnknown, ManifestUnknown, NameUnknown, NotFound};
                    matches!(code, ManifestUnknown | NameUnknown | NotFound | BlobUnknown)
                };
                if codes().any(is_missing) {
                    return not_found(registry);
                }
                let words: Vec<_> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
                other(registry, words.join("; "))
            }
            OciDistributionError::DigestError(_) => {
                let digest = reference.digest().unwrap_or("that the registry says").to_owned();
                Self::Digest { what: reference.to_string(), digest }
            }
            OciDistributionError::RegistryTokenDecodeError(_) => {
                other(registry, "its login server answers what is no token".to_owned())
            }
            OciDistributionError::IoError(source) => other(registry, source.to_string()),
            // A URL that the registry has redirected to may be as good as a password.
            OciDistributionError::RequestError(error) => {
                let source = OciDistributionError::RequestError(error.without_url());
                Self::Unreachable { registry, is_plain, known: None, source }
            }
            error => other(registry, error.to_string()),
        }
    }
}

/// How to go on without the registry.
fn known_text(known: &Option<String>) -> String {
    known.as_ref().map(|known| format!("; what was pulled last runs without it, as {known}")).unwrap_or_default()
}
