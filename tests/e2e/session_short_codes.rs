// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/desk-phone-code.cfg: numbers that users type into phones, and whoever guesses them.

use serde_json::json;

use crate::phones::{ALICE, aor, key_of, registration_with_proof, run, sign_in_for, stored, with_code};
use crate::stack::{Stack, provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::temporary::Directory;

fn start(unprotected: bool) -> (Directory, AuthorizationServer, Stack) {
    let directory = Directory::new("desk");
    let server = AuthorizationServer::start();
    let provider = format!("{};client_id=sip-desk;client_secret=desk-secret", provider(server.issuer()));
    let mut builder = stored("desk-phone-code.cfg", &provider, &directory);
    if unprotected {
        builder = builder.define_string("UNPROTECTED", "yes");
    }
    let stack = run(builder);
    stack.secrets.keep("desk-secret");
    (directory, server, stack)
}

#[test]
fn over_udp_a_short_code_is_refused_unless_allowed() {
    let (_directory, server, stack) = start(false);
    let login = sign_in_for("sip-desk", &stack, &server, "alice");
    let code = login["code"].as_str().expect("a code");
    assert!(code.len() == 8 && code.bytes().all(|octet| octet.is_ascii_digit()), "a number for a keypad");
    let reply = stack.request(&mut stack.udp(), &with_code(ALICE, &login));
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(stack.counter("reason_short_code_unprotected"), 1);
    assert_eq!(server.stats().get("/token"), None, "it is not even asked for");
    stack.finish();

    let (_directory, server, stack) = start(true);
    let login = sign_in_for("sip-desk", &stack, &server, "alice");
    let request = with_code(ALICE, &login);
    let reply = stack.request(&mut stack.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    for _ in 0..2 {
        assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200);
    }
    let shown = stack.rpc("auth_oauth.sessions_show", &[ALICE]).expect("sessions");
    assert!(shown.contains("weak: 1"), "{shown}");
    stack.finish();
}

#[test]
fn who_guesses_codes_of_one_user_is_stopped_and_others_are_not() {
    let (_directory, server, stack) = start(true);
    let guess = |number: u32| {
        let code = json!({ "code": format!("{number:08}"), "redirect_uri": "http://127.0.0.1/cb" });
        stack.request(&mut stack.udp(), &with_code(ALICE, &code))
    };
    let mut tries = 0;
    // A new ten minutes may begin meanwhile.
    let stopped = loop {
        let reply = guess(tries);
        if reply.status != 401 {
            break reply;
        }
        tries += 1;
        assert!(tries <= 10, "nobody stops it\n{}", stack.module_log());
    };
    assert_eq!(stopped.status, 403, "{stopped:?}\n{}", stack.module_log());
    assert!((5..=10).contains(&tries), "{tries}");
    assert!(stack.counter("reason_code_tries") == 1 && stack.counter("reason_code_refused") == u64::from(tries));
    let asked = server.stats().get("/token").copied();
    assert_eq!(asked, Some(u64::from(tries)), "what is refused here is not sent there");

    let login = sign_in_for("sip-desk", &stack, &server, "bob");
    let request = with_code(&aor("bob"), &login);
    let reply = stack.request(&mut stack.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    assert_eq!(registration_with_proof(&stack, &aor("bob"), &key).status, 200);
    let reply = guess(99_999_999);
    assert_eq!(reply.status, 403, "still: {reply:?}");
    println!("stopped after {tries} guesses");
    stack.finish();
}
