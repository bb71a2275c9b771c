// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a worker for connections. Accepted credentials bind their connection, and count for later requests
//! on it that carry none.

use super::sessions::wait_for_store;
use super::{CheckResult, Handling, Worker};
use crate::process::job::Work;
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

impl Worker {
    /// What the connection of a request is bound to.
    pub(super) fn bound_to(&self, request: &Request<'_>, now: i64) -> Option<BoundIdentity> {
        let connection = connection_of(&self.placed.policy, request)?;
        let table = self.context.arena().connections();
        BoundIdentity::decode(&table.get(&connection, now)?)
    }

    /// Called after the answer. An accepted request binds its connection. A refused request does not unbind it.
    pub(super) fn note_connection(&self, answer: &Answer, request: &Request<'_>, now: i64) {
        let Some(connection) = connection_of(&self.placed.policy, request) else {
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

    /// Waits for the account of a session, which must come from a store over the network.
    pub(super) fn wait_for_account(&mut self, answer: Answer, work: Work, handling: &Handling<'_>) -> CheckResult {
        if answer.carried == Carried::Connection && handling.no_wait {
            // An ACK cannot wait, but it comes again, and then the sessions are known. Whether the work was
            // submitted does not matter, because the request is refused for now in either case.
            let _ = self.submit_for_nobody(work, handling);
            return CheckResult {
                answer: Answer { reason: Some(Reason::StoreUnavailable), ..answer },
                ..CheckResult::default()
            };
        }
        wait_for_store(answer, handling, || work)
    }
}

/// The identity to which the request binds its connection. Only accepted credentials that the request itself
/// carried count.
fn identity_of(answer: &Answer, request: &Request<'_>) -> Option<BoundIdentity> {
    if answer.reason != Some(Reason::Ok) {
        return None;
    }
    match answer.carried {
        Carried::Nothing | Carried::Connection | Carried::KeyDerivation => None,
        _ => match (&answer.session, &answer.token) {
            (Some(used), _) => Some(BoundIdentity::Session { id: used.id, aor: used.aor.clone() }),
            (None, Some(token)) => {
                Some(BoundIdentity::Token { token: SecretText(token.token.to_string()), domain: request.domain() })
            }
            (None, None) => None,
        },
    }
}
