// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a worker for codes and proofs: what must be done first, and the end of a registration.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::senders::sender;
use super::session_view::SessionView;
use super::{CheckResult, Handling, SOON, Worker};
use crate::process::charges::Charges;
use crate::process::failures::Failures;
use crate::process::job::{Comparison, Exchange, Work};
use crate::shared::counters::Counter;
use crate::shared::record_cache::Lookup;
use crate::store::sessions::SessionError;
use sipoauth_core::check::registration::Registration;
use sipoauth_core::check::replay::{Use, judge_uses};
use sipoauth_core::check::{Answer, Attempt, Request};
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::reason::Reason;

/// The name under which the digest-string in a ticket is sealed.
const TICKET: &str = "ticket";
/// Longest ticket in octets. A ticket that would be longer has no digest-string.
const MAX_TICKET: usize = 4096;

impl Worker {
    pub(super) fn wait_for_exchange(
        &mut self,
        mut answer: Answer,
        (grant, registration): (TokenGrant, Registration),
        sip: &Request<'_>,
        handling: &Handling<'_>,
        now: i64,
    ) -> CheckResult {
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
            to_tag: sip.message.reply_to_tag.to_vec(),
            until: 0,
            sender: sender(&self.context, handling, now),
        }));
        if !handling.no_wait && !handling.resumed {
            return CheckResult { answer, pending: Some(work.into()), ..CheckResult::default() };
        }
        // Nobody waits, but the phone will ask again.
        let begun = self.submit_for_nobody(work, handling);
        answer.reason = Some(begun.err().unwrap_or(Reason::ExchangeUnavailable));
        CheckResult { answer, retry_after: if begun.is_ok() { SOON } else { 0 }, ..CheckResult::default() }
    }

    /// Compares a valid proof with those that were seen before, here and, if so configured, at other proxies.
    pub(super) fn compare(&self, answer: Answer, uses: &[Use], handling: &Handling<'_>, now: i64) -> CheckResult {
        let guard = self.context.arena().replay_guard();
        let mut answer = judge_uses(answer, uses, |used| guard.note(used));
        let cluster = self.placed.policy.sessions.as_ref().is_some_and(|s| s.cluster_replay);
        if answer.reason != Some(Reason::Ok) || !cluster {
            return CheckResult { answer, ..CheckResult::default() };
        }
        let mut unknown = Vec::new();
        for used in uses {
            let comparison = Comparison::new(used.proof, used.path, now);
            let longest = Comparison::KEPT.unsigned_abs();
            match self.context.arena().records().look(&comparison.key, now, longest, handling.resumed) {
                Lookup::Hit(first) if comparison.is_again(&first) => {}
                Lookup::Hit(_) => answer.reason = Some(Reason::PopReplayed),
                Lookup::Absent | Lookup::Unknown => unknown.push(comparison),
            }
        }
        if answer.reason == Some(Reason::Ok) && !unknown.is_empty() {
            answer.reason = None;
            return wait_for_store(answer, handling, || Work::Compare(unknown));
        }
        CheckResult { answer, ..CheckResult::default() }
    }

    /// Stores the key of a registration in this process.
    pub(super) fn bind(&self, registration: &Registration, to_tag: &[u8], now: i64) -> Result<(), SessionError> {
        let policy = &self.placed.policy;
        let access = self.context.sessions().ok_or(SessionError::NotConfigured)?;
        let stored = access
            .open(policy)
            .map_err(SessionError::Store)
            .and_then(|store| store.bind(policy, registration, to_tag, now));
        if let Err(SessionError::Store(error)) = &stored {
            self.context.note_store(self.context.log(), Some(error));
        } else if stored.is_ok() {
            self.context.arena().shared().counters.add(Counter::KeysStored);
        }
        stored
    }

    /// What the host keeps of a registration until its answer goes out.
    pub(super) fn ticket(&self, registration: &mut Registration) -> String {
        // The ticket travels through the host and the digest-string contains the code, so the digest-string is
        // sealed.
        let sealer = self.context.sessions().map(|access| access.sealer());
        let seal = |digest: String| Some(URL_SAFE_NO_PAD.encode(sealer?.seal(TICKET, digest.as_bytes())));
        registration.digest = registration.digest.take().and_then(seal);
        let ticket = serde_json::to_string(registration).unwrap_or_default();
        if ticket.len() <= MAX_TICKET {
            return ticket;
        }
        registration.digest = None;
        serde_json::to_string(registration).unwrap_or_default()
    }

    fn registration(&self, ticket: &str) -> Result<Registration, SessionError> {
        let mut registration: Registration = serde_json::from_str(ticket).map_err(|_| SessionError::Malformed)?;
        let sealer = self.context.sessions().map(|access| access.sealer());
        let open = |sealed: String| {
            let digest = sealer?.open(TICKET, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
            String::from_utf8(digest.to_vec()).ok()
        };
        registration.digest = registration.digest.take().and_then(open);
        Ok(registration)
    }

    /// Takes note that a registration is answered with this status, 200 or above, and this To tag. After an error
    /// a 2xx must become a 503, with Retry-After of that many seconds.
    pub fn answered(&mut self, ticket: &str, status: u32, to_tag: &[u8]) -> Result<(), (SessionError, u32)> {
        if status >= 300 {
            // A key that cannot be taken back now ends with its code.
            let _ = self.withdraw(ticket, to_tag);
            return Ok(());
        }
        self.confirm(ticket, to_tag).map_err(|error| (error, self.placed.policy.settings.retry_after))
    }

    /// Confirms a registration with a code that is answered with this To tag. Its key must be stored before the
    /// answer leaves.
    pub fn confirm(&mut self, ticket: &str, to_tag: &[u8]) -> Result<(), SessionError> {
        let now = self.prepare(None);
        let registration = self.registration(ticket)?;
        if to_tag.is_empty() {
            return Err(SessionError::Malformed);
        }
        let Some(sessions) = &self.placed.policy.sessions else {
            return Err(SessionError::NotConfigured);
        };
        let known = SessionView::as_known_after_wait(&self.context, &self.placed.policy, now);
        if registration.tagged && !known.has_key(sessions, &registration, to_tag) {
            if !self.stores_itself() {
                // The answer cannot be held back until a network has answered, so it becomes a 503 and the phone
                // comes again.
                let _ = self.withdraw(ticket, to_tag);
                return Err(SessionError::Store(StoreError::Away("the key was not stored in time".into())));
            }
            self.bind(&registration, to_tag, now)?;
        }
        if self.stores_itself() {
            self.note_confirmed(&registration, now);
        }
        Ok(())
    }

    /// Notes in the store that the answer leaves. The key is stored already. If this fails, the registration still
    /// counts as confirmed soon.
    fn note_confirmed(&self, registration: &Registration, now: i64) {
        let Some(access) = self.context.sessions() else { return };
        let policy = &self.placed.policy;
        let noted = access.open(policy).and_then(|store| store.confirm(policy, registration, now));
        if let Err(error) = noted {
            self.context.note_store(self.context.log(), Some(&error));
        }
    }

    /// Somebody has sent a code that another phone has redeemed. The answer must not tell whether a short code
    /// belongs to somebody, so the sender has no more tries than with any other code.
    pub(super) fn note_attempt(&self, attempt: &Attempt, handling: &Handling<'_>, now: i64) -> Option<Reason> {
        let shared = self.context.arena().shared();
        shared.counters.add(Counter::CodeAttempts);
        let aor = attempt.short_code_of.as_deref()?;
        let limits = Charges::new(shared, &self.placed.policy.settings, now);
        let allowed = limits.may_try_another(&sender(&self.context, handling, now), aor);
        (!allowed).then_some(Reason::CodeTries)
    }

    /// Takes back a registration with a code that was refused after all.
    pub fn withdraw(&mut self, ticket: &str, to_tag: &[u8]) -> Result<(), SessionError> {
        let now = self.prepare(None);
        let registration = self.registration(ticket)?;
        let Some(access) = self.context.sessions() else {
            return Err(SessionError::NotConfigured);
        };
        if !self.stores_itself() {
            let work = Work::Unbind(Box::new(registration), to_tag.to_vec());
            let full = |reason: Reason| SessionError::Store(StoreError::Away(reason.text().to_owned()));
            return self.submit_for_nobody(work, &Handling::default()).map_err(full);
        }
        let store = access.open(&self.placed.policy).map_err(SessionError::Store)?;
        store.unbind(&self.placed.policy, &registration, to_tag, now)
    }
}

/// Waits for work that only the I/O service can do.
pub(super) fn wait_for_store(mut answer: Answer, handling: &Handling<'_>, work: impl FnOnce() -> Work) -> CheckResult {
    if handling.resumed || handling.no_wait {
        answer.reason = Some(Reason::StoreUnavailable);
        return CheckResult { answer, ..CheckResult::default() };
    }
    CheckResult { answer, pending: Some(work().into()), ..CheckResult::default() }
}
