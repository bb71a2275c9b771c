// SPDX-License-Identifier: MIT OR Apache-2.0
//! The check of one token. The token is decrypted, verified and, if configured, confirmed by its server. Or its
//! server alone judges it.

use std::sync::Arc;

use super::known_token::KnownToken;
use super::peer_certificate::PeerCertificate;
use super::token_answer::{KnownAnswer, KnownAnswers, Standing, TokenId, known_answer};
use super::token_cache::{KnownTokens, Remembered};
use super::verified_token::{Display, VerifiedToken};
use super::{Answer, Carried, Decision, IntrospectionQuestion, Knowledge, Unverified};
use crate::config::decryption::Encryption;
use crate::config::introspection::TokenStrategy;
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::jose::decryption_keys::{NotOpened, OpenedToken};
use crate::jose::hashed_token::HashedToken;
use crate::jose::jwe::CompactJwe;
use crate::jose::jws::CompactJws;
use crate::jose::known_headers::KnownHeaders;
use crate::reason::Reason;
use crate::rules::claim_fault::{ACCESS_TOKEN, ClaimFault, INTROSPECTION_ANSWER};
use crate::rules::claims::Claims;
use crate::rules::confirmation::Confirmation;
use crate::text::fingerprint::{hex, visible, visible_arc};
use crate::text::json::Json;
use crate::text::secret::SecretText;

/// How a token is used. A text that is not known is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenUsage<'a> {
    /// The SIP domain of the address that the token is used for. It tells the provider of a token that does not
    /// name its issuer.
    pub domain: &'a str,
    /// How the token came, as in [`super::Request::transport`].
    pub transport: &'a str,
    /// As in [`super::Request::certificate`].
    pub certificate: PeerCertificate<'a>,
}

/// Checks a bare token: everything but who uses it.
pub fn check_token(
    policy: &Policy,
    known: Knowledge<'_>,
    tokens: &mut dyn KnownTokens,
    token: &str,
    usage: TokenUsage<'_>,
    now: i64,
) -> Decision {
    let remembered = tokens.recall(token);
    check_remembered_token(policy, known, tokens, token, remembered, usage, now)
}

/// As [`check_token`], for a token that was looked up already.
pub(super) fn check_remembered_token(
    policy: &Policy,
    known: Knowledge<'_>,
    tokens: &mut dyn KnownTokens,
    token: &str,
    remembered: Option<Remembered>,
    usage: TokenUsage<'_>,
    now: i64,
) -> Decision {
    if token.len() > policy.settings.max_token_size as usize {
        return Decision::Done(Answer { carried: Carried::Token, ..Answer::refuse(Reason::TokenTooLarge) });
    }
    let serves = |remembered: &Remembered| {
        let index = match remembered {
            Remembered::Whole(verified) => verified.provider,
            Remembered::Proven(token) => token.provider(),
        };
        let Some(provider) = policy.providers.get(index) else {
            return false;
        };
        match (provider.strategy, remembered) {
            (TokenStrategy::Opaque, Remembered::Whole(verified)) => {
                let same = || policy.provider_for_opaque(usage.domain) == Some(index);
                verified.standing.holds(now) && (!verified.by_domain || same())
            }
            (TokenStrategy::Opaque, Remembered::Proven(_)) => false,
            // If the keys are too old to verify a token, they are also too old for one that they have verified
            // before.
            _ => !provider.watches_keys() || known.keys.fetched(index).is_some(),
        }
    };
    let remembered = remembered.filter(serves);
    let mut answer = Answer { carried: Carried::Token, cached: remembered.is_some(), ..Answer::default() };
    let checked = match remembered {
        Some(Remembered::Whole(verified)) => {
            answer.provider = Some(verified.provider);
            let provider = &policy.providers[verified.provider];
            let judged = check_protection(provider, token, usage.transport)
                .and_then(|()| provider.rules.check_claims(&verified.claims, now))
                .and_then(|()| check_binding(provider, &verified.claims, usage, &mut answer));
            answer.token = Some(verified);
            judged.map_err(Refusal::Because)
        }
        remembered => {
            let proven = match &remembered {
                Some(Remembered::Proven(token)) => Some(&**token),
                _ => None,
            };
            let mut reading = Reading::new(token, proven);
            let verified = verify(policy, known, tokens.headers(), &mut reading, usage, now, &mut answer);
            if reading.unproven && !matches!(verified, Ok(_) | Err(Refusal::NeedIntrospection(_))) {
                known.decryptions.failed();
            }
            match verified {
                Ok(mut verified) => {
                    verified.fingerprint = reading.hashed.fingerprint;
                    let verified = Arc::new(verified);
                    tokens.remember(&verified);
                    answer.token = Some(verified);
                    Ok(())
                }
                Err(refusal) => {
                    let claim_fault = answer.unverified.take().map_or_else(String::new, |noted| noted.claim_fault);
                    answer.unverified = Some(Box::new(Unverified { claim_fault, ..reading.into_unverified() }));
                    Err(refusal)
                }
            }
        }
    };
    let checked = checked.and_then(|()| confirm(policy, known.answers, tokens, &mut answer, usage, now));
    match checked {
        Ok(()) => answer.reason = Some(Reason::Ok),
        Err(Refusal::Because(reason)) => answer.reason = Some(reason),
        Err(Refusal::NeedKeys(reason)) => {
            answer.reason = Some(reason);
            return Decision::NeedKeys(answer);
        }
        Err(Refusal::NeedIntrospection(id)) => {
            return Decision::NeedIntrospection(
                answer,
                IntrospectionQuestion { id, token: SecretText(token.to_owned()) },
            );
        }
    }
    Decision::Done(answer)
}

