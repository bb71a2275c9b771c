// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the check of a token costs beside the cryptography that it cannot do without.
//!
//!   micro [--quick] [--before TREE]      fewer rounds: to see that it works; a tree with another build, in the same run

use std::process::{Command, ExitCode};
use std::time::Instant;

use aws_lc_rs::hmac as aws_hmac;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::part::{Figure, Part, Ratio, folder};
use sipoauth_bench::rounds::Spread;

use host::{CHost, Register, RustHost};
use library::Library;
use race::Race;
use tokens::{Key, address, signed_parts};

mod host;
mod library;
mod race;
mod tokens;

/// Tokens of the cached checks.
const TOKENS: usize = 1000;
/// A cache that hardly ever has a token again before [`NEW`] others, but is in use.
const TOO_SMALL: usize = 8;
/// Tokens of the full checks.
const NEW: usize = 400;
const MANY: usize = 10_000;
const LARGE: usize = 100_000;
/// Room for tokens, as the default has it.
const ROOM: usize = 65_536;
/// Marks the figures of another build.
const BEFORE: &str = ", build before";

fn main() -> ExitCode {
    let Arguments { quick, before } = match Arguments::read("micro") {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let library = before.map(|tree| Library::load(&tree.join("target/release/libsipoauth.so")));
    let saved = library.transpose().and_then(|before| measure(quick, before).save());
    match saved {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(quick: bool, before: Option<Library>) -> Part {
    let begin = Instant::now();
    let rounds = if quick { 5 } else { 41 };
    let mut part = Part { name: "micro".into(), quick, ..Part::default() };
    eprintln!("micro: full checks");
    full_checks(&mut part, rounds);
    eprintln!("micro: cached checks");
    cached_checks(&mut part, rounds);
    many_tokens(&mut part, rounds, quick, before);
    part.ratios.push(instructions());
    part.seconds = begin.elapsed().as_secs_f64();
    for ratio in &part.ratios {
        let measured = ratio.measured.map_or("not measured".into(), |m| format!("{:.3}", m.median));
        eprintln!("micro: {} {measured} (goal {}): {}", ratio.id, ratio.goal, ratio.what);
    }
    part
}

/// The first `count` users' requests.
fn registers(key: &Key, count: usize) -> Vec<Register> {
    let register = |user| Register { address: address(user), authorization: format!("Bearer {}", key.token(user)) };
    (0..count).map(register).collect()
}

/// A token that is not in the cache, with everything that its check is made of.
fn full_checks(part: &mut Part, rounds: usize) {
    let keys = Key::all();
    let mut race = Race::default();
    for key in &keys {
        let algorithm = key.algorithm();
        // More than the cache holds: each is new when its turn comes.
        let requests = registers(key, NEW);
        // The same tokens in the same order for each: a processor learns a signature that it sees again and again.
        let parts: Vec<_> = requests.iter().map(|request| signed_parts(request.token())).collect();
        let verifier = key.verifier();
        if let Some(spki) = key.spki() {
            let parts = parts.clone();
            race.add(&format!("raw verify {algorithm}, key parsed each time"), move |call| {
                let (message, signature) = &parts[call % parts.len()];
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki).verify(message, signature).is_ok()
            });
        }
        race.add(&format!("raw verify {algorithm}"), move |call| {
            let (message, signature) = &parts[call % parts.len()];
            assert!(verifier.verify(message, signature));
        });
        let mut host = CHost::new(Library::this(), key, TOO_SMALL);
        race.add(&format!("full check {algorithm}"), move |call| {
            assert!(!host.check(&requests[call % requests.len()]), "the token must be new");
        });
    }
    race.run(rounds);
    for (id, algorithm, goal, stretch) in [("6a", "RS256", 1.12, 1.08), ("6b", "ES256", 1.03, 1.01)] {
        let (full, raw) = (format!("full check {algorithm}"), format!("raw verify {algorithm}"));
        part.ratios.push(Ratio {
            id: id.into(),
            what: format!("full check of a new token ÷ raw verify with aws-lc-rs, {algorithm}"),
            measured: Some(race.ratio(&full, &raw)),
            goal,
            stretch,
            more_is_better: false,
            note: "a whole sipoauth_worker_check of a REGISTER whose token is new, which is then put into the cache \
                   in place of another; below: verify_sig with a parsed key, SHA-256 of the signed octets included"
                .into(),
        });
    }
    figures(part, "Full checks (a new token each time) and raw verification", &race);
}

/// Tokens that are in the cache, beside what a proof costs at least.
fn cached_checks(part: &mut Part, rounds: usize) {
    let text = vec![0x61u8; 300];
    let (kilo, other) = (vec![0x61u8; 1024], vec![0x61u8; 1024]);
    let secret = [0x5au8; 32];
    let [rsa, ..] = Key::all();
    let requests = registers(&rsa, TOKENS);
    let (mut through_c, mut in_rust) = (CHost::new(Library::this(), &rsa, ROOM), RustHost::new(&rsa, ROOM));
    for request in &requests {
        assert!(!through_c.check(request) && !in_rust.check(request), "the cache is empty at first");
    }
    let mut race = Race::default();
    race.add("HMAC-SHA256 of 300 octets (sha2)", |_| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
        mac.update(&text);
        mac.finalize().into_bytes()
    });
    race.add("HMAC-SHA256 of 300 octets (aws-lc-rs)", |_| {
        aws_hmac::sign(&aws_hmac::Key::new(aws_hmac::HMAC_SHA256, &secret), &text)
    });
    race.add("SHA-256 of 1 KB (sha2)", |_| Sha256::digest(&kilo));
    race.add("SHA-256 of 1 KB (aws-lc-rs)", |_| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &kilo));
    race.add("memcmp of 1 KB", |_| std::hint::black_box(&kilo) == std::hint::black_box(&other));
    race.add("cached check, C interface, 1k tokens", |call| {
        assert!(through_c.check(&requests[scattered(call, TOKENS)]), "the token must be in the cache");
    });
    race.add("cached check, Rust worker, 1k tokens", |call| {
        assert!(in_rust.check(&requests[scattered(call, TOKENS)]), "the token must be in the cache");
    });
    race.run(rounds);
    part.ratios.push(Ratio {
        id: "7".into(),
        what: "cached check ÷ one HMAC-SHA256 of 300 octets, per-worker cache, 1k tokens".into(),
        measured: Some(race.ratio("cached check, C interface, 1k tokens", "HMAC-SHA256 of 300 octets (sha2)")),
        goal: 0.5,
        stretch: 0.33,
        more_is_better: false,
        note: "through the C interface, as hosts call it, with filling the request and clearing the result; below: \
               the HMAC that proofs of possession are checked with, its key set up each time"
            .into(),
    });
    figures(part, "Cached checks, and the least that a proof costs", &race);
}

