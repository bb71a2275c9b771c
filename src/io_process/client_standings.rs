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
/// Up to this many sessions whose refresh is answered without a word of OAuth are at fault themselves.
const FEW: usize = 2;
/// At most this many refusals are remembered for each provider and question. The operator is told of further ones.
const REMEMBERED: usize = 4096;

#[derive(Default)]
struct ClientStanding {
    /// Unix milliseconds; 0: not yet.
    accepted: i64,
    /// The place of that in the order of all that was noted.
    accepted_at: u64,
    /// Refusals in a row, and the place of the last one.
    refused: u32,
    refused_at: u64,
    /// When a session, a code or a token was first refused, by its key.
    first: HashMap<String, i64>,
    /// Sessions whose refresh was first answered without a word of OAuth since anybody was served.
    wordless: usize,
}

impl ClientStanding {
    /// When this key was first refused, if that was before. If it was not, it is remembered while there is room.
    fn remember(&mut self, key: &str, now: i64) -> Option<i64> {
        let first = self.first.get(key).copied();
        if first.is_none() && self.first.len() < REMEMBERED {
            self.first.insert(key.to_owned(), now);
        }
        first
    }
}

/// The standing at all providers of one configuration, by the provider's index and what it was asked for.
#[derive(Default)]
pub struct ClientStandings(Mutex<Standings>);

#[derive(Default)]
struct Standings {
    all: HashMap<(usize, Question), ClientStanding>,
    /// How much was noted.
    noted: u64,
}

impl Standings {
    fn of(&mut self, provider: usize, question: Question) -> &mut ClientStanding {
        self.all.entry((provider, question)).or_default()
    }

    /// When the server last served the client at one of these questions, and the place of that in the order.
    fn accepted(&self, provider: usize, questions: &[Question]) -> (i64, u64) {
        let known = questions.iter().filter_map(|question| self.all.get(&(provider, *question)));
        known.map(|standing| (standing.accepted, standing.accepted_at)).max_by_key(|(_, at)| *at).unwrap_or_default()
    }

    fn blames_session(&mut self, provider: usize, session: &str, now: i64) -> bool {
        let (signed_in, _) = self.accepted(provider, &[Question::SignIn]);
        let standing = self.of(provider, Question::Refresh);
        let first = standing.remember(session, now);
        first.is_some_and(|first| standing.accepted > first || signed_in > first.saturating_add(SETTLED))
    }
}

/// The questions whose success shows that the client is good. The token endpoint authenticates it in the same way for
/// sign-ins and for refreshes.
fn alike(question: Question) -> &'static [Question] {
    match question {
        Question::SignIn | Question::Refresh => &[Question::SignIn, Question::Refresh],
        Question::Introspection => &[Question::Introspection],
    }
}

/// What a server has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blamed {
    /// The request, with no word about the client.
    Request,
    /// The client, which may be what the client may do: a server that refreshes for it need not take codes from it.
    Client,
}