/// Reads a token again, with all that it says, that was remembered and accepted at `now` by this policy. Keys are not
/// looked at. None if that is not possible any more, because what its server has said of it is gone.
pub fn read_again(
    policy: &Policy,
    known: Knowledge<'_>,
    headers: &mut KnownHeaders,
    token: &str,
    remembered: &KnownToken,
    usage: TokenUsage<'_>,
    now: i64,
) -> Option<VerifiedToken> {
    let mut reading = Reading::new(token, Some(remembered));
    let read = verify(policy, known, headers, &mut reading, usage, now, &mut Answer::default()).ok()?;
    let same = read.provider == remembered.provider();
    same.then_some(VerifiedToken { fingerprint: reading.hashed.fingerprint, ..read })
}

/// A key set from a server may be this old, in seconds, because caches on the way may keep it.
const AGE_OF_KEYS: i64 = 300;

enum Refusal {
    Because(Reason),
    /// Other keys are needed. This is the reason why the present ones do not verify the token.
    NeedKeys(Reason),
    NeedIntrospection(TokenId),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::Because(reason)
    }
}

/// Checks the token's protection on its way (RFC 8898 section 2.1.2), as far as the provider asks for it.
fn check_protection(provider: &Provider, token: &str, transport: &str) -> Result<(), Reason> {
    let encrypted = || CompactJwe::split(token).is_some();
    if provider.encryption == Encryption::Allowed || provider.encryption.accepts(encrypted(), transport) {
        Ok(())
    } else {
        Err(Reason::EncryptionRequired)
    }
}

/// A token that is bound to a key (RFC 7800) counts only together with a proof of that key.
pub(super) fn check_binding(
    provider: &Provider,
    claims: &Claims,
    usage: TokenUsage<'_>,
    answer: &mut Answer,
) -> Result<(), Reason> {
    match &claims.confirmation {
        Some(key) if !provider.ignores_binding && !is_proved(key, usage) => {
            answer.unproved_key = Some(key.name().into());
            Err(Reason::TokenBound)
        }
        _ => Ok(()),
    }
}

/// True when the sender has proved possession of the key by its client certificate (RFC 8705 section 3).
pub(super) fn is_proved(key: &Confirmation, usage: TokenUsage<'_>) -> bool {
    key.is_proved_by(|| usage.certificate.thumbprint(usage.transport))
}

/// A token that is not remembered, and what was read of it so far.
struct Reading<'a> {
    hashed: HashedToken<'a>,
    /// Index of the provider whose present keys have verified the token's signature before.
    proven: Option<usize>,
    kid: Option<Arc<str>>,
    claims: Option<Claims>,
    /// Keys were tried that fit the token's `kid` or its lack of one, and none of them has signed the token.
    tried: bool,
    /// A private key was used for the token, and nothing shows yet that its issuer made it.
    unproven: bool,
}

