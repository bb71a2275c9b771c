// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits of a source: judged before a request waits, counted once, where a server is asked.

use crate::answers::{INTROSPECT, provider, server};
use crate::phone::{ALICE, Sip};
use crate::plant::Plant;
use crate::proxies;
use crate::site::merged;
use crate::support::scripted_server::Answer;
use crate::support::token::now;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::time::Duration;

/// Limits count by the minute, so a test that crosses into the next minute is tried again.
fn within_a_minute(attempt: impl Fn()) {
    loop {
        if now() % 60 > 50 {
            std::thread::sleep(Duration::from_millis(500));
            continue;
        }
        let minute = now() / 60;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&attempt));
        match result {
            Err(panic) if now() / 60 == minute => std::panic::resume_unwind(panic),
            Ok(()) if now() / 60 == minute => return,
            _ => {}
        }
    }
}

#[test]
fn a_code_counts_once_and_not_at_all_when_its_fate_is_known() {
    within_a_minute(|| {
        let plant = proxies::Plant::new();
        let mut proxy = plant.proxy(&json!({ "source_limit": 2 }));
        let first = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
        let wrong = Sip::with_code(ALICE, "two", "a-code-that-nobody-has-given-out");
        for _ in 0..5 {
            assert_eq!(proxy.reason(&first), Reason::Ok, "{}", proxy.log.text());
        }
        for _ in 0..5 {
            assert_eq!(proxy.reason(&wrong), Reason::CodeRefused);
        }
        let third = Sip::with_code(ALICE, "three", &plant.endpoint.code("alice"));
        let verdict = proxy.look(&third);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::CodeLimited, 503));
        assert!(verdict.pending.is_none(), "it must not wait for that");
        // Another source is not affected, nor what this one knows the fate of.
        let other = Sip { source: ("192.0.2.77".into(), 5060), ..third };
        assert_eq!(proxy.reason(&other), Reason::Ok);
        assert_eq!(proxy.reason(&first), Reason::Ok);
    });
}

#[test]
fn short_codes_beyond_the_tries_do_not_wait() {
    within_a_minute(|| {
        let plant = proxies::Plant::new();
        let mut proxy = plant.proxy(&json!({ "short_code_tries": 3 }));
        for number in 0..3 {
            let sip = Sip::with_code(ALICE, &format!("n{number}"), &format!("12345{number}"));
            assert_eq!(proxy.reason(&sip), Reason::CodeRefused);
        }
        let verdict = proxy.look(&Sip::with_code(ALICE, "more", "999999"));
        assert_eq!(verdict.answer.reason(), Reason::CodeTries);
        assert!(verdict.pending.is_none(), "it must not wait for that");
    });
}

#[test]
fn a_token_counts_once_for_all_that_wait_for_it() {
    within_a_minute(|| {
        let server = server();
        let mut plant = Plant::new(&provider(&server), &json!({ "source_limit": 1, "max_pending": 100 }));
        let handling = Handling { source: "192.0.2.1", ..Handling::default() };
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let verdict = plant.site.worker.check_token("a-token-of-nobody", &handling);
            waiting.push(plant.park(&verdict).expect("the server must be asked"));
        }
        for cookie in waiting {
            plant.wait_for(cookie);
            let resumed = Handling { resumed: true, ..handling };
            let reason = plant.site.worker.check_token("a-token-of-nobody", &resumed).answer.reason();
            assert_eq!(reason, Reason::TokenInactive);
        }
        // Ten questions are one source's with this limit.
        for number in 1..10 {
            assert_eq!(plant.reason(&format!("token-{number}-of-nobody")), Reason::TokenInactive);
        }
        let verdict = plant.site.worker.check_token("the-eleventh-token-of-nobody", &handling);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::IntrospectionLimited, 503));
        assert!(verdict.pending.is_none(), "it must not wait for that");
        assert_eq!(server.count(INTROSPECT), 10);
    });
}

/// The server has an error of its own with made-up tokens.
#[test]
fn made_up_tokens_of_one_source_keep_no_good_one_from_a_server_that_stumbles_over_them() {
    let server = server();
    server.set(
        INTROSPECT,
        Answer::computed(|request| match request.body.contains("token=bad") {
            true => Answer::Status(500),
            false => Answer::Json(json!({
                "active": true, "aud": "sip", "client_id": "phone", "exp": now() + 300, "scope": "sip", "sub": "1234",
                "preferred_username": "alice",
            })),
        }),
    );
    let uncached = merged(&provider(&server), &json!({ "introspection_cache": 0 }));
    let mut plant = Plant::new(&uncached, &json!({ "source_limit": 60 }));
    for number in 0..200 {
        let verdict = plant.ask_from("203.0.113.9", &format!("bad-token-{number:05}"));
        assert_eq!(verdict.answer.reason(), Reason::IntrospectionUnavailable);
        if number % 10 == 0 {
            let verdict = plant.ask_from("192.0.2.1", &format!("good-token-{number:05}"));
            assert_eq!(verdict.answer.reason(), Reason::Ok, "{number}: {}", plant.site.log.text());
        }
    }
    assert!(server.count(INTROSPECT) < 50, "{}", server.count(INTROSPECT));
}

#[test]
fn an_outage_uses_up_nobodys_introspections() {
    within_a_minute(|| {
        let server = server();
        server.set(INTROSPECT, Answer::Status(500));
        // Three failures, and the server is left alone.
        let mut plant = Plant::new(&provider(&server), &json!({ "source_limit": 4 }));
        for number in 0..200 {
            assert_eq!(plant.reason(&format!("a-token-{number:05}")), Reason::IntrospectionUnavailable);
        }
        assert!(server.count(INTROSPECT) < 40);
    });
}
