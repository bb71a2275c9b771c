// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that carry a code, a proof of possession or another credential that is tied to a session.
//!
//! Stored records come through [`KnownSessions`]. A [`Decision`] says what must be done first.

use std::sync::Arc;

use super::covered::{covered_by_proof, name_of, path_of};
use super::known_account::KnownAccount;
use super::replay::{Seen, Use};
use super::{Answer, Attempt, Decision, Message, Request};
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::config::sessions::Sessions;
use crate::config::settings::{FLOWS_WITHOUT_VERIFIER, POP_REUSE, UNPROTECTED_SHORT_CODES};
use crate::keys::master_key::master_key;
use crate::keys::pop::{make_pop, pop_from_text};
use crate::keys::shared_key::{Key, shared_key};
use crate::oauth::grant::{CodeRequest, ForeignToken, PasswordGrant, PhoneRefresh, TokenGrant};
use crate::reason::Reason;
use crate::records::redemption::{Claim, Differs, RedemptionFacts, When};
use crate::records::session::{
    Account, CodeRecord, CodeState, Exchanged, Identity, Session, SessionId, SignIn, TokenName, id_text,
};
use crate::rules::scope_rules::has_scopes;
use crate::rules::token_rules::TokenRules;
use crate::sip::digest_credentials::DigestCredentials;
use crate::sip::digest_string::DigestError;
use crate::sip::sender::Network;
use crate::sip::uri::Aor;
use crate::text::fingerprint::{secret_name, visible};
use crate::text::secret::{KeyOctets, SecretText};
use subtle::ConstantTimeEq;

/// Most octets that the texts of a registration may have together, because they travel through the host.
const MAX_TEXTS: usize = 2048;

/// A Date has whole seconds, so it may be this many seconds ahead, whatever the leeway is.
const LEAST_AHEAD: i64 = 2;
/// Longest digest-string, in octets, that travels to the I/O service.
pub(super) const MAX_OPEN: usize = 16 * 1024;

/// What is known about a record.
#[derive(Clone, Debug)]
pub enum Known<T> {
    /// The record exists.
    Found(T),
    /// There is no such record.
    Absent,
    /// The record must be fetched first.
    NotHere,
    /// The store cannot be read.
    Failed,
}

/// The stored records as this worker can see them without waiting.
pub trait KnownSessions {
    /// The sessions of an address-of-record.
    fn account(&self, aor: &str) -> Known<Arc<KnownAccount>>;
    /// The fate of a code.
    fn code(&self, id: &CodeId) -> Known<CodeRecord>;
    /// True when what is known is what is stored now, not what was stored a moment ago.
    fn is_fresh(&self) -> bool;
    /// The network of the request's sender, who may have sent it through another proxy.
    fn network(&self) -> Network;
    /// When the request with this name arrived, Unix milliseconds. It may have waited since then.
    fn arrived(&self, name: u64) -> i64;
}

/// For callers that check tokens only: nothing is stored.
pub struct NoSessions;

impl KnownSessions for NoSessions {
    fn account(&self, _: &str) -> Known<Arc<KnownAccount>> {
        Known::Absent
    }

    fn code(&self, _: &CodeId) -> Known<CodeRecord> {
        Known::Absent
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn network(&self) -> Network {
        Network::of("")
    }

    fn arrived(&self, _: u64) -> i64 {
        0
    }
}

/// Names a code, or another grant that can be redeemed once, without revealing it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeId(pub String);

impl CodeId {
    /// The id of a code of this issuer.
    pub fn of_code(issuer: &str, code: &str) -> CodeId {
        CodeId::new("code", issuer, &[code])
    }

    /// `kind` is part of the id, because the sender chooses the text of a code, which must not give the id of
    /// another kind of grant.
    fn new(kind: &str, issuer: &str, parts: &[&str]) -> CodeId {
        CodeId(secret_name(&[&[kind, issuer], parts].concat()))
    }
}

/// A registration with a code, or another sign-in, as far as its session is concerned. Only `digest` may hold a
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Registration {
    /// The id of the code's record.
    pub code: String,
    /// The request's method.
    pub method: String,
    /// The address-of-record, canonical.
    pub aor: String,
    /// addr-spec of From, which names who registers the address.
    pub from: String,
    /// `+sip.instance`
    pub instance: String,
    /// `reg-id`
    pub reg_id: u32,
    /// The From tag, raw octets. A request whose tag is not valid UTF-8 is refused.
    pub from_tag: String,
    /// The Call-ID.
    pub call_id: String,
    /// The code was short.
    pub weak: bool,
    /// What the sender has shown besides the code; None for a grant that everybody who has it may use.
    pub claim: Option<Claim>,
    /// When the request arrived, Unix milliseconds.
    pub arrived: i64,
    /// True when its key is made from the To tag of its answer.
    pub tagged: bool,
    /// The digest-string of the request, if proofs may be repeated (`pop_reuse` in the setting allow).
    pub digest: Option<String>,
}

/// A session that a request has proved to belong to its sender, or that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedSession {
    /// Its name.
    pub id: SessionId,
    /// The address-of-record.
    pub aor: String,
    /// `+sip.instance`
    pub instance: String,
    /// `sub`
    pub subject: String,
    /// The proxy's client.
    pub client_id: String,
    /// Granted scopes.
    pub scope: String,
    /// The tokens are good until then, Unix seconds.
    pub valid_until: i64,
    /// What the session allows ends then, Unix seconds: with its tokens, unless these can be refreshed.
    pub allows_until: i64,
}

