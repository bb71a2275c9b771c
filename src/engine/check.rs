// SPDX-License-Identifier: MIT OR Apache-2.0
//! One question, three answers: accepted, refused, or something is needed first.

use std::sync::Arc;

use super::session_check::{KnownSessions, Look, OpenProof, Registration, UsedSession};
use super::token_cache::{TokenCache, VerifiedToken};
use crate::arena::replay_guard::Use;
use crate::config::policy::Policy;
use crate::proto::claims::Claims;
use crate::proto::credentials;
use crate::proto::fingerprint::token_fingerprint;
use crate::proto::grant::{self, CodeRequest, Grant};
use crate::proto::jose::jws::CompactJws;
use crate::proto::jose::key_set::KeySet;
use crate::proto::json::Json;
use crate::proto::reason::Reason;

/// What is looked at of a SIP request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The proxy's role: Proxy-Authorization and realms that must fit.
    pub proxy: bool,
    /// The method.
    pub method: &'a str,
    /// addr-spec of From.
    pub from: &'a str,
    /// addr-spec of To.
    pub to: &'a str,
    /// The protection domain that the script asked for.
    pub realm: &'a str,
    /// Bodies of the credential header fields.
    pub credentials: &'a [&'a str],
    /// udp, tcp, tls, sctp, ws, wss or empty.
    pub transport: &'a str,
    /// Where it came from: address and port.
    pub source: (&'a str, u16),
    /// What codes and proofs depend on.
    pub message: Message<'a>,
}

/// Further parts of a SIP request, raw octets of the message. Empty: not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// Content-Type
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Tag of From.
    pub from_tag: &'a [u8],
    /// Call-ID
    pub call_id: &'a [u8],
    /// CSeq
    pub cseq: &'a [u8],
    /// Date
    pub date: &'a [u8],
    /// addr-spec of the Contact.
    pub contact: &'a [u8],
    /// `+sip.instance`
    pub instance: &'a str,
    /// branch of the topmost Via.
    pub branch: &'a [u8],
    /// To tag of the coming answer.
    pub reply_to_tag: &'a [u8],
    /// How many Contacts there are.
    pub contacts: u32,
}

impl Request<'_> {
    /// True for REGISTER, where To is the address-of-record.
    pub fn is_register(&self) -> bool {
        self.method.eq_ignore_ascii_case("REGISTER")
    }
}

/// What a request carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// Nothing of ours.
    #[default]
    Nothing,
    /// A token.
    Token,
    /// A code.
    Code,
    /// A proof of possession.
    Proof,
}

/// The keys as this worker knows them.
pub trait KnownKeys {
    /// The fetched keys of a provider; None when there are none or they are too old.
    fn fetched(&self, provider: usize) -> Option<&KeySet>;
}

/// What came out.
#[derive(Debug)]
pub enum Decision {
    /// Decided.
    Done(Answer),
    /// The token would pass, but no known key fits its kid.
    NeedKeys(Answer),
    /// The code must be exchanged, or the result of its exchange fetched.
    NeedExchange(Answer, CodeRequest, Registration),
    /// The key of this registration must be stored.
    NeedKeyStored(Answer, Registration),
    /// The sessions of this address-of-record must be fetched, and a proof be compared that other proxies may know.
    NeedAccount(Answer, String, Option<Box<OpenProof>>),
    /// The proof is right; it must be compared with those that were seen.
    NeedComparison(Answer, Use),
}

impl Decision {
    /// What is known so far.
    pub fn answer_mut(&mut self) -> &mut Answer {
        match self {
            Decision::Done(answer)
            | Decision::NeedKeys(answer)
            | Decision::NeedExchange(answer, ..)
            | Decision::NeedKeyStored(answer, _)
            | Decision::NeedAccount(answer, ..)
            | Decision::NeedComparison(answer, _) => answer,
        }
    }
}

