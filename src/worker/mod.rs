// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker: checks requests with this process's copy of keys and policy. Uses the CPU only, never waits.

pub mod conclusion;
mod connections;
pub mod dialogs;
pub mod grants;
pub mod key_derivation;
pub mod keyring;
pub mod logouts;
mod needs;
pub mod refers;
pub mod registrations;
pub mod repeats;
pub mod replies;
pub mod result;
mod senders;
pub mod session_view;
mod token_views;
mod tokens;
mod told;
pub mod waits;

use std::sync::Arc;

use crate::clock::now_millis;
use crate::fault;
use crate::process::charges::Charges;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::Work;
use crate::process::known_uses;
use crate::process::use_queue::Used;
use crate::shared::counters::Counter;
use crate::shared::process_id;
use crate::store::sessions::SessionError;
use conclusion::Conclusion;
use connections::Connections;
use dialogs::Dialogs;
use grants::{AcceptedToken, Grants, Withheld};
use key_derivation::AccountSource;
use keyring::Keyring;
use needs::Needs;
use refers::Refers;
use registrations::Registrations;
use repeats::{Recognized, Repeated, Repeats, SentText};
use replies::Replies;
use result::CheckResult;
use senders::{note_accepted, sender, sent_by};
use session_view::SessionView;
use sipoauth_core::check::connection_check::check_connection;
use sipoauth_core::check::device::{DeviceStep, check_device};
use sipoauth_core::check::known_account::KnownAccount;
use sipoauth_core::check::registration::arrival_of;
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::check::token_cache::LookedUp;
use sipoauth_core::check::token_check::{TokenUsage, check_token, read_again};
use sipoauth_core::check::verified_token::VerifiedToken;
use sipoauth_core::check::{
    Answer, Attempt, Carried, Decision, Knowledge, Message, Request, check_code, check_password, check_request,
};
use sipoauth_core::config::ConfigError;
use sipoauth_core::config::offer::{Offer, SipEndpoint, choose};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::jose::jwe::CompactJwe;
use sipoauth_core::oauth::grant::CodeRequest;
use sipoauth_core::reason::{Outcome, Reason};
use sipoauth_core::records::phone_use::{PhoneUse, call_id_name};
use sipoauth_core::sip;
use sipoauth_core::sip::challenge::may_be_challenged;
use sipoauth_core::sip::credentials::bearer_text;
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::json::Json;
use token_views::{AnswerView, DecryptionView};
use tokens::{TokenMemory, Tokens};
use told::Told;
use waits::Waits;
use zeroize::Zeroizing;

/// How the host handles this request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handling<'a> {
    /// The request was parked once.
    pub resumed: bool,
    /// The request cannot be parked.
    pub no_wait: bool,
    /// Text of the source address, for limits.
    pub source: &'a str,
    /// The sender's port, if the sender's address may be forged. The worker finds it out itself.
    pub datagram: Option<u16>,
    /// Unix seconds; None reads the clock.
    pub now: Option<i64>,
    /// What [`Worker::begin`] returned, if it was called for this request.
    pub begun: Option<i64>,
    /// Answer with 407 instead of 401.
    pub proxy: bool,
}

/// The largest request that UDP carries safely, in octets. Fragments of larger ones get lost (RFC 3261 section 18.1.1).
const UDP_LIMIT: usize = 1300;

/// The state of one process or thread.
pub struct Worker {
    context: Arc<Context>,
    process: u32,
    placed: PlacedPolicy,
    keyring: Keyring,
    memory: TokenMemory,
    told: Told,
}

impl Worker {
    /// Makes a worker. Call this after the fork, in the process that uses the worker.
    pub fn new(context: Arc<Context>) -> Result<Worker, ConfigError> {
        let placed = context.policy()?;
        Ok(Worker {
            process: process_id::id(),
            keyring: Keyring::new(&placed),
            memory: TokenMemory::new(&context, &placed.policy),
            told: Told::default(),
            placed,
            context,
        })
    }

