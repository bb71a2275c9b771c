// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of SIP requests. A check has one of three answers: accepted, refused, or something is needed first.

pub mod connection_check;
mod covered;
pub mod device;
pub mod explain;
pub mod key_derivation_check;
pub mod key_wait;
pub mod known_account;
pub mod known_sessions;
pub mod known_token;
pub mod peer_certificate;
pub mod proof;
pub mod registration;
pub mod replay;
pub mod session_check;
mod sign_in;
pub mod token_answer;
pub mod token_cache;
pub mod token_check;
pub mod verified_token;

use std::sync::Arc;

use crate::config::policy::Policy;
use crate::jose::key_set::KeySet;
use crate::oauth::grant::{self, CodeRequest, Grant, TokenGrant};
use crate::oauth::token_identity::unverified_payload;
use crate::reason::Reason;
use crate::records::redemption::Differs;
use crate::records::session::token_name;
use crate::rules::claim_fault::{ACCESS_TOKEN, ClaimFault};
use crate::rules::claims::{Claims, NO_END};
use crate::sip::credentials::{self, Bearer};
use crate::sip::key_derivation::KeyChallenge;
use crate::sip::uri::Aor;
use crate::text::json::Json;
use crate::text::secret::SecretText;
use key_derivation_check::OpenKeyProof;
use known_account::UsedSession;
use known_sessions::KnownSessions;
use peer_certificate::PeerCertificate;
use proof::OpenProof;
use registration::Registration;
use replay::Use;
use session_check::{DigestUser, SessionCheck};
use token_answer::{KnownAnswers, TokenId};
use token_cache::{KnownTokens, LookedUp, Remembered};
use token_check::{TokenUsage, check_binding, check_remembered_token};
use verified_token::VerifiedToken;

/// The parts of a SIP request that a check uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The Request-URI as the sender wrote it, raw octets; empty if it is not known.
    pub uri: &'a [u8],
    /// The whole request as it was received, raw octets; empty if it is not known.
    pub octets: &'a [u8],
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
    /// The host's number for the connection on which the request came straight from the phone; 0 if there is none.
    pub connection: u64,
    /// The address and port that the request came from.
    pub source: (&'a str, u16),
    /// The certificate by which the client of the connection has proved itself.
    pub certificate: PeerCertificate<'a>,
    /// Bodies of all Via header fields, in order. Behind trusted proxies, they tell who sent the request.
    pub vias: &'a [&'a str],
    /// The parts that codes and proofs depend on.
    pub message: Message<'a>,
}

/// Further parts of a SIP request, as raw octets of the message. A part that is not there is empty.
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
    /// User-Agent
    pub user_agent: &'a str,
    /// branch of the topmost Via.
    pub branch: &'a [u8],
    /// To tag of the answer that the host will send.
    pub reply_to_tag: &'a [u8],
    /// How many Contacts there are.
    pub contacts: u32,
    /// `reg-id` of the Contact (RFC 5626); 0 if there is none.
    pub reg_id: u32,
}

impl<'a> Request<'a> {
    /// True for REGISTER, where To is the address-of-record.
    pub fn is_register(&self) -> bool {
        self.method.eq_ignore_ascii_case("REGISTER")
    }

    /// The address that the request is sent for.
    pub fn address(&self) -> &'a str {
        if self.is_register() { self.to } else { self.from }
    }

    /// The SIP domain of the address for which the request is sent, canonical; empty if that is not a SIP address.
    pub fn domain(&self) -> String {
        let address = Aor::parse(self.address());
        address.as_ref().map_or("", Aor::host).to_owned()
    }

    /// How it uses a token, which belongs to the server of this SIP domain if it does not say so itself.
    fn usage<'b>(&'b self, domain: &'b str) -> TokenUsage<'b> {
        TokenUsage { domain, transport: self.transport, certificate: self.certificate }
    }
}

/// What a request carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// Nothing that is checked here.
    #[default]
    Nothing,
    /// A token.
    Token,
    /// A code.
    Code,
    /// A proof of possession.
    Proof,
    /// Nothing. The sign-in that its connection is bound to was used instead.
    Connection,
    /// Digest credentials, with a request for tokens.
    Password,
    /// A refresh token that the phone holds itself.
    Refresh,
    /// A token and a proof of possession.
    TokenAndProof,
    /// Credentials of the Key-Derivation scheme.
    KeyDerivation,
    /// Digest credentials with a device password.
    Device,
}

