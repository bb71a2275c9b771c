// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what each source has caused in the present period. It takes senders and nothing else, so that every limit
//! counts the same networks.
//!
//! A sender with a connection counts together with all of its network. Over UDP the address may be forged, so there
//! each port has an allowance of its own: nobody can use up the allowance of a port that he does not know. All ports
//! of a network together have several allowances, so that a sender cannot multiply its own by using many ports. The
//! ports from which something was accepted lately have such allowances of their own, so that forged datagrams of a
//! network, whatever their ports, take nothing from its phones.
#![forbid(unsafe_code)]

use super::limit_table::LimitTable;
use super::memory_table::MemoryTable;
use sipoauth_core::sip::sender::{Crowd, Datagram, Network, Sender};

/// Allowances that all unknown ports of a network have together.
const STRANGERS: u32 = 4;
/// The same for the ports from which something was accepted: phones behind one address translator.
const SHOWN: u32 = 16;

/// Uses of senders. `N` is the number of senders that are told apart at once.
#[repr(C)]
pub struct SourceLimits<const N: usize> {
    table: LimitTable<N>,
}

impl<const N: usize> SourceLimits<N> {
    /// Counts one use of a sender in a period. False when the sender has had `limit` uses already; then nothing is
    /// counted.
    pub fn allow(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        if !self.has_room(sender, period, limit) {
            return false;
        }
        // The port comes first, so that a port that has used up its own allowance takes nothing from the others.
        let own = sender.datagram.is_none_or(|datagram| self.table.allow(own(sender, datagram), period, limit));
        own && self.table.allow(all(sender), period, together(sender, limit))
    }

    /// The same for work that serves everybody once it is done. Somebody who forges a sender's address does that
    /// sender's work for him, so all ports of a network have one allowance together.
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

/// This name is the same for known and unknown ports, so a port keeps its uses when it becomes known.
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

/// How long an accepted request shows that there is a phone, in units of 15 minutes. It is the time of two
/// registrations of an hour.
const UNITS: u64 = 8;
/// One unit, in milliseconds. Who is accepted at a glance is noted again after it, so in every unit.
pub(crate) const UNIT: i64 = 900_000;

/// Addresses and ports from which something was accepted lately.
///
/// A displaced entry costs its phone little: the phone counts as a stranger again, with the allowance of its own port.
#[repr(C)]
pub struct ShownSenders {
    table: MemoryTable<65_536>,
}

impl ShownSenders {
    /// Notes that something was accepted. `now` in Unix milliseconds.
    pub fn note(&self, network: &Network, port: u16, now: i64) {
        let unit = (now / UNIT).unsigned_abs();
        // Most phones send more than one request in that time, so most calls write nothing.
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
