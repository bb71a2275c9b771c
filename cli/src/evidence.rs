// SPDX-License-Identifier: MIT OR Apache-2.0
//! The evidence that one request carries: credentials in its header, a grant in its body, a proof in either.

use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::sip::key_derivation::KeyResponse;

use crate::digest_answer::DigestAnswer;
use crate::options::PopBody;
use crate::plan::random_hex;

/// All evidence of one request.
pub struct Evidence<'a> {
    /// Authorization or Proxy-Authorization.
    pub header: &'static str,
    /// The credentials in that header field.
    pub credentials: Credentials<'a>,
    /// The form in the body, without a proof.
    pub form: Option<String>,
    /// The key of the proof that is added to the form, and what the digest-string takes as message-body.
    pub form_proof: Option<(&'a Key, PopBody)>,
    /// The request has a Date and a digest-string even without a proof.
    pub dated: bool,
}

/// The value of Authorization or Proxy-Authorization.
pub enum Credentials<'a> {
    /// There is none.
    None,
    /// An access token (RFC 8898).
    Bearer(&'a str),
    /// The answer to a Digest challenge.
    Digest(&'a DigestAnswer),
    /// A proof, with an access token when there is one.
    Proof { key: &'a Key, token: Option<&'a str> },
    /// A proof of the Key-Derivation scheme, with a new nonce when it answers a challenge.
    KeyDerivation { key: &'a MasterKey, username: &'a str, with_nonce: bool },
}

/// The evidence as text, for one request.
#[derive(Default)]
pub struct RequestEvidence {
    /// Value of the header field.
    pub credentials: Option<String>,
    /// The parameter that is added to the body.
    pub parameter: String,
    /// What must not be printed.
    pub secrets: Vec<String>,
}

impl<'a> Evidence<'a> {
    /// Credentials in this header field, and nothing else.
    pub fn new(header: &'static str, credentials: Credentials<'a>) -> Evidence<'a> {
        Evidence { header, credentials, form: None, form_proof: None, dated: false }
    }

    /// Does the request need a digest-string?
    pub fn needs_digest_string(&self) -> bool {
        let proof = matches!(self.credentials, Credentials::Proof { .. } | Credentials::KeyDerivation { .. });
        proof || self.form_proof.is_some() || self.dated
    }

    /// The part of `body` that the digest-string covers. `body` has no proof yet.
    pub fn covered<'b>(&self, body: &'b str) -> &'b str {
        if matches!(self.form_proof, Some((_, PopBody::Empty))) { "" } else { body }
    }

    /// Writes the evidence of a request with this method, URI and digest-string. `attempt` counts from 1.
    pub fn write(
        &self,
        method: &str,
        uri: &str,
        digest_string: &[u8],
        attempt: u32,
    ) -> Result<RequestEvidence, String> {
        let mut written = RequestEvidence::default();
        let pop = |key: &Key| pop_to_text(&make_pop(key.as_slice(), digest_string));
        match &self.credentials {
            Credentials::None => {}
            Credentials::Bearer(token) => written.credentials = Some(format!("Bearer {token}")),
            Credentials::Digest(answer) => {
                let (value, response) = answer.credentials(method, uri, attempt)?;
                written.credentials = Some(value);
                // The response is a secret, because it allows guesses of the password.
                written.secrets.push(response);
            }
            Credentials::Proof { key, token } => {
                let pop = pop(key);
                let token = token.map(|token| format!("token=\"{token}\", ")).unwrap_or_default();
                written.credentials = Some(format!("Bearer {token}pop=\"{pop}\""));
                written.secrets.push(pop);
            }
            Credentials::KeyDerivation { key, username, with_nonce } => {
                let nonce = with_nonce.then(|| random_hex(16)).transpose()?;
                let response = KeyResponse::new(username, None, nonce.as_deref(), key, digest_string);
                written.credentials = Some(response.to_text());
                written.secrets.push(pop_to_text(&response.pop));
            }
        }
        if let Some((key, _)) = self.form_proof {
            let pop = pop(key);
            written.parameter = format!("&pop={pop}");
            written.secrets.push(pop);
        }
        Ok(written)
    }
}