/// The keys as this worker knows them.
pub trait KnownKeys {
    /// The fetched keys of a provider; None when there are none or they are too old.
    fn fetched(&self, provider: usize) -> Option<&KeySet>;
    /// When the keys were fetched, Unix seconds; 0 if never, or if that is not known.
    fn fetched_at(&self, provider: usize) -> i64;
}

/// The outcome of a check.
#[derive(Debug)]
pub enum Decision {
    /// Decided.
    Done(Answer),
    /// The token would pass, but no known key fits its kid.
    NeedKeys(Answer),
    /// The authorization server must be asked about the token.
    NeedIntrospection(Answer, IntrospectionQuestion),
    /// The code, or another grant, must be exchanged, or the result of its exchange must be fetched.
    NeedExchange(Answer, Box<(TokenGrant, Registration)>),
    /// The key of this registration must be stored.
    NeedKeyStored(Answer, Box<Registration>),
    /// The sessions of this address-of-record must be fetched. The proof, if any, must also be compared with those
    /// that other proxies have seen.
    NeedAccount(Answer, String, Option<Box<OpenProof>>),
    /// The account of this address-of-record must be fetched. The proof, if any, must also be compared with those
    /// that other proxies have seen.
    NeedKeyAccount(Answer, String, Option<Box<OpenKeyProof>>),
    /// The device password of this user name, and the sessions of its address, must be fetched.
    NeedDevice(Answer, String),
    /// The proof is correct. These uses of it must be compared with those that were seen before. After that, the
    /// grant, if any, must be exchanged.
    NeedComparison(Answer, Vec<Use>, Option<Box<(TokenGrant, Registration)>>),
}

impl Decision {
    /// The answer, as far as it is known.
    pub fn answer_mut(&mut self) -> &mut Answer {
        match self {
            Decision::Done(answer)
            | Decision::NeedKeys(answer)
            | Decision::NeedIntrospection(answer, _)
            | Decision::NeedExchange(answer, ..)
            | Decision::NeedKeyStored(answer, _)
            | Decision::NeedAccount(answer, ..)
            | Decision::NeedKeyAccount(answer, ..)
            | Decision::NeedDevice(answer, _)
            | Decision::NeedComparison(answer, ..) => answer,
        }
    }
}

/// A token about which its authorization server must be asked.
#[derive(Debug)]
pub struct IntrospectionQuestion {
    /// The id under which the server's answer will be found.
    pub id: TokenId,
    /// The token.
    pub token: SecretText,
}

/// Limits what forged encrypted tokens may cost, because anybody can make the proxy use a private key.
pub trait Decryptions {
    /// True when a private key may be used for a token of this sender.
    fn allowed(&self) -> bool;
    /// Notes that a private key was used in vain: nothing in the token comes from its issuer.
    fn failed(&self);
}

/// No limit, for callers that check their own tokens.
pub struct Unlimited;

impl Decryptions for Unlimited {
    fn allowed(&self) -> bool {
        true
    }

    fn failed(&self) {}
}

/// What a check may know besides the configuration.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// Keys.
    pub keys: &'a dyn KnownKeys,
    /// What authorization servers have said about tokens.
    pub answers: &'a dyn KnownAnswers,
    /// Sessions.
    pub sessions: &'a dyn KnownSessions,
    /// Whether private keys may be used.
    pub decryptions: &'a dyn Decryptions,
}

