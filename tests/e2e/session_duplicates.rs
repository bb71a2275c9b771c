// SPDX-License-Identifier: MIT OR Apache-2.0

//! The same registration several times at once: its code is exchanged once, and every copy gets the one result.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::phones::{
    ALICE, aor, key_of, registration_with_proof, sign_in, start, start_with, start_with_codes, strangers, with_code,
    with_code_of,
};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::patience::{PATIENCE, SILENCE};
use crate::support::sip::{Reply, Request};

/// Time between copies: all three within 50 ms.
const BETWEEN: Duration = Duration::from_millis(20);

/// Sends three copies from one socket; all final answers until nothing more comes.
fn send_copies(stack: &Stack, request: &Request, same_branch: bool) -> Vec<Reply> {
    let mut phone = stack.udp();
    let octets = phone.send(request).expect("sent");
    for _ in 0..2 {
        std::thread::sleep(BETWEEN);
        if same_branch {
            phone.send_octets(&octets).expect("sent");
        } else {
            phone.send(request).expect("sent");
        }
    }
    let mut answers = Vec::new();
    let expected = if same_branch { 1 } else { 3 };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match phone.receive_for(SILENCE) {
            Ok(reply) if reply.status >= 200 => answers.push(stack.note(reply)),
            Ok(_) => {}
            Err(_) if answers.len() < expected => {}
            Err(_) => break,
        }
    }
    answers
}

#[test]
fn three_copies_of_a_registration_exchange_its_code_once() {
    let (_directory, server, stack) = start_with("public-ua.cfg", |b| b.workers(4));
    assert_eq!(stack.kamailio.udp_workers().len(), 4);
    for (same_branch, user) in [(true, "alice"), (false, "bob")] {
        server.clear();
        let login = sign_in(&stack, &server, user);
        // In a transaction of its own a late copy is another request: what makes it the phone's is verifier and instance.
        let request = with_code_of(&aor(user), &login, "1");
        let answers = send_copies(&stack, &request, same_branch);
        let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
        assert!(!answers.is_empty() && statuses.iter().all(|s| *s == 200), "{statuses:?}\n{}", stack.module_log());
        let tags: HashSet<_> = answers.iter().map(|a| a.header("To").expect("a To").to_owned()).collect();
        if same_branch {
            assert_eq!(tags.len(), 1, "one transaction has one answer");
        } else {
            assert_eq!(answers.len(), 3, "each transaction is answered: {statuses:?}");
        }
        for answer in &answers {
            let key = key_of(&stack, &login, &request, answer);
            let reply = registration_with_proof(&stack, &aor(user), &key);
            assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        }
        let stats = server.stats();
        assert_eq!(stats.get("/token authorization_code"), Some(&1), "{stats:?}");
        assert_eq!(stats.get("/token"), Some(&1), "{stats:?}");
        println!("same branch {same_branch}: {} answers, {} tags", answers.len(), tags.len());
    }
    stack.finish();
}

#[test]
fn many_phones_that_send_everything_thrice_at_once() {
    let (_directory, server, stack) = start_with_codes(|b| b.workers(4));
    let mut phones: Vec<_> = (0..50)
        .map(|number| {
            let user = format!("many{number}");
            let mut login = server.code(&user);
            login["code_verifier"] = json!("the-verifier-of-a-phone-0123456789-0123456789-0123456789");
            (stack.udp(), with_code_of(&aor(&user), &login, "1"), user, login)
        })
        .collect();
    for copy in 0..3 {
        for (phone, request, ..) in &mut phones {
            phone.send(request).expect("sent");
        }
        std::thread::sleep(Duration::from_millis(5 * copy));
    }
    let mut answered = 0;
    for (phone, request, user, login) in &mut phones {
        for _ in 0..3 {
            let reply = loop {
                let reply = phone.receive().unwrap_or_else(|e| panic!("{user}: {e}\n{}", stack.module_log()));
                if reply.status >= 200 {
                    break stack.note(reply);
                }
            };
            assert_eq!(reply.status, 200, "{user}: {reply:?}\n{}", stack.module_log());
            let key = key_of(&stack, login, request, &reply);
            let reply = registration_with_proof(&stack, &aor(user), &key);
            assert_eq!(reply.status, 200, "{user}: {reply:?}\n{}", stack.module_log());
            answered += 1;
        }
    }
    let asked = server.asked();
    assert_eq!((asked.len(), asked.values().max()), (50, Some(&1)), "each code once");
    println!("{answered} answers to 150 registrations with 50 codes");
    stack.finish();
}

