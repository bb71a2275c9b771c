// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each source has caused in the present period. It takes senders and nothing else, so that every limit counts the
//! same networks.
//!
//! Who has a connection counts with all of his network. Over UDP the address may be forged, so there each port has an
//! allowance of its own: nobody can use up that of a port which he does not know. All ports of a network together have
//! some allowances, so that nobody multiplies his own by his ports. The ports of which something was accepted lately
//! have theirs apart, so that forged datagrams of a network, whatever their ports, take nothing from its phones.
#![forbid(unsafe_code)]

use super::limit_table::LimitTable;
use super::memory_table::MemoryTable;
use sipoauth_core::sip::sender::{Crowd, Datagram, Network, Sender};

/// Allowances that all unknown ports of a network have together.
const STRANGERS: u32 = 4;
/// The same of the ports of which something was accepted: phones behind one address translator.
const SHOWN: u32 = 16;

/// Uses of senders. `N` is the number of them that are told apart at once.
#[repr(C)]
pub struct SourceLimits<const N: usize> {
    table: LimitTable<N>,
}

impl<const N: usize> SourceLimits<N> {
    /// Counts one use of a sender in a period; false when he has had `limit` uses already, and then nothing is counted.
    pub fn allow(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        if !self.has_room(sender, period, limit) {
            return false;
        }
        // The port first: one that has used up its own takes nothing from the others.
        let own = sender.datagram.is_none_or(|datagram| self.table.allow(own(sender, datagram), period, limit));
        own && self.table.allow(all(sender), period, together(sender, limit))
    }

    /// The same for what serves everybody once it is done: whoever forges a sender's address does his work for him, so all
    /// ports of a network have one allowance together.
    pub fn allow_network(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        self.table.allow(("network", &sender.network), period, limit)
    }

    /// True when [`SourceLimits::allow`] would count one more.
    pub fn has_room(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        let own = sender.datagram.is_none_or(|datagram| self.table.used(own(sender, datagram), period) < limit);
        own && self.table.used(all(sender), period) < together(sender, limit)
    }
}

fn all(sender: &Sender) -> (Crowd, &Network) {
    (sender.crowd(), &sender.network)
}

/// A port keeps its uses when it becomes known.
fn own(sender: &Sender, datagram: Datagram) -> (u16, &Network, &str) {
    (datagram.port, &sender.network, "port")
}

fn together(sender: &Sender, limit: u32) -> u32 {
    limit.saturating_mul(match sender.crowd() {
        Crowd::Connected => 1,
        Crowd::Shown => SHOWN,
        Crowd::Strangers => STRANGERS,
    })
}

/// How long something that was accepted shows that there is a phone, in units of 15 minutes: two registrations of an hour.
const UNITS: u64 = 8;
/// One unit, in milliseconds. A remembered acceptance ends after it, so that its sender is noted in every unit.
pub(crate) const UNIT: i64 = 900_000;

/// Addresses and ports of which something was accepted lately.
///
/// An entry that was displaced costs its phone little: it counts as a stranger again, with the allowance of its own port.
#[repr(C)]
pub struct ShownSenders {
    table: MemoryTable<65_536>,
}

impl ShownSenders {
    /// Something was accepted. `now` in Unix milliseconds.
    pub fn note(&self, network: &Network, port: u16, now: i64) {
        let unit = (now / UNIT).unsigned_abs();
        // Most phones send more than one request in that time.
        if self.table.get((network, port)) != Some(unit) {
            self.table.put((network, port), unit);
        }
    }

    /// True when something was accepted in the last two hours.
    pub fn knows(&self, network: &Network, port: u16, now: i64) -> bool {
        let unit = (now / UNIT).unsigned_abs();
        self.table.get((network, port)).is_some_and(|noted| unit.wrapping_sub(noted) <= UNITS)
    }
}
