// SPDX-License-Identifier: MIT OR Apache-2.0
//! One POST by the proxy's own client. It adds the client authentication, and makes texts of the answer fit for
//! the log.

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
/// At most this many characters of a peer's text are logged.
const MAX_TEXT: usize = 200;
/// Parts of a secret are not logged either if they have at least this many octets.
const MIN_PART: usize = 6;

/// A form that is ready to be sent, and the secrets in it that must not reach a log.
pub(super) struct ClientPost<'a> {
    client: &'a Client,
    endpoint: &'a str,
    body: Zeroizing<String>,
    authorization: Option<Zeroizing<String>>,
    hidden: Vec<Zeroizing<String>>,
}

impl<'a> ClientPost<'a> {
    /// `parameters` are those of the request; `secrets` are the values among them that must not reach a log. `now`
    /// is in Unix seconds. The error is a sentence.
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

    /// Sends the form, and never twice unless it is `repeatable`. A form with a client assertion is never sent
    /// twice, because a server may accept an assertion only once. The texts of an error are fit for the log.
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

    /// Makes a peer's text fit for the log: puts the endpoint before it, and removes the secrets that the peer was
    /// sent.
    pub(super) fn say(&self, text: &str) -> String {
        format!("{}: {}", self.endpoint, printable(&redact(text, &self.hidden), MAX_TEXT))
    }

    /// Adds the client authentication to the body or to the Authorization header field.
    fn authenticate(&mut self, now: i64) -> Result<(), String> {
        let (client, body) = (self.client, &mut self.body);
        match &client.auth {
            // With mutual TLS the certificate authenticates the client, and client_id says which client it is
            // (RFC 8705 section 2).
            ClientAuth::None | ClientAuth::Tls(_) => push_pair(body, "client_id", &client.id),
            ClientAuth::Basic(secret) => {
                let secret = Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned());
                // The id and the secret are form-encoded first (RFC 6749 section 2.3.1), so neither can contain a ':'.
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

/// Returns a peer's text without the secrets that the peer was sent: whole, form-encoded or in part.
fn redact(text: &str, secrets: &[Zeroizing<String>]) -> String {
    let mut text = text.to_owned();
    let present = || secrets.iter().filter(|secret| !secret.is_empty());
    for secret in present() {
        let mut encoded = Zeroizing::new(String::new());
        push_text(&mut encoded, secret);
        // A server that encodes the form anew may write a space as '+'.
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
