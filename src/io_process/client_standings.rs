// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the authorization servers accept the proxy's client. A server that refuses a request may mean the client,
//! which is the operator's business, or what a phone has sent. How other requests fared tells the two apart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sipoauth_core::oauth::verdict::Question;

/// An accepted request shows for this long that the client is good, in milliseconds.
const LATELY: i64 = 600_000;
/// After more refusals in a row than this it shows nothing any more, because the client's secret may have changed
/// since.
const IN_A_ROW: u32 = 10;
/// For refreshes, a sign-in shows that the client is good only if it comes later than this after the first refusal,
/// in milliseconds, because the servers of one issuer may learn of a new secret one by one.
const SETTLED: i64 = 60_000;
/// At most this many sessions whose refresh was refused are remembered for each provider. The operator is told of
/// refusals of further sessions.
const SESSIONS: usize = 4096;

#[derive(Default)]
struct ClientStanding {
    /// Unix milliseconds; 0: not yet.
    accepted: i64,
    refused: u32,
    /// When the client was first refused at the refresh of a session, by the key of its tokens.
    sessions: HashMap<String, i64>,
}

/// The standing at all providers of one configuration, by the provider's index and what it was asked for.
#[derive(Default)]
pub struct ClientStandings(Mutex<HashMap<(usize, Question), ClientStanding>>);

impl ClientStandings {
    fn with<T>(&self, provider: usize, question: Question, look: impl FnOnce(&mut ClientStanding) -> T) -> T {
        let mut standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(standings.entry((provider, question)).or_default())
    }

    /// Notes that the server has served the client.
    pub fn accepted(&self, provider: usize, question: Question, now: i64) {
        self.with(provider, question, |standing| {
            standing.accepted = now;
            standing.refused = 0;
        });
    }

    /// Notes that the server has refused a request that may be at fault itself. True when it is at fault, because
    /// the server serves the client otherwise.
    pub fn blames_request(&self, provider: usize, question: Question, now: i64) -> bool {
        self.with(provider, question, |standing| {
            standing.refused = standing.refused.saturating_add(1);
            // Another thread may have noted a time that is a moment later than `now`.
            let lately = standing.accepted != 0 && now.saturating_sub(standing.accepted) < LATELY;
            lately && standing.refused <= IN_A_ROW
        })
    }

    /// Notes that the server has refused the client at the refresh of this session. True when the session is at
    /// fault, because the server has served the client since the first such refusal, at another refresh or at a
    /// sign-in.
    pub fn blames_session(&self, provider: usize, session: &str, now: i64) -> bool {
        let signed_in = self.with(provider, Question::SignIn, |standing| standing.accepted);
        self.with(provider, Question::Refresh, |standing| match standing.sessions.get(session) {
            Some(first) => standing.accepted > *first || signed_in > first.saturating_add(SETTLED),
            None => {
                if standing.sessions.len() < SESSIONS {
                    standing.sessions.insert(session.to_owned(), now);
                }
                false
            }
        })
    }

    /// Forgets a session that was refreshed, or ends.
    pub fn forget_session(&self, session: &str) {
        let mut standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for standing in standings.values_mut() {
            standing.sessions.remove(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_was_served_lately_is_not_to_blame() {
        let standings = ClientStandings::default();
        let blames = |now| standings.blames_request(0, Question::SignIn, now);
        assert!(!blames(1000), "nothing is known of it yet");
        standings.accepted(0, Question::Introspection, 1000);
        standings.accepted(1, Question::SignIn, 1000);
        assert!(!blames(1000), "another endpoint or server says nothing");
        standings.accepted(0, Question::SignIn, 1000);
        assert!(blames(1000) && blames(600_999) && !blames(601_000));
        standings.accepted(0, Question::SignIn, 2000);
        assert!((0..10).all(|_| blames(2000)) && !blames(2000), "its secret may have changed");
    }

    #[test]
    fn a_session_is_to_blame_when_others_are_refreshed() {
        let standings = ClientStandings::default();
        let blames = |session: &str, now| standings.blames_session(0, session, now);
        standings.accepted(0, Question::Refresh, 1000);
        assert!(!blames("a", 2000) && !blames("a", 3000), "the client may have changed since");
        standings.accepted(0, Question::Refresh, 3500);
        assert!(!blames("b", 4000), "not before its own second try");
        assert!(blames("a", 4000) && !blames("b", 5000));
        standings.forget_session("a");
        assert!(!blames("a", 6000));
        standings.accepted(0, Question::SignIn, 66_000);
        assert!(!blames("a", 66_600) && !blames("c", 66_600));
        standings.accepted(0, Question::SignIn, 66_001);
        assert!(blames("a", 66_600) && !blames("c", 66_600));
        for n in 0..2 * SESSIONS {
            blames(&n.to_string(), 7000);
        }
        assert!(standings.with(0, Question::Refresh, |standing| standing.sessions.len()) <= SESSIONS);
    }
}