impl<'a> Reading<'a> {
    fn new(token: &'a str, proven: Option<&KnownToken>) -> Reading<'a> {
        let hashed = match proven {
            Some(known) => HashedToken::named(token, hex(&known.fingerprint())),
            None => HashedToken::new(token),
        };
        let proven = proven.map(KnownToken::provider);
        Reading { hashed, proven, kid: None, claims: None, tried: false, unproven: false }
    }

    fn into_unverified(self) -> Unverified {
        Unverified {
            issued_at: self.claims.as_ref().and_then(|claims| claims.issued_at),
            issuer: self.claims.map(|claims| visible(&claims.issuer).into_owned()).unwrap_or_default(),
            kid: visible(self.kid.as_deref().unwrap_or_default()).into_owned(),
            fingerprint: self.hashed.fingerprint,
            claim_fault: String::new(),
            tried: self.tried,
        }
    }
}

fn verify(
    policy: &Policy,
    known: Knowledge<'_>,
    headers: &mut KnownHeaders,
    reading: &mut Reading<'_>,
    usage: TokenUsage<'_>,
    now: i64,
    answer: &mut Answer,
) -> Result<VerifiedToken, Refusal> {
    let token = reading.hashed.text;
    // A token that cannot be read as a JWT, or that is of no provider, may be one that only its server can read. If
    // the token names a provider, only that one counts, so another server cannot rescue an invalid JWT.
    let not_read = |fault: ClaimFault, named: Option<usize>, answer: &mut Answer| {
        let Some(index) = policy.asked_about(named, usage.domain) else {
            return Err(answer.note(fault, ACCESS_TOKEN).into());
        };
        let token = introspected(policy, known.answers, index, token, usage, now, answer)?;
        Ok(VerifiedToken { by_domain: named.is_none(), ..token })
    };
    // Whoever has forged others does not decide about a token that was verified.
    let is_known = reading.proven.is_some();
    let permit = || {
        if is_known {
            return true;
        }
        reading.unproven = known.decryptions.allowed();
        reading.unproven
    };
    let jws = reading.hashed.jws;
    let opened =
        if jws.is_some() { Ok(OpenedToken::AsItCame(token)) } else { policy.decryption.open_if(token, permit) };
    let opened = match opened {
        Ok(opened) => opened,
        Err(NotOpened { reason: Reason::Overloaded, .. }) => return Err(Reason::Overloaded.into()),
        Err(refused) => {
            let named = policy.provider_named_by_header(token);
            reading.kid = Some(refused.kid.into());
            return not_read(refused.reason.into(), named, answer);
        }
    };
    let read_header = |jws: CompactJws<'_>| match headers.get(jws.encoded_header()) {
        Some(header) => Ok(header),
        None => jws.header().map(Arc::new),
    };
    let jws = jws.map_or_else(|| CompactJws::split(&opened), Ok);
    let (header, jws) = match jws.and_then(|jws| Ok((read_header(jws)?, jws))) {
        Ok(jws) => jws,
        Err(reason) => {
            let named = policy.provider_named_by(&opened);
            return not_read(reason.into(), named, answer);
        }
    };
    let payload = match jws.unverified_payload() {
        Ok(payload) => payload,
        Err(reason) => return not_read(reason.into(), None, answer),
    };
    let json = match Json::parse(&payload) {
        Ok(json) => json,
        Err(error) => return not_read(ClaimFault::unreadable(&error), None, answer),
    };
    let agrees = if opened.agrees_with(&json) { Ok(()) } else { Err(Reason::TokenMalformed.into()) };
    let claims = match agrees.and_then(|()| Claims::from_json(&json)) {
        Ok(claims) => reading.claims.insert(claims),
        Err(fault) => {
            let named = policy.provider_named_in(&json);
            return not_read(fault, named, answer);
        }
    };
    reading.kid.clone_from(&header.kid);

    let Some(index) = policy.provider_for_issuer(&claims.issuer, claims.tenant.as_deref()) else {
        return not_read(Reason::IssuerUnknown.into(), None, answer);
    };
    answer.provider = Some(index);
    let provider = &policy.providers[index];
    // Its server judges tokens together with the request that brings them.
    if provider.strategy == TokenStrategy::ValidationGrant {
        return Err(Reason::TokenOpaque.into());
    }
    if provider.strategy == TokenStrategy::Opaque {
        return introspected(policy, known.answers, index, token, usage, now, answer);
    }
    check_protection(provider, token, usage.transport)?;
    provider.rules.check_header(&header)?;
    claims.take_type(&header.typ);
    let is_proven = reading.proven == Some(index);
    if !is_proven && let Err(reason) = provider.keys.verify(&jws, &header, known.keys.fetched(index)) {
        if !provider.keys.may_have_changed(Err(reason)) {
            return Err(reason.into());
        }
        let fetched = known.keys.fetched(index);
        reading.tried = fetched.is_some_and(|set| set.candidates(header.kid.as_deref(), header.algorithm).is_ok());
        // The keys were fetched after the token was issued, and those that fit its `kid` have not signed it.
        // Fetching them again would not help.
        let oldest = known.keys.fetched_at(index) - provider.rules.leeway - AGE_OF_KEYS;
        if reading.tried && claims.issued_at.is_some_and(|issued_at| issued_at < oldest) {
            return Err(reason.into());
        }
        // A token that would be refused anyway is not worth a key fetch. What is wrong with its claims is told
        // only if its key is unknown, not if a known key has not signed it.
        let judged = judge(provider, claims, &json, usage, now, answer);
        judged.map_err(|refusal| if reason == Reason::KeyUnknown { refusal } else { reason })?;
        return Err(Refusal::NeedKeys(reason));
    }
    reading.unproven = false;
    judge(provider, claims, &json, usage, now, answer)?;
    // No part of an encrypted token is kept longer than the token itself.
    if let OpenedToken::AsItCame(_) = opened {
        headers.remember(jws.encoded_header(), &header);
    }
    let aors = provider.addresses(&json);
    drop(json);
    let claims = reading.claims.take().unwrap_or_default();
    Ok(VerifiedToken {
        token: token.into(),
        signed: opened.into_decrypted(),
        provider: index,
        kid: reading.kid.take().map(visible_arc).unwrap_or_default(),
        fingerprint: String::new(),
        display: Display::new(&claims),
        claims,
        aors,
        payload,
        standing: Standing::NONE,
        by_domain: false,
    })
}