    /// False in a child after a fork. The child must make its own worker.
    pub fn is_own_process(&self) -> bool {
        self.process == process_id::id()
    }

    /// Checks a request.
    pub fn check(&mut self, request: &Request<'_>, handling: &Handling<'_>) -> CheckResult {
        let mut result = CheckResult::default();
        let handling = Handling { begun: Some(self.begin(handling)), ..*handling };
        match self.recognize(&Repeated::from(request), &handling, &mut result) {
            Recognized::Accepted => result,
            Recognized::Text(sent) => self.check_closely(request, Some(sent), &handling),
            Recognized::Not => self.check_closely(request, None, &handling),
        }
    }

    /// Checks a request that was not recognized. `sent` is the text of its credentials, where that may be a token alone.
    pub fn check_closely(
        &mut self,
        request: &Request<'_>,
        sent: Option<SentText>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.begin(handling);
        let handling = &sent_by(&self.placed.policy, request, handling);
        request.credentials.iter().for_each(|credential| fault::point(credential));
        if let Some(result) = sent.as_ref().and_then(|sent| self.accept_again(sent, request, handling, now)) {
            return result;
        }
        let looked_up = match &sent {
            None => LookedUp::No,
            Some(SentText { known: None, .. }) => LookedUp::Unknown,
            Some(SentText { known: Some(known), .. }) => LookedUp::Known(known),
        };
        let decision = self.with_key_stored(request, now, |worker| worker.look(request, looked_up, handling, now));
        let result = self.conclude(decision, request, handling, now);
        self.repeats(now).note(&result, request, sent);
        let octets = request.octets.len();
        if request.transport == "udp" && octets > UDP_LIMIT && result.answer.carried == Carried::Token {
            self.told.large_request(self.context.log(), octets, UDP_LIMIT);
        }
        result
    }

    /// Accepts a request that would have been recognized if its sender had been noted lately, and notes the sender.
    fn accept_again(
        &mut self,
        sent: &SentText,
        request: &Request<'_>,
        handling: &Handling<'_>,
        now: i64,
    ) -> Option<CheckResult> {
        let repeated = Repeated::from(request);
        let credentials = bearer_text(repeated.credentials)?;
        let repeats = self.repeats(now);
        let mut known = sent.known.as_deref().filter(|known| repeats.accepts(known, &repeated)).copied()?;
        repeats.note_sender(sent, &mut known);
        let mut result = CheckResult::default();
        repeats.accept(&known, &repeated, credentials, handling.proxy, &mut result);
        note_accepted(&self.context, handling, now);
        Some(result)
    }

    /// Redeems a code that did not come in the body of `request`. `request` is the registration that the code is
    /// for.
    pub fn exchange(
        &mut self,
        request: &Request<'_>,
        code: Result<CodeRequest, Reason>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &sent_by(&self.placed.policy, request, handling);
        let decision = match code {
            Ok(code) => self.with_key_stored(request, now, |worker| {
                let sessions = SessionView::new(&worker.context, &worker.placed.policy, handling, now);
                check_code(&worker.placed.policy, &sessions, request, &code, now / 1000)
            }),
            Err(reason) => Decision::Done(Answer { reason: Some(reason), carried: Carried::Code, ..Answer::default() }),
        };
        self.conclude(decision, request, handling, now)
    }

