// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an accepted token or session gives beyond acceptance: levels of service, the limit of a registration, and the
//! token itself for application servers.

use zeroize::Zeroizing;

use super::conclusion::Conclusion;
use super::result::{CheckResult, Granted};
use super::session_view::SessionView;
use super::told::Told;
use crate::clock::now_millis;
use crate::process::context::Context;
use crate::shared::counters::Counter;
use crate::store::sessions::tokens_key;
use sipoauth_core::check::known_sessions::Known;
use sipoauth_core::check::verified_token::VerifiedToken;
use sipoauth_core::check::{Answer, Carried, Request};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::decryption_keys::OpenedToken;
use sipoauth_core::oauth::token_response::token_response;
use sipoauth_core::ports::Level;
use sipoauth_core::reason::Reason;
use sipoauth_core::records::session::{SessionId, Tokens};
use sipoauth_core::rules::scope_rules::has_scopes;
use sipoauth_core::sip::uri::Aor;

/// What a script requires of the request that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// A level of service.
    Service(&'a str),
    /// Scopes, separated by a space.
    Scope(&'a str),
}

/// Why a token is not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// No check was accepted.
    NotAccepted,
    /// The next hop is no application server.
    ForeignNextHop,
    /// The token came here encrypted, so it does not go on in the clear.
    Unprotected,
    /// The session's token cannot be read here now, or has ended and is not refreshed yet.
    NotNow,
}

/// The token of an accepted request.
pub(super) struct AcceptedToken {
    /// As it was sent.
    pub sent: Zeroizing<String>,
    /// The signed token inside, if it was encrypted for this proxy.
    pub signed: Option<Zeroizing<String>>,
}

impl From<&VerifiedToken> for AcceptedToken {
    fn from(token: &VerifiedToken) -> AcceptedToken {
        AcceptedToken { sent: Zeroizing::new(token.token.to_string()), signed: token.signed.clone() }
    }
}

/// What was granted to one process's requests, and what more may be required or handed out.
pub struct Grants<'w> {
    pub(super) context: &'w Context,
    pub(super) policy: &'w Policy,
    pub(super) told: &'w mut Told,
}

