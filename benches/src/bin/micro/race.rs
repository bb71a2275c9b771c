// SPDX-License-Identifier: MIT OR Apache-2.0
//! Subjects that are timed in turn, round after round.

use std::hint::black_box;

use sipoauth_bench::rounds::Spread;

/// CPU time of one turn of a subject, in nanoseconds.
const TURN: f64 = 4e6;

/// So many requests are received at once, before they are timed.
const RECEIVED: usize = 32;

/// What is timed: it makes so many calls and returns the CPU time of one, in nanoseconds.
type Subject<'a> = Box<dyn FnMut(usize) -> f64 + 'a>;

/// Subjects and what was measured of them.
#[derive(Default)]
pub struct Race<'a> {
    subjects: Vec<(String, Subject<'a>)>,
    calls: Vec<usize>,
    times: Vec<Vec<f64>>,
}

impl<'a> Race<'a> {
    /// Adds a subject. It gets the number of the call, counted through all turns.
    pub fn add<T>(&mut self, name: &str, mut run: impl FnMut(usize) -> T + 'a) {
        let mut made = 0;
        let turn = move |calls: usize| {
            let begin = cpu_nanos();
            for call in made..made + calls {
                black_box(run(call));
            }
            made += calls;
            (cpu_nanos() - begin) / calls as f64
        };
        self.subjects.push((name.to_owned(), Box::new(turn)));
    }

    /// Adds a subject whose message is in the processor's cache, as a socket leaves it: `receive` makes the message
    /// of a call, which is not timed.
    pub fn add_received<M, T>(
        &mut self,
        name: &str,
        mut receive: impl FnMut(usize, &mut M) + 'a,
        mut run: impl FnMut(&M) -> T + 'a,
    ) where
        M: Default + 'a,
    {
        let mut made = 0;
        let mut received: Vec<M> = (0..RECEIVED).map(|_| M::default()).collect();
        let turn = move |calls: usize| {
            let mut time = 0.0;
            let batches = calls.div_ceil(RECEIVED);
            for _ in 0..batches {
                for message in &mut received {
                    receive(made, message);
                    made += 1;
                }
                let begin = cpu_nanos();
                for message in &received {
                    black_box(run(message));
                }
                time += cpu_nanos() - begin;
            }
            time / (batches * RECEIVED) as f64
        };
        self.subjects.push((name.to_owned(), Box::new(turn)));
    }

    /// Runs so many rounds, in each of which every subject has its turn; each begins with another subject.
    pub fn run(&mut self, rounds: usize) {
        self.calls = self.subjects.iter_mut().map(|(_, subject)| calls_of_turn(subject)).collect();
        self.times = vec![Vec::new(); self.subjects.len()];
        for round in 0..rounds {
            for turn in 0..self.subjects.len() {
                let place = (round + turn) % self.subjects.len();
                let time = self.subjects[place].1(self.calls[place]);
                self.times[place].push(time);
            }
            eprint!("\rround {} of {rounds}", round + 1);
        }
        eprintln!();
    }

    /// Nanoseconds per call, one for each round.
    pub fn times(&self, name: &str) -> &[f64] {
        let place = self.subjects.iter().position(|(other, _)| other == name).expect("a subject of this name");
        &self.times[place]
    }

    /// Of every subject, in microseconds.
    pub fn figures(&self) -> impl Iterator<Item = (&str, Spread)> {
        let micros = |times: &Vec<f64>| Spread::of(&times.iter().map(|t| t / 1000.0).collect::<Vec<_>>());
        self.subjects.iter().zip(&self.times).map(move |((name, _), times)| (name.as_str(), micros(times)))
    }

    /// One subject's time as a multiple of another's.
    pub fn ratio(&self, above: &str, below: &str) -> Spread {
        Spread::of_ratios(self.times(above), self.times(below))
    }
}

/// As many calls as fill a turn. Also warms up.
fn calls_of_turn(subject: &mut Subject<'_>) -> usize {
    let mut calls = 16;
    loop {
        let whole = subject(calls) * calls as f64;
        if whole > TURN / 8.0 {
            return ((calls as f64 * TURN / whole) as usize).max(1);
        }
        calls *= 2;
    }
}

/// CPU time of this thread: what others do meanwhile does not count.
fn cpu_nanos() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "the clock of a thread can always be read");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