    /// Decides about a request with `look`. If a key must be stored first and this process can store it, it does
    /// so and looks again.
    fn with_key_stored(
        &mut self,
        request: &Request<'_>,
        now: i64,
        mut look: impl FnMut(&mut Worker) -> Decision,
    ) -> Decision {
        let mut decision = look(self);
        if let Decision::NeedKeyStored(answer, registration) = &mut decision
            && self.context.stores_itself()
        {
            decision = match self.registrations_at(now).bind(registration, request.message.reply_to_tag) {
                // If the key could not be bound, the record has changed meanwhile, and the store says how.
                Ok(()) | Err(SessionError::NotThere | SessionError::NotConfigured | SessionError::Malformed) => {
                    match look(self) {
                        Decision::NeedKeyStored(mut answer, _) => refused(&mut answer, Reason::SessionEnded),
                        decision => decision,
                    }
                }
                Err(SessionError::Store(_)) => refused(answer, Reason::StoreUnavailable),
            };
        }
        decision
    }

    /// Checks a REGISTER that asks for tokens and has Digest credentials whose nonce the host has checked.
    pub fn check_password(
        &mut self,
        request: &Request<'_>,
        user: DigestUser<'_>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &sent_by(&self.placed.policy, request, handling);
        request.credentials.iter().for_each(|credential| fault::point(credential));
        let sessions = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let decision = check_password(&self.placed.policy, &sessions, request, user, now / 1000);
        self.conclude(decision, request, handling, now)
    }

