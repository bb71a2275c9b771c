// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one source may cause: a worker looks before a request may wait, and what is asked of a server is counted where
//! it is asked, once, whoever has waited for it.

use super::job::{Exchange, Work};
use crate::arena::Shared;
use crate::config::settings::Settings;
use crate::proto::grant::TokenGrant;
use crate::proto::reason::Reason;
use crate::proto::sender::Sender;

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

    /// Whether what is to be asked of a server for this work would still be asked. Counts nothing.
    pub fn look(&self, work: &Work) -> Result<(), Reason> {
        match work {
            Work::Introspect(work) if !self.could_introspect(&work.sender) => Err(Reason::IntrospectionLimited),
            Work::Exchange(work) => self.could_exchange(work),
            _ => Ok(()),
        }
    }

    fn could_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        let (settings, shared, sender, period) = (self.settings, self.shared, &work.sender, self.minute / 10);
        if is_unproved(work) && !shared.source_exchanges.has_room(sender, self.minute, settings.code_source_limit) {
            return Err(Reason::CodeLimited);
        }
        let may_try = || {
            let used = shared.short_code_addresses.used(&work.registration.aor, period);
            shared.short_code_sources.has_room(sender, period, settings.short_code_source_tries)
                && used < settings.short_code_tries
        };
        if !work.registration.weak || may_try() { Ok(()) } else { Err(Reason::CodeTries) }
    }

    /// The same, and counts it: the code is sent now. The sender comes first: who is beyond his own limit takes nothing
    /// from an address.
    pub fn may_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        let (settings, shared, sender, period) = (self.settings, self.shared, &work.sender, self.minute / 10);
        if is_unproved(work) && !shared.source_exchanges.allow(sender, self.minute, settings.code_source_limit) {
            return Err(Reason::CodeLimited);
        }
        let may_try = || {
            shared.short_code_sources.allow(sender, period, settings.short_code_source_tries)
                && shared.short_code_addresses.allow(&work.registration.aor, period, settings.short_code_tries)
        };
        if !work.registration.weak || may_try() { Ok(()) } else { Err(Reason::CodeTries) }
    }

    /// Whether a server would still be asked about a token from this sender.
    pub fn could_introspect(&self, sender: &Sender) -> bool {
        self.shared.source_introspections.has_room(sender, self.minute, self.settings.introspection_source_limit)
    }

    /// The same, and counts it: the server is asked now.
    pub fn may_introspect(&self, sender: &Sender) -> bool {
        self.shared.source_introspections.allow(sender, self.minute, self.settings.introspection_source_limit)
    }
}

/// Anybody can send these; who sends others has proved who it is.
fn is_unproved(work: &Exchange) -> bool {
    matches!(work.grant, TokenGrant::Code(_) | TokenGrant::ForeignToken(_))
}