/// The result of a check, with what is known about the token.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Why the check ended as it did.
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
    pub session: Option<Arc<UsedSession>>,
    /// The address-of-record of an accepted account, canonical.
    pub account: Option<Box<str>>,
    /// An accepted registration with a code or a password. The host must report the final answer to it.
    pub registration: Option<Box<Registration>>,
    /// Set when somebody else has shown a code or credentials that were redeemed already.
    pub attempt: Option<Box<Attempt>>,
    /// H(A1) in hex, for a host that is about to check Digest credentials.
    pub ha1: Option<Box<SecretText>>,
    /// Why the host will find that these Digest credentials are wrong. For the log only: the sender must not learn it.
    pub wrong_digest: Option<Box<str>>,
    /// The challenge of the Key-Derivation scheme that goes with a 401 or 407.
    pub challenge: Option<Box<KeyChallenge>>,
    /// The key that the token is bound to and whose possession was not proved, as named by
    /// [`Confirmation::name`](crate::rules::confirmation::Confirmation::name). For the log only.
    pub unproved_key: Option<Box<str>>,
    /// What a token that is not accepted says about itself, and what is wrong with its claims. For the log only.
    pub unverified: Option<Box<Unverified>>,
}

/// An attempt to redeem what somebody else has redeemed. It is for the log and the limits only; its sender is just
/// told that the code is refused.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The difference that gave the attempt away.
    pub differs: Differs,
    /// For a short code, the address that the request tried to register.
    pub short_code_of: Option<String>,
}

/// What a token says about itself.
#[derive(Clone, Debug, Default)]
pub struct Unverified {
    /// `iss`
    pub issuer: String,
    /// `kid`
    pub kid: String,
    /// The token's name in logs.
    pub fingerprint: String,
    /// A sentence about the claim that is missing or has the wrong type; empty when that is not the reason.
    pub claim_fault: String,
    /// True when keys were tried and none of them has signed the token.
    pub tried: bool,
    /// `iat`, in Unix seconds.
    pub issued_at: Option<i64>,
}

impl Answer {
    /// The reason. An answer without one counts as a refusal.
    #[inline]
    pub fn reason(&self) -> Reason {
        self.reason.unwrap_or(Reason::Internal)
    }

    /// The scopes of the token or session.
    pub fn granted_scope(&self) -> &str {
        match (&self.token, &self.session) {
            (Some(token), _) => &token.claims.scope,
            (None, Some(session)) => &session.scope,
            (None, None) => "",
        }
    }

    /// Unix seconds until which the accepted token or session may be used. A registration must not last longer. If
    /// the tokens of a session can be refreshed, this is the end of the session, not of its tokens.
    pub fn allows_until(&self) -> Option<i64> {
        match (&self.token, &self.session) {
            (Some(token), _) => Some(token.claims.expires_at).filter(|end| *end != NO_END),
            (None, Some(session)) => Some(session.allows_until),
            (None, None) => None,
        }
    }

    /// Notes what is wrong with the claims of a token, or with those in its server's answer.
    #[cold]
    fn note(&mut self, fault: ClaimFault, whose: &str) -> Reason {
        if let Some(sentence) = fault.sentence(whose) {
            self.unverified.get_or_insert_default().claim_fault = sentence;
        }
        fault.reason
    }

    fn refuse(reason: Reason) -> Answer {
        Answer { reason: Some(reason), ..Answer::default() }
    }
}