    /// Does one step of a check with a device password.
    pub fn check_device(&mut self, request: &Request<'_>, step: DeviceStep, handling: &Handling<'_>) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &sent_by(&self.placed.policy, request, handling);
        request.credentials.iter().for_each(|credential| fault::point(credential));
        let known = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let decision = check_device(&self.placed.policy, &known, request, step, now / 1000);
        self.conclude(decision, request, handling, now)
    }

    /// Checks the Key-Derivation credentials of a request. A result with status 401 or 407 has the challenge.
    pub fn check_key_derivation(
        &mut self,
        request: &Request<'_>,
        account: AccountSource<'_>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &sent_by(&self.placed.policy, request, handling);
        let known = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let decision = key_derivation::decide(&known, request, account);
        let mut result = self.conclude(decision, request, handling, now);
        if !may_be_challenged(request.method) {
            result.answer.challenge = None;
        }
        result
    }

    fn look(&mut self, request: &Request<'_>, sent: LookedUp<'_>, handling: &Handling<'_>, now: i64) -> Decision {
        let sessions = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let answers = AnswerView::new(&self.context, &self.placed.policy, handling, now);
        let decryptions = DecryptionView::new(&self.context, &self.placed.policy, handling, now);
        let known =
            Knowledge { keys: &self.keyring, answers: &answers, sessions: &sessions, decryptions: &decryptions };
        let policy = &self.placed.policy;
        let tokens = &mut Tokens {
            context: &self.context,
            placed: &self.placed,
            keyring: &self.keyring,
            memory: &mut self.memory,
            now: now / 1000,
        };
        let decision = check_request(policy, known, tokens, sent, request, now / 1000);
        let nothing = |answer: &Answer| {
            answer.reason == Some(Reason::NoCredentials)
                && answer.carried == Carried::Nothing
                && !sip::key_derivation::is_among(request.credentials)
        };
        if !matches!(&decision, Decision::Done(answer) if nothing(answer)) {
            return decision;
        }
        let connections = Connections { context: &self.context, policy };
        let Some(bound) = connections.bound_to(request, now) else {
            return decision;
        };
        check_connection(policy, known, tokens, request, &bound, now / 1000).unwrap_or(decision)
    }

    /// Checks a bare token that nobody is known to have sent.
    pub fn check_token(&mut self, token: &str, handling: &Handling<'_>) -> CheckResult {
        self.check_token_of(&Request::default(), token, handling)
    }

    /// Checks a bare token. Limits count it for the sender of `request`; nothing else of the request is looked at.
    pub fn check_token_of(&mut self, request: &Request<'_>, token: &str, handling: &Handling<'_>) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &sent_by(&self.placed.policy, request, handling);
        let sessions = SessionView::as_known(&self.context, &self.placed.policy, now);
        let answers = AnswerView::new(&self.context, &self.placed.policy, handling, now);
        let decryptions = DecryptionView::new(&self.context, &self.placed.policy, handling, now);
        let known =
            Knowledge { keys: &self.keyring, answers: &answers, sessions: &sessions, decryptions: &decryptions };
        let (policy, now_s) = (&self.placed.policy, now / 1000);
        let tokens = &mut Tokens {
            context: &self.context,
            placed: &self.placed,
            keyring: &self.keyring,
            memory: &mut self.memory,
            now: now_s,
        };
        let mut decision = check_token(policy, known, tokens, token, TokenUsage::default(), now_s);
        // A token that counts only together with its proof does not count alone.
        if let Decision::Done(answer) = &mut decision
            && answer.reason == Some(Reason::Ok)
            && answer.provider.is_some_and(|provider| self.placed.policy.providers[provider].pairs_tokens)
        {
            answer.reason = Some(Reason::PopMissing);
        }
        fault::point(token);
        let result = self.conclude(decision, &Request::default(), handling, now);
        self.repeats(now).note(&result, &Request::default(), None);
        result
    }

    /// The token of the last result, with all that it says; None if there is none, or if it cannot be read any more.
    pub fn token_of(&mut self, result: &CheckResult) -> Option<Arc<VerifiedToken>> {
        let (Some(glance), Some(policy)) = (&result.glance, &result.policy) else {
            return result.answer.token.clone();
        };
        let ((remembered, now), token) = (glance.known(), result.sent.text());
        // The configuration may have changed since the check.
        let is_present = Arc::ptr_eq(policy, &self.placed.policy);
        let at_hand = |worker: &mut Worker| worker.repeats(now * 1000).tokens.at_hand(token, remembered);
        if let Some(whole) = is_present.then(|| at_hand(self)).flatten() {
            return Some(whole);
        }
        let (aor, handling) = (Aor::parse(glance.shown(None).aor), Handling::default());
        let usage = TokenUsage { domain: aor.as_ref().map_or("", Aor::host), ..TokenUsage::default() };
        let sessions = SessionView::as_known(&self.context, policy, now * 1000);
        let answers = AnswerView::new(&self.context, policy, &handling, now * 1000);
        let decryptions = DecryptionView::new(&self.context, policy, &handling, now * 1000);
        let known =
            Knowledge { keys: &self.keyring, answers: &answers, sessions: &sessions, decryptions: &decryptions };
        let headers = self.memory.headers();
        let read = Arc::new(read_again(policy, known, headers, token, remembered, usage, now)?);
        if is_present {
            self.memory.keep(&read);
        }
        Some(read)
    }

    /// The access token that the last check accepted, for a request to this next hop (a SIP URI). Does not wait.
    pub fn token_for(&mut self, result: &CheckResult, next_hop: &str) -> Result<Zeroizing<String>, Withheld> {
        self.grants().may_carry_token(result, next_hop)?;
        let sent = result.sent.text();
        let accepted = match result.glance {
            None => result.answer.token.as_deref().map(AcceptedToken::from),
            Some(_) if CompactJwe::split(sent).is_none() => {
                Some(AcceptedToken { sent: Zeroizing::new(sent.to_owned()), signed: None })
            }
            Some(_) => Some(AcceptedToken::from(&*self.token_of(result).ok_or(Withheld::NotNow)?)),
        };
        self.grants().token(result, accepted, next_hop)
    }

    /// Forgets what a call that ended in a panic may have left half done.
    pub fn forget(&mut self) {
        self.keyring = Keyring::new(&self.placed);
        self.memory.clear();
    }

    /// Takes over a new configuration and new keys. Returns the time in Unix milliseconds.
    fn prepare(&mut self, now: Option<i64>) -> i64 {
        let now = now.map_or_else(now_millis, |seconds| seconds.saturating_mul(1000));
        if let Some(placed) = self.context.policy_after(self.placed.generation) {
            self.keyring = Keyring::new(&placed);
            self.memory = TokenMemory::new(&self.context, &placed.policy);
            self.placed = placed;
            self.told = Told::default();
        }
        let max_stale = i64::from(self.placed.policy.settings.key_max_stale) * 1000;
        if self.keyring.refresh(&self.context, now, max_stale) {
            self.memory.clear();
        }
        now
    }

    fn conclude(&self, decision: Decision, request: &Request<'_>, handling: &Handling<'_>, now: i64) -> CheckResult {
        let (context, placed) = (&*self.context, &self.placed);
        let policy = &*placed.policy;
        let waits = Waits { context, placed };
        let needs = Needs { context, placed, keyring: &self.keyring, handling, now };
        let mut result = needs.result_of(decision, request);
        result.policy = Some(Arc::clone(&placed.policy));
        waits.admit(&mut result, handling);
        if let (Some(Work::Exchange(_) | Work::Bind(..)), Some(sessions)) =
            (result.pending.as_ref().map(|errand| &errand.work), &policy.sessions)
        {
            // However long the request waits, it is judged by the time when it came.
            let name = arrival_of(&sessions.hash_key, request);
            context.arena().shared().arrivals.put(name, now.unsigned_abs());
        }
        let outcome = result.answer.reason().outcome();
        if outcome == Outcome::Accepted && result.pending.is_none() {
            note_accepted(context, handling, now);
            note_use(context, policy, &result.answer, request, handling, now);
        }
        if handling.resumed && result.pending.is_none() && !matches!(outcome, Outcome::Accepted | Outcome::NotNow) {
            waits.note_waited_in_vain(handling, now);
        }
        if !matches!(outcome, Outcome::Accepted | Outcome::NoCredentials) || result.answer.wrong_digest.is_some() {
            handling.source.clone_into(&mut result.origin.source);
            let address = Aor::parse(request.address());
            result.origin.address = address.map_or_else(String::new, |aor| aor.as_str().to_owned());
        }
        if let Some(attempt) = &result.answer.attempt {
            let reason = self.note_attempt(attempt, handling, now);
            result.answer.reason = reason.or(result.answer.reason);
        }
        if result.pending.is_none() {
            Connections { context, policy }.note(&result.answer, request, now);
            grants::add(policy, &mut result, request, now / 1000);
            self.conclusion().finish(&mut result, handling.proxy);
        }
        result
    }

    /// Somebody has sent a code that another phone has redeemed. The answer must not tell whether a short code
    /// belongs to somebody, so the sender has no more tries than with any other code.
    fn note_attempt(&self, attempt: &Attempt, handling: &Handling<'_>, now: i64) -> Option<Reason> {
        let shared = self.context.arena().shared();
        shared.counters.add(Counter::CodeAttempts);
        let aor = attempt.short_code_of.as_deref()?;
        let limits = Charges::new(shared, &self.placed.policy.settings, now);
        let allowed = limits.may_try_another(&sender(&self.context, handling, now), aor);
        (!allowed).then_some(Reason::CodeTries)
    }

    /// Every check begins with this, once: it takes over a new configuration and new keys. Returns the time in
    /// Unix milliseconds.
    pub fn begin(&mut self, handling: &Handling<'_>) -> i64 {
        match handling.begun {
            Some(now) => now,
            None => self.prepare(handling.now),
        }
    }

    /// Looks a request up. It is accepted if the same request was accepted before, with the same token, and if policy,
    /// keys and time still allow it. Otherwise `result` stays blank.
    pub fn recognize(
        &mut self,
        repeated: &Repeated<'_>,
        handling: &Handling<'_>,
        result: &mut CheckResult,
    ) -> Recognized {
        let now = self.begin(handling);
        self.repeats(now).recognize(repeated, handling.proxy, result)
    }

    /// What the processes remember of accepted requests. `now` is in Unix milliseconds.
    fn repeats(&mut self, now: i64) -> Repeats<'_> {
        let Worker { context, placed, keyring, memory, .. } = self;
        Repeats { tokens: Tokens { context, placed, keyring, memory, now: now / 1000 } }
    }

    /// Completes results that no check has made.
    pub fn conclusion(&self) -> Conclusion<'_> {
        Conclusion { context: &self.context, policy: &self.placed.policy }
    }

    /// Where requests wait.
    pub fn waits(&self) -> Waits<'_> {
        Waits { context: &self.context, placed: &self.placed }
    }

    /// What was granted.
    pub fn grants(&mut self) -> Grants<'_> {
        Grants { context: &self.context, policy: &self.placed.policy, told: &mut self.told }
    }

    /// Ends registrations, at the present time.
    pub fn registrations(&mut self) -> Registrations<'_> {
        let now = self.prepare(None);
        self.registrations_at(now)
    }

    fn registrations_at(&self, now: i64) -> Registrations<'_> {
        Registrations { context: &self.context, placed: &self.placed, now }
    }

    /// Makes answers.
    pub fn replies(&mut self) -> Replies<'_> {
        self.prepare(None);
        Replies { context: &self.context, policy: &self.placed.policy }
    }

    /// Marks and recognizes dialogs. `now` is in Unix seconds; None reads the clock.
    pub fn dialogs(&mut self, now: Option<i64>) -> Dialogs<'_> {
        let now = self.prepare(now) / 1000;
        Dialogs { context: &self.context, policy: &self.placed.policy, now }
    }

    /// REFER and its events, at the present time.
    pub fn refers(&mut self) -> Refers<'_> {
        let now = self.prepare(None);
        Refers { context: &self.context, placed: &self.placed, now }
    }

    /// Which challenge an endpoint is offered.
    pub fn offer(&mut self, endpoint: &SipEndpoint<'_>) -> Offer {
        self.prepare(None);
        choose(&self.placed.policy.offers, endpoint)
    }

    /// The policy in force in this worker.
    pub fn placed(&self) -> &PlacedPolicy {
        &self.placed
    }

    /// The context that this worker belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