/// A proof whose session this worker does not know, with what is needed to find the session once the sessions of
/// its address are known.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct OpenProof {
    pop: KeyOctets,
    digest: Vec<u8>,
    instance: String,
    reg_id: u32,
    call_id: Vec<u8>,
    cseq: Vec<u8>,
    path: u64,
}

impl OpenProof {
    /// The name of the proof in comparisons, and the path by which the request came. None when no session of the
    /// account made the proof.
    pub fn names(&self, hash_key: &[u8; 16], account: &Account) -> Option<(u64, u64)> {
        let mut sessions = candidates(account, &self.instance, self.reg_id);
        let key = sessions.find_map(|(_, session)| maker(session, &self.pop.0, &self.digest))?;
        Some((name_of(hash_key, &key.0, (&self.call_id, &self.cseq)), self.path))
    }
}

/// The sessions that a phone may use. A phone that names no instance may use any session. A phone whose instance
/// has sessions may use only these; with any other instance, it may use only sessions without one. Flows of one
/// phone share the key that a code has given. A phone that signs in with a password has a key for each flow
/// (sip-oauth sections 6.1 and 6.2).
fn candidates<'a>(account: &'a Account, instance: &str, reg_id: u32) -> impl Iterator<Item = (usize, &'a Session)> {
    let named = !instance.is_empty() && account.sessions.iter().any(|s| s.instance == instance);
    let fits = move |(_, s): &(usize, &Session)| {
        let same_phone = if named { s.instance == instance } else { instance.is_empty() || s.instance.is_empty() };
        let other_flow = s.sign_in == SignIn::Password && reg_id != 0 && s.reg_id != 0 && s.reg_id != reg_id;
        same_phone && !other_flow
    };
    account.sessions.iter().enumerate().filter(fits)
}

/// What the host knows about a user who signs in by Digest. The host has checked the nonce.
#[derive(Clone, Copy)]
pub struct DigestUser<'a> {
    /// H(A1) in hex.
    pub ha1: &'a str,
    /// The password; empty if the host does not know it.
    pub password: &'a str,
}

/// A proof, and the session that it belongs to.
struct Proven {
    answer: Answer,
    aor: Aor,
    provider: usize,
    account: Arc<KnownAccount>,
    index: usize,
    /// The place of the session's key that made the proof. None for the proof of a registration, if that may be
    /// repeated (`pop_reuse` in the setting allow).
    key: Option<usize>,
    date: i64,
    pop: [u8; 32],
}

impl Proven {
    fn session(&self) -> &Session {
        &self.account.sessions[self.index]
    }
}