/// Checks a request. `sent` is about the text of its only credentials.
pub fn check_request(
    policy: &Policy,
    known: Knowledge<'_>,
    tokens: &mut dyn KnownTokens,
    sent: LookedUp<'_>,
    request: &Request<'_>,
    now: i64,
) -> Decision {
    let text = match (sent, request.credentials) {
        (LookedUp::Unknown | LookedUp::Known(_), [one]) => credentials::bearer_text(one.as_bytes()),
        _ => None,
    };
    let alone = text.filter(|_| matches!(sent, LookedUp::Known(_)));
    let bearer = match alone.and_then(|text| std::str::from_utf8(text).ok()) {
        Some(token) => Ok(Bearer { token: Some(token.into()), ..Bearer::default() }),
        None => credentials::select(request.credentials, request.realm),
    };
    let bearer = match bearer {
        Err(Reason::NoCredentials) => return check_body(policy, known.sessions, request, now),
        Err(reason) => return Decision::Done(Answer::refuse(reason)),
        Ok(bearer) => bearer,
    };
    let Some(token) = bearer.token else {
        let pop = bearer.pop.unwrap_or_default();
        return check_session(policy, known.sessions, request, now, |look| {
            (look.proof(&pop, look.request.message.body, None), Carried::Proof)
        });
    };
    // A phone that asks for new tokens may send the old one, which may have expired.
    if let Some(Ok(Grant::Refresh { refresh_token, pop, covered })) = grant_of(policy, request) {
        let name = token_name(&token);
        return check_session(policy, known.sessions, request, now, |look| {
            (look.refresh(refresh_token, &pop, &covered, Some(name)), Carried::Refresh)
        });
    }
    // A JWT names its issuer itself. The domain is needed only if some provider has tokens that do not.
    let domain = if policy.asks_for_domains { request.domain() } else { String::new() };
    let foreign = policy.asks_for_domains.then(|| policy.provider_for_foreign_token(&token, &domain)).flatten();
    if let Some(provider) = foreign {
        if let Some(answer) = unproved_foreign_token(policy, provider, &token, request) {
            return Decision::Done(answer);
        }
        return check_session(policy, known.sessions, request, now, |look| {
            let decision = match bearer.pop {
                None => look.foreign_token(provider, &token),
                Some(_) => Decision::Done(Answer::refuse(Reason::TokenUnbound)),
            };
            (decision, Carried::Token)
        });
    }
    let remembered = match sent {
        // What was looked up is about this text only.
        LookedUp::Known(sent) if text == Some(token.as_bytes()) => {
            let proven = || Remembered::Proven(Box::new(*sent));
            Some(tokens.whole(&token).map_or_else(proven, Remembered::Whole))
        }
        LookedUp::Unknown if text == Some(token.as_bytes()) => tokens.whole(&token).map(Remembered::Whole),
        _ => tokens.recall(&token),
    };
    let checked = check_remembered_token(policy, known, tokens, &token, remembered, request.usage(&domain), now);
    match (check_user(policy, checked, request), bearer.pop) {
        (Decision::Done(answer), pop) if answer.reason == Some(Reason::Ok) => {
            beside_proof(policy, known.sessions, request, answer, pop.as_deref(), now)
        }
        (decision, _) => decision,
    }
}

/// Refuses a token from elsewhere that says it is bound to a key, if its sender has not proved that key. The
/// server cannot judge this, because it sees neither the phone nor its connection.
fn unproved_foreign_token(policy: &Policy, provider: usize, token: &str, request: &Request<'_>) -> Option<Answer> {
    let payload = unverified_payload(&policy.decryption, token)?;
    let json = Json::parse(&payload).ok()?;
    let mut answer = Answer { provider: Some(provider), carried: Carried::Token, ..Answer::default() };
    let refused = match Claims::from_json(&json) {
        Ok(claims) => check_binding(&policy.providers[provider], &claims, request.usage(""), &mut answer).err(),
        // The key must be proved, whatever else of the token cannot be read.
        Err(fault) => {
            let cnf = json.get("cnf").filter(|cnf| **cnf != Json::Null);
            cnf.map(|_| answer.note(fault, ACCESS_TOKEN))
        }
    };
    answer.reason = Some(refused?);
    Some(answer)
}

/// Continues when the token is good. If a proof came with it, both must belong to one session (sip-oauth section
/// 4.6).
fn beside_proof(
    policy: &Policy,
    sessions: &dyn KnownSessions,
    request: &Request<'_>,
    answer: Answer,
    pop: Option<&str>,
    now: i64,
) -> Decision {
    let Some(pop) = pop else {
        let pairs = answer.provider.is_some_and(|provider| policy.providers[provider].pairs_tokens);
        let reason = if pairs { Reason::PopMissing } else { Reason::Ok };
        return Decision::Done(Answer { reason: Some(reason), ..answer });
    };
    let name = answer.token.as_ref().map(|token| token_name(&token.token));
    let mut decision = check_session(policy, sessions, request, now, |look| {
        (look.proof(pop, look.request.message.body, name), Carried::TokenAndProof)
    });
    let both = decision.answer_mut();
    both.provider = answer.provider;
    (both.token, both.aor, both.cached) = (answer.token, answer.aor, answer.cached);
    decision
}

