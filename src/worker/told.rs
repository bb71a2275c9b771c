// SPDX-License-Identifier: MIT OR Apache-2.0
//! Warnings that are logged once by each process, because every request may lead to them. A new configuration resets
//! them.

use std::mem::replace;

use sipoauth_core::ports::{Level, Log};
use sipoauth_core::text::fingerprint::printable;

/// What was logged already.
#[derive(Debug, Default)]
pub(super) struct Told {
    unknown_service: bool,
    unprotected: bool,
    large: bool,
}

impl Told {
    /// The script asks for a service that no provider has.
    pub fn unknown_service(&mut self, log: &dyn Log, name: &str) {
        if !replace(&mut self.unknown_service, true) {
            let name = printable(name, 128);
            let line =
                format!("no provider has the service '{name}' that the script asks for: see the setting services");
            log.log(Level::Warn, &line);
        }
    }

    /// A request with a token has more octets than `limit`, over UDP.
    pub fn large_request(&mut self, log: &dyn Log, octets: usize, limit: usize) {
        if !replace(&mut self.large, true) {
            let line = format!(
                "a request with a token has {octets} octets over UDP, more than {limit} are often lost on the way: let \
                 phones use TCP, TLS or WebSocket, or have the authorization server issue shorter tokens (ES256, EdDSA, \
                 fewer claims)"
            );
            log.log(Level::Warn, &line);
        }
    }

    /// The signed token inside an encrypted one would leave in the clear.
    pub fn unprotected(&mut self, log: &dyn Log, next_hop: &str) {
        if !replace(&mut self.unprotected, true) {
            let line = format!(
                "the token of an encrypted one is not sent to {}: write that server into application_servers as \
                 sip:host:port;transport=tls, and send requests there over TLS",
                printable(next_hop, 128)
            );
            log.log(Level::Warn, &line);
        }
    }
}
