// SPDX-License-Identifier: MIT OR Apache-2.0

//! E_OAUTH_DENIED and E_OAUTH_SESSION_ENDED.

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
