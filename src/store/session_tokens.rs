// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tokens of the sessions. They have a record of their own, which only the I/O process reads, and the process
//! that gives a token away.

use super::sessions::{ATTEMPTS, SessionStore, fate_lifetime, overtaken, tokens_key};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::session::{Exchanged, SessionId, SignIn, Tokens, encode, token_name};
use sipoauth_core::text::secret::SecretText;

/// The length of a token record is a multiple of this, in octets.
const STEP: usize = 16;

/// Access tokens are kept only if somebody gets them: the phone itself, or an application server.
pub fn keeps_access_token(policy: &Policy, sign_in: SignIn) -> bool {
    sign_in.phone_holds_tokens() || !policy.settings.application_servers.is_empty()
}

impl SessionStore {
    /// Tokens of a session, and their sealed record for a change.
    pub fn tokens(&self, key: &str, now: i64) -> Result<Option<(Tokens, Vec<u8>)>, StoreError> {
        self.read(key, now)
    }

    /// Writes tokens if their sealed record is still `expected`.
    pub fn put_tokens(
        &self,
        key: &str,
        tokens: &Tokens,
        expected: Option<&[u8]>,
        expires_at: i64,
        due_at: Option<i64>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let value = self.sealed_tokens(key, tokens, 0);
        self.store.put_owed(&Write { key, value: &value, expires_at, due_at }, expected, now)
    }

    /// The sealed record, with room for `room` more octets.
    fn sealed_tokens(&self, key: &str, tokens: &Tokens, room: usize) -> Vec<u8> {
        let mut octets = encode(tokens);
        // This way new tokens that are a little longer or shorter fit in the place of the old ones.
        let length = (octets.len() + room).next_multiple_of(STEP);
        octets.resize(length, 0);
        self.sealer.seal(key, &octets)
    }

    /// Stores the tokens of a session with which no phone has registered yet. `valid_until` is in Unix seconds.
    pub fn keep_granted(
        &self,
        policy: &Policy,
        provider: usize,
        grant: &TokenGrant,
        granted: Granted,
        valid_until: i64,
        now: i64,
    ) -> Result<Exchanged, StoreError> {
        let mut session = SessionId::default();
        session[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        aws_lc_rs::rand::fill(&mut session[6..]).map_err(|_| StoreError::Away("no random numbers".into()))?;
        let provider = &policy.providers[provider];
        let expires_at = now + fate_lifetime(policy, matches!(grant, TokenGrant::Password(_)));
        let (code, own_key) = match grant {
            TokenGrant::Code(request) => (request.code.clone(), None),
            TokenGrant::Password(password) => (SecretText::default(), Some(password.master_key.clone())),
            TokenGrant::ForeignToken(_) | TokenGrant::Refresh(_) | TokenGrant::TypedCode => {
                (SecretText::default(), None)
            }
        };
        let sign_in = grant.sign_in();
        let held = sign_in.phone_holds_tokens();
        // A phone sends a token from elsewhere with each request, so the proxy asks the token's server about it
        // again instead of refreshing it.
        let refreshed = sign_in == SignIn::Code;
        let exchanged = Exchanged {
            session,
            identity: granted.identity,
            bound_to: String::new(),
            sign_in,
            code,
            master_key: own_key.or(granted.master_key),
            token: held.then(|| token_name(&granted.access_token.0)),
            valid_until,
            renewable: granted.refresh_token.is_some() && refreshed,
            parent: None,
            name: String::new(),
        };
        let tokens = Tokens {
            provider: provider.name.clone(),
            issuer: provider.issuer_name,
            aor: String::new(),
            sign_in,
            access_token: Some(granted.access_token).filter(|_| keeps_access_token(policy, sign_in)),
            refresh_token: granted.refresh_token.filter(|_| refreshed || held),
            expires_at: granted.expires_at,
            ends_at: expires_at / 1000,
            refresh_at: 0,
            failures: 0,
        };
        // The record must not grow when it gets its address, because in a full page that would take a new page.
        let room = exchanged.identity.aors.iter().map(String::len).max().unwrap_or(0);
        let key = tokens_key(&session);
        let value = self.sealed_tokens(&key, &tokens, room);
        self.store.put_owed(&Write { key: &key, value: &value, expires_at, due_at: None }, None, now)?;
        Ok(exchanged)
    }

    /// Makes the tokens live as long as the session, and has them refreshed from now on. False when they belong to
    /// another address.
    pub(super) fn keep_tokens(
        &self,
        session: &SessionId,
        aor: &str,
        ends_at: i64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let key = tokens_key(session);
        for _ in 0..ATTEMPTS {
            let Some((mut tokens, sealed)) = self.tokens(&key, now)? else {
                return Ok(true);
            };
            if !tokens.aor.is_empty() {
                return Ok(tokens.aor == aor);
            }
            aor.clone_into(&mut tokens.aor);
            tokens.ends_at = ends_at;
            let due = refresh_due(&tokens, now);
            tokens.refresh_at = due.unwrap_or(0);
            if self.put_tokens(&key, &tokens, Some(&sealed), ends_at * 1000, due, now)? {
                return Ok(true);
            }
        }
        Err(overtaken())
    }
}

/// Shortest time until the next refresh, in milliseconds.
const SOONEST: i64 = 1000;

/// When the tokens are to be refreshed, Unix milliseconds: after two thirds of their life, so that a server may be
/// away for the last third, and earlier by a part that differs from session to session. None without a refresh
/// token, or when the phone refreshes them.
pub fn refresh_due(tokens: &Tokens, now: i64) -> Option<i64> {
    tokens.refresh_token.as_ref().filter(|_| !tokens.sign_in.phone_holds_tokens())?;
    let end = tokens.expires_at.saturating_mul(1000);
    let life = end.saturating_sub(now).max(0);
    let jitter = (life as f64 / 10.0 * crate::clock::jitter()) as i64;
    // A server that grants no lifetime at all must not be asked without a pause.
    Some((end - life / 3 - jitter).max(now.saturating_add(SOONEST)))
}
