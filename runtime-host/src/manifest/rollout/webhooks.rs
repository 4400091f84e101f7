//! `webhooks`: who is told how rollouts go.

use http::Uri;

use crate::config_file::{ConfigError, Located, Table, Value};
use crate::template::Template;

/// More would be a broadcast.
const WEBHOOKS_MAX: usize = 8;
/// Does not show the text, since a webhook's URL is a secret.
pub(in crate::manifest) const NO_WEBHOOK: &str =
    "the webhook is no URL of http or https without a user; expected one such as \"https://hooks.example.com/x\"";

/// Reads `webhooks`.
pub(super) fn read(table: &mut Table<'_>) -> Result<Vec<Located<Template>>, ConfigError> {
    let webhooks: Located<Vec<Value>> = match table.optional("webhooks")? {
        Some(webhooks) => webhooks,
        None => return Ok(Vec::new()),
    };
    if webhooks.value.len() > WEBHOOKS_MAX {
        let problem = format!("there are {} webhooks; expected at most {WEBHOOKS_MAX}", webhooks.value.len());
        return Err(table.error_at(webhooks.position, problem));
    }
    webhooks.value.into_iter().map(|value| value.parse(parse_webhook)).collect()
}

/// One with variables in it is checked once they have values.
fn parse_webhook(text: &str) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    if template.is_literal() && webhook_uri(text).is_none() {
        return Err(NO_WEBHOOK.to_owned());
    }
    Ok(template)
}

/// Where a webhook is told, if `text` is a URL for that.
pub(in crate::manifest) fn webhook_uri(text: &str) -> Option<Uri> {
    let url = url::Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_http = matches!(url.scheme(), "http" | "https");
    (is_plain && is_http).then(|| url.as_str().parse().ok())?
}
