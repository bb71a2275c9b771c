// SPDX-License-Identifier: MIT OR Apache-2.0
//! One POST by the proxy's own client: client authentication, and texts of the answer that may be logged.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::client::{Client, ClientAuth};
use crate::ports::{Answered, Form, Post, PostError};
use crate::text::fingerprint::printable;
use crate::text::form::{push_pair, push_text};

/// Type of a client assertion (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds for which an assertion is good.
const ASSERTION_LIFETIME: i64 = 60;
/// Characters of a peer's text that are logged.
const MAX_TEXT: usize = 200;
/// A part of a secret of this length is not logged either.
const MIN_PART: usize = 6;

/// A form that is ready to be sent, with what must not be seen of it.
pub(super) struct ClientPost<'a> {
    client: &'a Client,
    endpoint: &'a str,
    body: Zeroizing<String>,
    authorization: Option<Zeroizing<String>>,
    hidden: Vec<Zeroizing<String>>,
}

impl<'a> ClientPost<'a> {
    /// `parameters` of the request; of these, `secrets` must not be seen in a log. `now` in Unix seconds. The error is
    /// a sentence.
    pub(super) fn new(
        client: &'a Client,
        endpoint: &'a str,
        parameters: &[(&str, &str)],
        secrets: &[&str],
        now: i64,
    ) -> Result<ClientPost<'a>, String> {
        let mut body = Zeroizing::new(String::new());
        for (name, value) in parameters {
            push_pair(&mut body, name, value);
        }
        let hidden = secrets.iter().map(|text| Zeroizing::new((*text).to_owned())).collect();
        let mut post = ClientPost { client, endpoint, body, authorization: None, hidden };
        post.authenticate(now)?;
        Ok(post)
    }

    /// Sends it; unless it is `repeatable`, certainly not twice. Nor is an assertion, which a server may take once only.
    /// The texts of an error are fit for the log.
    pub(super) fn send(&self, http: &dyn Post, accept: &str, repeatable: bool) -> Result<Answered, PostError> {
        let form = Form {
            url: self.endpoint,
            authorization: self.authorization.as_ref().map(|a| a.as_str()),
            body: &self.body,
            accept,
            certificate: self.client.auth.certificate(),
            repeatable: repeatable && !matches!(self.client.auth, ClientAuth::PrivateKeyJwt { .. }),
        };
        http.post(&form).map_err(|error| error.map(|text| self.say(&text)))
    }

    /// A peer's text made fit for the log: with the endpoint, and without what it was sent.
    pub(super) fn say(&self, text: &str) -> String {
        format!("{}: {}", self.endpoint, printable(&redact(text, &self.hidden), MAX_TEXT))
    }

    /// Says who the client is, in the body or in the Authorization header field.
    fn authenticate(&mut self, now: i64) -> Result<(), String> {
        let (client, body) = (self.client, &mut self.body);
        match &client.auth {
            // The certificate shows who it is, and this which client that is (RFC 8705 section 2).
            ClientAuth::None | ClientAuth::Tls(_) => push_pair(body, "client_id", &client.id),
            ClientAuth::Basic(secret) => {
                let secret = Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned());
                // Both are form-encoded first (RFC 6749 section 2.3.1), so that neither can hold a ':'.
                let mut pair = Zeroizing::new(String::new());
                push_text(&mut pair, &client.id);
                pair.push(':');
                push_text(&mut pair, &secret);
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                self.authorization = Some(Zeroizing::new(format!("Basic {}", encoded.as_str())));
                self.hidden.extend([secret, encoded]);
            }
            ClientAuth::Post(secret) => {
                let secret = Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned());
                push_pair(body, "client_id", &client.id);
                push_pair(body, "client_secret", &secret);
                self.hidden.push(secret);
            }
            ClientAuth::PrivateKeyJwt { key, audience } => {
                let failed = |what: &str| format!("client_key_file: {what}");
                let mut id = [0; 16];
                rand::fill(&mut id).map_err(|_| failed("no random numbers"))?;
                let assertion = key.sign_jwt(
                    "JWT",
                    &json!({
                        "iss": client.id,
                        "sub": client.id,
                        "aud": audience.as_deref().unwrap_or(self.endpoint),
                        "jti": URL_SAFE_NO_PAD.encode(id),
                        "iat": now,
                        "exp": now.saturating_add(ASSERTION_LIFETIME),
                    }),
                );
                let assertion = Zeroizing::new(assertion.ok_or_else(|| failed("the key does not sign"))?);
                push_pair(body, "client_id", &client.id);
                push_pair(body, "client_assertion_type", JWT_BEARER);
                push_pair(body, "client_assertion", &assertion);
                self.hidden.push(assertion);
            }
        }
        Ok(())
    }
}

/// A peer's text without the secrets that it was sent, whole, form-encoded or in part.
fn redact(text: &str, secrets: &[Zeroizing<String>]) -> String {
    let mut text = text.to_owned();
    let present = || secrets.iter().filter(|secret| !secret.is_empty());
    for secret in present() {
        let mut encoded = Zeroizing::new(String::new());
        push_text(&mut encoded, secret);
        // A server that writes the form anew may write a space the other way.
        let plus = Zeroizing::new(encoded.replace("%20", "+"));
        for form in [secret, &encoded, &plus] {
            text = text.replace(form.as_str(), "…");
        }
    }
    let is_part = |word: &str| {
        let start = |secret: &str| secret.get(..MIN_PART).is_some_and(|start| word.contains(start));
        word.len() >= MIN_PART && present().any(|secret| secret.contains(word) || start(secret))
    };
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| in_word(c) != in_word(first)).unwrap_or(rest.len());
        out.push_str(if is_part(&rest[..end]) { "…" } else { &rest[..end] });
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_does_not_leak() {
        let secrets = ["SplxlOBeZQQYbYS6WxSbIA", "12345678", "s&cret wörd", ""];
        let secrets = secrets.map(|text| Zeroizing::new(text.to_owned()));
        for (text, wanted) in [
            ("code SplxlOBeZQQYbYS6WxSbIA is used", "code … is used"),
            ("code=SplxlOBe…", "……"),
            ("(YbYS6WxSbIA)", "(…)"),
            ("12345678: unknown", "…: unknown"),
            ("s%26cret+w%C3%B6rd, s%26cret%20w%C3%B6rd, s&cret wörd", "…, …, …"),
            ("invalid_grant: expired", "invalid_grant: expired"),
        ] {
            assert_eq!(redact(text, &secrets), wanted);
        }
    }
}
