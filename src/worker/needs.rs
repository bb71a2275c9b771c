// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be done before a request can be answered: a key or a token is asked for, a code is exchanged, a record is
//! read or written.

use super::Handling;
use super::keyring::Keyring;
use super::result::CheckResult;
use super::senders::sender;
use super::waits::Waits;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::failures::Failures;
use crate::process::job::{Comparison, Errand, Exchange, Introspect, Work};
use crate::shared::record_cache::Lookup;
use sipoauth_core::check::key_wait::{KeyWait, Situation, decide};
use sipoauth_core::check::registration::Registration;
use sipoauth_core::check::replay::{Use, judge_uses};
use sipoauth_core::check::{Answer, Carried, Decision, IntrospectionQuestion, KnownKeys, Request};
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::oauth::refresh_plan::longest_pause;
use sipoauth_core::reason::Reason;

/// Retry-After in seconds while a code is exchanged, or a token asked about, for a host that cannot wait.
const SOON: u32 = 1;

/// The needs of one request.
pub(super) struct Needs<'w> {
    pub context: &'w Context,
    pub placed: &'w PlacedPolicy,
    pub keyring: &'w Keyring,
    pub handling: &'w Handling<'w>,
    /// Unix milliseconds.
    pub now: i64,
}

impl Needs<'_> {
    /// The result of a decision: final, or with the work that must be done first.
    pub fn result_of(&self, decision: Decision, request: &Request<'_>) -> CheckResult {
        match decision {
            Decision::Done(answer) => CheckResult { answer, ..CheckResult::default() },
            Decision::NeedKeys(answer) => self.keys(answer),
            Decision::NeedIntrospection(answer, question) => self.introspection(answer, question),
            Decision::NeedExchange(answer, then) => self.exchange(answer, *then, request),
            Decision::NeedKeyStored(answer, registration) => {
                let to_tag = request.message.reply_to_tag.to_vec();
                self.store(answer, || Work::Bind(registration, to_tag))
            }
            Decision::NeedAccount(answer, aor, open) => self.account(answer, Work::Account(aor, open)),
            Decision::NeedKeyAccount(answer, aor, open) => self.store(answer, || Work::KeyAccount(aor, open)),
            Decision::NeedDevice(answer, username) => self.store(answer, || Work::Device(username)),
            Decision::NeedComparison(answer, uses, then) => {
                let compared = self.comparison(answer, &uses);
                match then {
                    Some(then) if compared.answer.reason == Some(Reason::Ok) => {
                        let answer = Answer { reason: None, ..compared.answer };
                        self.exchange(answer, *then, request)
                    }
                    _ => compared,
                }
            }
        }
    }

    fn keys(&self, mut answer: Answer) -> CheckResult {
        let Needs { handling, now, .. } = *self;
        let provider = answer.provider.unwrap_or(0);
        let settings = &self.placed.policy.settings;
        let slot = self.keyring.slot(provider);
        let shared = self.context.arena().shared();
        let (state, judged) = (self.keyring.state(self.context, provider), self.keyring.generation(provider));
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
                &sender(self.context, handling, now),
                minute,
                settings.key_fetches_per_source(),
            )
        };
        let mut result = CheckResult::default();
        let reason = match decide(&situation, allowed) {
            KeyWait::Park => {
                self.context.arena().slots()[slot].want(judged);
                result.pending = u32::try_from(slot).ok().map(|slot| Errand::from(Work::Keys(slot, judged)));
                None
            }
            KeyWait::Unknown => {
                shared.missing_keys.put((slot, missing), state.fetches);
                Some(refusal)
            }
            KeyWait::NotYet(seconds) => {
                shared.missing_keys.put((slot, missing), state.fetches);
                result.retry_after = seconds;
                Some(Reason::KeyRefreshLimited)
            }
            KeyWait::NotNow(reason, seconds) => {
                result.retry_after = seconds;
                Some(reason)
            }
            KeyWait::NotNowAndFetch(reason, seconds) => {
                self.context.arena().slots()[slot].want(judged);
                result.retry_after = seconds;
                Some(reason)
            }
        };
        answer.reason = reason;
        result.answer = answer;
        result
    }

    fn introspection(&self, answer: Answer, question: IntrospectionQuestion) -> CheckResult {
        let Needs { handling, now, .. } = *self;
        let provider = answer.provider.map_or("", |p| self.placed.policy.providers[p].name.as_str());
        let IntrospectionQuestion { id, token } = question;
        let work = Introspect { provider: provider.to_owned(), id, token, sender: sender(self.context, handling, now) };
        let reason = if handling.resumed { Reason::WaitTimeout } else { Reason::IntrospectionUnavailable };
        self.server(answer, Work::Introspect(Box::new(work)), reason)
    }

    fn exchange(
        &self,
        mut answer: Answer,
        (grant, registration): (TokenGrant, Registration),
        request: &Request<'_>,
    ) -> CheckResult {
        let Needs { handling, now, .. } = *self;
        let shared = self.context.arena().shared();
        if handling.resumed {
            // An earlier try may have failed, but this request has not waited for that one.
            let failed = Failures::of_exchanges(shared).get(&registration.code, now / 1000);
            let number = failed.filter(|failed| failed.at >= registration.arrived / 1000).map(|failed| failed.reason);
            // A refresh or a password comes with a proof, so the request may have waited for its session or for a
            // comparison instead. A request waits only once, so nobody waits for the exchange that begins below.
            if number.is_some() || !matches!(grant, TokenGrant::Refresh(_) | TokenGrant::Password(_)) {
                answer.reason = Some(number.and_then(Reason::from_number).unwrap_or(Reason::ExchangeUnavailable));
                return CheckResult { answer, ..CheckResult::default() };
            }
        }
        let provider = answer.provider.map(|p| &self.placed.policy.providers[p]);
        let work = Work::Exchange(Box::new(Exchange {
            provider: provider.map_or_else(String::new, |p| p.name.clone()),
            issuer: provider.map_or_else(String::new, |p| p.issuer.clone()),
            grant,
            registration,
            to_tag: request.message.reply_to_tag.to_vec(),
            until: 0,
            sender: sender(self.context, handling, now),
        }));
        self.server(answer, work, Reason::ExchangeUnavailable)
    }

    /// Waits for an authorization server. If the request cannot wait, or has waited once already, nobody waits: it is
    /// refused with this reason, and a request that comes again soon finds the answer.
    fn server(&self, mut answer: Answer, work: Work, reason: Reason) -> CheckResult {
        if self.may_wait() {
            return CheckResult { answer, pending: Some(work.into()), ..CheckResult::default() };
        }
        let begun = self.waits().submit_for_nobody(work, self.handling);
        answer.reason = Some(begun.err().unwrap_or(reason));
        CheckResult { answer, retry_after: if begun.is_ok() { SOON } else { 0 }, ..CheckResult::default() }
    }

    /// Compares a valid proof with those that were seen before, here and, if so configured, at other proxies.
    fn comparison(&self, answer: Answer, uses: &[Use]) -> CheckResult {
        let guard = self.context.arena().replay_guard();
        let mut answer = judge_uses(answer, uses, |used| guard.note(used));
        let cluster = self.placed.policy.sessions.as_ref().is_some_and(|s| s.cluster_replay);
        if answer.reason != Some(Reason::Ok) || !cluster {
            return CheckResult { answer, ..CheckResult::default() };
        }
        let mut unknown = Vec::new();
        for used in uses {
            let comparison = Comparison::new(used.proof, used.path, self.now);
            let longest = Comparison::KEPT.unsigned_abs();
            match self.context.arena().records().look(&comparison.key, self.now, longest, self.handling.resumed) {
                Lookup::Hit(first) if comparison.is_again(&first) => {}
                Lookup::Hit(_) => answer.reason = Some(Reason::PopReplayed),
                Lookup::Absent | Lookup::Unknown => unknown.push(comparison),
            }
        }
        if answer.reason == Some(Reason::Ok) && !unknown.is_empty() {
            answer.reason = None;
            return self.store(answer, || Work::Compare(unknown));
        }
        CheckResult { answer, ..CheckResult::default() }
    }

    /// Waits for the account of a session, which must come from a store over the network.
    fn account(&self, answer: Answer, work: Work) -> CheckResult {
        if answer.carried == Carried::Connection && self.handling.no_wait {
            // An ACK cannot wait, but it comes again, and then the sessions are known. Whether the work was
            // submitted does not matter, because the request is refused for now in either case.
            let _ = self.waits().submit_for_nobody(work, self.handling);
            return CheckResult {
                answer: Answer { reason: Some(Reason::StoreUnavailable), ..answer },
                ..CheckResult::default()
            };
        }
        self.store(answer, || work)
    }

    /// Waits for work that only the I/O service can do.
    fn store(&self, mut answer: Answer, work: impl FnOnce() -> Work) -> CheckResult {
        if !self.may_wait() {
            answer.reason = Some(Reason::StoreUnavailable);
            return CheckResult { answer, ..CheckResult::default() };
        }
        CheckResult { answer, pending: Some(work().into()), ..CheckResult::default() }
    }

    fn may_wait(&self) -> bool {
        !self.handling.no_wait && !self.handling.resumed
    }

    fn waits(&self) -> Waits<'_> {
        Waits { context: self.context, placed: self.placed }
    }
}
