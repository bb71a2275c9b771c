// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logout tokens (OpenID Connect Back-Channel Logout 1.0) that an HTTP server of the host receives. A worker verifies one with
//! the keys that it knows, and never waits. The I/O process ends the sessions.

use super::keyring::Keyring;
use super::waits::Waits;
use super::{Handling, Worker};
use crate::process::job::Work;
use sipoauth_core::check::KnownKeys as _;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::logout_token::{LogoutError, provider_of, verify};
use sipoauth_core::ports::Level;
use sipoauth_core::text::form;
use sipoauth_core::text::secret::SecretText;

/// Longest form in octets: a token of 16 KiB.
const MAX_FORM: usize = 17 * 1024;

/// What becomes of a logout token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logout {
    /// It is good, and its sessions end now.
    Taken,
    /// It is not one of a provider's for this client.
    Refused,
    /// Nobody knows now. Its sessions end all the same, if it turns out to be good.
    NotNow,
    /// Logout tokens are not configured.
    NotConfigured,
}

impl Worker {
    /// Takes the form of a logout request (section 2.5). A refusal is logged.
    pub fn log_out(&mut self, form: &[u8], handling: &Handling<'_>) -> Logout {
        let now = self.prepare(handling.now);
        let policy = &self.placed.policy;
        if policy.sessions.is_none() || !policy.settings.back_channel_logout {
            return Logout::NotConfigured;
        }
        let judged = judge(policy, &self.keyring, form, now / 1000);
        let (token, is_known) = match judged {
            Ok(token) => (token, true),
            Err((Some(token), LogoutError::Unavailable(_))) => (token, false),
            Err((_, LogoutError::Refused(why) | LogoutError::Unavailable(why))) => {
                let line = format!("a logout token is refused: {why} source={}", handling.source);
                self.context.log().log(Level::Info, &line);
                return Logout::Refused;
            }
        };
        let waits = Waits { context: &self.context, placed: &self.placed };
        match waits.submit_for_nobody(Work::LogOut(token), handling) {
            Ok(()) if is_known => Logout::Taken,
            _ => Logout::NotNow,
        }
    }
}

/// The token of a form, if it is good; otherwise why not, with the token if its keys are not known here.
fn judge(
    policy: &Policy,
    keyring: &Keyring,
    octets: &[u8],
    now: i64,
) -> Result<SecretText, (Option<SecretText>, LogoutError)> {
    let refused = |why: &str| (None, LogoutError::Refused(why.to_owned()));
    if octets.len() > MAX_FORM {
        return Err(refused("the form is too long"));
    }
    let pairs = form::parse(octets).map_err(|_| refused("the body is not a form"))?;
    let mut tokens = pairs.iter().filter(|(name, _)| name == "logout_token").map(|(_, value)| value);
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Err(refused("the form has not one logout_token"));
    };
    let provider = provider_of(policy, token).map_err(|error| (None, error))?;
    let no_fetch = || Err("a worker does not fetch keys".to_owned());
    let token = SecretText(token.to_string());
    match verify(policy, provider, &token.0, keyring.fetched(provider), &no_fetch, now) {
        Ok(_) => Ok(token),
        Err(error) => Err((Some(token), error)),
    }
}
