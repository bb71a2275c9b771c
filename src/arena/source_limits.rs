// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each source has caused in the present period. It takes senders and nothing else, so that every limit counts the
//! same networks.
#![forbid(unsafe_code)]

use super::limit_table::LimitTable;
use crate::proto::sender::Sender;

/// Uses of senders. `N` is the number of them that are told apart at once.
#[repr(C)]
pub struct SourceLimits<const N: usize> {
    table: LimitTable<N>,
}

impl<const N: usize> SourceLimits<N> {
    /// Counts one use of a sender in a period; false when he has had `limit` uses already, and then nothing is counted.
    pub fn allow(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        self.table.allow(&sender.network, period, limit)
    }

    /// True when [`SourceLimits::allow`] would count one more.
    pub fn has_room(&self, sender: &Sender, period: u64, limit: u32) -> bool {
        self.table.used(&sender.network, period) < limit
    }
}