/// What a known token costs when there are many others. The messages are in the processor's cache, because a socket has
/// just put them there.
fn many_tokens(part: &mut Part, rounds: usize, quick: bool, before: Option<Library>) {
    // Tokens with HMAC are made fast.
    let [_, _, _, hmac] = Key::all();
    let counts: Vec<_> = [1, TOKENS, MANY, LARGE].into_iter().filter(|count| !quick || *count < LARGE).collect();
    let requests = registers(&hmac, counts[counts.len() - 1]);
    let (mut race, mut memory) = (Race::default(), Vec::new());
    let name = |count: usize, build: &str| format!("cached check, C interface, {count} tokens{build}");
    for (build, library) in [("", Some(Library::this())), (BEFORE, before)] {
        let Some(library) = library else { continue };
        for &count in &counts {
            let requests = &requests[..count];
            let empty = resident();
            let mut host = CHost::new(library, &hmac, ROOM.max(count + count / 2));
            for request in requests {
                host.check(request);
            }
            memory.push((name(count, build), resident() - empty));
            let receive = move |call, message: &mut Register| message.receive(&requests[scattered(call, count)]);
            race.add_received(&name(count, build), receive, move |message| host.check(message));
        }
    }
    race.run(rounds);
    part.ratios.push(Ratio {
        id: "13c".into(),
        what: "cached check through the C interface, 10,000 ÷ 1 token".into(),
        measured: Some(race.ratio(&name(MANY, ""), &name(1, ""))),
        goal: 2.5,
        stretch: 1.8,
        more_is_better: false,
        note: "tokens in no order; each message in the processor's cache, as a socket leaves it".into(),
    });
    part.ratios.push(Ratio {
        id: "13d".into(),
        what: "cached check of this build ÷ that of the build before, 10,000 tokens".into(),
        measured: before.map(|_| race.ratio(&name(MANY, ""), &name(MANY, BEFORE))),
        goal: 0.35,
        stretch: 0.2,
        more_is_better: false,
        note: "in one process, in turn".into(),
    });
    // Before, each worker had its own.
    let mut taken = |build, workers: f64| {
        let (_, octets) = memory.iter().find(|(found, _)| *found == name(LARGE, build))?;
        let value = Spread::exact(octets * workers / 1e6);
        let group = "Memory of known tokens".into();
        part.figures.push(Figure {
            group,
            name: format!("100,000 tokens, 4 workers{build}"),
            value,
            unit: "MB".into(),
        });
        Some(octets * workers)
    };
    let (new, old) = (taken("", 1.0), taken(BEFORE, 4.0));
    part.ratios.push(Ratio {
        id: "16".into(),
        what: "memory for 100,000 known tokens at 4 workers, this build ÷ the build before".into(),
        measured: new.zip(old).map(|(new, old)| Spread::exact(new / old)),
        goal: 0.05,
        stretch: 0.02,
        more_is_better: false,
        note: "resident memory, with room for half as many more; the build before has it once for each worker".into(),
    });
    figures(part, "Cached checks with many tokens", &race);
}

/// What this process has in memory, in octets.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096.0
}

/// Another token each time, in no order that a processor could guess.
fn scattered(call: usize, tokens: usize) -> usize {
    call.wrapping_mul(7919) % tokens
}

fn figures(part: &mut Part, group: &str, race: &Race<'_>) {
    for (name, value) in race.figures() {
        eprintln!("micro: {name}: {:.3} µs", value.median);
        part.figures.push(Figure { group: group.into(), name: name.into(), value, unit: "µs".into() });
    }
}

/// The count of tools/instructions.sh.
fn instructions() -> Ratio {
    let project = folder().ancestors().nth(2).expect("target/bench is in the project").to_owned();
    let output = Command::new(project.join("tools/instructions.sh")).arg("measure").output();
    let (measured, note) = match output {
        Ok(output) if output.status.success() => {
            let count = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().ok();
            (count.map(Spread::exact), "of the library, through the C interface; counted by callgrind".to_owned())
        }
        Ok(output) => (None, String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => (None, format!("tools/instructions.sh: {error}")),
    };
    Ratio {
        id: "11".into(),
        what: "instructions added per cached check".into(),
        measured,
        goal: 2500.0,
        stretch: 1500.0,
        more_is_better: false,
        note,
    }
}