impl ClientStandings {
    fn with<T>(&self, look: impl FnOnce(&mut Standings) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that the server has served the client.
    pub fn accepted(&self, provider: usize, question: Question, now: i64) {
        self.with(|standings| {
            standings.noted += 1;
            let at = standings.noted;
            let standing = standings.of(provider, question);
            (standing.accepted, standing.accepted_at) = (now, at);
            for question in alike(question) {
                standings.of(provider, *question).wordless = 0;
            }
        });
    }

    /// Notes that the server has refused a request that may be at fault itself. True when it is at fault, because
    /// the server serves the client otherwise.
    pub fn blames_request(&self, provider: usize, question: Question, blamed: Blamed, now: i64) -> bool {
        self.with(|standings| {
            let (accepted, accepted_at) = standings.accepted(provider, alike(question));
            let row_ended_at = match blamed {
                Blamed::Request => accepted_at,
                Blamed::Client => standings.accepted(provider, &[question]).1,
            };
            standings.noted += 1;
            let at = standings.noted;
            let standing = standings.of(provider, question);
            if row_ended_at > standing.refused_at {
                standing.refused = 0;
            }
            (standing.refused, standing.refused_at) = (standing.refused.saturating_add(1), at);
            // Another thread may have noted a time that is a moment later than `now`.
            let lately = accepted != 0 && now.saturating_sub(accepted) < LATELY;
            lately && standing.refused <= IN_A_ROW
        })
    }

    /// Notes that the server has refused the client at the refresh of this session, or has given no OAuth answer. True
    /// when the session is at fault, because the server has served the client since the first such answer, at another
    /// refresh or at a sign-in.
    pub fn blames_session(&self, provider: usize, session: &str, now: i64) -> bool {
        self.with(|standings| standings.blames_session(provider, session, now))
    }

    /// Notes that the refresh of this session was answered without a word of OAuth. True when the session is at fault:
    /// the server has served others since, or only few sessions got such answers. Where many get them, something in
    /// front of the server answers.
    pub fn blames_wordless(&self, provider: usize, session: &str, now: i64) -> bool {
        self.with(|standings| {
            let standing = standings.of(provider, Question::Refresh);
            standing.wordless += usize::from(!standing.first.contains_key(session));
            let are_few = standing.wordless <= FEW;
            standings.blames_session(provider, session, now) || are_few
        })
    }

    /// Notes that the server has given no OAuth answer about this code or token. True when it is at fault, because the
    /// server has served the client since the first such answer.
    pub fn blames_later(&self, provider: usize, question: Question, key: &str, now: i64) -> bool {
        self.with(|standings| {
            let (accepted, _) = standings.accepted(provider, alike(question));
            let standing = standings.of(provider, question);
            if standing.first.len() >= REMEMBERED && !standing.first.contains_key(key) {
                standing.first.retain(|_, first| now.saturating_sub(*first) < LATELY);
            }
            standing.remember(key, now).is_some_and(|first| accepted > first)
        })
    }

    /// Forgets a session that was refreshed, or ends, or a code or token that the server has accepted or refused.
    pub fn forget(&self, key: &str) {
        self.with(|standings| {
            for standing in standings.all.values_mut() {
                standing.first.remove(key);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_was_served_lately_is_not_to_blame() {
        let standings = ClientStandings::default();
        let blames = |now| standings.blames_request(0, Question::SignIn, Blamed::Client, now);
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
    fn refreshes_show_that_the_client_is_good_at_sign_ins() {
        let standings = ClientStandings::default();
        let blames = |blamed| standings.blames_request(0, Question::SignIn, blamed, 1000);
        assert!(!blames(Blamed::Request) && !blames(Blamed::Client));
        for _ in 0..20 {
            standings.accepted(0, Question::Refresh, 1000);
            assert!(blames(Blamed::Request));
        }
        standings.accepted(0, Question::SignIn, 1000);
        let client = || {
            standings.accepted(0, Question::Refresh, 1000);
            blames(Blamed::Client)
        };
        assert!((0..10).all(|_| client()) && !client(), "it may have lost the right to exchange codes");
    }

    #[test]
    fn what_got_no_oauth_answer_is_to_blame_when_another_is_served_afterwards() {
        let standings = ClientStandings::default();
        for (question, served) in
            [(Question::SignIn, Question::Refresh), (Question::Introspection, Question::Introspection)]
        {
            let blames = |key: &str, now| standings.blames_later(0, question, key, now);
            standings.accepted(0, served, 1000);
            assert!(!blames("a", 2000) && !blames("a", 3000), "a proxy in front of it may answer");
            standings.accepted(0, served, 4000);
            assert!(blames("a", 5000) && !blames("b", 5000) && blames("a", 6000));
            standings.forget("a");
            assert!(!blames("a", 7000));
            for n in 0..2 * REMEMBERED {
                blames(&n.to_string(), 8000);
            }
            assert!(standings.with(|standings| standings.of(0, question).first.len()) <= REMEMBERED);
            assert!(!blames("late", 700_000));
            standings.accepted(0, served, 700_001);
            assert!(blames("late", 700_002), "old ones make room");
        }
    }

    #[test]
    fn few_sessions_are_to_blame_for_answers_without_a_word_and_many_are_not() {
        let standings = ClientStandings::default();
        let blames = |session: &str| standings.blames_wordless(0, session, 1000);
        assert!(blames("a") && blames("b"));
        assert!(!blames("c") && !blames("d") && !blames("c"));
        standings.accepted(0, Question::SignIn, 2000);
        assert!(standings.blames_wordless(0, "e", 2001), "the next ones are few again");
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
        standings.forget("a");
        assert!(!blames("a", 6000));
        standings.accepted(0, Question::SignIn, 66_000);
        assert!(!blames("a", 66_600) && !blames("c", 66_600));
        standings.accepted(0, Question::SignIn, 66_001);
        assert!(blames("a", 66_600) && !blames("c", 66_600));
        for n in 0..2 * REMEMBERED {
            blames(&n.to_string(), 7000);
        }
        assert!(standings.with(|standings| standings.of(0, Question::Refresh).first.len()) <= REMEMBERED);
    }
}
