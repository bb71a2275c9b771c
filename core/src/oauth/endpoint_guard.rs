// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guards one endpoint of a server that phones cause questions to. A server that does not work is left alone but for
//! trials, and a sender whose questions fail is left alone on its own account, so that it keeps nobody else away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sip::sender::{Crowd, Network, Sender};

/// Failures in a row after which a sender, or the server, is left alone.
const FAILURES: usize = 3;
/// First time between the starts of two questions to a server that is left alone, in milliseconds. Each further one
/// is twice as long.
const FIRST_PAUSE: i64 = 500;
/// Longest time between them. A server that is back is found soon after it.
const LONGEST_PAUSE: i64 = 2000;
/// At most this many senders are remembered.
const SENDERS: usize = 256;
/// A server that needs this long for an error of its own takes a thread as one does that says nothing.
const SLOW: i64 = 2000;

/// How long a hurried question may take, in milliseconds.
pub const HURRY: i64 = 2000;

/// How long a question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As long as each request may take.
    Patient,
    /// [`HURRY`] milliseconds in all. A server that has hung answers new requests once it is back, and not those that
    /// hang.
    Hurried,
}

impl Pace {
    /// The time for all its requests together; None if each may take as long as is configured.
    pub fn time(self) -> Option<Duration> {
        (self == Pace::Hurried).then(|| Duration::from_millis(HURRY.unsigned_abs()))
    }
}

/// How trials are made.
#[derive(Clone, Copy, Debug)]
pub struct TrialRules {
    /// A trial that takes longer than this is taken for lost, in milliseconds.
    pub longest: i64,
    /// Most trials at once that may take all their time.
    pub patient: usize,
    /// True when one more trial at once may be cut short.
    pub hurried: bool,
}

/// The right to ask once.
#[derive(Clone, Debug)]
pub struct Pass {
    sender: Sender,
    started: i64,
    trial: Option<Pace>,
}

impl Pass {
    /// How long the question may take.
    pub fn pace(&self) -> Pace {
        self.trial.unwrap_or(Pace::Patient)
    }
}

/// How a question has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server works.
    Answered,
    /// The server answered with an error of its own.
    Error,
    /// The server did not answer.
    Silent,
    /// The server was not asked.
    Unused,
}

/// The state of one endpoint. Times are Unix milliseconds. Threads may share it.
#[derive(Debug, Default)]
pub struct EndpointGuard(Mutex<GuardState>);

#[derive(Debug, Default)]
struct GuardState {
    /// Questions without any answer since the server last worked.
    silent: usize,
    /// Who has had a failure since then; None stands for all senders whose address may be forged.
    failed: Vec<Option<Network>>,
    pause: Pause,
    trials: Vec<(i64, Pace)>,
    senders: HashMap<Sender, FailingSender>,
}

#[derive(Debug, Default)]
struct FailingSender {
    failures: usize,
    pause: Pause,
}

/// The time between the starts of two questions.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    length: i64,
    started: i64,
}

impl Pause {
    /// True when the last question began less than `length` ago. A start in the future was noted before the clock was
    /// set back, so that pause is over.
    fn lasts(&self, now: i64, length: i64) -> bool {
        (0..length).contains(&now.saturating_sub(self.started))
    }

