// SPDX-License-Identifier: MIT OR Apache-2.0
//! One token: decrypted, verified, and confirmed by its server where that is asked for, or judged by its server alone.

use std::sync::Arc;

use super::check::{Answer, Carried, Decision, Knowledge, Question, Unverified};
use super::token_answer::{KnownAnswer, KnownAnswers, Standing, TokenId, known_answer};
use super::token_cache::{TokenCache, VerifiedToken};
use crate::config::decryption::Encryption;
use crate::config::introspection::TokenStrategy;
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::proto::claims::Claims;
use crate::proto::fingerprint::HashedToken;
use crate::proto::jose::decryption_keys::{NotOpened, Opened};
use crate::proto::jose::is_jose;
use crate::proto::jose::jwe::CompactJwe;
use crate::proto::jose::jws::CompactJws;
use crate::proto::json::Json;
use crate::proto::reason::Reason;
use crate::proto::session::SecretText;

/// How a token is used. Empty: nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage<'a> {
    /// The SIP domain of the address that it is used for: it tells whose token one is that does not say so itself.
    pub domain: &'a str,
    /// How it came, as in [`super::check::Request::transport`].
    pub transport: &'a str,
}

/// Checks a bare token: everything but who uses it.
pub fn check_token(
    policy: &Policy,
    known: Knowledge<'_>,
    cache: &mut TokenCache,
    token: &str,
    usage: Usage<'_>,
    now: i64,
) -> Decision {
    let looked_up = LookedUp::new(cache, token);
    check_looked_up(policy, known, cache, looked_up, usage, now)
}

/// A token, and what the cache has of it.
pub(super) struct LookedUp<'a> {
    pub token: &'a str,
    pub remembered: Option<Arc<VerifiedToken>>,
}

impl<'a> LookedUp<'a> {
    pub fn new(cache: &mut TokenCache, token: &'a str) -> LookedUp<'a> {
        LookedUp { token, remembered: cache.get(token) }
    }
}

/// As [`check_token`].
pub(super) fn check_looked_up(
    policy: &Policy,
    known: Knowledge<'_>,
    cache: &mut TokenCache,
    LookedUp { token, remembered }: LookedUp<'_>,
    usage: Usage<'_>,
    now: i64,
) -> Decision {
    if token.len() > policy.settings.max_token_size as usize {
        return Decision::Done(Answer { carried: Carried::Token, ..Answer::refuse(Reason::TokenTooLarge) });
    }
    let serves = |verified: &VerifiedToken| {
        let provider = &policy.providers[verified.provider];
        match provider.strategy {
            TokenStrategy::Opaque => {
                let same = || policy.provider_for_opaque(usage.domain) == Some(verified.provider);
                verified.standing.holds(now) && (!verified.by_domain || same())
            }
            // Keys that are too old to verify a token are too old to stand behind a verified one.
            _ => !provider.watches_keys() || known.keys.fetched(verified.provider).is_some(),
        }
    };
    let remembered = remembered.filter(|verified| serves(verified));
    let mut answer = Answer { carried: Carried::Token, cached: remembered.is_some(), ..Answer::default() };
    let checked = match remembered {
        Some(verified) => {
            answer.provider = Some(verified.provider);
            let provider = &policy.providers[verified.provider];
            let judged = check_protection(provider, token, usage.transport)
                .and_then(|()| provider.rules.check_claims(&verified.claims, now));
            answer.token = Some(verified);
            judged.map_err(Refusal::Because)
        }
        None => {
            let mut hashed = HashedToken::new(token);
            let fingerprint = std::mem::take(&mut hashed.fingerprint);
            answer.unverified = Some(Box::new(Unverified { fingerprint, ..Unverified::default() }));
            let mut unproven = false;
            let verified = verify(policy, known, &hashed, usage, now, &mut answer, &mut unproven);
            if unproven && !matches!(verified, Ok(_) | Err(Refusal::NeedIntrospection(_))) {
                known.decryptions.failed();
            }
            verified.map(|verified| {
                let verified = Arc::new(verified);
                cache.insert(Arc::clone(&verified));
                answer.token = Some(verified);
            })
        }
    };
    let checked = checked.and_then(|()| confirm(policy, known.answers, cache, &mut answer, now));
    match checked {
        Ok(()) => answer.reason = Some(Reason::Ok),
        Err(Refusal::Because(reason)) => answer.reason = Some(reason),
        Err(Refusal::NeedKeys) => return Decision::NeedKeys(answer),
        Err(Refusal::NeedIntrospection(id)) => {
            return Decision::NeedIntrospection(answer, Question { id, token: SecretText(token.to_owned()) });
        }
    }
    Decision::Done(answer)
}

enum Refusal {
    Because(Reason),
    NeedKeys,
    NeedIntrospection(TokenId),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::Because(reason)
    }
}

/// RFC 8898 section 2.1.2, as far as the provider asks for it.
fn check_protection(provider: &Provider, token: &str, transport: &str) -> Result<(), Reason> {
    let encrypted = || CompactJwe::split(token).is_some();
    if provider.encryption == Encryption::Allowed || provider.encryption.accepts(encrypted(), transport) {
        Ok(())
    } else {
        Err(Reason::EncryptionRequired)
    }
}

