//! Speaking with an issuer: where its endpoints are, where to send the browser, and a code for an id_token.

use std::sync::PoisonError;

use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::{Error, Transport};
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{Provider, secure};
use crate::error::Refusal;

/// How long the endpoints are used without asking again, in milliseconds.
const ENDPOINTS_FRESH_MS: i64 = 60 * 60 * 1_000;

/// Where an issuer is spoken with (OpenID Connect Discovery section 3).
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    authorization: Url,
    token: Url,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Exchanged {
    id_token: String,
}

/// The challenge of a PKCE verifier (RFC 7636 section 4.2).
pub(crate) fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

impl Provider {
    /// Where a browser goes to log in.
    pub(crate) async fn authorization_url(
        &self,
        transport: &Transport,
        state: &str,
        nonce: &str,
        challenge: &str,
        now_ms: i64,
    ) -> Result<String, Error> {
        let mut url = self.endpoints(transport, now_ms).await?.authorization;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("scope", &self.scopes)
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Gives the code, and gets the id_token.
    pub(crate) async fn exchange(
        &self,
        transport: &Transport,
        code: &str,
        verifier: &str,
        now_ms: i64,
    ) -> Result<String, Error> {
        let endpoint = self.endpoints(transport, now_ms).await?.token;
        let body = self.token_request(code, verifier);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(secret) = &self.client_secret {
            // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let credentials = STANDARD.encode(format!("{}:{}", encoded(&self.client_id), encoded(secret)));
            let mut value = HeaderValue::try_from(format!("Basic {credentials}")).map_err(failed)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let exchanged: Exchanged = answer(transport, request.body(body.into()).map_err(failed)?).await?;
        Ok(exchanged.id_token)
    }

    fn token_request(&self, code: &str, verifier: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("code_verifier", verifier);
        if self.client_secret.is_none() {
            form.append_pair("client_id", &self.client_id);
        }
        form.finish()
    }

    async fn endpoints(&self, transport: &Transport, now_ms: i64) -> Result<Endpoints, Error> {
        if let Some((endpoints, asked_ms)) = &*self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
            && now_ms - asked_ms < ENDPOINTS_FRESH_MS
        {
            return Ok(endpoints.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let request = Request::builder().uri(url).header(header::ACCEPT, "application/json");
        let found: Discovered = answer(transport, request.body(Bytes::new()).map_err(failed)?).await?;
        // Another issuer's endpoints would get our secret (OpenID Connect Discovery section 4.3).
        if found.issuer != self.issuer {
            return Err(failed(format!("it calls itself {:?}", found.issuer)));
        }
        let endpoint = |url: &str| secure(url).ok_or_else(|| failed(format!("{url:?} is not an https URL")));
        let endpoints = Endpoints {
            authorization: endpoint(&found.authorization_endpoint)?,
            token: endpoint(&found.token_endpoint)?,
        };
        *self.endpoints.lock().unwrap_or_else(PoisonError::into_inner) = Some((endpoints.clone(), now_ms));
        Ok(endpoints)
    }
}

async fn answer<T: DeserializeOwned>(transport: &Transport, request: Request<Bytes>) -> Result<T, Error> {
    let path = request.uri().path().to_owned();
    let response = transport(request).await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(failed(format!("{path} answered {}", response.status())));
    }
    // The reason of a parse error holds no part of the answer beyond the place.
    serde_json::from_slice(response.body()).map_err(|error| failed(format!("{path}: {error}")))
}

fn failed(reason: impl ToString) -> Error {
    Refusal::Issuer(reason.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::code_challenge;

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(code_challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