/// Reads what the body of a REGISTER says about codes, proofs and tokens; None if it says nothing.
fn grant_of(policy: &Policy, request: &Request<'_>) -> Option<Result<Grant, Reason>> {
    let Message { content_type, body, .. } = request.message;
    // A body of another type beside other credentials is not meant for us.
    let others = || !request.credentials.is_empty() && !grant::is_form(content_type);
    let looked_at = !body.is_empty() && policy.sessions.is_some() && request.is_register() && !others();
    looked_at.then(|| grant::read(content_type, body))
}

/// Checks a REGISTER that may ask for tokens with Digest credentials (sip-oauth section 4.3). The host has checked
/// their nonce.
pub fn check_password(
    policy: &Policy,
    sessions: &dyn KnownSessions,
    request: &Request<'_>,
    user: DigestUser<'_>,
    now: i64,
) -> Decision {
    match grant_of(policy, request) {
        None if policy.sessions.is_none() => Decision::Done(Answer::refuse(Reason::PasswordUnsupported)),
        None => Decision::Done(Answer::refuse(Reason::NoCredentials)),
        Some(Err(reason)) => Decision::Done(Answer::refuse(reason)),
        Some(Ok(Grant::Password { proof })) => {
            check_session(policy, sessions, request, now, |look| (look.password(user, proof), Carried::Password))
        }
        Some(Ok(_)) => Decision::Done(Answer::refuse(Reason::GrantUnsupported)),
    }
}

/// Checks a code that did not come in the request's body. `request` is the registration that it is for.
pub fn check_code(
    policy: &Policy,
    sessions: &dyn KnownSessions,
    request: &Request<'_>,
    code: &CodeRequest,
    now: i64,
) -> Decision {
    check_session(policy, sessions, request, now, |look| (look.code(code.clone()), Carried::Code))
}

/// Whether the user of an accepted token may send this request.
fn check_user(policy: &Policy, checked: Decision, request: &Request<'_>) -> Decision {
    let mut answer = match checked {
        Decision::Done(answer) if answer.reason == Some(Reason::Ok) => answer,
        other => return other,
    };
    if let (Some(token), Some(provider)) = (&answer.token, answer.provider) {
        let rules = &policy.providers[provider].rules;
        match rules.check_owner(&token.aors, request.method, request.from, request.to) {
            Ok(index) => answer.aor = Some(index),
            Err(reason) => answer.reason = Some(reason),
        }
        if answer.reason == Some(Reason::Ok) {
            answer.reason =
                Some(rules.scopes.check_method(request.method, &token.claims.scope).err().unwrap_or(Reason::Ok));
        }
    }
    Decision::Done(answer)
}

/// Without a Bearer header field, the body of a REGISTER may have a code or a proof.
fn check_body(policy: &Policy, sessions: &dyn KnownSessions, request: &Request<'_>, now: i64) -> Decision {
    let grant = match grant_of(policy, request) {
        None => return Decision::Done(Answer::refuse(Reason::NoCredentials)),
        Some(Err(reason)) => return Decision::Done(Answer::refuse(reason)),
        Some(Ok(grant)) => grant,
    };
    check_session(policy, sessions, request, now, |look| match grant {
        Grant::Code(code) => (look.code(code), Carried::Code),
        Grant::Pop { pop, covered } => (look.proof(&pop, look.covered_in_body(&covered), None), Carried::Proof),
        Grant::Refresh { refresh_token, pop, covered } => {
            (look.refresh(refresh_token, &pop, &covered, None), Carried::Refresh)
        }
        // The phone must first get a Digest challenge, because Digest has not authenticated the user yet.
        Grant::Password { .. } => {
            let served = policy.provider_for_passwords(&request.domain()).is_some();
            let reason = if served { Reason::NoCredentials } else { Reason::GrantUnsupported };
            (Decision::Done(Answer::refuse(reason)), Carried::Password)
        }
    })
}

fn check_session(
    policy: &Policy,
    known: &dyn KnownSessions,
    request: &Request<'_>,
    now: i64,
    look: impl FnOnce(&SessionCheck<'_>) -> (Decision, Carried),
) -> Decision {
    let Some(settings) = &policy.sessions else {
        return Decision::Done(Answer::refuse(Reason::PopUnsupported));
    };
    let (mut decision, carried) = look(&SessionCheck { policy, settings, known, request, now });
    decision.answer_mut().carried = carried;
    decision
}
