// SPDX-License-Identifier: MIT OR Apache-2.0

//! E_OAUTH_DENIED and E_OAUTH_SESSION_ENDED, and routes without a request.

use crate::asynchronous::{request, start};
use crate::support::opaque::server;

#[test]
fn a_denied_request_is_an_event_and_others_are_none() {
    let server = server();
    let stack = start(&server, |b| b.define("DEBUG", 2));
    let events = || stack.kamailio.log().matches("EVENT denied").count();
    assert_eq!(stack.request(&mut stack.udp(), &request(&stack, "MESSAGE", "plain")).status, 200);
    let mut without = request(&stack, "MESSAGE", "plain");
    without.headers.retain(|(name, _)| name != "Authorization");
    assert_eq!(stack.request(&mut stack.udp(), &without).status, 401);
    let denied = request(&stack, "MESSAGE", "plain");
    let token = stack.secrets.keep("a-token-that-is-not-good-for-anything");
    let mut denied = denied.clone();
    denied.set("Authorization", format!("Bearer {token}"));
    assert_eq!(stack.request(&mut stack.udp(), &denied).status, 401);
    stack.wait_until("the event route has run", || events() == 1);
    let log = stack.kamailio.log();
    assert!(log.contains("EVENT denied token_inactive -2 401 sip:alice@example.test 127.0.0.1"), "{log}");
    stack.finish();
}

/// OpenSIPS gives all of them the same message.
#[test]
fn a_route_without_a_request_sees_its_own_check_only() {
    let server = server();
    let stack = start(&server, |b| b.workers(1).define("TIMERS", 1));
    stack.secrets.keep("a-token-that-a-timer-has");
    let count = |line: &str| stack.kamailio.log().matches(line).count();
    stack.wait_until("the timers have run", || count("TIMER checks (") > 3 && count("TIMER looks (") > 3);
    let log = stack.kamailio.log();
    let without = |route: &str| count(&format!("TIMER {route} ()")) + count(&format!("TIMER {route} (<null>)"));
    assert_eq!(without("checks"), 0, "{log}");
    assert_eq!(without("looks"), count("TIMER looks ("), "{log}");
    stack.finish();
}