/// The key of the session that made the proof.
fn maker<'a>(session: &'a Session, pop: &[u8; 32], digest: &[u8]) -> Option<&'a KeyOctets> {
    session.keys.iter().find(|key| bool::from(make_pop(&key.0, digest).ct_eq(pop)))
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
    /// A REGISTER with a code.
    pub fn code(&self, code: CodeRequest) -> Decision {
        let Some(aor) = Aor::parse(self.request.to) else {
            return refuse(Answer::default(), Reason::AorMissing);
        };
        let Some(provider) = self.policy.provider_for_codes(aor.host()) else {
            return refuse(Answer::default(), Reason::PopUnsupported);
        };
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        let weak = code.is_short();
        if weak && !self.may_be_weak() {
            return refuse(answer, Reason::ShortCodeUnprotected);
        }
        let id = CodeId::of_code(&self.policy.providers[provider].issuer, &code.code.0);
        let verifier = code.code_verifier.as_ref().map_or("", |verifier| &verifier.0);
        let shown = RedemptionFacts {
            code_verifier: verifier,
            redirect_uri: code.redirect_uri.as_deref().unwrap_or(""),
            ..RedemptionFacts::default()
        };
        let registration = match self.registration(provider, id, aor) {
            Ok(registration) => Registration { weak, ..self.claiming(registration, shown) },
            Err(reason) => return refuse(answer, reason),
        };
        self.redeem(answer, provider, TokenGrant::Code(code), registration)
    }

    /// A request with a token from elsewhere, which this provider's server validates (sip-oauth section 5).
    pub fn foreign_token(&self, provider: usize, token: &str) -> Decision {
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        if token.len() > self.policy.settings.max_token_size as usize {
            return refuse(answer, Reason::TokenTooLarge);
        }
        let Some(aor) = Aor::parse(self.address()).filter(|aor| !aor.user().is_empty()) else {
            return refuse(answer, Reason::AorMissing);
        };
        let Provider { issuer, rules, aor: templates, .. } = &self.policy.providers[provider];
        // Without a template, the server confirms only a user's name, which does not make the user the owner of a
        // telephone number.
        if templates.is_empty() && rules.may_be_anothers(&aor) {
            return refuse(answer, Reason::AorMismatch);
        }
        let aor = rules.spelled(aor);
        // The address is part of the id, so that a user who tries another user's token does not spoil that token's
        // record.
        let id = CodeId::new("token", issuer, &[aor.as_str(), token]);
        // The same name in two domains may be two users.
        let username = match rules.domains.len() {
            1 => aor.user().to_owned(),
            _ => format!("{}@{}", aor.user(), aor.host()),
        };
        let grant = ForeignToken { token: SecretText(token.to_owned()), username };
        match self.registration(provider, id, aor) {
            Ok(registration) => self.redeem(answer, provider, TokenGrant::ForeignToken(grant), registration),
            Err(reason) => refuse(answer, reason),
        }
    }

    /// A REGISTER that asks for tokens and has Digest credentials whose nonce the host has checked (sip-oauth
    /// section 4.3).
    pub fn password(&self, known: DigestUser<'_>, proof: Option<(String, Vec<u8>)>) -> Decision {
        let digest = match DigestCredentials::select(self.request.credentials, self.request.realm) {
            Ok(digest) => digest,
            Err(reason) => return refuse(Answer::default(), reason),
        };
        let Some(aor) = Aor::parse(self.request.to) else {
            return refuse(Answer::default(), Reason::AorMissing);
        };
        let Some(provider) = self.policy.provider_for_passwords(aor.host()) else {
            return refuse(Answer::default(), Reason::PasswordUnsupported);
        };
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        let rules = &self.policy.providers[provider].rules;
        // A password is good for its own user only. Unless `domains` are configured, a realm is good for the
        // domain of its name only.
        let (user, host) = digest.username.split_once('@').unwrap_or((&digest.username, aor.host()));
        let is_home = !rules.domains.is_empty() || digest.realm.eq_ignore_ascii_case(aor.host());
        let is_named = user == aor.user() && host.eq_ignore_ascii_case(aor.host());
        if !is_home || !is_named || rules.may_be_anothers(&aor) {
            return refuse(answer, Reason::AorMismatch);
        }
        // Whatever the script has done before, only somebody who knows the password gets tokens.
        let (realm, nonce) = (digest.realm.as_bytes(), digest.nonce.as_bytes());
        let key = master_key(self.settings.ha1_form, known.ha1, realm, nonce);
        let Some(key) = key.filter(|_| digest.fits(known.ha1, self.request.method)) else {
            return refuse(answer, Reason::DigestMismatch);
        };
        let fits = |(pop, covered): (String, Vec<u8>)| {
            self.fits_master_key(&key, &pop, self.covered_in_body(&covered), provider)
        };
        let used = match proof.map(fits).transpose() {
            Ok(used) => used,
            Err(reason) => return refuse(answer, reason),
        };
        let issuer = &self.policy.providers[provider].issuer;
        let id = CodeId::new("password", issuer, &[&digest.username, &digest.realm, &digest.nonce]);
        let grant = PasswordGrant {
            username: digest.username.to_string(),
            master_key: KeyOctets(*key),
            password: (!known.password.is_empty()).then(|| SecretText(known.password.to_owned())),
        };
        match self.registration(provider, id, aor) {
            // Somebody who replays the credentials of another's request has not shown that they know the password.
            Ok(registration) => {
                let registration = self.claiming(registration, RedemptionFacts::default());
                let decision = self.redeem(answer, provider, TokenGrant::Password(grant), registration);
                compared_first(used, decision)
            }
            Err(reason) => refuse(answer, reason),
        }
    }

    /// A REGISTER by which a phone that holds its tokens asks for new ones (sip-oauth section 4.5). `beside` names the
    /// access token that it still has, if it sends that too.
    pub fn refresh(&self, refresh_token: SecretText, pop: &str, covered: &[u8], beside: Option<TokenName>) -> Decision {
        let proven = match self.prove(pop, self.covered_in_body(covered)) {
            Ok(proven) => proven,
            Err(decision) => return *decision,
        };
        let (answer, provider, session) = (proven.answer.clone(), proven.provider, proven.session());
        let Some(key) = proven.key.filter(|_| session.sign_in.phone_holds_tokens()) else {
            return refuse(answer, Reason::RefreshRefused);
        };
        if beside.is_some_and(|name| !session.tokens.contains(&name)) {
            return refuse(answer, Reason::TokenUnbound);
        }
        // The access token may have expired, because that is why the phone asks.
        let judged =
            if self.now >= session.ends_at { Err(Reason::SessionEnded) } else { self.may_use(provider, &proven.aor) };
        if let Err(reason) = judged {
            return refuse(answer, reason);
        }
        let used = match self.dated(&proven, key) {
            Ok(used) => used,
            Err(reason) => return refuse(answer, reason),
        };
        // The session is part of the id, so that a phone that sends another session's refresh token does not spoil
        // that token's record.
        let issuer = &self.policy.providers[provider].issuer;
        let id = CodeId::new("refresh", issuer, &[&id_text(&session.id), &refresh_token.0]);
        let grant = TokenGrant::Refresh(PhoneRefresh { refresh_token, session: session.id });
        let registration = match self.registration(provider, id, proven.aor.clone()) {
            Ok(registration) => registration,
            Err(reason) => return refuse(answer, reason),
        };
        compared_first(Some(used), self.redeem(answer, provider, grant, registration))
    }

    /// What is kept of a request that redeems a grant.
    fn registration(&self, provider: usize, id: CodeId, aor: Aor) -> Result<Registration, Reason> {
        let aor = self.policy.providers[provider].rules.spelled(aor);
        let message = &self.request.message;
        let (Ok(from_tag), Ok(call_id)) = (std::str::from_utf8(message.from_tag), std::str::from_utf8(message.call_id))
        else {
            return Err(Reason::PopMalformed);
        };
        let length = self.request.from.len() + aor.as_str().len() + from_tag.len() + call_id.len();
        let length = length + message.instance.len() + self.request.method.len();
        if from_tag.is_empty() || call_id.is_empty() || length > MAX_TEXTS {
            return Err(Reason::PopMalformed);
        }
        // A code that did not come in a SIP request, which always has a CSeq, has no proof that could be repeated.
        let is_covered = self.policy.settings.allows(POP_REUSE) && !message.cseq.is_empty();
        let digest = match is_covered.then(|| covered_by_proof(self.settings, self.request, message.body)) {
            Some(Ok((digest, _))) => String::from_utf8(digest).ok(),
            Some(Err(error @ DigestError::Cseq)) => return Err(error.reason()),
            // Not every phone that sends a code makes a proof of that request.
            Some(Err(_)) | None => None,
        };
        Ok(Registration {
            code: id.0,
            method: self.request.method.to_owned(),
            aor: aor.as_str().to_owned(),
            from: self.request.from.to_owned(),
            instance: message.instance.to_owned(),
            reg_id: message.reg_id,
            from_tag: from_tag.to_owned(),
            call_id: call_id.to_owned(),
            weak: false,
            claim: None,
            arrived: self.known.arrived(arrival_of(&self.settings.hash_key, self.request)),
            tagged: false,
            digest,
        })
    }

    /// Adds the claim, because only the same phone may redeem the grant once more. Besides what is `shown`, the
    /// request itself tells which phone it is.
    fn claiming(&self, registration: Registration, shown: RedemptionFacts<'_>) -> Registration {
        let Registration { code, aor, instance, .. } = &registration;
        let network = self.known.network().to_string();
        let Request { transport, connection, source, .. } = self.request;
        let path = format!("{transport} {connection} {} {}", source.0, source.1);
        let message = self.request.message;
        let numbers = [message.contacts, message.reg_id].map(u32::to_be_bytes).concat();
        // Only the same message is the request sent again: a copy with another Contact, Expires or Path would register
        // somebody else. If the host does not give the message, the parts that it gives must suffice.
        let rest = [self.request.uri, message.branch, &numbers, self.request.octets];
        let request = [&[path.as_bytes()], &self.request_parts()[..], &rest].concat();
        let shown = RedemptionFacts { address: aor, instance, network: &network, request: &request, ..shown };
        let claim = Some(Claim::new(&self.settings.hash_key, code, &shown));
        Registration { claim, ..registration }
    }

    /// The parts that stay the same when a phone sends its request again, even in another transaction.
    fn request_parts(&self) -> Vec<&[u8]> {
        let Request { method, from, credentials, message, .. } = self.request;
        let Message { from_tag, call_id, cseq, date, contact, body, .. } = message;
        let parts = [method.as_bytes(), from.as_bytes(), from_tag, call_id, cseq, date, contact, body];
        parts.into_iter().chain(credentials.iter().map(|text| text.as_bytes())).collect()
    }

    /// Decides by the record of a grant, which can be redeemed once.
    fn redeem(&self, answer: Answer, provider: usize, grant: TokenGrant, registration: Registration) -> Decision {
        let record = match self.known.code(&CodeId(registration.code.clone())) {
            Known::Failed => return refuse(answer, Reason::StoreUnavailable),
            Known::NotHere | Known::Absent => return Decision::NeedExchange(answer, Box::new((grant, registration))),
            Known::Found(record) => record,
        };
        match record.state {
            // A request that comes meanwhile waits for the result of the exchange, and is judged then.
            CodeState::InFlight(deadline) if self.now * 1000 <= deadline || grant.is_repeatable() => {
                return Decision::NeedExchange(answer, Box::new((grant, registration)));
            }
            _ if record.state.is_a_try() && !asks_the_same(&record, &registration) => {
                return Decision::NeedExchange(answer, Box::new((grant, registration)));
            }
            CodeState::Refused(number) => return refuse(answer, reason_of(number)),
            _ => {}
        }
        if let Err(differs) = admit(self.policy, &record, &registration, self.now * 1000) {
            return attempt(answer, differs, &registration);
        }
        match &record.state {
            // A request that has waited is told what happened. The grant is never sent again, so a later request
            // is refused and the phone must sign in anew.
            CodeState::InFlight(given_up) | CodeState::InDoubt(given_up) => {
                let has_waited = registration.arrived < *given_up;
                let later = match grant {
                    TokenGrant::Refresh(_) => Reason::RefreshRefused,
                    _ => Reason::CodeRefused,
                };
                refuse(answer, if has_waited { Reason::CodeInDoubt } else { later })
            }
            CodeState::Refused(number) | CodeState::Spent(number) => refuse(answer, reason_of(*number)),
            CodeState::Done(exchanged) => self.exchanged(answer, provider, &record, exchanged, registration),
        }
    }

    fn exchanged(
        &self,
        mut answer: Answer,
        provider: usize,
        record: &CodeRecord,
        exchanged: &Exchanged,
        mut registration: Registration,
    ) -> Decision {
        let bound_elsewhere = !exchanged.bound_to.is_empty() && exchanged.bound_to != registration.aor;
        let allowed = may_register(&self.policy.providers[provider].rules, &exchanged.identity, &registration);
        if let Err(reason) = allowed.and(if bound_elsewhere { Err(Reason::AorMismatch) } else { Ok(()) }) {
            if is_strangers(record, &registration) {
                return attempt(answer, Differs::Address, &registration);
            }
            // Somebody who guesses short codes must not learn that one of them is right.
            let is_secret = registration.weak && reason != Reason::InsufficientScope;
            return refuse(answer, if is_secret { Reason::CodeRefused } else { reason });
        }
        let account = match self.known.account(&registration.aor) {
            Known::Failed => return refuse(answer, Reason::StoreUnavailable),
            // Storing the key also fetches the sessions.
            Known::NotHere => return Decision::NeedKeyStored(answer, Box::new(registration)),
            Known::Absent => None,
            Known::Found(account) => Some(account),
        };
        let found = account.as_ref().and_then(|account| {
            let index = account.sessions.iter().position(|s| s.id == exchanged.session)?;
            Some((account, index, &account.sessions[index]))
        });
        match found {
            // The session was there and has been ended, and the code must not bring it back.
            None if !exchanged.bound_to.is_empty() => return refuse(answer, Reason::SessionEnded),
            None => return Decision::NeedKeyStored(answer, Box::new(registration)),
            Some((account, index, session)) => {
                let key = key_of(self.settings, exchanged, &registration, self.request.message.reply_to_tag);
                // The session may have fewer scopes by now than at the sign-in.
                let scopes = &self.policy.providers[provider].rules.scopes;
                let allowed = scopes.check_method(&registration.method, &session.scope);
                if let Err(reason) = self.alive(provider, session).and(allowed) {
                    return refuse(answer, reason);
                }
                if key.is_some_and(|key| !session.keys.contains(&key)) {
                    return Decision::NeedKeyStored(answer, Box::new(registration));
                }
                answer.session = Some(account.used(index));
            }
        }
        // A master-key is stored already and serves other registrations as well, so the answer to this one does
        // not decide about it.
        registration.tagged = exchanged.sign_in == SignIn::Code && exchanged.master_key.is_none();
        answer.registration = registration.claim.is_some().then(|| Box::new(registration));
        accept(answer)
    }

    /// A request with a proof. `covered` is the message-body of the digest-string; `beside` names the access token that
    /// came with it and was accepted.
    pub fn proof(&self, pop: &str, covered: &[u8], beside: Option<TokenName>) -> Decision {
        let proven = match self.prove(pop, covered) {
            Ok(proven) => proven,
            Err(decision) => return *decision,
        };
        let (answer, session) = (proven.answer.clone(), proven.session());
        let pairs = self.policy.providers[proven.provider].pairs_tokens && session.sign_in.phone_holds_tokens();
        let bound = match beside {
            None if pairs => Err(Reason::TokenMissing),
            Some(name) if !session.tokens.contains(&name) => Err(Reason::TokenUnbound),
            _ => Ok(()),
        };
        if let Err(reason) = bound.and_then(|()| self.may_prove(proven.provider, session, &proven.aor)) {
            return refuse(answer, reason);
        }
        let Some(key) = proven.key else {
            return accept(answer);
        };
        match self.dated(&proven, key) {
            Ok(used) => Decision::NeedComparison(answer, vec![used], None),
            Err(reason) => refuse(answer, reason),
        }
    }

    /// Finds the session whose key made a proof. The error says what must be done or answered instead.
    fn prove(&self, pop: &str, covered: &[u8]) -> Result<Proven, Box<Decision>> {
        let request = self.request;
        let stop = |answer, reason| Err(Box::new(refuse(answer, reason)));
        let Some(aor) = Aor::parse(self.address()) else {
            return stop(Answer::default(), Reason::AorMissing);
        };
        let Some(pop) = pop_from_text(pop) else {
            return stop(Answer::default(), Reason::PopMalformed);
        };
        // The provider that would have made the session. The session has that provider's spelling of numbers.
        let Some(provider) = self.policy.provider_for_sessions(aor.host()) else {
            return stop(Answer::default(), Reason::SessionUnknown);
        };
        let aor = self.policy.providers[provider].rules.spelled(aor);
        let (digest, date) = match covered_by_proof(self.settings, request, covered) {
            Ok(dated) => dated,
            Err(error) => return stop(Answer::default(), error.reason()),
        };
        let fresh = self.known.is_fresh();
        let fetch = || {
            let open = self.open_proof(&pop, &digest);
            Err(Box::new(Decision::NeedAccount(Answer::default(), aor.as_str().to_owned(), open)))
        };
        let account = match self.known.account(aor.as_str()) {
            Known::Failed => return stop(Answer::default(), Reason::StoreUnavailable),
            Known::NotHere => return fetch(),
            // What is known may be outdated, and nobody should have to sign in again because of that.
            Known::Absent if !fresh => return fetch(),
            Known::Absent => return stop(Answer::default(), Reason::SessionUnknown),
            Known::Found(account) => account,
        };
        let Some((index, key)) = self.prover(&account, &pop, &digest) else {
            return if fresh { stop(Answer::default(), Reason::PopInvalid) } else { fetch() };
        };
        let session = &account.sessions[index];
        let Some(provider) = self.policy.provider_of_session(session) else {
            return stop(Answer::default(), Reason::SessionEnded);
        };
        let answer = Answer { provider: Some(provider), session: Some(account.used(index)), ..Answer::default() };
        Ok(Proven { answer, aor, provider, account, index, key, date, pop })
    }

    /// The use of a proof by the session's key at this place. It is an error if the Date is too far from now.
    fn dated(&self, proven: &Proven, key: usize) -> Result<Use, Reason> {
        self.use_of(&proven.session().keys[key].0, &proven.pop, proven.date, proven.provider)
    }

    fn use_of(&self, key: &[u8; 32], pop: &[u8; 32], date: i64, provider: usize) -> Result<Use, Reason> {
        self.is_timely(date, provider)?;
        let Message { call_id, cseq, .. } = self.request.message;
        let proof = name_of(&self.settings.hash_key, key, (call_id, cseq));
        Ok(Use { proof, path: self.path(pop), date, now: self.now })
    }

    fn is_timely(&self, date: i64, provider: usize) -> Result<(), Reason> {
        let leeway = self.policy.providers[provider].rules.leeway;
        if is_stale(self.policy, leeway, date, self.now) { Err(Reason::PopStale) } else { Ok(()) }
    }

    /// Checks a proof that came with Digest credentials, which shows that the phone has derived the same
    /// master-key. Digest says that the request is new, but the proof must not serve another request once the
    /// session has this key.
    fn fits_master_key(&self, key: &Key, pop: &str, covered: &[u8], provider: usize) -> Result<Use, Reason> {
        let pop = pop_from_text(pop).ok_or(Reason::PopMalformed)?;
        let (digest, date) = covered_by_proof(self.settings, self.request, covered).map_err(|error| error.reason())?;
        if !bool::from(make_pop(&**key, &digest).ct_eq(&pop)) {
            return Err(Reason::PopInvalid);
        }
        self.use_of(key, &pop, date, provider)
    }

    /// The message-body of the digest-string if the proof is in the body.
    pub fn covered_in_body<'b>(&self, without_pop: &'b [u8]) -> &'b [u8] {
        if self.settings.empty_pop_body { &[] } else { without_pop }
    }

    /// The address that the request is sent for.
    fn address(&self) -> &str {
        if self.request.is_register() { self.request.to } else { self.request.from }
    }

    /// The session that the proof belongs to, and the key that made it. None for the key: the proof is the one of
    /// the registration.
    fn prover(&self, account: &KnownAccount, pop: &[u8; 32], digest: &[u8]) -> Option<(usize, Option<usize>)> {
        // What is repeated is the proof of a REGISTER, so it serves no other method.
        let may_repeat = self.policy.settings.allows(POP_REUSE) && self.request.method == "REGISTER";
        let repeats = |s: &Session| may_repeat && s.proofs.iter().any(|proof| bool::from(proof.0.ct_eq(pop)));
        let message = &self.request.message;
        candidates(account, message.instance, message.reg_id).find_map(|(index, session)| {
            if let Some(key) = account.maker(index, pop, digest) {
                return Some((index, Some(key)));
            }
            repeats(session).then_some((index, None))
        })
    }

    /// What the I/O service needs to compare the proof with those of other proxies. It does so as soon as it knows
    /// the session, so that a request waits only once.
    fn open_proof(&self, pop: &[u8; 32], digest: &[u8]) -> Option<Box<OpenProof>> {
        let message = &self.request.message;
        (self.settings.cluster_replay && digest.len() <= MAX_OPEN).then(|| {
            Box::new(OpenProof {
                pop: KeyOctets(*pop),
                digest: digest.to_vec(),
                instance: message.instance.to_owned(),
                reg_id: message.reg_id,
                call_id: message.call_id.to_vec(),
                cseq: message.cseq.to_vec(),
                path: self.path(pop),
            })
        })
    }

    /// The path of the request with this proof, as in [`path_of`].
    fn path(&self, pop: &[u8; 32]) -> u64 {
        path_of(&self.settings.hash_key, self.request, pop)
    }

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
    fn may_use(&self, provider: usize, aor: &Aor) -> Result<(), Reason> {
        let owned = std::slice::from_ref(aor);
        let request = self.request;
        let owner = self.policy.providers[provider].rules.check_owner(owned, request.method, request.from, request.to);
        owner.map(drop)
    }

    /// A session is judged anew on each use, as a token is.
    fn alive(&self, provider: usize, session: &Session) -> Result<(), Reason> {
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

    fn may_be_weak(&self) -> bool {
        self.policy.settings.allows(UNPROTECTED_SHORT_CODES) || matches!(self.request.transport, "tls" | "wss")
    }
}

