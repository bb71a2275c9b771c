// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a script notices of a request that has waited, as docs/reference/functions.md says it.

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::scripted_server::{ScriptedServer, key_set};
use crate::support::token::{TestKey, claims};

#[test]
fn what_was_set_before_a_check_stays_or_goes_as_it_is_written() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[old.jwk()]));
    let stack = Stack::new(configured("tests/e2e/waiting.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    server.set_keys(key_set(&[old.jwk(), new.jwk()]));
    const KEPT: [&str; 5] = ["flag", "avp", "xavp", "du", "later"];
    for (key, waits) in [(&old, false), (&new, true)] {
        let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
        let before = stack.counter("suspended");
        let reply = stack.register(&mut stack.udp(), "sip:alice@example.test", &token);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        assert_eq!(stack.counter("suspended") - before, u64::from(waits));
        let found = reply.all("X-Set");
        for name in KEPT {
            assert!(found.contains(&name), "{name} {waits}: {found:?}");
        }
        // A $var is the process's own: it may be there, and be another request's.
        assert_eq!(found.contains(&"branch flag"), !waits, "{waits}: {found:?}");
    }
    stack.finish();
}
