// SPDX-License-Identifier: MIT OR Apache-2.0
//! Senders: who sent a request, for limits and log lines, and whether something was accepted from that sender lately.

use super::Handling;
use crate::process::context::Context;
use sipoauth_core::check::Request;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::sip::sender::{Datagram, Network, Sender};
use sipoauth_core::sip::via::sender_of;

/// The same handling, with the sender from whom the trusted proxies got the request. Such a proxy may have got
/// it over UDP, whatever its Via says, so the address that it tells may be forged.
pub(super) fn sent_by<'a>(policy: &Policy, request: &Request<'a>, handling: &Handling<'a>) -> Handling<'a> {
    let peer = (handling.source, request.source.1);
    let trusted = &policy.trusted_hops;
    if !trusted.is_empty() {
        let sender = sender_of(peer, request.vias, trusted);
        if sender != peer {
            return Handling { source: sender.0, datagram: Some(sender.1), ..*handling };
        }
    }
    Handling { datagram: (request.transport == "udp").then_some(peer.1), ..*handling }
}

/// The sender as limits count senders. `now` is in Unix milliseconds.
pub(super) fn sender(context: &Context, handling: &Handling<'_>, now: i64) -> Sender {
    let network = Network::of(handling.source);
    let datagram = handling.datagram.map(|port| {
        let shown = context.arena().shared().shown_senders.knows(&network, port, now);
        Datagram { port, shown }
    });
    Sender { network, datagram }
}

/// Notes that something was accepted from this sender.
pub(super) fn note_accepted(context: &Context, handling: &Handling<'_>, now: i64) {
    if let Some(port) = handling.datagram {
        context.arena().shared().shown_senders.note(&Network::of(handling.source), port, now);
    }
}
