// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Kamailio does for one request: the instructions of a worker from `receive_msg` on, as Callgrind counts them, by the
//! object files that they are in. Callgrind's processor has no instructions for SHA-256, so what takes their place is
//! counted apart.

use std::time::Instant;

use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::kamailio::counted::{Count, begin, counted};
use sipoauth_bench::kamailio::phones::Phones;
use sipoauth_bench::kamailio::proxy::launch_counted;
use sipoauth_bench::kamailio::site::defines;
use sipoauth_bench::part::{Figure, Part};
use sipoauth_bench::proxies::ground::{Ground, Way};
use sipoauth_bench::proxies::keys::Algorithm;
use sipoauth_bench::proxies::loads::{load, new_tokens};
use sipoauth_bench::proxies::message::Message;
use sipoauth_bench::proxies::process::Proxy;
use sipoauth_bench::rounds::Spread;

/// Users of these proxies, each with one request that is counted.
const USERS: usize = 1000;

fn main() {
    let run = || match Arguments::read("requests")? {
        Arguments { before: None, .. } => run(),
        _ => Err("requests: another build is not counted".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("requests: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let begun = Instant::now();
    let ground = Ground::new()?;
    let keys = ground.server.keys();
    let start = |name, way: Option<Way>| {
        let defines = way.map_or(Ok(Vec::new()), |way| defines(&ground, name, way))?;
        let mut proxy = launch_counted(name, ground.base(), &defines)?;
        proxy.wait_until_ready()?;
        Ok::<_, String>(proxy)
    };
    let count = |proxy: &mut Proxy, messages: &mut [Message]| {
        begin(proxy)?;
        load(proxy, messages, messages.len(), 2)?;
        counted(proxy, ground.base())
    };
    let (mut plain, mut signed, mut codes) =
        (start("plain", None)?, start("signed", Some(Way::Signed))?, start("codes", Some(Way::Codes))?);
    let mut tokens = new_tokens(keys, Algorithm::Rs256, USERS, 0);
    let mut others = new_tokens(keys, Algorithm::Rs256, USERS, USERS as u64);
    // What is counted is not the first of its kind.
    load(&mut plain, &mut tokens, USERS, 1)?;
    load(&mut signed, &mut tokens, USERS, 1)?;
    let phones = Phones::sign_in(&mut codes, USERS, 1)?;
    load(&mut codes, &mut phones.messages()?, USERS, 1)?;
    let known = [
        ("saved without looking at the token (B)", count(&mut plain, &mut tokens)?),
        ("Bearer, token known", count(&mut signed, &mut tokens)?),
        ("Bearer, RS256, every token new", count(&mut signed, &mut others)?),
    ];
    // The registrar takes only growing CSeq numbers, and those of proofs are given when they are made.
    let mut proofs = phones.messages()?;
    let proven = [
        ("message with a proof, saved without check", count(&mut plain, &mut proofs)?),
        ("proof of possession", count(&mut codes, &mut proofs)?),
    ];
    let figure = |(way, counts): (&'static str, Vec<Count>)| {
        let total = ("all".to_owned(), counts.iter().map(|count| count.1).sum());
        counts.into_iter().chain([total]).map(move |(place, instructions)| Figure {
            group: format!("Instructions per REGISTER: {way}"),
            name: place,
            value: Spread::exact((instructions / USERS as f64).round()),
            unit: String::new(),
        })
    };
    let part = Part {
        name: "requests".into(),
        seconds: begun.elapsed().as_secs_f64(),
        figures: known.into_iter().chain(proven).flat_map(figure).collect(),
        ..Part::default()
    };
    part.save()
}