/// Has it stored that a phone of the sign-in page has registered. If there is no room for that, it is left out.
fn note_use(
    context: &Context,
    policy: &Policy,
    answer: &Answer,
    request: &Request<'_>,
    handling: &Handling<'_>,
    now: i64,
) {
    let Some(session) = answer.session.as_ref().filter(|session| session.is_of_page && request.is_register()) else {
        return;
    };
    let Message { user_agent, call_id, .. } = request.message;
    let seen = PhoneUse::new(now / 1000, handling.source, user_agent, call_id_name(call_id));
    let opened = context.sessions().and_then(|access| access.accounts(policy).get(&session.aor));
    // Another thread may have opened a later record, in which the session has ended.
    let is_in = |account: &KnownAccount| account.sessions.iter().any(|s| s.id == session.id && s.valid_until > 0);
    let opened = opened.filter(|opened| is_in(&opened.account));
    let used = Used {
        aor: session.aor.clone(),
        session: session.id,
        seen,
        ends_at: session.allows_until,
        account: opened.map(|opened| opened.seal),
    };
    let shared = context.arena().shared();
    if known_uses::is_known(shared, &used) {
        return;
    }
    known_uses::know(shared, &used);
    match context.uses().send(shared, &used) {
        Ok(true) => context.jobs().wake(),
        Ok(false) => {}
        Err(_) => known_uses::forget(shared, &used),
    }
}

fn refused(answer: &mut Answer, reason: Reason) -> Decision {
    Decision::Done(Answer { reason: Some(reason), ..std::mem::take(answer) })
}

/// A claim of a verified token as text: strings as they are, anything else as JSON.
pub fn claim_text(payload: &[u8], path: &str) -> Option<String> {
    let json = Json::parse(payload).ok()?;
    let value = json.path(path)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
