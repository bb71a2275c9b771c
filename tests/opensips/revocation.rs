// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a session takes its binding along, however usrloc names addresses.

use crate::phones::{ALICE, STORE_KEY, stored, with_code_of};
use crate::stack::Stack;
use crate::support::code_server::CodeServer;
use crate::support::temporary::Directory;

#[test]
fn a_revoked_session_loses_its_binding_with_and_without_domains() {
    for domains in [0, 1] {
        let directory = Directory::new("revocation");
        let server = CodeServer::start();
        let builder = stored("tests/e2e/async.cfg", &server.provider(), &directory);
        let builder = builder.define_string("CALLEE", "sip:127.0.0.1:9").define("DOMAINS", domains).define("DEBUG", 2);
        let stack = Stack::new(builder);
        stack.secrets.keep(STORE_KEY);
        let register = with_code_of(ALICE, &server.code("alice"), "1");
        let reply = stack.request(&mut stack.udp(), &register);
        assert_eq!(reply.status, 200, "use_domain={domains}: {reply:?}\n{}", stack.module_log());
        let ended = stack.rpc("auth_oauth.sessions_revoke", &["alice@example.test"]).expect("ended");
        assert!(ended.contains("revoked: 1") && ended.contains("bindings_removed: 1"), "{domains}: {ended}");
        let left = stack.rpc("ul.dump", &[]).expect("usrloc");
        assert!(!left.contains("Address:"), "{domains}: {left}");
        stack.wait_until("the event route has run", || {
            stack.kamailio.log().contains("EVENT ended session_revoked sip:alice@example.test")
        });
        stack.finish();
    }
}
