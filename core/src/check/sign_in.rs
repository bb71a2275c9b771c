// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that sign a phone in: with a code, a token from elsewhere or a password, or with a refresh token that the
//! phone holds. Each grant is redeemed once.

use super::covered::covered_by_proof;
use super::known_sessions::Known;
use super::registration::{CodeId, Registration, admit, arrival_of, asks_the_same, is_strangers, key_of, may_register};
use super::replay::Use;
use super::session_check::{DigestUser, SessionCheck, accept, refuse};
use super::{Answer, Attempt, Decision, Message, Request};
use crate::config::provider::Provider;
use crate::config::settings::POP_REUSE;
use crate::keys::master_key::master_key;
use crate::oauth::grant::{CodeRequest, ForeignToken, PasswordGrant, PhoneRefresh, TokenGrant};
use crate::oauth::typed_code::{self, Typed};
use crate::reason::Reason;
use crate::records::redemption::{Claim, Differs, RedemptionFacts};
use crate::records::session::{CodeRecord, CodeState, Exchanged, SignIn, TokenName, id_text};
use crate::sip::digest_credentials::DigestCredentials;
use crate::sip::digest_string::DigestError;
use crate::sip::uri::Aor;
use crate::text::secret::{KeyOctets, SecretText};

/// Most octets that the texts of a registration may have together, because they travel through the host.
const MAX_TEXTS: usize = 2048;

impl SessionCheck<'_> {
    /// A REGISTER with a code.
    pub(super) fn code(&self, code: CodeRequest) -> Decision {
        if self.policy.settings.typed_codes {
            match typed_code::read(&code.code.0) {
                Typed::Code(digits) => return self.typed_code(&digits, typed_code::spelling(&code.code.0)),
                // Whoever mistypes has not guessed.
                Typed::Mistyped => return refuse(Answer::default(), Reason::CodeRefused),
                Typed::Other => {}
            }
        }
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

    /// A REGISTER with a code that the sign-in page has made for this address, and that is in the store.
    fn typed_code(&self, digits: &str, spelling: String) -> Decision {
        let Some(aor) = Aor::parse(self.request.to) else {
            return refuse(Answer::default(), Reason::AorMissing);
        };
        let Some(provider) = self.policy.provider_for_codes(aor.host()) else {
            return refuse(Answer::default(), Reason::PopUnsupported);
        };
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        if !self.may_be_weak() {
            return refuse(answer, Reason::ShortCodeUnprotected);
        }
        let aor = self.policy.providers[provider].rules.spelled(aor);
        let id = CodeId::of_typed_code(aor.as_str(), digits);
        let known = match self.known.code(&id) {
            Known::Failed => return refuse(answer, Reason::StoreUnavailable),
            Known::NotHere | Known::Absent => None,
            Known::Found(record) => Some(record),
        };
        // The user may have signed in at another provider of this domain.
        let named =
            known.as_ref().and_then(|known| self.policy.providers.iter().position(|p| p.name == known.provider));
        let provider = named.unwrap_or(provider);
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        let registration = match self.registration(provider, id, aor) {
            Ok(registration) => {
                let claiming = self.claiming(registration, RedemptionFacts::default());
                Registration { weak: true, spelling, ..claiming }
            }
            Err(reason) => return refuse(answer, reason),
        };
        // Tries are counted elsewhere, so a guess waits for that before it can be right.
        let is_open = |known: &CodeRecord| matches!(&known.state, CodeState::Done(done) if done.bound_to.is_empty());
        if known.as_ref().is_none_or(|known| is_open(known) && !self.known.has_waited()) {
            return Decision::NeedExchange(answer, Box::new((TokenGrant::TypedCode, registration)));
        }
        self.redeem(answer, provider, TokenGrant::TypedCode, registration)
    }

    /// A request with a token from elsewhere, which this provider's server validates (sip-oauth section 5).
    pub(super) fn foreign_token(&self, provider: usize, token: &str) -> Decision {
        let answer = Answer { provider: Some(provider), ..Answer::default() };
        if token.len() > self.policy.settings.max_token_size as usize {
            return refuse(answer, Reason::TokenTooLarge);
        }
        let Some(aor) = Aor::parse(self.request.address()).filter(|aor| !aor.user().is_empty()) else {
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
    pub(super) fn password(&self, known: DigestUser<'_>, proof: Option<(String, Vec<u8>)>) -> Decision {
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
        // The address stands for the user name, which can be spelled in several ways.
        let id = CodeId::new("password", issuer, &[aor.as_str(), &digest.realm, &digest.nonce]);
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
    pub(super) fn refresh(
        &self,
        refresh_token: SecretText,
        pop: &str,
        covered: &[u8],
        beside: Option<TokenName>,
    ) -> Decision {
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
        // A session belongs to one phone, and ends with the one binding that has its instance.
        if message.contacts > 1 {
            return Err(Reason::PopMalformed);
        }
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
            spelling: String::new(),
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
                // When there are many requests, the time when this one came may be forgotten.
                let claims = record.redemption.zip(registration.claim);
                let is_first = claims.is_some_and(|(first, own)| first.claim.is_same_request(&own));
                let has_waited = registration.arrived < *given_up || self.known.has_waited() && is_first;
                let later = match grant {
                    TokenGrant::Refresh(_) => Reason::RefreshRefused,
                    _ => Reason::CodeSpent,
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