/// The verdict of this proxy's replay guard about a proof that is correct. `note` asks the guard. The first name
/// that was seen before decides, so that a retransmission of a refused request is refused.
pub fn compare(mut answer: Answer, uses: &[Use], note: impl Fn(&Use) -> Seen) -> Answer {
    let refusal = uses.iter().find_map(|used| match note(used) {
        Seen::First | Seen::Again => None,
        Seen::Replayed => Some(Reason::PopReplayed),
        Seen::TooOld => Some(Reason::ReplayGuardYoung),
    });
    answer.reason = Some(refusal.unwrap_or(Reason::Ok));
    answer
}

/// True when the Date of a proof is too far from now. Proofs from the future would outlive the guard's memory at a
/// restart, so into the future only the leeway counts.
pub(super) fn is_stale(policy: &Policy, leeway: i64, date: i64, now: i64) -> bool {
    now - date > i64::from(policy.settings.pop_window) || date - now > leeway.max(LEAST_AHEAD)
}

/// Names a request that has arrived. The name stays the same however often the request is checked. Nobody else may
/// be able to compute it.
pub fn arrival_of(hash_key: &[u8; 16], request: &Request<'_>) -> u64 {
    path_of(hash_key, request, b"")
}

/// Decides whether a registration may use the result of a code. `now` in Unix milliseconds.
pub fn admit(policy: &Policy, record: &CodeRecord, registration: &Registration, now: i64) -> Result<(), Differs> {
    // The setting is not for Digest credentials. They have no verifier, and whoever has seen them has all of them.
    let is_password = matches!(&record.state, CodeState::Done(done) if done.sign_in == SignIn::Password);
    let without_verifier = policy.settings.allows(FLOWS_WITHOUT_VERIFIER) && !is_password;
    match (&record.redemption, &registration.claim) {
        (Some(redemption), Some(claim)) => {
            // A check counts in whole seconds, so the request may have arrived after `now`.
            let arrived = registration.arrived;
            redemption.admit(claim, When { arrived, now: now.max(arrived), without_verifier })
        }
        (None, None) => Ok(()),
        _ => Err(Differs::Unproved),
    }
}