/// Judges a token by every rule about its claims.
fn judge(
    provider: &Provider,
    claims: &Claims,
    json: &Json<'_>,
    usage: TokenUsage<'_>,
    now: i64,
    answer: &mut Answer,
) -> Result<(), Reason> {
    provider.rules.check_claims(claims, now).map_err(|reason| {
        let opaque = provider.strategy == TokenStrategy::Opaque;
        missing_audience(reason, if opaque { INTROSPECTION_ANSWER } else { ACCESS_TOKEN }, answer)
    })?;
    provider.rules.check_required_claims(json)?;
    check_binding(provider, claims, usage, answer)
}

/// Of the claims that a rule needs, only `aud` may be absent here.
fn missing_audience(reason: Reason, whose: &str, answer: &mut Answer) -> Reason {
    match reason {
        Reason::ClaimMissing => answer.note(ClaimFault::missing("aud"), whose),
        other => other,
    }
}

/// Verifies a token that only its server can read (RFC 7662). The server's answer is judged like the claims of a
/// token.
fn introspected(
    policy: &Policy,
    answers: &dyn KnownAnswers,
    index: usize,
    token: &str,
    usage: TokenUsage<'_>,
    now: i64,
    answer: &mut Answer,
) -> Result<VerifiedToken, Refusal> {
    let provider = &policy.providers[index];
    answer.provider = Some(index);
    let (payload, standing) = said_active(provider, answers, token, now)?;
    let json = Json::parse(&payload).map_err(|_| Reason::IntrospectionUnavailable)?;
    let read = Claims::from_introspection(&json, &provider.issuer);
    let claims = read.map_err(|fault| answer.note(fault, INTROSPECTION_ANSWER))?;
    judge(provider, &claims, &json, usage, now, answer)?;
    let aors = provider.addresses(&json);
    Ok(VerifiedToken {
        token: token.into(),
        signed: None,
        provider: index,
        kid: Arc::default(),
        fingerprint: String::new(),
        display: Display::new(&claims),
        claims,
        aors,
        payload,
        standing,
        by_domain: false,
    })
}

/// If a signature is not enough, the server must have said lately that the token has not been revoked. What it
/// says about scopes and the token's end counts.
fn confirm(
    policy: &Policy,
    answers: &dyn KnownAnswers,
    tokens: &mut dyn KnownTokens,
    answer: &mut Answer,
    usage: TokenUsage<'_>,
    now: i64,
) -> Result<(), Refusal> {
    let Some(token) = answer.token.clone() else {
        return Err(Reason::Internal.into());
    };
    let provider = &policy.providers[token.provider];
    if provider.strategy != TokenStrategy::JwtThenIntrospection || token.standing.holds(now) {
        return Ok(());
    }
    let (payload, standing) = said_active(provider, answers, &token.token, now)?;
    let json = Json::parse(&payload).map_err(|_| Reason::IntrospectionUnavailable)?;
    let claims = token.claims.narrowed_by(&json).map_err(|fault| answer.note(fault, INTROSPECTION_ANSWER))?;
    provider.rules.check_claims(&claims, now)?;
    check_binding(provider, &claims, usage, answer)?;
    let confirmed = Arc::new(token.confirmed(claims, standing));
    tokens.remember(&confirmed);
    answer.token = Some(confirmed);
    Ok(())
}

/// The answer for an active token, and how long it counts.
fn said_active(
    provider: &Provider,
    answers: &dyn KnownAnswers,
    token: &str,
    now: i64,
) -> Result<(Vec<u8>, Standing), Refusal> {
    let introspection = provider.introspection.as_ref().ok_or(Reason::Internal)?;
    let id = TokenId::new(&provider.issuer, token);
    match known_answer(answers, &id, introspection, now) {
        KnownAnswer::Active(payload, standing) => Ok((payload, standing)),
        KnownAnswer::Refused(reason) => Err(reason.into()),
        KnownAnswer::NotHere => Err(Refusal::NeedIntrospection(id)),
    }
}