#[test]
fn a_used_code_serves_its_own_phone_only() {
    let (_directory, server, stack) = start_with("public-ua.cfg", |b| b.workers(4));
    let login = sign_in(&stack, &server, "alice");
    let request = with_code_of(ALICE, &login, "1");
    let mut phone = stack.udp();
    let octets = phone.send(&request).expect("sent");
    let reply = stack.note(phone.receive().expect("an answer"));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    for (i, (what, stolen)) in strangers(ALICE, &login).iter().enumerate() {
        for (number, mut client) in [stack.udp(), stack.tcp()].into_iter().enumerate() {
            let refused = stack.request(&mut client, stolen);
            assert_eq!(refused.status, 401, "{what}: {refused:?}\n{}", stack.module_log());
            assert!(refused.header("WWW-Authenticate").is_some(), "{refused:?}");
            assert_eq!(stack.counter("code_attempts"), 2 * i as u64 + number as u64 + 1, "{what}");
        }
    }
    // The answer was lost; later a second flow of the phone, over another transport.
    assert_eq!(phone.exchange(&octets).expect("an answer").status, 200);
    let second = with_code_of(ALICE, &login, "1");
    let reply = stack.request(&mut stack.tcp(), &second);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let other_key = key_of(&stack, &login, &second, &reply);
    for key in [key, other_key] {
        assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200, "{}", stack.module_log());
    }
    // Without a verifier and an instance a used code is its phone's for a lost answer only.
    let login = json!({ "code": sign_in_without_verifier(&stack, &server), "redirect_uri": "http://127.0.0.1/cb" });
    let bob = aor("bob");
    let (first, second) = (with_code(&bob, &login), with_code_of(&bob, &login, "1"));
    assert_eq!(stack.request(&mut stack.udp(), &first).status, 200, "{}", stack.module_log());
    for again in [with_code(&bob, &login), second] {
        assert_eq!(stack.request(&mut stack.udp(), &again).status, 401, "{}", stack.module_log());
    }
    assert_eq!(server.stats().get("/token authorization_code"), Some(&2));
    assert_eq!(stack.rpc("auth_oauth.sessions_list", &[]).expect("sessions").matches("aor:").count(), 2);
    stack.finish();
}

/// A code of an authorization server that asks for no PKCE.
fn sign_in_without_verifier(stack: &Stack, server: &AuthorizationServer) -> String {
    let login = server.digest_sign_in("bob", "bob-password").expect("bob signs in");
    stack.secrets.keep(login.code.as_str());
    login.code
}

#[test]
fn a_code_is_good_for_its_user_only() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let login = sign_in(&stack, &server, "alice");
    let stolen = stack.request(&mut stack.udp(), &with_code(&aor("mallory"), &login));
    assert_eq!(stolen.status, 403, "{stolen:?}");
    let own = stack.request(&mut stack.udp(), &with_code(ALICE, &login));
    assert_eq!(own.status, 200, "it was spent for nobody else: {own:?}\n{}", stack.module_log());
    let stolen = stack.request(&mut stack.udp(), &with_code(&aor("mallory"), &login));
    assert_eq!(stolen.status, 401, "{stolen:?}");
    assert_eq!(server.stats().get("/token"), Some(&1));
    stack.finish();
}
