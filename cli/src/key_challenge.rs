// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phone's side of a Key-Derivation challenge. The phone derives the key, and goes on only if the proxy has it as
//! well.

use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::sip::key_derivation::{KeyChallenge, SCHEME};

use crate::credential::Login;
use crate::failure::ToolFailure;
use crate::header::HeaderChallenge;
use crate::outcome::UNPROVEN;

const SENTENCE: &str = "the server did not prove that it knows the password, so nothing more is sent to it: either it is not the \
     proxy that it claims to be, or the password or the user name is another";

/// Derives the key. Fails unless the challenge of the request with this digest-string proves that the proxy has it.
pub fn proven_key(
    challenges: &[HeaderChallenge],
    login: &Login,
    digest_string: &[u8],
) -> Result<MasterKey, ToolFailure> {
    let Some(challenge) = challenges.iter().find(|challenge| challenge.is(SCHEME)) else {
        let other = challenges.first().map_or("nothing", |other| &other.scheme);
        return Err(format!("the proxy asks for {other}, not for {SCHEME}").into());
    };
    let parsed = KeyChallenge::parse(&challenge.to_text()).unwrap_or(Err("it cannot be parsed"));
    let parsed = parsed.map_err(|why| format!("the proxy's {SCHEME} challenge is not followed: {why}"))?;
    let key = parsed.parameters.derive(login.password.as_bytes());
    if parsed.is_from_holder(&key, digest_string, None) { Ok(key) } else { Err(ToolFailure::new(UNPROVEN, SENTENCE)) }
}