/// The outcome of a check with what is known of the token.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Why.
    pub reason: Option<Reason>,
    /// The provider, once it is known.
    pub provider: Option<usize>,
    /// The token, once its signature is verified.
    pub token: Option<Arc<VerifiedToken>>,
    /// Which of the token's addresses the request uses.
    pub aor: Option<usize>,
    /// The answer came from the verified-token cache.
    pub cached: bool,
    /// What the request carried.
    pub carried: Carried,
    /// The session of a code or proof.
    pub session: Option<Box<UsedSession>>,
    /// An accepted registration with a code: its end must be told.
    pub registration: Option<Box<Registration>>,
    /// `iss`, `kid` and fingerprint of a token that is not verified: for the log only.
    pub unverified: Option<Unverified>,
}

/// What a token says of itself.
#[derive(Clone, Debug, Default)]
pub struct Unverified {
    /// `iss`
    pub issuer: String,
    /// `kid`
    pub kid: String,
    /// The token's name in logs.
    pub fingerprint: String,
}

impl Answer {
    /// The reason; an answer without one would be a refusal.
    pub fn reason(&self) -> Reason {
        self.reason.unwrap_or(Reason::Internal)
    }

    fn refuse(reason: Reason) -> Answer {
        Answer { reason: Some(reason), ..Answer::default() }
    }
}

/// Checks a request.
pub fn check_request(
    policy: &Policy,
    keys: &dyn KnownKeys,
    sessions: &dyn KnownSessions,
    cache: &mut TokenCache,
    request: &Request<'_>,
    now: i64,
) -> Decision {
    let bearer = match credentials::select(request.credentials, request.realm, request.proxy) {
        Err(Reason::NoCredentials) => return check_body(policy, sessions, request, now),
        Err(reason) => return Decision::Done(Answer::refuse(reason)),
        Ok(bearer) => bearer,
    };
    let Some(token) = bearer.token else {
        let pop = bearer.pop.unwrap_or_default();
        return check_session(policy, sessions, request, now, |look| {
            (look.proof(&pop, look.request.message.body), Carried::Proof)
        });
    };
    let mut answer = match check_token(policy, keys, cache, &token, now) {
        Decision::Done(answer) if answer.reason == Some(Reason::Ok) => answer,
        other => return other,
    };
    if let (Some(token), Some(provider)) = (&answer.token, answer.provider) {
        let rules = &policy.providers[provider].rules;
        match rules.check_owner(&token.aors, request.method, request.from, request.to) {
            Ok(index) => answer.aor = Some(index),
            Err(reason) => answer.reason = Some(reason),
        }
    }
    Decision::Done(answer)
}

/// Without a Bearer header field, the body of a REGISTER may have a code or a proof.
fn check_body(policy: &Policy, sessions: &dyn KnownSessions, request: &Request<'_>, now: i64) -> Decision {
    let Message { content_type, body, .. } = request.message;
    // A body of another type beside other credentials is not meant for us.
    let others = !request.credentials.is_empty() && !grant::is_form(content_type);
    if policy.sessions.is_none() || !request.is_register() || body.is_empty() || others {
        return Decision::Done(Answer::refuse(Reason::NoCredentials));
    }
    match grant::read(content_type, body) {
        Err(reason) => Decision::Done(Answer::refuse(reason)),
        Ok(Grant::Code(code)) => check_session(policy, sessions, request, now, |look| (look.code(code), Carried::Code)),
        Ok(Grant::Pop { pop, covered }) => check_session(policy, sessions, request, now, |look| {
            let covered = if look.settings.empty_pop_body { &[][..] } else { &covered };
            (look.proof(&pop, covered), Carried::Proof)
        }),
    }
}

