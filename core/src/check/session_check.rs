// SPDX-License-Identifier: MIT OR Apache-2.0
//! What checks of codes, proofs of possession and other credentials that are tied to a session have in common.
//!
//! Stored records come through [`KnownSessions`]. A [`Decision`] says what must be done first.

use super::known_sessions::KnownSessions;
use super::{Answer, Decision, Request};
use crate::config::policy::Policy;
use crate::config::sessions::Sessions;
use crate::config::settings::UNPROTECTED_SHORT_CODES;
use crate::reason::Reason;
use crate::records::session::Session;
use crate::rules::scope_rules::has_scopes;
use crate::sip::uri::Aor;

/// What the host knows about a user who signs in by Digest. The host has checked the nonce.
#[derive(Clone, Copy)]
pub struct DigestUser<'a> {
    /// H(A1) in hex.
    pub ha1: &'a str,
    /// The password; empty if the host does not know it.
    pub password: &'a str,
}

/// What a check of codes and proofs needs.
pub struct SessionCheck<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// Its part about sessions.
    pub settings: &'a Sessions,
    /// What is stored.
    pub known: &'a dyn KnownSessions,
    /// The request.
    pub request: &'a Request<'a>,
    /// Unix seconds.
    pub now: i64,
}

impl SessionCheck<'_> {
    /// Checks everything but the proof itself.
    pub(super) fn may_prove(&self, provider: usize, session: &Session, aor: &Aor) -> Result<(), Reason> {
        self.alive(provider, session)?;
        if session.weak && !self.may_be_weak() {
            return Err(Reason::ShortCodeUnprotected);
        }
        self.may_use(provider, aor)?;
        self.policy.providers[provider].rules.scopes.check_method(self.request.method, &session.scope)
    }

    /// Checks that the request is one of the address's owner.
    pub(super) fn may_use(&self, provider: usize, aor: &Aor) -> Result<(), Reason> {
        let owned = std::slice::from_ref(aor);
        let request = self.request;
        let owner = self.policy.providers[provider].rules.check_owner(owned, request.method, request.from, request.to);
        owner.map(drop)
    }

    /// A session is judged anew on each use, as a token is.
    pub(super) fn alive(&self, provider: usize, session: &Session) -> Result<(), Reason> {
        let rules = &self.policy.providers[provider].rules;
        if self.now >= session.ends_at {
            return Err(Reason::SessionEnded);
        }
        if self.now >= session.valid_until + rules.leeway {
            return Err(match session.sign_in.phone_holds_tokens() {
                true => Reason::TokenExpired,
                false if session.renewable => Reason::RefreshOverdue,
                false => Reason::SessionEnded,
            });
        }
        // If the server did not name the scopes, they were judged when the code was exchanged.
        if !session.scope.is_empty() && !has_scopes(&session.scope, &rules.required_scopes) {
            return Err(Reason::InsufficientScope);
        }
        Ok(())
    }

    pub(super) fn may_be_weak(&self) -> bool {
        self.policy.settings.allows(UNPROTECTED_SHORT_CODES) || matches!(self.request.transport, "tls" | "wss")
    }
}

pub(super) fn refuse(mut answer: Answer, reason: Reason) -> Decision {
    answer.reason = Some(reason);
    Decision::Done(answer)
}

pub(super) fn accept(mut answer: Answer) -> Decision {
    answer.reason = Some(Reason::Ok);
    Decision::Done(answer)
}
