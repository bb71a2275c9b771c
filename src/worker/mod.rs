// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker: checks requests with this process's copy of keys and policy. Uses the CPU only, never waits.

mod connections;
pub mod dialogs;
pub mod grants;
pub mod key_derivation;
pub mod keyring;
pub mod repeats;
pub mod reply;
mod senders;
pub mod session_view;
mod sessions;
mod tokens;
mod waits;

use std::sync::Arc;

use crate::clock::now_millis;
use crate::fault;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::{Errand, Work};
use crate::shared::counters::Counter;
use crate::shared::process_id;
use crate::store::sessions::SessionError;
use grants::Told;
use keyring::Keyring;
use repeats::{Recognized, Repeated};
use senders::{note_accepted, sender};
use session_view::SessionView;
use sessions::wait_for_store;
use sipoauth_core::check::acceptance::Acceptance;
use sipoauth_core::check::connection_check::check_connection;
use sipoauth_core::check::key_wait::{KeyWait, Situation, decide};
use sipoauth_core::check::registration::arrival_of;
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::check::token_cache::{TokenCache, VerifiedToken};
use sipoauth_core::check::token_check::{TokenUsage, check_token};
use sipoauth_core::check::{Answer, Carried, Decision, Knowledge, Request, check_code, check_password, check_request};
use sipoauth_core::config::ConfigError;
use sipoauth_core::config::offer::{Offer, SipEndpoint, choose};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::grant::CodeRequest;
use sipoauth_core::oauth::refresh_plan::longest_pause;
use sipoauth_core::ports::Level;
use sipoauth_core::reason::{Outcome, Reason};
use sipoauth_core::records::session::id_text;
use sipoauth_core::sip;
use sipoauth_core::sip::challenge::{Challenge, Location};
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::fingerprint::printable;
use sipoauth_core::text::json::Json;
use tokens::{AnswerView, DecryptionView};

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

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// Everything that is known of the token, except what `acceptance` has.
    pub answer: Answer,
    /// The acceptance of an earlier request, if this request was accepted because it is like that one.
    pub acceptance: Option<Arc<Acceptance>>,
    /// Suggested SIP status.
    pub status: u32,
    /// Seconds for Retry-After, with status 503.
    pub retry_after: u32,
    /// What must be done first. The host parks the request and submits this as a job.
    pub pending: Option<Errand>,
    /// The policy by which the request was judged.
    pub policy: Option<Arc<Policy>>,
    /// The session of an accepted code or proof, as text.
    pub session: String,
    /// The ticket for the end of a registration with a code.
    pub ticket: String,
    /// The services that an accepted token or session gives, separated by a comma.
    pub services: String,
    /// The scopes that a token needs for the request, when one was missing.
    pub needed_scope: String,
    /// Most seconds for which an accepted REGISTER may be bound; 0: no limit.
    pub expires_limit: u32,
    /// The check itself was accepted, whatever was required later. Identity, claims and token depend on this.
    pub granted: bool,
    /// The check was made in the proxy's role.
    pub proxy: bool,
    /// Where the request came from, for the log. Empty when the request was accepted.
    pub source: String,
    /// The address-of-record that the request was sent for, for the log. Empty when the request was accepted.
    pub address: String,
}

impl CheckResult {
    /// Name of the provider, empty when unknown.
    pub fn provider(&self) -> &str {
        let providers = self.policy.as_ref().map_or(&[][..], |policy| &policy.providers);
        self.answer.provider.and_then(|index| providers.get(index)).map_or("", |provider| &provider.name)
    }
}

/// Retry-After in seconds while a code is exchanged, or a token asked about, for a host that cannot wait.
const SOON: u32 = 1;

/// The state of one process or thread.
pub struct Worker {
    context: Arc<Context>,
    process: u32,
    placed: PlacedPolicy,
    keyring: Keyring,
    cache: TokenCache,
    told: Told,
}

