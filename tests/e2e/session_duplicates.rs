// SPDX-License-Identifier: MIT OR Apache-2.0

//! The same registration several times at once: its code is exchanged once, and every copy gets the one result.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::phones::{
    ALICE, aor, key_of, registration_with_proof, sign_in, start, start_with, start_with_codes, with_code,
};
use crate::stack::Stack;
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
        let request = with_code(&aor(user), &login);
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
            let login = server.code(&user);
            (stack.udp(), with_code(&aor(&user), &login), user, login)
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
fn a_code_is_good_for_its_user_only() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let login = sign_in(&stack, &server, "alice");
    let stolen = stack.request(&mut stack.udp(), &with_code(&aor("mallory"), &login));
    assert_eq!(stolen.status, 403, "{stolen:?}");
    let own = stack.request(&mut stack.udp(), &with_code(ALICE, &login));
    assert_eq!(own.status, 200, "it was spent for nobody else: {own:?}\n{}", stack.module_log());
    let stolen = stack.request(&mut stack.udp(), &with_code(&aor("mallory"), &login));
    assert_eq!(stolen.status, 403, "{stolen:?}");
    assert_eq!(server.stats().get("/token"), Some(&1));
    stack.finish();
}
