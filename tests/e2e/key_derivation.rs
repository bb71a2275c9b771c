// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/key-derivation.cfg: phones and proxy prove a password to each other, and nobody sends it.

use std::process::Command;

use sipoauth_core::keys::pbkdf2::{Kdf, MasterKey, Parameters};
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::sip::key_derivation::{KeyChallenge, KeyResponse};
use sipoauth_core::text::fingerprint::hex;

use crate::phones::{ALICE, aor, date, digest, run, stored, with_settings};
use crate::stack::{Stack, provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kamailio::Builder;
use crate::support::kit;
use crate::support::patience::PATIENCE;
use crate::support::redis::{PASSWORD as REDIS_PASSWORD, Redis};
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;
use crate::support::tool::tool;

pub const PASSWORD: &str = "correct horse battery staple";
pub const NONCE: &str = "0123456789abcdef-of-the-phone";
pub const BOB: &str = "sip:bob@example.test";

pub struct Site {
    // Ended in this order.
    pub stack: Stack,
    directory: Directory,
    server: AuthorizationServer,
}

pub fn start_with(change: impl FnOnce(Builder, &Directory) -> Builder) -> Site {
    let directory = Directory::new("key-derivation");
    let server = AuthorizationServer::start();
    let stack = again(&server, &directory, change);
    Site { stack, directory, server }
}

/// The same proxy, with the same store.
fn again(
    server: &AuthorizationServer,
    directory: &Directory,
    change: impl FnOnce(Builder, &Directory) -> Builder,
) -> Stack {
    let builder = stored("key-derivation.cfg", &provider(server.issuer()), directory);
    let stack = run(change(with_settings(builder, directory, "kd_iterations = 1000\n"), directory));
    stack.secrets.keep(PASSWORD);
    stack
}

/// Alice has an account in the store, written over RPC.
pub fn start() -> Site {
    let site = start_with(|builder, _| builder);
    let written = site.stack.rpc("auth_oauth.accounts_set", &["alice@example.test", "password", PASSWORD]);
    assert!(written.as_ref().is_ok_and(|text| text.contains("written")), "{written:?}");
    site
}

impl Site {
    pub fn finish(self) {
        self.stack.finish();
    }
}

pub fn challenge_in(reply: &Reply, header: &str) -> KeyChallenge {
    let found = reply.all(header).into_iter().find_map(KeyChallenge::parse);
    found.unwrap_or_else(|| panic!("no challenge: {reply:?}")).expect("a well-formed challenge")
}

/// With a Date: the scheme needs one.
fn dated(mut request: Request) -> Request {
    request.set("Date", date(0));
    request
}

pub fn register(user: &str) -> Request {
    dated(Request::register(&aor(user)))
}

pub fn with_proof(mut request: Request, key: &MasterKey, nonce: Option<&str>) -> Request {
    let response = KeyResponse::new("alice", None, nonce, key, &digest(&request, &request.body));
    request.set("Authorization", response.to_text());
    request
}

/// What a phone does: sees the challenge, derives its key, knows its server by it.
pub fn key_of(stack: &Stack, client: &mut Client) -> MasterKey {
    let request = register("alice");
    let reply = stack.request(client, &request);
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    let challenge = challenge_in(&reply, "WWW-Authenticate");
    let key = challenge.parameters.derive(PASSWORD.as_bytes());
    assert!(challenge.is_from_holder(&key, &digest(&request, b""), None), "{reply:?}");
    stack.secrets.keep(hex(key.octets()));
    key
}

#[test]
fn phone_and_proxy_prove_the_password_to_each_other() {
    let site = start();
    let stack = &site.stack;
    for mut phone in [stack.udp(), stack.tcp()] {
        let key = key_of(stack, &mut phone);
        let nonce = format!("{NONCE}-{}", phone.local_port());
        let reply = stack.request(&mut phone, &with_proof(register("alice"), &key, Some(&nonce)));
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        // Later requests prove it alone.
        for _ in 0..2 {
            assert_eq!(stack.request(&mut phone, &with_proof(register("alice"), &key, None)).status, 200);
        }
        for method in ["MESSAGE", "OPTIONS", "INVITE"] {
            let request =
                dated(Request::new(method, "sip:nobody@example.test", ALICE)).with_body("text/plain", "Hello");
            let mut request = with_proof(request, &key, None);
            let reply = stack.request(&mut phone, &request);
            assert_eq!(reply.status, 404, "{method}: {reply:?}\n{}", stack.module_log());
            request.body = b"Hallo".to_vec();
            assert_eq!(stack.request(&mut phone, &request).status, 401, "{method}: another body");
        }
        let wrong = MasterKey::from_octets(vec![7; 32]).expect("a length that is used");
        let reply = stack.request(&mut phone, &with_proof(register("alice"), &wrong, None));
        assert_eq!(reply.status, 401);
        challenge_in(&reply, "WWW-Authenticate");
    }
    assert_eq!(stack.counter("reason_pop_invalid"), 8);
    site.finish();
}

#[test]
fn the_request_goes_on_without_its_proof() {
    let site = start();
    let stack = &site.stack;
    let mut phone = stack.udp();
    let key = key_of(stack, &mut phone);
    let contact = format!("<sip:alice@127.0.0.1:{}>", phone.local_port());
    let request = register("alice").with("Contact", contact);
    assert_eq!(stack.request(&mut phone, &with_proof(request, &key, Some(NONCE))).status, 200);
    let message = dated(Request::new("MESSAGE", ALICE, ALICE)).with_body("text/plain", "Hello");
    stack.udp().send(&with_proof(message, &key, None)).expect("sent");
    let received = phone.receive_request(PATIENCE).expect("the message");
    let received = String::from_utf8(received).expect("text");
    assert!(received.starts_with("MESSAGE ") && !received.contains("Authorization"), "{received}");
    site.finish();
}

#[test]
fn what_was_used_is_not_accepted_again() {
    let site = start();
    let stack = &site.stack;
    let key = key_of(stack, &mut stack.udp());
    let mut phone = stack.udp();
    let request = with_proof(register("alice"), &key, Some(NONCE));
    let octets = phone.send(&request).expect("sent");
    let first = stack.note(phone.receive().expect("an answer"));
    assert_eq!(first.status, 200, "{first:?}\n{}", stack.module_log());
    let again = stack.note(phone.exchange(&octets).expect("an answer"));
    assert_eq!((again.status, again.header("To")), (200, first.header("To")), "a retransmission");
    // Another path, the nonce of another request, an old Date.
    assert_eq!(stack.request(&mut stack.tcp(), &request).status, 403);
    assert_eq!(stack.request(&mut phone, &with_proof(register("alice"), &key, Some(NONCE))).status, 403);
    let stale = with_proof(register("alice").with("Date", date(-86_400)), &key, None);
    let reply = stack.request(&mut phone, &stale);
    assert_eq!((reply.status, reply.reason.as_str()), (403, "Stale Date"));
    assert_eq!((stack.counter("reason_pop_stale"), stack.counter("reason_pop_replayed")), (1, 2));
    // A challenge, sent back as the answer to itself.
    let request = register("alice");
    let challenge = challenge_in(&stack.request(&mut phone, &request), "WWW-Authenticate");
    let response =
        KeyResponse { username: None, realm: None, nonce: Some(challenge.nonce.as_str().into()), pop: challenge.pop };
    let mut reflected = request;
    reflected.set("Authorization", response.to_text());
    let reply = phone.request(&reflected).expect("an answer");
    assert_eq!(reply.status, 401, "{reply:?}");
    site.finish();
}

#[test]
fn what_can_be_neither_proved_nor_challenged() {
    let site = start();
    let stack = &site.stack;
    let mut phone = stack.udp();
    let reply = stack.request(&mut phone, &Request::register(ALICE));
    assert_eq!(reply.status, 400);
    assert!(reply.reason.contains("Date") && reply.all("WWW-Authenticate").is_empty(), "{reply:?}");
    let mut third = register("alice");
    third.set("From", format!("<{BOB}>;tag=t"));
    assert_eq!(stack.request(&mut phone, &third).status, 403);
    let key = key_of(stack, &mut phone);
    let mut other = register("alice");
    let response = KeyResponse::new("bob", None, None, &key, &digest(&other, b"")).to_text();
    other.set("Authorization", response);
    assert_eq!(stack.request(&mut phone, &other).status, 403);
    site.finish();
}

#[test]
fn users_who_do_not_exist_look_like_others() {
    let site = start();
    let look = |stack: &Stack, user: &str| {
        let reply = stack.request(&mut stack.udp(), &register(user));
        let challenge = challenge_in(&reply, "WWW-Authenticate");
        let wrong = MasterKey::from_octets(vec![7; 32]).expect("a length that is used");
        let mut request = register(user);
        let response = KeyResponse::new("", None, Some(NONCE), &wrong, &digest(&request, b"")).to_text();
        request.set("Authorization", response);
        let refused = stack.request(&mut stack.udp(), &request);
        let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let length = |reply: &Reply| reply.header("WWW-Authenticate").map(str::len);
        let p = challenge.parameters.clone();
        let shape = (
            (reply.status, reply.reason.clone(), names(&reply), length(&reply)),
            (refused.status, refused.reason.clone(), names(&refused), length(&refused)),
            (p.kdf(), p.iterations(), p.key_size(), p.salt().len(), challenge.nonce.len()),
        );
        (shape, challenge.parameters)
    };
    // Names of one length, for they are in the reply.
    let (known, of_alice) = look(&site.stack, "alice");
    let (unknown, of_carol) = look(&site.stack, "carol");
    assert_eq!(known, unknown);
    assert_ne!(of_alice, of_carol);
    assert_eq!(look(&site.stack, "carol").1, of_carol, "the same salt each time");
    let Site { stack, directory, server } = site;
    stack.finish();
    let stack = again(&server, &directory, |builder, _| builder);
    assert_eq!(look(&stack, "carol"), (unknown, of_carol), "and after a restart");
    assert_eq!(look(&stack, "alice"), (known, of_alice));
    stack.finish();
}

#[test]
fn a_proxy_challenges_calls_with_407() {
    let site = start_with(|builder, _| builder.define("PROXY_ROLE", 1));
    site.stack.rpc("auth_oauth.accounts_set", &[ALICE, "password", PASSWORD]).expect("written");
    calls_are_challenged_with_407(site);
    let parameters = Parameters::new(Kdf::Sha256, 1000, b"a salt of sixtee".to_vec(), 256).expect("good");
    let line = Verifier::derive(parameters, PASSWORD.as_bytes()).to_text();
    calls_are_challenged_with_407(start_with(|builder, _| {
        let builder = builder.define("PROXY_ROLE", 1).define("OWN_DATABASE", 1);
        builder.define_string("OWN_USER", "alice").define_string("OWN_VERIFIER", &line)
    }));
}

fn calls_are_challenged_with_407(site: Site) {
    let stack = &site.stack;
    let mut phone = stack.udp();
    for method in ["INVITE", "OPTIONS", "MESSAGE"] {
        let mut request = dated(Request::new(method, "sip:nobody@example.test", ALICE));
        let reply = stack.request(&mut phone, &request);
        assert_eq!((reply.status, reply.all("WWW-Authenticate").len()), (407, 0), "{reply:?}");
        let challenge = challenge_in(&reply, "Proxy-Authenticate");
        let key = challenge.parameters.derive(PASSWORD.as_bytes());
        assert!(challenge.is_from_holder(&key, &digest(&request, b""), None));
        request.next();
        let nonce = format!("{NONCE}-{method}");
        let response = KeyResponse::new("alice", Some("example.test"), Some(&nonce), &key, &digest(&request, b""));
        request.set("Proxy-Authorization", response.to_text());
        assert_eq!(stack.request(&mut phone, &request).status, 404, "{method}: {}", stack.module_log());
    }
    site.finish();
}

#[test]
fn tokens_and_passwords_side_by_side() {
    let site = start_with(|builder, _| builder.define("WITH_TOKENS", 1));
    let stack = &site.stack;
    stack.rpc("auth_oauth.accounts_set", &[ALICE, "password", PASSWORD]).expect("written");
    let mut phone = stack.udp();
    let request = register("alice");
    let reply = stack.request(&mut phone, &request);
    let challenges = reply.all("WWW-Authenticate");
    assert!(reply.status == 401 && challenges.len() == 2 && challenges[1].starts_with("Bearer "), "{reply:?}");
    let key = challenge_in(&reply, "WWW-Authenticate").parameters.derive(PASSWORD.as_bytes());
    assert_eq!(stack.request(&mut phone, &with_proof(register("alice"), &key, Some(NONCE))).status, 200);
    let token = site.server.token("alice", "es256");
    assert_eq!(stack.register(&mut phone, ALICE, &token).status, 200);
    site.finish();
}

#[test]
fn two_proxies_and_one_redis() {
    let redis = Redis::start(&[]);
    let (directory, server) = (Directory::new("key-derivation"), AuthorizationServer::start());
    let password = directory.write("redis-password", REDIS_PASSWORD);
    let settings =
        format!("kd_iterations = 1000\nreplay_scope = \"cluster\"\nstore_password_file = \"{}\"\n", password.display());
    let proxy = || {
        let builder = stored("key-derivation.cfg", &provider(server.issuer()), &directory);
        let builder = builder.define_string("STORE", &format!("redis://127.0.0.1:{}/0", redis.port()));
        let stack = run(with_settings(builder, &directory, &settings));
        stack.secrets.keep(PASSWORD);
        stack
    };
    let (one, two) = (proxy(), proxy());
    one.rpc("auth_oauth.accounts_set", &[ALICE, "password", PASSWORD]).expect("written");
    let key = key_of(&one, &mut one.udp());
    assert_eq!(key, key_of(&two, &mut two.udp()));
    let request = with_proof(register("alice"), &key, Some(NONCE));
    assert_eq!(one.request(&mut one.udp(), &request).status, 200, "{}", one.module_log());
    assert_eq!(two.request(&mut two.udp(), &request).status, 403, "{}", two.module_log());
    two.rpc("auth_oauth.accounts_remove", &[ALICE]).expect("removed");
    one.wait_until("the other proxy knows", || {
        one.request(&mut one.udp(), &with_proof(register("alice"), &key, None)).status == 401
    });
    one.finish();
    two.finish();
}

#[test]
fn from_a_kemi_script() {
    let (directory, server) = (Directory::new("key-derivation"), AuthorizationServer::start());
    let builder = stored("tests/e2e/kemi.cfg", &provider(server.issuer()), &directory)
        .define("WITH_LUA", 1)
        .define_string("SCRIPT", kit::path("tests/e2e/key_derivation.lua").to_str().expect("UTF-8"));
    let stack = run(builder);
    let parameters = Parameters::new(Kdf::Sha256, 1000, vec![1; 16], 256).expect("good");
    let verifier = Verifier::derive(parameters, PASSWORD.as_bytes());
    stack.rpc("auth_oauth.accounts_set", &[ALICE, &verifier.to_text()]).expect("written");
    let mut phone = stack.udp();
    for (method, header) in [("OPTIONS", "WWW-Authenticate"), ("MESSAGE", "Proxy-Authenticate")] {
        let request = dated(Request::new(method, BOB, ALICE));
        let reply = stack.request(&mut phone, &request);
        assert!(challenge_in(&reply, header).is_from_holder(&verifier.key, &digest(&request, b""), None));
    }
    assert_eq!(stack.request(&mut phone, &with_proof(register("alice"), &verifier.key, None)).status, 200);
    let unknown = with_proof(dated(Request::new("PUBLISH", BOB, ALICE)), &verifier.key, None);
    assert_eq!(stack.request(&mut phone, &unknown).status, 401, "no account was given");
    let reply = stack.request(&mut phone, &dated(Request::new("SUBSCRIBE", BOB, ALICE)));
    assert_eq!((reply.status, reply.reason.as_str()), (407, "Added"));
    challenge_in(&reply, "Proxy-Authenticate");
    stack.finish();
}

#[test]
fn the_tool_plays_the_phone() {
    let site = start();
    let server = format!("127.0.0.1:{}", site.stack.kamailio.port());
    let state = site.directory.file("alice.json");
    let state = state.to_str().expect("UTF-8");
    let register = |arguments: &[&str], password: &str| {
        let file = site.directory.write("password", password);
        let mut command = Command::new(tool());
        command.args(["register", "--state", state]).args(arguments);
        if !password.is_empty() {
            command.arg("--password-file").arg(file);
        }
        let output = command.output().expect("built");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!text.contains(PASSWORD), "{text}");
        (output.status.code(), text)
    };
    let to = ["--server", &server, "--transport", "tcp", "--aor", ALICE, "--key-derivation"];
    let (code, text) = register(&to, "a wrong password");
    assert_eq!(code, Some(5), "the proxy has another key: {text}");
    let (code, text) = register(&to, PASSWORD);
    assert_eq!(code, Some(0), "{text}\n{}", site.stack.module_log());
    let (code, text) = register(&["--pop"], "");
    assert_eq!(code, Some(0), "a proof alone: {text}\n{}", site.stack.module_log());
    site.finish();
}