/// True when the server has judged what this registration shows.
pub fn asks_the_same(record: &CodeRecord, registration: &Registration) -> bool {
    let both = record.redemption.zip(registration.claim);
    both.is_none_or(|(redemption, claim)| redemption.claim.asks_the_same(&claim))
}

/// True when the code still belongs to its owner, and this registration is not by the phone that has tried it.
fn is_strangers(record: &CodeRecord, registration: &Registration) -> bool {
    let both = record.redemption.zip(registration.claim);
    both.is_some_and(|(redemption, claim)| redemption.ownerless && !redemption.is_by(&claim))
}

fn reason_of(number: u32) -> Reason {
    Reason::from_number(number).unwrap_or(Reason::CodeRefused)
}

/// Refuses a request in which somebody else shows what was redeemed already.
fn attempt(mut answer: Answer, differs: Differs, registration: &Registration) -> Decision {
    let short_code_of = registration.weak.then(|| registration.aor.clone());
    answer.attempt = Some(Box::new(Attempt { differs, short_code_of }));
    refuse(answer, Reason::CodeRefused)
}

/// Whether a user may register this address with a code, or use it with a token from elsewhere. The key proves the
/// address in other requests too, so a rule about third parties is not enough here.
pub fn may_register(rules: &TokenRules, user: &Identity, registration: &Registration) -> Result<(), Reason> {
    let owned: Vec<Aor> = user.aors.iter().filter_map(|aor| Aor::parse(aor)).collect();
    let method = registration.method.as_str();
    let index = rules.check_owner(&owned, method, &registration.from, &registration.aor)?;
    if owned[index].as_str() != registration.aor {
        return Err(Reason::ThirdPartyRegistration);
    }
    rules.scopes.check_method(method, &user.scope)
}

