// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one source may cause. A worker looks at the limits before a request may wait. The process that asks a server
//! counts the question, once, however many requests wait for the answer.

use super::job::{Exchange, Work};
use crate::shared::Shared;
use crate::shared::source_limits::SourceLimits;
use sipoauth_core::config::settings::Settings;
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::sender::Sender;

/// Length of the period in which tries of short codes are counted, in minutes.
const SHORT_CODES: u64 = 10;

/// The limits at one time.
pub struct Charges<'a> {
    shared: &'a Shared,
    settings: &'a Settings,
    minute: u64,
}

impl<'a> Charges<'a> {
    /// `now` in Unix milliseconds.
    pub fn new(shared: &'a Shared, settings: &'a Settings, now: i64) -> Charges<'a> {
        Charges { shared, settings, minute: (now / 60_000).unsigned_abs() }
    }

    /// Tells whether the limits still allow what this work asks of a server or a store over the network. Counts
    /// nothing.
    pub fn look(&self, work: &Work, sender: impl Fn() -> Sender) -> Result<(), Reason> {
        match work {
            Work::Introspect(work) if !self.could_introspect(&work.sender) => Err(Reason::IntrospectionLimited),
            Work::Account(..) | Work::KeyAccount(..) | Work::Device(_) if !self.could_look_up(sender()) => {
                Err(Reason::Overloaded)
            }
            Work::Exchange(work) => self.could_exchange(work),
            _ => Ok(()),
        }
    }

    /// The same for an exchange.
    pub fn could_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        self.exchange(work, Charge::Look)
    }

    /// The same, and counts it, because the code is sent now.
    pub fn may_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        self.exchange(work, Charge::Count)
    }

    fn exchange(&self, work: &Exchange, charge: Charge) -> Result<(), Reason> {
        let (settings, shared, sender) = (self.settings, self.shared, &work.sender);
        let exchanges = &shared.source_exchanges;
        if is_unproved(work) && !charge.source(exchanges, sender, self.minute, settings.source_limit) {
            return Err(Reason::CodeLimited);
        }
        // The sender's limit comes first, so that a sender beyond his own limit takes nothing from an address.
        let may_try = !work.registration.weak
            || self.short_code_of(sender, charge) && self.short_code_for(&work.registration.aor, charge);
        if may_try { Ok(()) } else { Err(Reason::CodeTries) }
    }

    /// Counts a try of a short code that somebody else has redeemed, and says whether its sender had a try left. The
    /// address is not the sender's, so this uses up none of the address's tries.
    pub fn may_try_another(&self, sender: &Sender, aor: &str) -> bool {
        self.short_code_for(aor, Charge::Look) && self.short_code_of(sender, Charge::Count)
    }

    fn short_code_of(&self, sender: &Sender, charge: Charge) -> bool {
        let (sources, limit) = (&self.shared.short_code_sources, self.settings.short_codes_per_source());
        charge.source(sources, sender, self.minute / SHORT_CODES, limit)
    }

    fn short_code_for(&self, aor: &str, charge: Charge) -> bool {
        let (addresses, limit) = (&self.shared.short_code_addresses, self.settings.short_code_tries);
        let period = self.minute / SHORT_CODES;
        match charge {
            Charge::Look => addresses.used(aor, period) < limit,
            Charge::Count => addresses.allow(aor, period, limit),
        }
    }

    fn could_look_up(&self, sender: Sender) -> bool {
        self.shared.source_look_ups.has_room(&sender, self.minute, self.settings.look_ups_per_source())
    }

    /// Counts a request that was refused after a look-up. Such a request has made the host's transaction, whose memory
    /// stays taken for some seconds.
    pub fn looked_up_in_vain(&self, sender: &Sender) {
        self.shared.source_look_ups.allow(sender, self.minute, self.settings.look_ups_per_source());
    }

    /// Tells whether the limits still allow a question about a token from this sender.
    pub fn could_introspect(&self, sender: &Sender) -> bool {
        self.shared.source_introspections.has_room(sender, self.minute, self.settings.introspections_per_source())
    }

    /// The same, and counts the question, because the server is asked now.
    pub fn may_introspect(&self, sender: &Sender) -> bool {
        self.shared.source_introspections.allow(sender, self.minute, self.settings.introspections_per_source())
    }
}

/// Whether a limit is only looked at, or one more use is counted.
#[derive(Clone, Copy)]
enum Charge {
    Look,
    Count,
}

impl Charge {
    fn source<const N: usize>(self, limits: &SourceLimits<N>, sender: &Sender, period: u64, limit: u32) -> bool {
        match self {
            Charge::Look => limits.has_room(sender, period, limit),
            Charge::Count => limits.allow(sender, period, limit),
        }
    }
}

/// True for grants that anybody can send. The sender of any other grant has proved who he is.
fn is_unproved(work: &Exchange) -> bool {
    matches!(work.grant, TokenGrant::Code(_) | TokenGrant::TypedCode | TokenGrant::ForeignToken(_))
}
