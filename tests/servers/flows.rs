// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every server goes through, in the order of a day: the operator checks his configuration, phones come with tokens
//! and with codes, tokens are renewed, and then they are revoked.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::guide::Guide;
use crate::phones::{self, prove, register, stored, with_code};
use crate::server::{CLIENT, PHONE, REDIRECT, SECRET, Server};
use crate::stack::{Stack, configured};
use crate::support::patience;
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::tool::tool;

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";
/// Seconds that access tokens live, and how many of them the proxy tolerates.
const LIFETIME: u32 = 12;
const LEEWAY: &str = "3";
/// What the log says must be read by people here.
const DEBUG: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// In what servers differ.
pub struct Promises {
    pub guide: &'static str,
    /// Its access tokens are JWTs.
    pub signed: bool,
    /// Its guide suggests to ask about these, too.
    pub confirmed: bool,
    /// It tells the proxy's client about tokens of other clients.
    pub introspects_others: bool,
    /// The audience when the server is asked; empty: that of the guide.
    pub audience_of_opaque: &'static str,
}

impl Promises {
    pub fn of(guide: &'static str) -> Promises {
        Promises { guide, signed: false, confirmed: false, introspects_others: true, audience_of_opaque: "" }
    }
}

/// The guide keeps its promises.
pub fn keeps(promises: &Promises) {
    let begin = Instant::now();
    let name = promises.guide;
    let step = |what: &str| println!("{name}: {what} ({} s)", begin.elapsed().as_secs());
    let mut server = Server::start(name, LIFETIME);
    step("runs");
    let directory = Directory::new("servers");
    let file = |name: &str, text: &str| directory.write(name, text).to_str().expect("UTF-8").to_owned();
    let guide = Guide::read(name);
    let domain = if guide.has("domain") { "domain" } else { "domains" };
    assert_eq!((guide.text("client_id"), guide.text(domain)), (CLIENT, "example.com"));
    let guide = guide.with("issuer", &server.issuer).with(domain, "example.test").with("leeway", LEEWAY);
    let mut guide = guide.with("client_secret_file", &file("secret", SECRET));
    if guide.has("redirect_uri") {
        guide = guide.with("redirect_uri", REDIRECT);
    }

    step("check-config");
    check_config(&guide, &file("wrong", "not-the-secret-of-the-proxy"), &directory);
    if promises.signed {
        step("a token that is a JWT");
        signed_token(&mut server, &guide);
    }
    if promises.confirmed {
        step("a JWT that the server is asked about");
        confirmed_token(&mut server, &guide);
    }
    step("a token that the server is asked about");
    introspected_token(promises, &mut server, &guide);
    step("a code, and its session");
    session(&mut server, &guide, &directory);
    step("done");
}

fn check_config(guide: &Guide, wrong: &str, directory: &Directory) {
    let key = directory.write("key", phones::STORE_KEY);
    let store = directory.file("checked");
    let run = |guide: &Guide| -> (i32, Vec<Value>, String) {
        let mut command = Command::new(tool());
        command.args(["check-config", "--json", "--provider", &guide.line()]);
        command.arg("--set").arg(format!("store={}", store.display()));
        command.arg("--set").arg(format!("store_key_file={}", key.display()));
        let output = command.output().expect("built");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {text}"));
        let text = findings.iter().map(|f| format!("\n{f}")).collect();
        (output.status.code().expect("ended by itself"), findings, text)
    };
    let of_client = |findings: &[Value], status: &str| {
        let of_client = |f: &&Value| f["check"] == "client" || f["check"] == "introspection";
        findings.iter().filter(of_client).any(|f| f["status"] == status)
    };
    let (code, findings, text) = run(guide);
    assert!(code == 0 && of_client(&findings, "ok"), "the right secret: {text}");
    let (code, findings, text) = run(&guide.with("client_secret_file", wrong));
    assert!(code == 1 && of_client(&findings, "failed"), "a wrong secret: {text}");
    let others = findings
        .iter()
        .filter(|f| f["status"] == "failed" && !["client", "introspection"].iter().any(|c| f["check"] == *c));
    assert_eq!(others.count(), 0, "only the secret is wrong: {text}");
}

/// Starts a registrar to which phones come with tokens.
fn registrar(guide: &Guide) -> Stack {
    let stack = Stack::new(configured("registrar-sso.cfg", &guide.line()).define("DEBUG", DEBUG));
    stack.secrets.keep(SECRET);
    stack
}

fn signed_token(server: &mut Server, guide: &Guide) {
    let mut guide = guide.without("tokens");
    for key in ["client_id", "client_secret_file", "redirect_uri"] {
        guide = guide.without(key);
    }
    let stack = registrar(&guide);
    stack.wait_for_keys();
    let token = server.token(PHONE);
    let mut phone = stack.tcp();
    let reply = stack.register(&mut phone, ALICE, &token);
    assert_eq!(reply.status, 200, "a JWT: {reply:?}\n{}", stack.module_log());
    let reply = stack.register(&mut phone, BOB, &token);
    assert_eq!(reply.status, 403, "another user's address: {reply:?}\n{}", stack.module_log());
    let forged = forged(&token);
    let reply = stack.register(&mut phone, ALICE, &forged);
    assert_eq!(reply.status, 401, "a forged signature: {reply:?}\n{}", stack.module_log());
    stack.finish();
}