    fn lengthen(&mut self) {
        self.length = (self.length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

/// Anybody can forge addresses of many networks in datagrams, so all senders of such count as one.
fn network(sender: &Sender) -> Option<Network> {
    (sender.crowd() != Crowd::Strangers).then(|| sender.network.clone())
}

impl GuardState {
    /// The server gives no answers, or only errors whoever asks. What one sender asks may be the cause of the errors
    /// that it gets.
    fn is_open(&self) -> bool {
        self.silent >= FAILURES || self.failed.len() >= FAILURES
    }

    /// How long after the start of the last trial this sender may cause the next one. A sender without failures goes
    /// first, because the question of another one may itself be the cause of its failure.
    fn wait_of(&self, sender: &Sender) -> i64 {
        let length = self.pause.length;
        let is_suspect = self.senders.contains_key(sender) || network(sender).is_none();
        match (is_suspect, self.silent >= FAILURES) {
            (true, _) => length * 3 / 2,
            (false, true) => length,
            // An error that comes at once costs no thread.
            (false, false) => length.min(FIRST_PAUSE),
        }
    }

    fn begin_trial(&mut self, sender: &Sender, now: i64, rules: &TrialRules) -> Option<Pace> {
        self.trials.retain(|(started, _)| (0..rules.longest).contains(&now.saturating_sub(*started)));
        let running = |pace| self.trials.iter().filter(|trial| trial.1 == pace).count();
        if self.pause.lasts(now, self.wait_of(sender)) {
            return None;
        }
        let pace = if running(Pace::Patient) < rules.patient {
            Pace::Patient
        } else if rules.hurried && running(Pace::Hurried) == 0 {
            Pace::Hurried
        } else {
            return None;
        };
        self.trials.push((now, pace));
        self.pause.started = now;
        Some(pace)
    }

    fn failed(&mut self, pass: &Pass, is_silent: bool) {
        let was_open = self.is_open();
        self.silent += usize::from(is_silent);
        let network = network(&pass.sender);
        if self.failed.len() < FAILURES && !self.failed.contains(&network) {
            self.failed.push(network);
        }
        if self.is_open() && (pass.trial.is_some() || !was_open) {
            self.pause.lengthen();
            self.pause.started = self.pause.started.max(pass.started);
        }
        if self.senders.len() >= SENDERS && !self.senders.contains_key(&pass.sender) {
            let oldest = self.senders.iter().min_by_key(|(_, failing)| failing.pause.started);
            if let Some(oldest) = oldest.map(|(sender, _)| sender.clone()) {
                self.senders.remove(&oldest);
            }
        }
        let failing = self.senders.entry(pass.sender.clone()).or_default();
        failing.failures += 1;
        failing.pause.started = failing.pause.started.max(pass.started);
        if failing.failures >= FAILURES {
            failing.pause.lengthen();
        }
    }
}

impl EndpointGuard {
    fn state(&self) -> MutexGuard<'_, GuardState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to ask the server for this sender; None while the server or the sender is left alone.
    pub fn pass(&self, sender: &Sender, now: i64, rules: &TrialRules) -> Option<Pass> {
        let mut state = self.state();
        let mut trial = None;
        if state.is_open() {
            trial = Some(state.begin_trial(sender, now, rules)?);
        } else if let Some(failing) = state.senders.get_mut(sender) {
            if failing.failures >= FAILURES && failing.pause.lasts(now, failing.pause.length) {
                return None;
            }
            failing.pause.started = now;
        }
        Some(Pass { sender: sender.clone(), started: now, trial })
    }

    /// How a question has ended. Each pass is ended once.
    pub fn end(&self, pass: &Pass, outcome: Outcome, now: i64) {
        let mut state = self.state();
        if let Some(pace) = pass.trial
            && let Some(place) = state.trials.iter().position(|trial| *trial == (pass.started, pace))
        {
            state.trials.swap_remove(place);
        }
        match outcome {
            Outcome::Answered => {
                let mut senders = std::mem::take(&mut state.senders);
                senders.remove(&pass.sender);
                *state = GuardState { senders, ..GuardState::default() };
            }
            Outcome::Error => {
                let is_slow = now.saturating_sub(pass.started) >= SLOW;
                state.failed(pass, is_slow);
            }
            Outcome::Silent => state.failed(pass, true),
            Outcome::Unused => {
                // Another one may try at once.
                if pass.trial.is_some() {
                    state.pause.started = 0;
                }
                if let Some(failing) = state.senders.get_mut(&pass.sender) {
                    failing.pause.started = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::sender::Datagram;
    use Outcome::{Answered, Error, Silent, Unused};

    const RULES: TrialRules = TrialRules { longest: 25_000, patient: 1, hurried: true };
    const START: i64 = 1_000_000;

    fn phone(number: usize) -> Sender {
        Sender::new(&format!("192.0.2.{number}"))
    }

    fn ask(guard: &EndpointGuard, sender: &Sender, now: i64, outcome: Outcome) -> bool {
        let pass = guard.pass(sender, now, &RULES);
        pass.inspect(|pass| guard.end(pass, outcome, now)).is_some()
    }

    #[test]
    fn a_sender_whose_questions_fail_keeps_nobody_else_away() {
        let guard = EndpointGuard::default();
        let (junk, good) = (phone(1), phone(2));
        let (mut served, mut failed) = (0, 0);
        for tick in 0..600 {
            let now = START + tick * 50;
            failed += usize::from(ask(&guard, &junk, now, Error));
            if tick % 20 == 0 {
                served += usize::from(ask(&guard, &good, now, Answered));
            }
        }
        assert_eq!(served, 30);
        assert!((10..25).contains(&failed), "{failed} in half a minute");
        assert!(ask(&guard, &junk, START + 40_000, Answered), "it may ask again");
        assert!((0..10).all(|_| ask(&guard, &junk, START + 40_000, Answered)));
    }

    #[test]
    fn forged_datagrams_of_many_networks_count_as_one_sender() {
        let guard = EndpointGuard::default();
        for number in 0..200 {
            let datagram = Some(Datagram { port: 5060, shown: false });
            ask(&guard, &Sender { datagram, ..phone(number) }, START, Error);
        }
        assert!((0..20).all(|_| ask(&guard, &phone(201), START, Answered)));
        let table = guard.state().senders.len();
        assert!(table <= SENDERS, "{table}");
    }

    #[test]
    fn a_server_that_answers_nobody_is_asked_every_two_seconds() {
        let guard = EndpointGuard::default();
        assert!((0..3).all(|number| ask(&guard, &phone(number), START, Error)));
        let mut asked = Vec::new();
        for tick in 0..3000 {
            let now = START + 1 + tick * 10;
            // Three phones that have all failed.
            if ask(&guard, &phone(usize::try_from(tick % 3).unwrap()), now, Error) {
                asked.push(now);
            }
        }
        assert!((10..20).contains(&asked.len()), "{asked:?}");
        assert!(asked.windows(2).skip(3).all(|two| (2000..=3100).contains(&(two[1] - two[0]))), "{asked:?}");
        let now = asked.last().unwrap() + 500;
        assert!(!ask(&guard, &phone(1), now, Answered), "it has just failed");
        assert!(ask(&guard, &phone(9), now, Answered), "another one goes first");
        assert!((0..9).all(|number| ask(&guard, &phone(number), now + 2000, Answered)), "the server is back");
    }

    #[test]
    fn a_server_that_hangs_is_tried_again_while_a_trial_lasts() {
        let guard = EndpointGuard::default();
        assert!((0..3).all(|_| ask(&guard, &phone(1), START, Silent)), "silence counts whoever asks");
        let pass = |now| guard.pass(&phone(1), now, &RULES);
        assert!(pass(START + 749).is_none());
        let patient = pass(START + 750).expect("a trial");
        assert_eq!(patient.pace(), Pace::Patient);
        let hurried = pass(START + 1500).expect("one more");
        assert!(hurried.pace() == Pace::Hurried && pass(START + 3000).is_none(), "two at once");
        guard.end(&hurried, Silent, START + 3500);
        let again = pass(START + 3500).expect("the next one");
        assert_eq!(again.pace(), Pace::Hurried);
        // Slow, but it works.
        guard.end(&patient, Answered, START + 4000);
        assert!((0..20).all(|_| pass(START + 4000).is_some_and(|pass| pass.pace() == Pace::Patient)));
    }

    #[test]
    fn a_trial_that_is_lost_or_was_none_keeps_nobody_away() {
        let guard = EndpointGuard::default();
        let rules = TrialRules { hurried: false, ..RULES };
        assert!((0..3).all(|_| ask(&guard, &phone(1), START, Silent)));
        let lost = guard.pass(&phone(2), START + 1000, &rules).expect("a trial");
        assert!(guard.pass(&phone(2), START + 20_000, &rules).is_none());
        let unused = guard.pass(&phone(2), START + 26_000, &rules).expect("the first one is lost");
        guard.end(&unused, Unused, START + 26_000);
        assert!(guard.pass(&phone(3), START + 26_000, &rules).is_some());
        guard.end(&lost, Silent, START + 60_000);
        assert!(guard.pass(&phone(4), 0, &rules).is_some(), "the clock was set back");
    }

    #[test]
    fn errors_that_take_their_time_count_as_silence() {
        let guard = EndpointGuard::default();
        for _ in 0..3 {
            let pass = guard.pass(&phone(1), START, &RULES).expect("a question");
            guard.end(&pass, Error, START + SLOW);
        }
        assert!(guard.pass(&phone(2), START, &RULES).is_none());
    }
}
