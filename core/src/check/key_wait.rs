// SPDX-License-Identifier: MIT OR Apache-2.0
//! What to do with a request whose key is not known: wait for a fetch, or answer now.
//!
//! Fetches are rare by design, because forged key ids must not make this proxy flood the authorization server.

use crate::reason::Reason;

/// For how long a fetch that did not bring a key proves that the key does not exist, in milliseconds.
const MISSING_FOR: i64 = 60_000;

/// A provider's fetch state, as the I/O process last reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// Unix milliseconds of the last successful fetch; 0 if there was none.
    pub fetched_at: i64,
    /// Unix milliseconds of the next planned fetch.
    pub next_fetch_at: i64,
    /// Unix milliseconds before which no request may cause a fetch.
    pub not_before: i64,
    /// Failed fetches since the last successful one.
    pub failures: u32,
    /// A fetch is under way.
    pub in_flight: bool,
    /// A fetch was asked for and has not begun yet.
    pub asked: bool,
    /// Fetches since start.
    pub fetches: u64,
    /// Generation of the key set; 0 if there is none.
    pub generation: u64,
}

/// What is known at the moment of the decision.
pub struct Situation {
    /// The provider's fetch state.
    pub state: SlotState,
    /// There are keys that are young enough; only the token's key is missing.
    pub have_keys: bool,
    /// The last fetch is known not to have brought this key.
    pub known_missing: bool,
    /// When the token says that it was issued, in Unix seconds; None if more than its key decides.
    pub issued_at: Option<i64>,
    /// How far the server's clock may differ, seconds.
    pub leeway: i64,
    /// The request has been parked before.
    pub resumed: bool,
    /// The host can park the request.
    pub can_park: bool,
    /// Unix milliseconds.
    pub now: i64,
    /// Longest time a request is parked, milliseconds.
    pub pending_timeout: i64,
    /// The longest time that `not_before` can lie ahead, milliseconds.
    pub longest_pause: i64,
    /// Retry-After when nothing better is known, seconds.
    pub retry_after: u32,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWait {
    /// Park the request and ask for a fetch.
    Park,
    /// The authorization server has no such key: refuse.
    Unknown,
    /// The authorization server has not published the key yet: answer 503 with this Retry-After in seconds.
    NotYet(u32),
    /// Answer 503 with this Retry-After in seconds.
    NotNow(Reason, u32),
    /// Answer 503 with this Retry-After in seconds, and fetch the keys as soon as that is allowed.
    NotNowAndFetch(Reason, u32),
}

impl Situation {
    /// True when the last fetch may have come before the server published the key of this token. Key sets of servers
    /// behind caches lag behind their tokens.
    fn may_be_early(&self) -> bool {
        let earliest = (self.state.fetched_at / 1000).saturating_sub(self.leeway);
        let latest = (self.now / 1000).saturating_add(self.leeway);
        self.issued_at.is_some_and(|issued_at| (earliest..=latest).contains(&issued_at))
    }