fn confirmed_token(server: &mut Server, guide: &Guide) {
    let stack = registrar(&guide.with("tokens", "jwt_and_introspection"));
    stack.wait_for_keys();
    let token = server.token(CLIENT);
    let mut phone = stack.tcp();
    let reply = stack.register(&mut phone, ALICE, &token);
    assert_eq!(reply.status, 200, "a good token: {reply:?}\n{}", stack.module_log());
    server.revoke_token(&token);
    let reply = stack.register(&mut phone, ALICE, &token);
    assert_eq!(reply.status, 401, "a revoked token: {reply:?}\n{}", stack.module_log());
    assert_eq!(stack.counter("reason_token_inactive"), 1, "{}", stack.module_log());
    stack.finish();
}

/// The same token with another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", &signature[1..])
}

fn introspected_token(promises: &Promises, server: &mut Server, guide: &Guide) {
    // What it says of a token is of an access token.
    let mut guide = guide.without("accept_id_tokens");
    if !promises.audience_of_opaque.is_empty() {
        guide = guide.with("audience", promises.audience_of_opaque);
    }
    let stack = registrar(&guide.with("tokens", "opaque").with("introspection_cache", "0"));
    let mut phone = stack.tcp();
    let token = server.token(PHONE);
    let reply = stack.register(&mut phone, ALICE, &token);
    let expected = if promises.introspects_others { 200 } else { 401 };
    assert_eq!(reply.status, expected, "a token of another client: {reply:?}\n{}", stack.module_log());
    let token = server.token(CLIENT);
    let reply = stack.register(&mut phone, ALICE, &token);
    assert_eq!(reply.status, 200, "a good token: {reply:?}\n{}", stack.module_log());
    assert!(stack.counter("introspections") >= 2);
    let reply = stack.register(&mut phone, BOB, &token);
    assert_eq!(reply.status, 403, "another user's address: {reply:?}\n{}", stack.module_log());
    let before = stack.counter("reason_token_inactive");
    server.revoke_token(&token);
    let reply = stack.register(&mut phone, ALICE, &token);
    assert_eq!(reply.status, 401, "a revoked token: {reply:?}\n{}", stack.module_log());
    let reply = stack.register(&mut phone, ALICE, "made-up-0123456789-0123456789");
    assert_eq!(reply.status, 401, "a made-up token: {reply:?}\n{}", stack.module_log());
    assert_eq!(stack.counter("reason_token_inactive"), before + 2, "{}", stack.module_log());
    stack.finish();
}

fn session(server: &mut Server, guide: &Guide, directory: &Directory) {
    let stack = Stack::new(stored("public-ua.cfg", &guide.line(), directory).define("DEBUG", DEBUG));
    for secret in [SECRET, phones::STORE_KEY] {
        stack.secrets.keep(secret);
    }
    // A proof must be younger than the proxy's memory of proofs, and a Date counts whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let code = server.code(CLIENT);
    for secret in ["code", "code_verifier"] {
        stack.secrets.keep(code[secret].as_str().expect("a text"));
    }
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &code));
    assert_eq!(reply.status, 200, "a code: {reply:?}\n{}", stack.module_log());
    let key = phones::key_of(&stack, &code, &request, &reply);
    let proof = || stack.request(&mut stack.udp(), &prove(&key, Request::register(ALICE)));

    let signed_in = Instant::now();
    while signed_in.elapsed() < Duration::from_secs(u64::from(LIFETIME) * 5 / 2) {
        let reply = proof();
        let at = signed_in.elapsed();
        assert_eq!(reply.status, 200, "a proof after {at:?}: {reply:?}\n{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(700));
    }
    let counters = ["refreshes", "refresh_errors"].map(|name| stack.counter(name));
    assert!(counters[0] >= 2 && counters[1] == 0, "refreshes and errors: {counters:?}\n{}", stack.module_log());

    server.revoke_all();
    let revoked = Instant::now();
    let mut last = proof();
    let ended = patience::until(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(300));
        last = proof();
        last.status != 200
    });
    assert!(ended, "the session goes on after it was revoked\n{}", stack.module_log());
    assert_eq!(last.status, 401, "a challenge: {last:?}\n{}", stack.module_log());
    assert!(last.header("WWW-Authenticate").is_some_and(|c| c.starts_with("Bearer ")), "{last:?}");
    assert_eq!(stack.counter("reason_session_ended"), 1, "{}", stack.module_log());
    println!("the phone is challenged {:?} after the revocation", revoked.elapsed());

    let code = server.code(CLIENT);
    let reply = stack.request(&mut stack.tcp(), &with_code(ALICE, &code));
    assert_eq!(reply.status, 200, "signs in again: {reply:?}\n{}", stack.module_log());
    stack.finish();
}
