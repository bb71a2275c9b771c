// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that use the table of tokens, and are killed while they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sipoauth::shared::token_names::TokenName;
use sipoauth::shared::{Arena, Sizes};
use sipoauth_core::check::known_token::WORDS;

const NOW: i64 = 2_000_000_000;
/// Few places for many tokens: each write replaces what others read.
const PLACES: usize = 64;
const TOKENS: u64 = 512;
const KILLS: usize = 200;

fn name(token: u64) -> TokenName {
    [token.wrapping_mul(0x9E37_79B9_7F4A_7C15), token]
}

/// What belongs to a token, with a sum of it all in the last word.
fn content(token: u64, turn: u64) -> [u64; WORDS] {
    let mut words = [token; WORDS];
    words[1] = turn;
    words[2..WORDS - 1].iter_mut().enumerate().for_each(|(index, word)| *word = token ^ turn << index);
    words[WORDS - 1] = words[..WORDS - 1].iter().fold(0, |sum, word| sum.wrapping_mul(31).wrapping_add(*word));
    words
}

/// Reads and writes until it is killed, or until something is wrong.
fn work(arena: &Arena, seed: u64) -> ! {
    let table = arena.tokens();
    let mut turn = seed;
    loop {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let token = (turn >> 33) % TOKENS;
        if let Some(found) = table.get(&name(token), NOW)
            && found != content(token, found[1])
        {
            // SAFETY: the parent, which expects it to be killed, sees that it ended by itself.
            unsafe { libc::_exit(1) };
        }
        table.put(&name(token), &content(token, turn), NOW);
    }
}

fn start(arena: &Arena, seed: u64) -> libc::pid_t {
    // SAFETY: the child uses atomics in shared memory only, and does so until it is killed.
    match unsafe { libc::fork() } {
        0 => work(arena, seed),
        child => child,
    }
}

fn kill(child: libc::pid_t) {
    // SAFETY: a child of this process that was not waited for yet.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    let mut status = 0;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status), "it ended by itself: {status}");
}

#[test]
fn processes_that_are_killed_leave_no_half_entry_and_lose_no_place() {
    let arena = Arc::new(Arena::new(&Sizes { tokens: PLACES, ..Sizes::default() }, 0).expect("memory"));
    let mut children: Vec<_> = (0..4).map(|seed| start(&arena, seed)).collect();
    let seen = AtomicU64::new(0);
    for round in 0..KILLS {
        let victim = round % children.len();
        kill(children[victim]);
        children[victim] = start(&arena, 1000 + round as u64);
        for token in 0..TOKENS {
            if let Some(found) = arena.tokens().get(&name(token), NOW) {
                assert_eq!(found, content(token, found[1]), "round {round}");
                seen.fetch_add(1, Relaxed);
            }
        }
    }
    children.into_iter().for_each(kill);
    assert!(seen.load(Relaxed) > KILLS as u64, "there was something to read");
    // Whatever the dead have left begun is taken over: every place can be used.
    let table = arena.tokens();
    for token in TOKENS..2 * TOKENS {
        table.put(&name(token), &content(token, 0), NOW + 1000);
        assert_eq!(table.get(&name(token), NOW + 1000), Some(content(token, 0)), "{token}");
    }
}
