// SPDX-License-Identifier: MIT OR Apache-2.0

//! The grants of sip-oauth in which an authorization server knows the user: a master-key beside its tokens
//! (master-key.cfg), and tokens from elsewhere that it replaces (foreign-tokens.cfg).

use crate::phones::{ALICE, FORM, prove, prove_beside_token, prove_in_header, proxy_provider, run, start_with, stored};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::tool_phone::ToolPhone;
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::sip::digest::{DigestAlgorithm, ha1};

/// Where a phone signs in by Digest.
fn authorize(server: &AuthorizationServer) -> String {
    format!("{}/sip/authorize?client_id=sip-proxy", server.issuer())
}

fn with_master_keys() -> (Directory, AuthorizationServer, Stack) {
    start_with("master-key.cfg", |builder| builder)
}

fn strict(server: &AuthorizationServer) -> String {
    format!("{};require_master_key=yes", proxy_provider(server))
}

#[test]
fn a_phone_and_the_proxy_share_the_servers_master_key() {
    let (_directory, server, stack) = with_master_keys();
    let url = authorize(&server);
    let sign_in = ["--authorize", &url, "--password-file", "-", "--redirect-uri", "http://127.0.0.1/cb"];
    for form in ["base64url", "underscore", "hex", "draft"] {
        server.master_key_form(form);
        let phone = ToolPhone::new("alice");
        phone.accepted(&stack, "a", &sign_in);
        phone.keep_secrets(&stack, "a");
        assert_eq!(phone.memory("a")["shared_key"]["order"], "master-key", "{form}");
        phone.accepted(&stack, "a", &["--pop"]);
        let call = ["--pop", "--method", "MESSAGE", "--to", "sip:nobody@example.test", "--body", "hello"];
        assert_eq!(phone.refused(&stack, "a", &call), 404, "the proof is good, nobody is there");
        assert_eq!(phone.refused(&stack, "a", &["--pop", "--date", "Sat, 01 Jan 2000 00:00:00 GMT"]), 403);
    }
    let stats = server.stats();
    assert_eq!(stats.get("/token authorization_code"), Some(&4), "{stats:?}");
    stack.finish();
}

#[test]
fn a_server_without_the_key_and_a_phone_without_the_password_come_to_nothing() {
    let directory = Directory::new("sessions");
    let server = AuthorizationServer::start();
    let stack = run(stored("master-key.cfg", &strict(&server), &directory));
    let url = authorize(&server);
    let sign_in = ["--authorize", &url, "--password-file", "-", "--redirect-uri", "http://127.0.0.1/cb"];
    for form in ["absent", "garbage"] {
        server.master_key_form(form);
        let run = ToolPhone::new("alice").run(&stack, "a", &sign_in);
        assert_eq!((run.exit, run.status()), (4, 503), "{form}: {run:?}");
    }
    assert!(stack.module_log().contains("has no master-key, which require_master_key asks for"));
    assert!(stack.module_log().contains("master-key is not 32 octets"), "{}", stack.module_log());
    server.master_key_form("base64url");
    let wrong = ToolPhone::new("alice").with_password("not-the-password").run(&stack, "a", &sign_in);
    assert_eq!((wrong.exit, wrong.status()), (3, 0), "the server refuses, the proxy is not asked: {wrong:?}");
    // Another user's code is of no use, and neither is his key.
    let stolen = server.digest_sign_in("bob", "bob-password").expect("bob signs in");
    let run =
        ToolPhone::new("alice").run(&stack, "a", &["--code", &stolen.code, "--redirect-uri", "http://127.0.0.1/cb"]);
    assert_eq!(run.status(), 403, "{run:?}");
    let alice = ToolPhone::new("alice");
    alice.accepted(&stack, "a", &sign_in);
    let bob = ToolPhone::new("bob");
    bob.accepted(&stack, "a", &sign_in);
    for phone in [&alice, &bob] {
        phone.keep_secrets(&stack, "a");
    }
    alice.remember("b", &alice.memory("a"), &[("shared_key", bob.memory("a")["shared_key"].clone())]);
    assert_eq!(alice.refused(&stack, "b", &["--pop"]), 401, "another user's key");
    stack.finish();
}

