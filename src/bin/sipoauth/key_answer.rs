// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer to a Key-Derivation challenge: the phone derives the key, and goes on only when the proxy has it, too.

use sipoauth::proto::key_derivation::{KeyChallenge, SCHEME};
use sipoauth::proto::pbkdf2::MasterKey;

use crate::credential::Login;
use crate::failure::{Failure, UNPROVEN};
use crate::header::Challenge;
use crate::plan::random_hex;

const UNPROVEN_SENTENCE: &str = "the server did not prove that it knows the password, so nothing more is sent to it: either it is not \
     the proxy that it claims to be, or the password or the user name is another";

/// What the answer to one challenge is made from.
pub struct KeyAnswer {
    /// The key that both sides have.
    pub key: MasterKey,
    /// The phone's own nonce.
    pub nonce: String,
}

impl KeyAnswer {
    /// Answers the proxy's challenge of the request with this digest-string.
    pub fn new(challenges: &[Challenge], login: &Login, digest_string: &[u8]) -> Result<KeyAnswer, Failure> {
        let Some(challenge) = challenges.iter().find(|challenge| challenge.is(SCHEME)) else {
            let other = challenges.first().map_or("nothing", |other| &other.scheme);
            return Err(format!("the proxy asks for {other}, not for {SCHEME}").into());
        };
        let parsed = KeyChallenge::parse(&challenge.to_text()).unwrap_or(Err("the challenge cannot be parsed"));
        let parsed = parsed.map_err(|why| format!("the proxy's {SCHEME} challenge is not followed: {why}"))?;
        let key = parsed.parameters.derive(login.password.as_bytes());
        if !parsed.is_from_holder(&key, digest_string, None) {
            return Err(Failure::new(UNPROVEN, UNPROVEN_SENTENCE));
        }
        Ok(KeyAnswer { key, nonce: random_hex(16)? })
    }
}
