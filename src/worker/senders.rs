// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker's part about senders: who sent a request, for limits and log lines, and whether he is known to be there.

use super::{Handling, Worker};
use crate::process::context::Context;
use sipoauth_core::check::Request;
use sipoauth_core::sip::sender::{Datagram, Network, Sender};
use sipoauth_core::sip::via::sender_of;

impl Worker {
    /// The same handling, with the one who sent the request to the proxies that are trusted. What such a proxy tells of a
    /// sender may have come over UDP, whatever his Via says.
    pub(super) fn sent_by<'a>(&self, request: &Request<'a>, handling: &Handling<'a>) -> Handling<'a> {
        let peer = (handling.source, request.source.1);
        let trusted = &self.placed.policy.trusted_hops;
        if !trusted.is_empty() {
            let sender = sender_of(peer, request.vias, trusted);
            if sender != peer {
                return Handling { source: sender.0, datagram: Some(sender.1), ..*handling };
            }
        }
        Handling { datagram: (request.transport == "udp").then_some(peer.1), ..*handling }
    }
}

/// The sender as limits count him. `now` in Unix milliseconds.
pub(super) fn sender(context: &Context, handling: &Handling<'_>, now: i64) -> Sender {
    let network = Network::of(handling.source);
    let datagram = handling.datagram.map(|port| {
        let shown = context.arena().shared().shown_senders.knows(&network, port, now);
        Datagram { port, shown }
    });
    Sender { network, datagram }
}

/// Something of him was accepted.
pub(super) fn note_accepted(context: &Context, handling: &Handling<'_>, now: i64) {
    if let Some(port) = handling.datagram {
        context.arena().shared().shown_senders.note(&Network::of(handling.source), port, now);
    }
}
