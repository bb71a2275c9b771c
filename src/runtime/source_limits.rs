// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one source may cause: a worker looks before a request may wait, and what is asked of a server is counted where
//! it is asked, once, whoever has waited for it.

use super::job::{Exchange, Work};
use super::source_network::network_of;
use crate::arena::Shared;
use crate::config::settings::Settings;
use crate::proto::grant::TokenGrant;
use crate::proto::reason::Reason;

/// The limits at one time.
pub struct SourceLimits<'a> {
    shared: &'a Shared,
    settings: &'a Settings,
    minute: u64,
}

impl<'a> SourceLimits<'a> {
    /// `now` in Unix milliseconds.
    pub fn new(shared: &'a Shared, settings: &'a Settings, now: i64) -> SourceLimits<'a> {
        SourceLimits { shared, settings, minute: (now / 60_000).unsigned_abs() }
    }

    /// Whether what is to be asked of a server for this work would still be asked. Counts nothing.
    pub fn look(&self, work: &Work) -> Result<(), Reason> {
        match work {
            Work::Introspect(work) if !self.could_introspect(&work.source) => Err(Reason::IntrospectionLimited),
            Work::Exchange(work) => self.could_exchange(work),
            _ => Ok(()),
        }
    }

    fn could_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        let (settings, network) = (self.settings, network_of(&work.source));
        if is_unproved(work) && self.shared.source_exchanges.used(&network, self.minute) >= settings.code_source_limit {
            return Err(Reason::CodeLimited);
        }
        let (shared, period) = (self.shared, self.minute / 10);
        let tried = || {
            shared.short_code_sources.used(&network, period) >= settings.short_code_source_tries
                || shared.short_code_addresses.used(&work.registration.aor, period) >= settings.short_code_tries
        };
        if work.registration.weak && tried() { Err(Reason::CodeTries) } else { Ok(()) }
    }

    /// The same, and counts it: the code is sent now.
    pub fn may_exchange(&self, work: &Exchange) -> Result<(), Reason> {
        let (settings, network) = (self.settings, network_of(&work.source));
        if is_unproved(work) && !self.shared.source_exchanges.allow(&network, self.minute, settings.code_source_limit) {
            return Err(Reason::CodeLimited);
        }
        if !work.registration.weak {
            return Ok(());
        }
        // Who has used up his own tries must not use up those of an address.
        let (shared, period) = (self.shared, self.minute / 10);
        let allowed = shared.short_code_sources.allow(&network, period, settings.short_code_source_tries)
            && shared.short_code_addresses.allow(&work.registration.aor, period, settings.short_code_tries);
        if allowed { Ok(()) } else { Err(Reason::CodeTries) }
    }

    /// Whether a server would still be asked about a token from this source.
    pub fn could_introspect(&self, source: &str) -> bool {
        let used = self.shared.source_introspections.used(network_of(source), self.minute);
        used < self.settings.introspection_source_limit
    }

    /// The same, and counts it: the server is asked now.
    pub fn may_introspect(&self, source: &str) -> bool {
        let limit = self.settings.introspection_source_limit;
        self.shared.source_introspections.allow(network_of(source), self.minute, limit)
    }
}

/// Anybody can send these; who sends others has proved who it is.
fn is_unproved(work: &Exchange) -> bool {
    matches!(work.grant, TokenGrant::Code(_) | TokenGrant::ForeignToken(_))
}