#[test]
fn only_the_key_of_this_sign_in_proves_and_only_once() {
    let (_directory, server, stack) = with_master_keys();
    let login = server.digest_sign_in("alice", "alice-password").expect("alice signs in");
    let later = server.digest_sign_in("alice", "alice-password").expect("alice signs in again");
    for code in [&login.code, &later.code] {
        stack.secrets.keep(code);
    }
    let phone = ToolPhone::new("alice");
    phone.accepted(&stack, "a", &["--code", &login.code, "--redirect-uri", "http://127.0.0.1/cb"]);
    let key = |form, ha1: &str, realm: &str, nonce: &str| {
        master_key(form, ha1, realm.as_bytes(), nonce.as_bytes()).expect("H(A1)")
    };
    let status = |request: &Request| stack.request(&mut stack.tcp(), request).status;
    let wrong_ha1 = ha1(DigestAlgorithm::Md5, "alice", &login.realm, "not-the-password");
    for (what, wrong) in [
        ("H(A1)", key(Ha1Form::Hex, &wrong_ha1, &login.realm, &login.nonce)),
        ("nonce", key(Ha1Form::Hex, &login.ha1, &login.realm, "another")),
        ("nonce of another sign-in", key(Ha1Form::Hex, &later.ha1, &later.realm, &later.nonce)),
        ("realm", key(Ha1Form::Hex, &login.ha1, "another", &login.nonce)),
        ("form", key(Ha1Form::Raw, &login.ha1, &login.realm, &login.nonce)),
    ] {
        assert_eq!(status(&prove_in_header(&*wrong, Request::register(ALICE))), 401, "{what}");
    }
    let right = key(Ha1Form::Hex, &login.ha1, &login.realm, &login.nonce);
    for request in [prove_in_header(&*right, Request::register(ALICE)), prove(&*right, Request::register(ALICE))] {
        assert_eq!(status(&request), 200, "{}", stack.module_log());
        assert_eq!(status(&request), 403, "another branch: a replay");
        // The proof of one request in another.
        let mut other = Request::register(ALICE).with_body(FORM, request.body.clone());
        other.set("Date", request.header("Date").expect("a Date"));
        if let Some(credentials) = request.header("Authorization") {
            other.set("Authorization", credentials);
        }
        assert_eq!(status(&other), 401);
    }
    assert_eq!((stack.counter("reason_pop_invalid"), stack.counter("reason_pop_replayed")), (7, 2));
    stack.finish();
}

/// A request with a token.
fn with_token(client: &mut Client, stack: &Stack, request: Request, token: &str) -> u16 {
    stack.request(client, &request.with("Authorization", format!("Bearer {token}"))).status
}

#[test]
fn the_server_validates_and_replaces_tokens_from_elsewhere() {
    let directory = Directory::new("sessions");
    let server = AuthorizationServer::start();
    let line = format!(
        "name=test;issuer={};domain=example.test;tokens=validation_grant;validation_grant_type=urn:example:sip-token;\
         client_id=sip-proxy;client_secret=proxy-secret",
        server.issuer()
    );
    let stack = Stack::new(stored("foreign-tokens.cfg", &line, &directory));
    stack.secrets.keep("proxy-secret");
    for (form, user) in [("opaque", "alice"), ("jwt", "bob")] {
        let token = server.outside_token(user, "sip", 300, form);
        stack.secrets.keep(&token);
        let phone = ToolPhone::new(user);
        phone.accepted(&stack, "a", &["--token", &token]);
        phone.accepted(&stack, "a", &["--token", &token]);
        let call = ["--token", &token, "--method", "MESSAGE", "--to", "sip:nobody@example.test", "--body", "hello"];
        assert_eq!(phone.refused(&stack, "a", &call), 404);
        let stats = server.stats();
        assert_eq!(stats.get("/token urn:example:sip-token"), Some(&if form == "opaque" { 1 } else { 2 }), "{stats:?}");
    }
    let sessions = stack.rpc("auth_oauth.sessions_show", &[ALICE]).expect("sessions");
    assert!(sessions.contains("subject: alice"), "{sessions}");

    let of_alice = server.outside_token("alice", "sip", 300, "opaque");
    assert_eq!(ToolPhone::new("bob").refused(&stack, "a", &["--token", &of_alice]), 401, "another user's");
    assert_eq!(ToolPhone::new("alice").refused(&stack, "a", &["--token", "made-up"]), 401);
    // It has no key, so no proof is its own.
    let proved =
        prove_beside_token(&[7; 32], &server.outside_token("alice", "sip", 300, "opaque"), Request::register(ALICE));
    assert_eq!(stack.request(&mut stack.tcp(), &proved).status, 401);
    assert_eq!(stack.counter("reason_token_unbound"), 1);
    let expired = server.outside_token("alice", "sip", -5, "opaque");
    assert_eq!(ToolPhone::new("alice").refused(&stack, "a", &["--token", &expired]), 401);

    // A call may come first; and while the server is away what it has said goes on.
    let (mut server, mut phone) = (server, stack.tcp());
    let fresh = server.outside_token("carol", "sip", 300, "opaque");
    let invite = || Request::new("MESSAGE", "sip:nobody@example.test", "sip:carol@example.test");
    assert_eq!(with_token(&mut phone, &stack, invite(), &fresh), 404);
    server.stop();
    assert_eq!(with_token(&mut phone, &stack, invite(), &fresh), 404);
    assert_eq!(with_token(&mut phone, &stack, Request::register(ALICE), "a-new-one"), 503, "an outage is no denial");
    stack.finish();
}