fn check_session(
    policy: &Policy,
    known: &dyn KnownSessions,
    request: &Request<'_>,
    now: i64,
    look: impl FnOnce(&Look<'_>) -> (Decision, Carried),
) -> Decision {
    let Some(settings) = &policy.sessions else {
        return Decision::Done(Answer::refuse(Reason::PopUnsupported));
    };
    let (mut decision, carried) = look(&Look { policy, settings, known, request, now });
    decision.answer_mut().carried = carried;
    decision
}

/// Checks a bare token: everything but who uses it.
pub fn check_token(policy: &Policy, keys: &dyn KnownKeys, cache: &mut TokenCache, token: &str, now: i64) -> Decision {
    if token.len() > policy.settings.max_token_size as usize {
        return Decision::Done(Answer { carried: Carried::Token, ..Answer::refuse(Reason::TokenTooLarge) });
    }
    let serves =
        |v: &VerifiedToken| !policy.providers[v.provider].keys.is_fetched() || keys.fetched(v.provider).is_some();
    // Keys that are too old to verify a token are too old to stand behind a verified one.
    if let Some(verified) = cache.get(token).filter(|v| serves(v)) {
        let judged = policy.providers[verified.provider].rules.check_claims(&verified.claims, now);
        return Decision::Done(Answer {
            reason: Some(judged.err().unwrap_or(Reason::Ok)),
            provider: Some(verified.provider),
            token: Some(verified),
            cached: true,
            carried: Carried::Token,
            ..Answer::default()
        });
    }
    let mut answer = Answer {
        unverified: Some(Unverified { fingerprint: token_fingerprint(token), ..Unverified::default() }),
        carried: Carried::Token,
        ..Answer::default()
    };
    match verify(policy, keys, token, now, &mut answer) {
        Ok(verified) => {
            let verified = Arc::new(verified);
            cache.insert(Arc::clone(&verified));
            answer.token = Some(verified);
            answer.reason = Some(Reason::Ok);
            Decision::Done(answer)
        }
        Err(Refusal::Because(reason)) => {
            answer.reason = Some(reason);
            Decision::Done(answer)
        }
        Err(Refusal::NeedKeys) => Decision::NeedKeys(answer),
    }
}

enum Refusal {
    Because(Reason),
    NeedKeys,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::Because(reason)
    }
}

fn verify(
    policy: &Policy,
    keys: &dyn KnownKeys,
    token: &str,
    now: i64,
    answer: &mut Answer,
) -> Result<VerifiedToken, Refusal> {
    let jws = CompactJws::split(token)?;
    let header = jws.header()?;
    let payload = jws.unverified_payload()?;
    let json = Json::parse(&payload).map_err(|_| Reason::TokenMalformed)?;
    let mut claims = Claims::from_json(&json)?;
    let unverified = answer.unverified.get_or_insert_default();
    unverified.issuer.clone_from(&claims.issuer);
    unverified.kid = header.kid.clone().unwrap_or_default();
    let fingerprint = unverified.fingerprint.clone();

    let index = policy.provider_for_issuer(&claims.issuer, claims.tenant.as_deref()).ok_or(Reason::IssuerUnknown)?;
    answer.provider = Some(index);
    let provider = &policy.providers[index];
    provider.rules.check_header(&header)?;
    // Without the type of RFC 9068, a token that names neither scope nor client is taken for an ID token.
    claims.is_id_token |= header.typ != "at+jwt" && !claims.has_access_marks;
    let fetched = provider.keys.is_fetched();
    let verified = provider.keys.verify(&jws, &header, keys.fetched(index));
    if verified == Err(Reason::KeyUnknown) && fetched {
        // A token that would be refused anyway is not worth a key fetch.
        provider.rules.check_claims(&claims, now)?;
        provider.rules.check_required_claims(&json)?;
        return Err(Refusal::NeedKeys);
    }
    verified?;
    provider.rules.check_claims(&claims, now)?;
    provider.rules.check_required_claims(&json)?;
    let mut aors = Vec::new();
    for template in &provider.aor {
        template.expand(&json, &provider.domain, &mut aors);
    }
    Ok(VerifiedToken {
        token: token.into(),
        provider: index,
        kid: header.kid.unwrap_or_default(),
        fingerprint,
        claims,
        aors,
        payload,
    })
}
