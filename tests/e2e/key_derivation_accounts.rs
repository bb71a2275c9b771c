// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the accounts of the Key-Derivation scheme come from: the store, by RPC, or a database of the operator's own.

use sipoauth_core::keys::pbkdf2::{Kdf, Parameters};
use sipoauth_core::keys::verifier::Verifier;

use crate::key_derivation::{BOB, NONCE, PASSWORD, challenge_in, key_of, register, start, start_with, with_proof};
use crate::phones::{ALICE, digest, run, stored};
use crate::stack::provider;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::sip::Request;
use crate::support::temporary::Directory;

#[test]
fn accounts_of_a_database_of_ones_own() {
    let parameters = Parameters::new(Kdf::Sha256, 1000, b"a salt of sixtee".to_vec(), 256).expect("good");
    let verifier = Verifier::derive(parameters, PASSWORD.as_bytes());
    let line = verifier.to_text();
    let site = start_with(|builder, _| {
        builder.define("OWN_DATABASE", 1).define_string("OWN_USER", "alice").define_string("OWN_VERIFIER", &line)
    });
    let stack = &site.stack;
    stack.secrets.keep(line.as_str());
    let mut phone = stack.udp();
    let key = key_of(stack, &mut phone);
    assert_eq!(key, verifier.key);
    assert_eq!(stack.request(&mut phone, &with_proof(register("alice"), &key, Some(NONCE))).status, 200);
    // No value: no such user.
    let reply = stack.request(&mut phone, &register("carol"));
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    challenge_in(&reply, "WWW-Authenticate");
    site.finish();
}

#[test]
fn accounts_that_are_none() {
    let (directory, server) = (Directory::new("key-derivation"), AuthorizationServer::start());
    let stack = run(stored("tests/e2e/accounts.cfg", &provider(server.issuer()), &directory));
    let parameters = Parameters::new(Kdf::Sha256, 1000, vec![1; 16], 256).expect("good");
    let verifier = Verifier::derive(parameters, PASSWORD.as_bytes());
    let line = verifier.to_text();
    stack.secrets.keep(line.rsplit('$').next().expect("a key"));
    let mut count = 0;
    let mut answer = |kind: &str, text: &str| {
        count += 1;
        let request = register("alice").with("X-Account", kind).with("X-Text", text);
        let nonce = format!("{NONCE}-{count}");
        stack.request(&mut stack.tcp(), &with_proof(request, &verifier.key, Some(&nonce)))
    };
    for kind in ["none", "empty", "zero"] {
        let reply = answer(kind, "x");
        assert_eq!(reply.status, 401, "{kind}: no such user");
        challenge_in(&reply, "WWW-Authenticate");
    }
    let cut = &line[..line.len() - 1];
    let long = format!("{}{}", *line, "A".repeat(3000));
    for (kind, text) in [("number", "x"), ("text", "a password"), ("text", cut), ("text", &long)] {
        let reply = answer(kind, text);
        assert_eq!((reply.status, reply.all("WWW-Authenticate").len()), (503, 0), "{kind} {text}: {reply:?}");
    }
    assert_eq!(stack.counter("reason_account_malformed"), 4);
    assert_eq!(answer("text", &line).status, 200);
    stack.finish();
}

#[test]
fn accounts_over_rpc() {
    let site = start();
    let stack = &site.stack;
    let shown = stack.rpc("auth_oauth.accounts_show", &["alice@example.test"]).expect("an account");
    let own = ["aor: sip:alice@example.test", "kdf: sha256", "iterations: 1000", "key_size: 256", "stands_out: no"];
    for words in own {
        assert!(shown.contains(words), "{shown}");
    }
    assert!(!shown.contains("salt"), "{shown}");
    assert!(stack.rpc("auth_oauth.accounts_show", &[BOB]).is_err());
    let parameters = Parameters::new(Kdf::Sha512, 2000, vec![1; 16], 512).expect("good");
    let line = Verifier::derive(parameters, b"another").to_text();
    stack.secrets.keep(line.as_str());
    stack.rpc("auth_oauth.accounts_set", &[BOB, &line]).expect("written");
    let listed = stack.rpc("auth_oauth.accounts_list", &[]).expect("a list");
    assert!(listed.contains("sip:alice@example.test") && listed.contains("kdf: sha512"), "{listed}");
    assert_eq!(listed.matches("stands_out: yes").count(), 1, "{listed}");
    assert!(stack.rpc("auth_oauth.accounts_show", &[BOB]).is_ok_and(|text| text.contains("stands_out: yes")));
    for wrong in [&[BOB][..], &[BOB, "password"], &[BOB, "$pbkdf2-sha256$i=1$x$y"], &["tel:1", &line]] {
        let said = stack.rpc("auth_oauth.accounts_set", wrong);
        assert!(said.is_err(), "{wrong:?}: {said:?}");
    }
    // kamcmd sends what looks like a number as one; a password must stay as it was written.
    for number in ["0042", "42", "99999999999999999999", "1.50"] {
        let said = stack.rpc("auth_oauth.accounts_set", &[ALICE, "password", number]).expect_err(number);
        assert!(said.contains("must be a text"), "{said}");
        stack.rpc("auth_oauth.accounts_set", &[ALICE, "password", &format!("s:{number}")]).expect("written");
        let request = register("alice");
        let challenge = challenge_in(&stack.request(&mut stack.udp(), &request), "WWW-Authenticate");
        let key = challenge.parameters.derive(number.as_bytes());
        assert!(challenge.is_from_holder(&key, &digest(&request, b""), None), "{number}");
    }
    let removed = stack.rpc("auth_oauth.accounts_remove", &[ALICE]).expect("removed");
    assert!(removed.contains("removed: 1"), "{removed}");
    assert!(stack.rpc("auth_oauth.accounts_remove", &[ALICE]).is_ok_and(|text| text.contains("removed: 0")));
    site.finish();
}

#[test]
fn a_sip_worker_does_not_derive_keys() {
    let (directory, server) = (Directory::new("key-derivation"), AuthorizationServer::start());
    let stack = run(stored("tests/e2e/worker_rpc.cfg", &provider(server.issuer()), &directory));
    let own = Request::register(ALICE);
    // By its rank the process to which the script gives this one is one for RPC commands.
    let given_on = Request::new("OPTIONS", "sip:example.test", ALICE);
    for request in [own, given_on] {
        let reply = stack.request(&mut stack.udp(), &request);
        let said = reply.header("X-RPC").expect("the script adds it");
        assert!(said.contains("403") && said.contains("use kamcmd"), "{said}");
    }
    assert!(stack.rpc("auth_oauth.accounts_show", &[ALICE]).is_err());
    stack.finish();
}