impl Worker {
    /// Makes a worker. Call this after the fork, in the process that uses the worker.
    pub fn new(context: Arc<Context>) -> Result<Worker, ConfigError> {
        let placed = context.policy()?;
        Ok(Worker {
            process: process_id::id(),
            keyring: Keyring::new(&placed),
            cache: TokenCache::new(placed.policy.settings.token_cache_size as usize),
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
        let mut verdict = CheckResult::default();
        let handling = Handling { begun: Some(self.begin(handling)), ..*handling };
        match self.recognize(&Repeated::from(request), &handling, &mut verdict) {
            Recognized::Accepted => verdict,
            Recognized::Token(sent) => self.check_closely(request, Some(sent), &handling),
            Recognized::Not => self.check_closely(request, None, &handling),
        }
    }

    /// Checks a request that was not accepted before. `sent` is the token that its credentials are, where that is known.
    pub fn check_closely(
        &mut self,
        request: &Request<'_>,
        sent: Option<Arc<VerifiedToken>>,
        handling: &Handling<'_>,
    ) -> CheckResult {
        let now = self.begin(handling);
        let handling = &self.sent_by(request, handling);
        request.credentials.iter().for_each(|credential| fault::point(credential));
        let decision = self.with_key_stored(request, now, |worker| worker.look(request, sent.clone(), handling, now));
        let verdict = self.conclude(decision, request, handling, now);
        if sent.is_some() {
            self.note_acceptance(&verdict, request, now);
        }
        self.hint_about_size(&verdict, request);
        verdict
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
        let handling = &self.sent_by(request, handling);
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
            && self.stores_itself()
        {
            decision = match self.bind(registration, request.message.reply_to_tag, now) {
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
        let handling = &self.sent_by(request, handling);
        request.credentials.iter().for_each(|credential| fault::point(credential));
        let sessions = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let decision = check_password(&self.placed.policy, &sessions, request, user, now / 1000);
        self.conclude(decision, request, handling, now)
    }

    fn look(
        &mut self,
        request: &Request<'_>,
        sent: Option<Arc<VerifiedToken>>,
        handling: &Handling<'_>,
        now: i64,
    ) -> Decision {
        let sessions = SessionView::new(&self.context, &self.placed.policy, handling, now);
        let answers = AnswerView::new(&self.context, &self.placed.policy, handling, now);
        let decryptions = DecryptionView::new(&self.context, &self.placed.policy, handling, now);
        let known =
            Knowledge { keys: &self.keyring, answers: &answers, sessions: &sessions, decryptions: &decryptions };
        let policy = &self.placed.policy;
        let decision = check_request(policy, known, &mut self.cache, sent, request, now / 1000);
        let nothing = |answer: &Answer| {
            answer.reason == Some(Reason::NoCredentials)
                && answer.carried == Carried::Nothing
                && !sip::key_derivation::is_among(request.credentials)
        };
        if !matches!(&decision, Decision::Done(answer) if nothing(answer)) {
            return decision;
        }
        let Some(bound) = self.bound_to(request, now) else {
            return decision;
        };
        check_connection(policy, known, &mut self.cache, request, &bound, now / 1000).unwrap_or(decision)
    }

    /// True when this process may write the store itself. Otherwise only the I/O service may.
    pub fn stores_itself(&self) -> bool {
        self.context.sessions().is_some_and(|access| access.is_local())
    }

    /// Checks a bare token that nobody is known to have sent.
    pub fn check_token(&mut self, token: &str, handling: &Handling<'_>) -> CheckResult {
        self.check_token_of(&Request::default(), token, handling)
    }

    /// Checks a bare token. Limits count it for the sender of `request`; nothing else of the request is looked at.
    pub fn check_token_of(&mut self, request: &Request<'_>, token: &str, handling: &Handling<'_>) -> CheckResult {
        let now = self.prepare(handling.now);
        let handling = &self.sent_by(request, handling);
        let sessions = SessionView::as_known(&self.context, &self.placed.policy, now);
        let answers = AnswerView::new(&self.context, &self.placed.policy, handling, now);
        let decryptions = DecryptionView::new(&self.context, &self.placed.policy, handling, now);
        let known =
            Knowledge { keys: &self.keyring, answers: &answers, sessions: &sessions, decryptions: &decryptions };
        let mut decision =
            check_token(&self.placed.policy, known, &mut self.cache, token, TokenUsage::default(), now / 1000);
        // A token that counts only together with its proof does not count alone.
        if let Decision::Done(answer) = &mut decision
            && answer.reason == Some(Reason::Ok)
            && answer.provider.is_some_and(|provider| self.placed.policy.providers[provider].pairs_tokens)
        {
            answer.reason = Some(Reason::PopMissing);
        }
        fault::point(token);
        self.conclude(decision, &Request::default(), handling, now)
    }

    /// Forgets what a call that ended in a panic may have left half done.
    pub fn forget(&mut self) {
        self.keyring = Keyring::new(&self.placed);
        self.cache.clear();
    }

    /// Takes over a new configuration and new keys. Returns the time in Unix milliseconds.
    fn prepare(&mut self, now: Option<i64>) -> i64 {
        let now = now.map_or_else(now_millis, |seconds| seconds.saturating_mul(1000));
        if let Some(placed) = self.context.policy_after(self.placed.generation) {
            self.keyring = Keyring::new(&placed);
            self.cache = TokenCache::new(placed.policy.settings.token_cache_size as usize);
            self.placed = placed;
            self.told = Told::default();
        }
        let max_stale = i64::from(self.placed.policy.settings.key_max_stale) * 1000;
        if self.keyring.refresh(&self.context, now, max_stale) {
            self.cache.clear();
        }
        now
    }

    fn conclude(
        &mut self,
        decision: Decision,
        request: &Request<'_>,
        handling: &Handling<'_>,
        now: i64,
    ) -> CheckResult {
        let mut verdict = match decision {
            Decision::Done(answer) => CheckResult { answer, ..CheckResult::default() },
            Decision::NeedKeys(answer) => self.wait_for_keys(answer, handling, now),
            Decision::NeedIntrospection(answer, question) => {
                self.wait_for_introspection(answer, question, handling, now)
            }
            Decision::NeedExchange(answer, then) => self.wait_for_exchange(answer, *then, request, handling, now),
            Decision::NeedKeyStored(answer, registration) => {
                let to_tag = request.message.reply_to_tag.to_vec();
                wait_for_store(answer, handling, || Work::Bind(registration, to_tag))
            }
            Decision::NeedAccount(answer, aor, open) => {
                self.wait_for_account(answer, Work::Account(aor, open), handling)
            }
            Decision::NeedKeyAccount(answer, aor, open) => {
                wait_for_store(answer, handling, || Work::KeyAccount(aor, open))
            }
            Decision::NeedComparison(answer, uses, then) => {
                let compared = self.compare(answer, &uses, handling, now);
                match then {
                    Some(then) if compared.answer.reason == Some(Reason::Ok) => {
                        let answer = Answer { reason: None, ..compared.answer };
                        self.wait_for_exchange(answer, *then, request, handling, now)
                    }
                    _ => compared,
                }
            }
        };
        verdict.policy = Some(Arc::clone(&self.placed.policy));
        self.admit(&mut verdict, handling);
        if let (Some(Work::Exchange(_) | Work::Bind(..)), Some(sessions)) =
            (verdict.pending.as_ref().map(|errand| &errand.work), &self.placed.policy.sessions)
        {
            // However long the request waits, it is judged by the time when it came.
            let name = arrival_of(&sessions.hash_key, request);
            self.context.arena().shared().arrivals.put(name, now.unsigned_abs());
        }
        let outcome = verdict.answer.reason().outcome();
        if outcome == Outcome::Accepted && verdict.pending.is_none() {
            note_accepted(&self.context, handling, now);
        }
        if handling.resumed && verdict.pending.is_none() && !matches!(outcome, Outcome::Accepted | Outcome::NotNow) {
            self.note_waited_in_vain(handling, now);
        }
        if !matches!(outcome, Outcome::Accepted | Outcome::NoCredentials) {
            handling.source.clone_into(&mut verdict.source);
            let address = Aor::parse(request.address());
            verdict.address = address.map_or_else(String::new, |aor| aor.as_str().to_owned());
        }
        if let Some(attempt) = &verdict.answer.attempt {
            let reason = self.note_attempt(attempt, handling, now);
            verdict.answer.reason = reason.or(verdict.answer.reason);
        }
        if verdict.pending.is_none() {
            self.note_connection(&verdict.answer, request, now);
            self.add_grants(&mut verdict, request, now / 1000);
            self.finish(&mut verdict, handling.proxy);
        }
        verdict
    }

    fn wait_for_keys(&mut self, mut answer: Answer, handling: &Handling<'_>, now: i64) -> CheckResult {
        use sipoauth_core::check::KnownKeys;
        let provider = answer.provider.unwrap_or(0);
        let settings = &self.placed.policy.settings;
        let slot = self.keyring.slot(provider);
        let shared = self.context.arena().shared();
        let (state, judged) = (self.keyring.state(&self.context, provider), self.keyring.generation(provider));
        let refusal = answer.reason.take().unwrap_or(Reason::KeyUnknown);
        // A key that does not exist is remembered by its name. If keys were tried, only this token is remembered,
        // because such keys may be replaced at any time, under their names or without a name, and a token that a
        // stranger has forged must not affect other tokens.
        let missing = answer.unverified.as_ref().map_or("", |token| {
            let is_named = refusal == Reason::KeyUnknown && !token.kid.is_empty() && !token.tried;
            if is_named { &token.kid } else { &token.fingerprint }
        });
        let early = answer.unverified.as_ref().filter(|token| refusal == Reason::KeyUnknown && !token.tried);
        let situation = Situation {
            issued_at: early.and_then(|token| token.issued_at),
            leeway: self.placed.policy.providers[provider].rules.leeway,
            state,
            have_keys: self.keyring.fetched(provider).is_some(),
            known_missing: shared.missing_keys.get((slot, missing)) == Some(state.fetches & 0xFF_FFFF),
            resumed: handling.resumed,
            can_park: !handling.no_wait,
            now,
            pending_timeout: i64::from(settings.pending_timeout) * 1000,
            longest_pause: longest_pause(i64::from(settings.key_cooldown) * 1000),
            retry_after: settings.retry_after,
        };
        let minute = (now / 60_000).unsigned_abs();
        let allowed = || {
            shared.source_fetches.allow_network(
                &sender(&self.context, handling, now),
                minute,
                settings.key_fetches_per_source(),
            )
        };
        let mut verdict = CheckResult::default();
        let reason = match decide(&situation, allowed) {
            KeyWait::Park => {
                self.context.arena().slots()[slot].want(judged);
                verdict.pending = u32::try_from(slot).ok().map(|slot| Errand::from(Work::Keys(slot, judged)));
                None
            }
            KeyWait::Unknown => {
                shared.missing_keys.put((slot, missing), state.fetches);
                Some(refusal)
            }
            KeyWait::NotYet(seconds) => {
                shared.missing_keys.put((slot, missing), state.fetches);
                verdict.retry_after = seconds;
                Some(Reason::KeyRefreshLimited)
            }
            KeyWait::NotNow(reason, seconds) => {
                verdict.retry_after = seconds;
                Some(reason)
            }
            KeyWait::NotNowAndFetch(reason, seconds) => {
                self.context.arena().slots()[slot].want(judged);
                verdict.retry_after = seconds;
                Some(reason)
            }
        };
        answer.reason = reason;
        verdict.answer = answer;
        verdict
    }

    /// Sets the status of a decided request, counts the request and logs it.
    fn finish(&self, verdict: &mut CheckResult, proxy: bool) {
        verdict.proxy = proxy;
        let settings = &self.placed.policy.settings;
        let counters = &self.context.arena().shared().counters;
        let reason = verdict.answer.reason();
        verdict.status = self.status_of(&verdict.answer, proxy);
        if verdict.status == 503 && verdict.retry_after == 0 {
            verdict.retry_after = settings.retry_after;
        }
        if let Some(session) = &verdict.answer.session {
            verdict.session = id_text(&session.id);
        }
        if let Some(registration) = &mut verdict.answer.registration {
            verdict.ticket = self.ticket(registration);
        }
        counters.add(match reason.outcome() {
            Outcome::Accepted => Counter::Accepted,
            Outcome::NoCredentials => Counter::NoCredentials,
            Outcome::NotNow => Counter::NotNow,
            Outcome::Challenge | Outcome::Forbidden | Outcome::BadRequest | Outcome::UnsupportedMedia => {
                Counter::Denied
            }
        });
        counters.add_reason(reason);
        if verdict.token().is_some() || verdict.answer.unverified.is_some() {
            counters.add(if verdict.answer.cached { Counter::CacheHits } else { Counter::CacheMisses });
        }
        match reason.outcome() {
            Outcome::Accepted | Outcome::NoCredentials => {}
            Outcome::NotNow => self.tell_refusal(verdict, Level::Warn),
            _ => self.tell_refusal(verdict, Level::Info),
        }
    }

    /// The SIP status that goes with an answer.
    fn status_of(&self, answer: &Answer, proxy: bool) -> u32 {
        let (policy, reason) = (&self.placed.policy, answer.reason());
        // A challenge of the Key-Derivation scheme never redirects, because nobody signs in elsewhere with a
        // password of this proxy.
        let redirects = policy.location == Location::Redirect && answer.challenge.is_none();
        match reason.outcome() {
            Outcome::Accepted => 200,
            Outcome::Challenge if reason == Reason::InsufficientScope && policy.settings.scope_status == 403 => 403,
            Outcome::NoCredentials | Outcome::Challenge if proxy => 407,
            Outcome::NoCredentials | Outcome::Challenge if redirects => 302,
            Outcome::NoCredentials | Outcome::Challenge => 401,
            Outcome::Forbidden => 403,
            Outcome::BadRequest => 400,
            Outcome::UnsupportedMedia => 415,
            Outcome::NotNow => 503,
        }
    }

    fn tell_refusal(&self, verdict: &CheckResult, level: Level) {
        self.context.log().log(level, &describe(verdict, verdict.answer.reason()));
    }

    /// The result for a request that should have been parked but could not be.
    pub fn overloaded(&self, mut verdict: CheckResult) -> CheckResult {
        verdict.pending = None;
        verdict.answer.reason = Some(Reason::Overloaded);
        self.finish(&mut verdict, false);
        verdict
    }

    /// The result for a request that the host cannot parse.
    pub fn malformed(&self) -> CheckResult {
        let answer = Answer { reason: Some(Reason::RequestMalformed), ..Answer::default() };
        let mut verdict = CheckResult { answer, ..CheckResult::default() };
        self.finish(&mut verdict, false);
        verdict
    }

    /// The result for a request that the host failed to handle. The request may have been counted already.
    pub fn failed(&self) -> CheckResult {
        let answer = Answer { reason: Some(Reason::Internal), ..Answer::default() };
        let retry_after = self.placed.policy.settings.retry_after;
        let verdict = CheckResult { answer, status: 503, retry_after, ..CheckResult::default() };
        self.context.arena().shared().counters.add_reason(Reason::Internal);
        self.tell_refusal(&verdict, Level::Warn);
        verdict
    }

    /// The status and the header lines of a challenge.
    pub fn challenge(&mut self, challenge: &Challenge<'_>, domain: &str) -> (u32, String) {
        self.prepare(None);
        let policy = &self.placed.policy;
        let provider = policy.provider_for_domain(domain);
        let or = |given, default| if str::is_empty(given) { default } else { given };
        let challenge = Challenge {
            realm: or(challenge.realm, or(&policy.settings.realm, domain)),
            authz_server: or(challenge.authz_server, &provider.authz_server),
            scope: or(challenge.scope, &provider.challenge_scope),
            location: policy.location,
            ..*challenge
        };
        (challenge.status(), challenge.header_lines())
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

fn refused(answer: &mut Answer, reason: Reason) -> Decision {
    Decision::Done(Answer { reason: Some(reason), ..std::mem::take(answer) })
}

/// A claim of a verified token as text: strings as they are, anything else as JSON.
pub fn claim_text(payload: &[u8], path: &str) -> Option<String> {
    let json = Json::parse(payload).ok()?;
    let value = json.path(path)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// True when the address that the request uses is a part of what is wrong. It identifies a user, so not every log
/// line has it.
fn is_about_address(answer: &Answer) -> bool {
    use Reason::{AorMismatch, DomainMismatch, IdentityMissing, ThirdPartyRegistration};
    let owner = matches!(answer.reason(), AorMismatch | DomainMismatch | IdentityMissing | ThirdPartyRegistration);
    owner || !matches!(answer.carried, Carried::Nothing | Carried::Token | Carried::Connection)
}

fn describe(verdict: &CheckResult, reason: Reason) -> String {
    let (issuer, kid, token) = match (verdict.token(), &verdict.answer.unverified) {
        (Some(token), _) => (token.claims.issuer.as_str(), &*token.kid, token.fingerprint.as_str()),
        (None, Some(seen)) => (seen.issuer.as_str(), seen.kid.as_str(), seen.fingerprint.as_str()),
        (None, None) => ("", "", ""),
    };
    let mut line = format!("{} {}: {}", verdict.status, reason.code(), reason.text());
    let (session, aor) = match &verdict.answer.session {
        Some(used) => (verdict.session.as_str(), used.aor.as_str()),
        None if is_about_address(&verdict.answer) => ("", verdict.address.as_str()),
        // The check let the request in as this user, but a later requirement was not met.
        None if verdict.granted => ("", verdict.token().map_or("", |token| token.shown(verdict.answer.aor).aor)),
        None => ("", ""),
    };
    let sent = if verdict.answer.carried == Carried::Connection { "earlier on this connection" } else { "" };
    let facts = [
        ("provider", verdict.provider()),
        ("issuer", issuer),
        ("kid", kid),
        ("token", token),
        ("session", session),
        ("aor", aor),
        ("source", verdict.source.as_str()),
        ("sent", sent),
        ("claim", verdict.answer.unverified.as_ref().map_or("", |seen| seen.claim_fault.as_str())),
        ("unproved_key", verdict.answer.unproved_key.as_deref().unwrap_or_default()),
        ("needed_scope", verdict.needed_scope.as_str()),
        ("attempt", verdict.answer.attempt.as_ref().map_or("", |attempt| attempt.differs.name())),
    ];
    for (name, value) in facts.into_iter().filter(|f| !f.1.is_empty()) {
        line.push_str(&format!(" {name}={}", printable(value, 128)));
    }
    line
}