/// The key that a registration gives, once its To tag is known. A key that was given to phone and proxy takes
/// precedence over one that they make.
pub fn key_of(
    settings: &Sessions,
    exchanged: &Exchanged,
    registration: &Registration,
    to_tag: &[u8],
) -> Option<KeyOctets> {
    if exchanged.master_key.is_some() || exchanged.sign_in != SignIn::Code {
        return exchanged.master_key.clone();
    }
    if to_tag.is_empty() {
        return None;
    }
    let (code, from_tag) = (exchanged.code.0.as_bytes(), registration.from_tag.as_bytes());
    let key = shared_key(settings.key_order, code, from_tag, to_tag, registration.call_id.as_bytes());
    Some(KeyOctets(*key))
}

/// What is shown of a session that a request uses.
pub fn used(aor: &str, session: &Session) -> UsedSession {
    UsedSession {
        id: session.id,
        aor: aor.to_owned(),
        instance: visible(&session.instance).into_owned(),
        subject: visible(&session.subject).into_owned(),
        client_id: visible(&session.client_id).into_owned(),
        scope: session.scope.clone(),
        valid_until: session.valid_until,
        allows_until: if session.renewable { session.ends_at } else { session.valid_until.min(session.ends_at) },
    }
}

/// Puts the comparison of the proof first. With a proof that was used before, nothing is exchanged and nothing is
/// told.
fn compared_first(used: Option<Use>, decision: Decision) -> Decision {
    match (used, decision) {
        (Some(used), Decision::NeedExchange(answer, then)) => Decision::NeedComparison(answer, vec![used], Some(then)),
        (Some(used), Decision::Done(answer)) if answer.reason == Some(Reason::Ok) => {
            Decision::NeedComparison(answer, vec![used], None)
        }
        (_, decision) => decision,
    }
}

fn refuse(mut answer: Answer, reason: Reason) -> Decision {
    answer.reason = Some(reason);
    Decision::Done(answer)
}

fn accept(mut answer: Answer) -> Decision {
    answer.reason = Some(Reason::Ok);
    Decision::Done(answer)
}