    /// Seconds until a key that the last fetch did not bring is worth another one.
    fn seconds_to_next_look(&self) -> Option<u32> {
        let rest = self.longest_pause - self.now.saturating_sub(self.state.fetched_at);
        (1..=self.longest_pause).contains(&rest).then(|| u32::try_from((rest + 999) / 1000).unwrap_or(self.retry_after))
    }
}

/// True when the times differ by less than `span`. A time from the future is as far away as one from the past, because
/// the clock may have been set back.
fn is_near(now: i64, then: i64, span: i64) -> bool {
    now.abs_diff(then) < span.unsigned_abs()
}

/// Decides. `source_allowed` is called only when this request would cause a fetch because of its key id.
pub fn decide(situation: &Situation, source_allowed: impl FnOnce() -> bool) -> KeyWait {
    let Situation { state, now, retry_after, .. } = *situation;
    // The key counts as missing for a while only, because a kid that a stranger guessed before it was published
    // must not stay unknown.
    if situation.have_keys && situation.known_missing && is_near(now, state.fetched_at, MISSING_FOR) {
        if !situation.may_be_early() {
            return KeyWait::Unknown;
        }
        // Its key is looked for again as if it were not known to be missing, but not at once.
        if let Some(seconds) = situation.seconds_to_next_look() {
            return KeyWait::NotYet(seconds);
        }
    }
    let outage =
        if state.fetched_at != 0 && !situation.have_keys { Reason::KeysTooOld } else { Reason::ProviderUnreachable };
    if situation.resumed {
        // A parked request goes on when a fetch has ended or its time is over. Only a fetch that ended
        // successfully after it was parked can tell that the key does not exist.
        let answered = state.failures == 0 && is_near(now, state.fetched_at, situation.pending_timeout);
        return match (situation.have_keys, answered) {
            (true, true) if situation.may_be_early() => {
                KeyWait::NotYet(situation.seconds_to_next_look().unwrap_or(retry_after))
            }
            (true, true) => KeyWait::Unknown,
            _ if state.failures > 0 => KeyWait::NotNow(outage, retry_after),
            _ => KeyWait::NotNow(Reason::WaitTimeout, retry_after),
        };
    }
    if state.in_flight {
        return if situation.can_park { KeyWait::Park } else { KeyWait::NotNow(outage, retry_after) };
    }
    // A pause that ends later than it can was begun before the clock was set back, so it is over.
    if (1..=situation.longest_pause).contains(&state.not_before.saturating_sub(now)) {
        let seconds = u32::try_from((state.not_before - now + 999) / 1000).unwrap_or(retry_after).max(1);
        let reason = if state.failures > 0 || !situation.have_keys { outage } else { Reason::KeyRefreshLimited };
        // In an outage, the pauses between attempts are the limit, so it does not matter which source asks.
        let counts = situation.have_keys && state.failures == 0 && !state.asked;
        if counts && !source_allowed() {
            return KeyWait::NotNow(reason, seconds);
        }
        return KeyWait::NotNowAndFetch(reason, seconds);
    }
    if situation.have_keys && !state.asked && !source_allowed() {
        return KeyWait::NotNow(Reason::KeyRefreshLimited, 60);
    }
    if situation.can_park { KeyWait::Park } else { KeyWait::NotNowAndFetch(outage, retry_after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation() -> Situation {
        Situation {
            state: SlotState { fetched_at: 1_000_000, generation: 1, ..SlotState::default() },
            have_keys: true,
            known_missing: false,
            issued_at: None,
            leeway: 30,
            resumed: false,
            can_park: true,
            now: 2_000_000,
            pending_timeout: 5_000,
            longest_pause: 10_000,
            retry_after: 7,
        }
    }

    #[test]
    fn an_unknown_key_is_worth_one_fetch() {
        assert_eq!(decide(&situation(), || true), KeyWait::Park);
        assert_eq!(decide(&situation(), || false), KeyWait::NotNow(Reason::KeyRefreshLimited, 60));
    }

    #[test]
    fn a_clock_that_is_set_back_sends_nobody_away() {
        const HOURS: i64 = 10_000_000;
        let closed = SlotState { not_before: HOURS, ..situation().state };
        assert_eq!(decide(&Situation { state: closed, ..situation() }, || true), KeyWait::Park);
        let failing = SlotState { failures: 3, ..closed };
        let no_keys = Situation { state: failing, have_keys: false, can_park: false, ..situation() };
        assert_eq!(decide(&no_keys, || true), KeyWait::NotNowAndFetch(Reason::KeysTooOld, 7));
        let fetched = SlotState { fetched_at: HOURS, ..situation().state };
        let missing = Situation { state: fetched, known_missing: true, ..situation() };
        assert_eq!(decide(&missing, || true), KeyWait::Park, "a key is not missing for hours");
        let resumed = Situation { state: fetched, resumed: true, ..situation() };
        assert_eq!(decide(&resumed, || true), KeyWait::NotNow(Reason::WaitTimeout, 7), "no fetch has ended since");
    }

    #[test]
    fn a_key_stays_missing_for_a_minute_after_the_fetch_that_did_not_bring_it() {
        let at = |now| decide(&Situation { known_missing: true, now, ..situation() }, || true);
        assert_eq!(at(1_059_999), KeyWait::Unknown);
        assert_eq!(at(1_060_000), KeyWait::Park);
    }

    /// The server may publish the key of a new token a little later than the token.
    #[test]
    fn a_token_that_is_newer_than_the_last_fetch_is_not_refused_for_its_key() {
        // The last fetch was at 1,000 s.
        let at = |now, issued_at, resumed| {
            let early = Situation { known_missing: true, issued_at: Some(issued_at), now, ..situation() };
            decide(&Situation { resumed, ..early }, || true)
        };
        for issued_at in [970, 1000, 1034] {
            assert_eq!(at(1_004_000, issued_at, false), KeyWait::NotYet(6), "{issued_at}");
            assert_eq!(at(1_004_000, issued_at, true), KeyWait::NotYet(6), "{issued_at}");
            assert_eq!(at(1_010_000, issued_at, false), KeyWait::Park, "{issued_at}");
        }
        for issued_at in [0, 969, 1035, i64::MAX] {
            assert_eq!(at(1_004_000, issued_at, false), KeyWait::Unknown, "{issued_at}");
            assert_eq!(at(1_004_000, issued_at, true), KeyWait::Unknown, "{issued_at}");
        }
        let state = SlotState { not_before: 1_015_000, ..situation().state };
        let early = Situation { state, known_missing: true, issued_at: Some(1000), now: 1_010_000, ..situation() };
        assert_eq!(decide(&early, || false), KeyWait::NotNow(Reason::KeyRefreshLimited, 5), "all limits stay");
    }

    #[test]
    fn one_source_cannot_use_up_what_a_closed_gate_lets_through() {
        let state = SlotState { not_before: 2_003_001, ..situation().state };
        let closed = |state, allowed| decide(&Situation { state, ..situation() }, || allowed);
        assert_eq!(closed(state, false), KeyWait::NotNow(Reason::KeyRefreshLimited, 4));
        assert_eq!(closed(state, true), KeyWait::NotNowAndFetch(Reason::KeyRefreshLimited, 4));
        let asked = SlotState { asked: true, ..state };
        assert_eq!(decide(&Situation { state: asked, ..situation() }, || panic!("asked")), closed(state, true));
        let down = SlotState { failures: 1, ..state };
        assert_eq!(closed(down, false), KeyWait::NotNowAndFetch(Reason::ProviderUnreachable, 4));
    }

    #[test]
    fn joins_a_fetch_without_spending_the_source_allowance() {
        let state = SlotState { in_flight: true, ..situation().state };
        assert_eq!(decide(&Situation { state, ..situation() }, || panic!("asked")), KeyWait::Park);
    }

    #[test]
    fn the_second_asker_does_not_spend_the_allowance_either() {
        let state = SlotState { asked: true, ..situation().state };
        assert_eq!(decide(&Situation { state, ..situation() }, || panic!("asked")), KeyWait::Park);
    }

    #[test]
    fn a_limit_is_503_and_never_a_denial() {
        let limited = SlotState { not_before: 2_003_001, ..situation().state };
        assert_eq!(
            decide(&Situation { state: limited, ..situation() }, || true),
            KeyWait::NotNowAndFetch(Reason::KeyRefreshLimited, 4)
        );
        let down = SlotState { failures: 2, ..limited };
        assert_eq!(
            decide(&Situation { state: down, ..situation() }, || true),
            KeyWait::NotNowAndFetch(Reason::ProviderUnreachable, 4)
        );
        assert_eq!(
            decide(&Situation { state: down, have_keys: false, ..situation() }, || true),
            KeyWait::NotNowAndFetch(Reason::KeysTooOld, 4)
        );
    }

    #[test]
    fn a_resumed_request_is_denied_only_by_a_fetch_that_answered() {
        let resumed = |state, have_keys| decide(&Situation { resumed: true, state, have_keys, ..situation() }, || true);
        let base = situation().state;
        assert_eq!(resumed(SlotState { fetched_at: 1_999_000, ..base }, true), KeyWait::Unknown);
        assert_eq!(resumed(base, true), KeyWait::NotNow(Reason::WaitTimeout, 7));
        assert_eq!(resumed(SlotState { failures: 1, ..base }, true), KeyWait::NotNow(Reason::ProviderUnreachable, 7));
        let never = SlotState::default();
        assert_eq!(resumed(never, false), KeyWait::NotNow(Reason::WaitTimeout, 7));
    }

    #[test]
    fn a_request_that_cannot_wait_is_answered() {
        let stuck = Situation { can_park: false, ..situation() };
        assert_eq!(decide(&stuck, || true), KeyWait::NotNowAndFetch(Reason::ProviderUnreachable, 7));
    }
}