/// `unproven`: a private key was used for it, and nothing says yet that its issuer made it.
fn verify(
    policy: &Policy,
    known: Knowledge<'_>,
    hashed: &HashedToken<'_>,
    usage: Usage<'_>,
    now: i64,
    answer: &mut Answer,
    unproven: &mut bool,
) -> Result<VerifiedToken, Refusal> {
    let token = hashed.text;
    // What is no JWT at all may be one that only its server can read.
    let asked = policy.provider_for_opaque(usage.domain).filter(|_| !is_jose(token));
    let permit = || {
        *unproven = known.decryptions.allowed();
        *unproven
    };
    let opened = match (policy.decryption.open_if(token, permit), asked) {
        (Ok(opened), _) => opened,
        (Err(NotOpened { reason: Reason::Overloaded, .. }), _) => return Err(Reason::Overloaded.into()),
        (Err(_), Some(provider)) => return by_domain(policy, known.answers, provider, token, now, answer),
        (Err(refused), None) => {
            answer.unverified.get_or_insert_default().kid.clone_from(&refused.kid);
            return Err(refused.reason.into());
        }
    };
    let (header, jws) = match (CompactJws::split(&opened).and_then(|jws| Ok((jws.header()?, jws))), asked) {
        (Ok(jws), _) => jws,
        (Err(_), Some(provider)) => return by_domain(policy, known.answers, provider, token, now, answer),
        (Err(reason), None) => return Err(reason.into()),
    };
    let jws = if let Opened::AsItCame(_) = opened { jws.with_hash(&hashed.signed) } else { jws };
    let payload = jws.unverified_payload()?;
    let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
    if !opened.agrees_with(&json) {
        return Err(Reason::TokenMalformed.into());
    }
    let mut claims = Claims::from_json(&json)?;
    let unverified = answer.unverified.get_or_insert_default();
    unverified.issuer.clone_from(&claims.issuer);
    unverified.kid = header.kid.clone().unwrap_or_default();

    let index = policy.provider_for_issuer(&claims.issuer, claims.tenant.as_deref()).ok_or(Reason::IssuerUnknown)?;
    answer.provider = Some(index);
    let provider = &policy.providers[index];
    // Its server judges tokens together with the request that brings them.
    if provider.strategy == TokenStrategy::ValidationGrant {
        return Err(Reason::TokenOpaque.into());
    }
    if provider.strategy == TokenStrategy::Opaque {
        return introspected(policy, known.answers, index, token, now, answer);
    }
    check_protection(provider, token, usage.transport)?;
    provider.rules.check_header(&header)?;
    claims.take_type(&header.typ);
    let fetched = provider.keys.is_fetched();
    let verified = provider.keys.verify(&jws, &header, known.keys.fetched(index));
    if verified == Err(Reason::KeyUnknown) && fetched {
        // A token that would be refused anyway is not worth a key fetch.
        judge(provider, &claims, &json, now)?;
        return Err(Refusal::NeedKeys);
    }
    verified?;
    *unproven = false;
    judge(provider, &claims, &json, now)?;
    let aors = provider.addresses(&json);
    let Unverified { kid, fingerprint, .. } = answer.unverified.take().map_or_else(Unverified::default, |seen| *seen);
    Ok(VerifiedToken {
        token: token.into(),
        signed: opened.into_decrypted(),
        provider: index,
        kid,
        fingerprint,
        claims,
        aors,
        payload,
        standing: Standing::NONE,
        by_domain: false,
    })
}

/// Every rule about what a token says.
fn judge(provider: &Provider, claims: &Claims, json: &Json<'_>, now: i64) -> Result<(), Reason> {
    provider.rules.check_claims(claims, now)?;
    provider.rules.check_required_claims(json)
}

/// A token that does not say whose it is.
fn by_domain(
    policy: &Policy,
    answers: &dyn KnownAnswers,
    index: usize,
    token: &str,
    now: i64,
    answer: &mut Answer,
) -> Result<VerifiedToken, Refusal> {
    let token = introspected(policy, answers, index, token, now, answer)?;
    Ok(VerifiedToken { by_domain: true, ..token })
}

/// A token that only its server can read (RFC 7662): its answer is judged as a token's claims are.
fn introspected(
    policy: &Policy,
    answers: &dyn KnownAnswers,
    index: usize,
    token: &str,
    now: i64,
    answer: &mut Answer,
) -> Result<VerifiedToken, Refusal> {
    let provider = &policy.providers[index];
    answer.provider = Some(index);
    let (payload, standing) = said_active(provider, answers, token, now)?;
    let json = Json::parse(&payload).map_err(|_| Reason::IntrospectionUnavailable)?;
    let claims = Claims::from_introspection(&json, &provider.issuer)?;
    judge(provider, &claims, &json, now)?;
    let aors = provider.addresses(&json);
    let fingerprint = answer.unverified.as_ref().map_or_else(String::new, |u| u.fingerprint.clone());
    Ok(VerifiedToken {
        token: token.into(),
        signed: None,
        provider: index,
        kid: String::new(),
        fingerprint,
        claims,
        aors,
        payload,
        standing,
        by_domain: false,
    })
}

/// Where a signature is not enough, the server must have said lately that the token has not been revoked. What it says
/// of scopes and of the token's end counts.
fn confirm(
    policy: &Policy,
    answers: &dyn KnownAnswers,
    cache: &mut TokenCache,
    answer: &mut Answer,
    now: i64,
) -> Result<(), Refusal> {
    let Some(token) = &answer.token else {
        return Err(Reason::Internal.into());
    };
    let provider = &policy.providers[token.provider];
    if provider.strategy != TokenStrategy::JwtThenIntrospection || token.standing.holds(now) {
        return Ok(());
    }
    let (payload, standing) = said_active(provider, answers, &token.token, now)?;
    let json = Json::parse(&payload).map_err(|_| Reason::IntrospectionUnavailable)?;
    let claims = token.claims.narrowed_by(&json)?;
    provider.rules.check_claims(&claims, now)?;
    let confirmed = Arc::new(token.confirmed(claims, standing));
    cache.insert(Arc::clone(&confirmed));
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
