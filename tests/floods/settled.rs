// SPDX-License-Identifier: MIT OR Apache-2.0

//! A server that does not answer against what proxies know already.

use crate::phone::{ALICE, BOB, Sip};
use crate::proxies::Plant;
use crate::records::settings;
use crate::support::redis::Redis;
use crate::support::scripted_server::Answer;
use sipoauth_core::reason::Reason;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_fate_of_codes_is_told_while_the_server_is_left_alone() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let settings = settings(&plant, &redis);
    let (mut one, mut two) = (plant.proxy(&settings), plant.proxy(&settings));
    let good = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
    let wrong = Sip::with_code(BOB, "two", "a-code-that-nobody-has-given-out");
    assert_eq!(one.reason(&good), Reason::Ok, "{}", one.log.text());
    assert_eq!(one.reason(&wrong), Reason::CodeRefused);
    plant.endpoint.answer_codes(Some(Answer::Status(503)));
    let (until, mut number) = (Instant::now() + Duration::from_secs(20), 0);
    loop {
        let asked = plant.endpoint.server.count(crate::endpoint::TOKEN);
        number += 1;
        let sip = Sip::with_code(BOB, &format!("n{number}"), &format!("a-code-that-cannot-be-sent-{number}"));
        assert_eq!(two.reason(&sip), Reason::ExchangeUnavailable);
        if plant.endpoint.server.count(crate::endpoint::TOKEN) == asked {
            break;
        }
        assert!(Instant::now() < until, "it is asked for ever");
    }
    assert_eq!(two.reason(&good), Reason::Ok, "{}", two.log.text());
    assert_eq!(two.reason(&wrong), Reason::CodeRefused);
}

/// Right after the first sign-in the proxy begins to listen to others, and all that it knows may have changed.
#[test]
fn the_first_sign_in_is_told_while_the_proxy_begins_to_listen_to_others() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let settings = settings(&plant, &redis);
    let first = |number: usize| {
        let mut proxy = plant.proxy(&settings);
        let sip = Sip::with_code(ALICE, &format!("first{number}"), &plant.endpoint.code("alice"));
        assert_eq!(proxy.reason(&sip), Reason::Ok, "{number}: {}", proxy.log.text());
    };
    // A proxy takes a second to end.
    thread::scope(|scope| {
        for lane in 0..8 {
            scope.spawn(move || (0..6).for_each(|round| first(8 * round + lane)));
        }
    });
}
