// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for the I/O service. It is decided whether a request may wait before the host makes a transaction for the
//! request, so that a refused request costs no memory that others need.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::Handling;
use super::result::CheckResult;
use super::senders::sender;
use crate::clock::now_millis;
use crate::process::charges::Charges;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::{Asker, Errand, Job, NOBODY, Work};
use crate::shared::counters::Counter;
use crate::shared::waiting_room::{Full, Party, Rules};
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::reason::Reason;

/// Where requests wait.
pub struct Waits<'w> {
    pub(super) context: &'w Context,
    pub(super) placed: &'w PlacedPolicy,
}

impl Waits<'_> {
    /// Lets a request with work for the I/O service wait, or refuses it.
    pub(super) fn admit(&self, result: &mut CheckResult, handling: &Handling<'_>) {
        let Some(errand) = &mut result.pending else { return };
        match self.party_of(&errand.work, handling) {
            Ok(party) => errand.party = party,
            Err(reason) => {
                result.pending = None;
                result.answer.reason = Some(reason);
            }
        }
    }

    /// What this work waits for, and who sent it; or why it cannot wait now.
    fn party_of(&self, work: &Work, handling: &Handling<'_>) -> Result<Party, Reason> {
        let shared = self.context.arena().shared();
        // The I/O service cannot take jobs now.
        if shared.deaf.load(Relaxed) != 0 {
            return Err(Reason::Overloaded);
        }
        let now = now_millis();
        Charges::new(shared, &self.placed.policy.settings, now).look(work, || sender(self.context, handling, now))?;
        let source = match work {
            // A key that was granted must be taken back, whatever share of the places its sender has.
            Work::Unbind(..) => 0,
            _ => self.tag_of(handling, now),
        };
        let party = Party { cause: self.cause_of(work), source };
        let full = |full| match (full, work) {
            (Full::Source, Work::Introspect(_)) => Reason::IntrospectionLimited,
            (Full::Source, Work::Exchange(_)) => Reason::CodeLimited,
            (Full::Source, Work::Keys(..)) => Reason::KeyRefreshLimited,
            _ => Reason::Overloaded,
        };
        shared.waiting.look(party, &self.rules(now)).map_err(full)?;
        Ok(party)
    }

    /// A number for the senders who share an allowance with this one; nobody else can compute it. It is 0 when the
    /// host does not tell the source. The crowds of a network wait apart, as they do for all limits, so forged datagrams
    /// take no place of its phones with connections.
    fn tag_of(&self, handling: &Handling<'_>, now: i64) -> u32 {
        if handling.source.is_empty() {
            return 0;
        }
        let sender = sender(self.context, handling, now);
        let hash = self.context.arena().shared().places.hash((sender.crowd(), &sender.network));
        (hash as u32).max(1)
    }

    fn looks_up_over_the_network(&self) -> bool {
        self.context.sessions().is_some_and(|access| !access.is_local())
    }

    /// Counts a request that has waited, and that is refused now, for its sender.
    pub(super) fn note_waited_in_vain(&self, handling: &Handling<'_>, now: i64) {
        if self.looks_up_over_the_network() {
            let shared = self.context.arena().shared();
            let sender = sender(self.context, handling, now);
            Charges::new(shared, &self.placed.policy.settings, now).looked_up_in_vain(&sender);
        }
    }

    fn rules(&self, now: i64) -> Rules {
        let policy = &self.placed.policy;
        let store = self.looks_up_over_the_network();
        let several = policy.providers.len() + usize::from(store) > 1;
        Rules { all: policy.settings.max_pending as usize, several, now }
    }

    /// The number of the provider whose server or keys the work waits for, or 0 for the store.
    fn cause_of(&self, work: &Work) -> u16 {
        let providers = &self.placed.policy.providers;
        let named = |name: &str| providers.iter().position(|p| p.name == name);
        let index = match work {
            Work::Keys(slot, _) => self.placed.places.iter().position(|(own, _)| u32::try_from(*own) == Ok(*slot)),
            Work::Introspect(work) => named(&work.provider),
            Work::Exchange(work) if work.grant != TokenGrant::TypedCode => named(&work.provider),
            _ => return 0,
        };
        index.and_then(|index| u16::try_from(index + 1).ok()).unwrap_or(u16::MAX)
    }

    /// Hands a parked request to the I/O service. `to_tag` is that of its final answer, if it is known now. After
    /// an error the request must be refused now with 503.
    pub fn submit(&self, errand: Errand, to_tag: &[u8], cookies: [u64; 2]) -> io::Result<()> {
        let Errand { mut work, party } = errand;
        let now = now_millis();
        let deadline = now + i64::from(self.placed.policy.settings.pending_timeout) * 1000;
        if let Work::Exchange(exchange) = &mut work {
            exchange.until = if cookies == NOBODY { 0 } else { deadline };
        }
        match &mut work {
            Work::Exchange(exchange) if !to_tag.is_empty() => exchange.to_tag = to_tag.to_vec(),
            Work::Bind(_, tag) if !to_tag.is_empty() => *tag = to_tag.to_vec(),
            _ => {}
        }
        let shared = self.context.arena().shared();
        let full = |_| io::Error::new(io::ErrorKind::WouldBlock, "max_pending, or a share of it, is reached");
        let place = shared.waiting.take(party, &self.rules(now), deadline).map_err(full)?;
        let job = Job { work, asker: Asker { deadline, cookies, place } };
        let sent = self.context.jobs().send(self.context.arena().job_slots(), &job);
        sent.inspect_err(|_| shared.waiting.give_back(&place))?;
        shared.counters.add(Counter::Suspended);
        Ok(())
    }

    /// Submits work for which nobody waits.
    pub(super) fn submit_for_nobody(&self, work: Work, handling: &Handling<'_>) -> Result<(), Reason> {
        let party = self.party_of(&work, handling)?;
        self.submit(Errand { work, party }, &[], NOBODY).map_err(|_| Reason::Overloaded)
    }
}
