// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections. Accepted credentials bind their connection, and count for later requests on it that carry none.

use crate::process::context::Context;
use crate::shared::connection_table::{CAPACITY, Connection};
use crate::shared::counters::Counter;
use sipoauth_core::check::{Answer, Carried, Request};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::ports::Level;
use sipoauth_core::reason::Reason;
use sipoauth_core::records::bound_identity::BoundIdentity;
use sipoauth_core::text::secret::SecretText;

/// True when a request on this connection can bind it. UDP has no connections.
pub(super) fn is_bound_by(policy: &Policy, transport: &str, connection: u64) -> bool {
    policy.settings.connection_auth && connection != 0 && matches!(transport, "tcp" | "tls" | "ws" | "wss")
}

/// The connection of a request, if the request can bind it.
fn connection_of<'a>(policy: &Policy, request: &Request<'a>) -> Option<Connection<'a>> {
    is_bound_by(policy, request.transport, request.connection)
        .then_some(Connection { number: request.connection, peer: request.source })
}

/// The connections that requests come on.
pub(super) struct Connections<'w> {
    pub context: &'w Context,
    pub policy: &'w Policy,
}

impl Connections<'_> {
    /// What the connection of a request is bound to.
    pub fn bound_to(&self, request: &Request<'_>, now: i64) -> Option<BoundIdentity> {
        let connection = connection_of(self.policy, request)?;
        let table = self.context.arena().connections();
        BoundIdentity::decode(&table.get(&connection, now)?)
    }

    /// Called after the answer. An accepted request binds its connection. A refused request does not unbind it.
    pub fn note(&self, answer: &Answer, request: &Request<'_>, now: i64) {
        let Some(connection) = connection_of(self.policy, request) else {
            return;
        };
        let shared = self.context.arena().shared();
        if answer.carried == Carried::Connection {
            shared.counters.add(Counter::ConnectionHits);
        }
        let Some(content) = identity_of(answer, request).and_then(|bound| bound.encode()) else {
            return;
        };
        if self.context.arena().connections().put(&connection, &content, now) {
            shared.counters.add(Counter::ConnectionsBound);
        } else if content.len() > CAPACITY {
            let line = "the token is too long to be remembered for its connection: the phone must go on sending it";
            self.context.log().log(Level::Debug, line);
        }
    }
}

/// The identity to which the request binds its connection. Only accepted credentials that the request itself
/// carried count.
fn identity_of(answer: &Answer, request: &Request<'_>) -> Option<BoundIdentity> {
    if answer.reason != Some(Reason::Ok) {
        return None;
    }
    match answer.carried {
        Carried::Nothing | Carried::Connection | Carried::KeyDerivation | Carried::Device => None,
        _ => match (&answer.session, &answer.token) {
            (Some(used), _) => Some(BoundIdentity::Session { id: used.id, aor: used.aor.clone() }),
            (None, Some(token)) => {
                Some(BoundIdentity::Token { token: SecretText(token.token.to_string()), domain: request.domain() })
            }
            (None, None) => None,
        },
    }
}