impl Grants<'_> {
    /// Requires more of what the last check accepted. Reason, status and needed scopes then belong to this
    /// requirement, and the accepted identity stays. A denial does not refuse the request, because the script may
    /// go on. False, and nothing changes, when no check was accepted or nothing is named.
    pub fn require(&mut self, result: &mut CheckResult, demand: Demand<'_>) -> bool {
        let (Demand::Service(name) | Demand::Scope(name)) = demand;
        if result.granted.is_none() || name.trim().is_empty() {
            return false;
        }
        let policy = self.policy;
        // Found by name, because the configuration may have changed since the check.
        let provider = policy.providers.iter().find(|p| p.name == result.provider());
        let scopes = match demand {
            Demand::Scope(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            Demand::Service(name) => provider.and_then(|p| service(p, name)).unwrap_or_default(),
        };
        let given = !scopes.is_empty() && has_scopes(result.granted_scope(), &scopes);
        let needed = provider.filter(|_| !given && !scopes.is_empty());
        result.needed_scope = needed.map_or_else(String::new, |p| p.scope_for(&scopes));
        result.answer.reason = Some(if given { Reason::Ok } else { Reason::InsufficientScope });
        let conclusion = Conclusion { context: self.context, policy };
        // No scope of this provider gives the service, so another token would not help.
        result.status = if scopes.is_empty() { 403 } else { conclusion.status_of(&result.answer, result.proxy) };
        if !given {
            self.context.arena().shared().counters.add_reason(Reason::InsufficientScope);
            conclusion.tell_refusal(result, Level::Debug);
        }
        if scopes.is_empty() && !policy.providers.iter().any(|p| service(p, name).is_some()) {
            self.told.unknown_service(self.context.log(), name);
        }
        true
    }

    /// Whether a request to this next hop (a SIP URI) may carry the token that the last check accepted.
    pub(super) fn may_carry_token(&self, result: &CheckResult, next_hop: &str) -> Result<(), Withheld> {
        match result.granted {
            None => Err(Withheld::NotAccepted),
            Some(_) if !self.policy.is_application_server(next_hop) => Err(Withheld::ForeignNextHop),
            Some(_) => Ok(()),
        }
    }

    /// The token for such a request, once that is allowed. Nobody else can read a token that was encrypted for this
    /// proxy, so for such a token this is the signed token inside it. `accepted` is the token of the result, if it
    /// has one. Does not wait.
    pub(super) fn token(
        &mut self,
        result: &CheckResult,
        accepted: Option<AcceptedToken>,
        next_hop: &str,
    ) -> Result<Zeroizing<String>, Withheld> {
        let AcceptedToken { sent, signed } = match (accepted, &result.answer.session) {
            (Some(token), _) => token,
            (None, Some(session)) => {
                let token = self.token_of_session(&session.id)?;
                // The token came from its issuer. If this proxy cannot decrypt it, it may be encrypted for the
                // next hop.
                let opened = self.policy.decryption.open(&token).ok();
                let signed = opened.and_then(OpenedToken::into_decrypted);
                AcceptedToken { sent: token, signed }
            }
            (None, None) => return Err(Withheld::NotAccepted),
        };
        if signed.is_some() && !self.policy.is_protected_server(next_hop) {
            self.told.unprotected(self.context.log(), next_hop);
            return Err(Withheld::Unprotected);
        }
        let token = signed.unwrap_or(sent);
        self.context.arena().shared().counters.add(Counter::TokensForwarded);
        Ok(token)
    }

    /// The tokens of a session, which can be read with a local store, or right after they were issued. Only the
    /// I/O service reads Redis, and it hands over, sealed, what a phone is to get.
    fn tokens_of(&self, session: &SessionId) -> Result<Tokens, Withheld> {
        let now = now_millis();
        let view = SessionView::as_known_after_wait(self.context, self.policy, now);
        match view.read::<Tokens>(&tokens_key(session)) {
            Known::Found(tokens) if now / 1000 < tokens.expires_at => Ok(tokens),
            _ => Err(Withheld::NotNow),
        }
    }

    fn token_of_session(&self, session: &SessionId) -> Result<Zeroizing<String>, Withheld> {
        // A token that was not kept, because application_servers was not set then, comes with the next refresh.
        let token = self.tokens_of(session)?.access_token.ok_or(Withheld::NotNow)?;
        Ok(Zeroizing::new(token.0.clone()))
    }

    /// The tokens that a phone gets in the 200 to its REGISTER, as JSON (sip-oauth section 4.3).
    pub fn token_response(&self, result: &CheckResult) -> Result<Zeroizing<String>, Withheld> {
        let answer = &result.answer;
        let session = answer.session.as_ref().filter(|_| result.granted.is_some() && gives_tokens(answer));
        let session = session.ok_or(Withheld::NotAccepted)?;
        let tokens = self.tokens_of(&session.id)?;
        let refresh_token = tokens.refresh_token.as_ref().map(|token| token.0.as_str());
        let seconds = tokens.expires_at - now_millis() / 1000;
        let access_token = tokens.access_token.as_ref().ok_or(Withheld::NotNow)?;
        Ok(token_response(&access_token.0, refresh_token, seconds, &session.scope))
    }
}

/// Adds what the provider's policy says beside the result: services, expiry limit and needed scopes. `now` is
/// in Unix seconds.
pub(super) fn add(policy: &Policy, result: &mut CheckResult, request: &Request<'_>, now: i64) {
    let provider = result.answer.provider.map(|p| &policy.providers[p]);
    match (result.answer.reason(), provider) {
        (Reason::Ok, None) => result.granted = Some(Granted::default()),
        (Reason::Ok, Some(provider)) => {
            let services = provider.rules.scopes.services(result.answer.granted_scope());
            let is_limited = policy.settings.limits_expires() && request.is_register();
            let until = result.answer.allows_until().filter(|_| is_limited);
            result.granted = Some(Granted::new(services, until.map_or(0, |until| seconds_left(until, now))));
        }
        (Reason::InsufficientScope, Some(provider)) => {
            result.needed_scope = provider.scope_for(provider.rules.scopes.of_method(request.method));
        }
        // The first challenge names the scopes too, so that one sign-in is enough.
        (Reason::NoCredentials, _) if result.answer.challenge.is_none() => {
            let aor = Aor::parse(request.address());
            let provider = policy.provider_for_domain(aor.as_ref().map_or("", Aor::host));
            let scopes = provider.rules.scopes.of_method(request.method);
            if !scopes.is_empty() {
                result.needed_scope = provider.scope_for(scopes);
            }
        }
        _ => {}
    }
}

/// True when the answer gives the phone its tokens.
pub fn gives_tokens(answer: &Answer) -> bool {
    answer.reason == Some(Reason::Ok) && matches!(answer.carried, Carried::Password | Carried::Refresh)
}

fn service(provider: &Provider, name: &str) -> Option<Vec<String>> {
    provider.rules.scopes.of_service(name).map(<[String]>::to_vec)
}

/// Seconds until `until`, at least 1. Within the leeway a token has no time left, but 0 would end the
/// registration.
pub(super) fn seconds_left(until: i64, now: i64) -> u32 {
    u32::try_from(until.saturating_sub(now).max(1)).unwrap_or(u32::MAX)
}
