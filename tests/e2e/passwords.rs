// SPDX-License-Identifier: MIT OR Apache-2.0

//! password-tokens.cfg (sip-oauth section 4): Kamailio's auth and auth_db check the password, this module gives tokens.

use std::path::Path;

use serde_json::Value;

use crate::password_attacks::{self, challenge};
use crate::phones::{ALICE, FORM, STORE_KEY, aor, date, prove_beside_token, proxy_provider, stored, with_settings};
use crate::stack::Stack;
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::digest::Challenge;
use crate::support::host::is_opensips;
use crate::support::kamailio::Builder;
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::token::{signing_key, unverified_claims, unverified_header};
use crate::support::{http, kit};
use crate::tool_phone::ToolPhone;
use sipoauth_core::sip::digest::{DigestAlgorithm, ha1};

const EXAMPLE: &str = "password-tokens.cfg";
const REALM: &str = "example.test";
const SIGN_IN: [&str; 5] = ["--grant", "password", "--with-pop", "--password-file", "-"];
const MESSAGE: [&str; 6] = ["--method", "MESSAGE", "--to", "sip:nobody@example.test", "--body", "hello"];

pub fn hash(user: &str) -> String {
    ha1(DigestAlgorithm::Md5, user, REALM, &format!("{user}-password")).to_string()
}

pub fn issuing(key: &Path) -> String {
    format!(
        "name=local;issuer=https://sip.example.test;audience=sip;domain=example.test;scope=sip,sip.call;\
         password_grant=issue;signing_key_files={}",
        key.display()
    )
}

/// alice and bob are known by their H(A1).
fn with_users(builder: Builder) -> Builder {
    builder
        .define_string("DESK_USER", "alice")
        .define_string("DESK_HA1", &hash("alice"))
        .define_string("OTHER_USER", "bob")
        .define_string("OTHER_HA1", &hash("bob"))
}

pub fn ready(builder: Builder) -> Stack {
    let stack = Stack::new(builder);
    for secret in [STORE_KEY, "proxy-secret", "alice-password", &hash("alice"), &hash("bob")] {
        stack.secrets.keep(secret);
    }
    // A proof must be younger than the proxy's memory of proofs, and a Date counts whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    stack
}

pub fn start() -> (Directory, Stack) {
    start_with(|builder| builder)
}

pub fn start_with(change: impl FnOnce(Builder) -> Builder) -> (Directory, Stack) {
    let directory = Directory::new("passwords");
    let key = directory.write("signing.pem", signing_key());
    let stack = ready(change(with_users(stored(EXAMPLE, &issuing(&key), &directory))));
    (directory, stack)
}

/// The keys that other servers ask for. OpenSIPS serves no HTTP on its SIP port.
fn published(stack: &Stack) -> (u16, String) {
    if is_opensips() {
        return (200, stack.rpc("auth_oauth.jwks", &[]).expect("keys"));
    }
    http::request("GET", &format!("http://127.0.0.1:{}/jwks", stack.kamailio.port())).expect("an answer")
}

fn with(first: &[&'static str], rest: &[&'static str]) -> Vec<&'static str> {
    [first, rest].concat()
}

/// Signs in, calls with token and proof, refreshes, and calls again.
fn a_whole_life(stack: &Stack, user: &str) -> Value {
    let phone = ToolPhone::new(user);
    phone.accepted(stack, "a", &SIGN_IN);
    phone.keep_secrets(stack, "a");
    let first = phone.memory("a");
    assert_eq!(phone.refused(stack, "a", &with(&["--token-pop"], &MESSAGE)), 404, "accepted, nobody is there");
    phone.accepted(stack, "a", &["--token-pop"]);
    assert_eq!(phone.refused(stack, "a", &with(&["--pop"], &MESSAGE)), 401, "the token is missing");
    phone.accepted(stack, "a", &["--refresh"]);
    phone.keep_secrets(stack, "a");
    let second = phone.memory("a");
    assert_ne!(first["tokens"]["access_token"], second["tokens"]["access_token"]);
    assert_ne!(first["tokens"]["refresh_token"], second["tokens"]["refresh_token"]);
    assert_eq!(phone.refused(stack, "a", &with(&["--token-pop"], &MESSAGE)), 404);
    phone.accepted(stack, "a", &["--token-pop", "--expires", "0"]);
    second
}

#[test]
fn the_proxy_issues_tokens_for_a_password() {
    let (_directory, stack) = start();
    let memory = a_whole_life(&stack, "alice");
    let token = memory["tokens"]["access_token"].as_str().expect("a token");
    let claims = unverified_claims(token);
    assert_eq!(
        (&claims["iss"], &claims["sip"], &claims["scope"]),
        (&"https://sip.example.test".into(), &ALICE.into(), &"sip sip.call".into())
    );
    assert_eq!(unverified_header(token)["typ"], "at+jwt");

    // Others verify it with what the proxy publishes.
    let (status, jwks) = published(&stack);
    let jwks: Value = serde_json::from_str(&jwks).expect("JSON");
    assert_eq!((status, &jwks["keys"][0]["kid"]), (200, &unverified_header(token)["kid"]));
    assert!(jwks["keys"][0]["d"].is_null());
    let by_rpc: Value = serde_json::from_str(stack.rpc("auth_oauth.jwks", &[]).expect("keys").trim()).expect("JSON");
    assert_eq!(by_rpc, jwks);
    assert_eq!(stack.counter("tokens_issued"), 2);
    stack.finish();
}

#[test]
fn the_operators_database_knows_the_users() {
    let directory = Directory::new("passwords");
    let key = directory.write("signing.pem", signing_key());
    let rows = format!("alice:example.test:{}\nzero:example.test:{:032}\n", hash("alice"), 0);
    let table = format!("username(string) domain(string) ha1(string)\n{rows}");
    directory.write("subscriber", table);
    directory.write("version", "table_name(string) table_version(int)\nsubscriber:7\nlocation:9\n");
    let builder = stored(EXAMPLE, &issuing(&key), &directory)
        .define("DB_TEXT", "yes")
        .define_string("DB_URL", &format!("text://{}", directory.path().display()));
    let stack = ready(builder);
    a_whole_life(&stack, "alice");
    let wrong = ToolPhone::new("alice").with_password("not-the-password");
    assert_eq!(wrong.refused(&stack, "a", &SIGN_IN), 401);
    assert_eq!(ToolPhone::new("nobody").refused(&stack, "a", &SIGN_IN), 401);
    // A row without a hash is nobody's, also for who knows what stands there.
    for request in [wish_of("zero"), Request::new("MESSAGE", ALICE, &aor("zero"))] {
        let reply = password_attacks::sign(&stack, "zero", &"0".repeat(32), request, Some((1, "c")));
        challenge(&reply);
        assert!(reply.body.is_empty());
    }
    assert_eq!(stack.counter("tokens_issued"), 2);
    stack.finish();
}

#[test]
fn an_authorization_server_issues_them_for_the_password() {
    let directory = Directory::new("passwords");
    let server = AuthorizationServer::start();
    let line = format!("{};password_grant=password", proxy_provider(&server));
    let builder = stored(EXAMPLE, &line, &directory)
        .define_string("DESK_USER", "alice")
        .define_string("DESK_HA1", &hash("alice"))
        .define_string("DESK_PASSWORD", "alice-password");
    let stack = ready(builder);
    a_whole_life(&stack, "alice");
    let stats = server.stats();
    assert_eq!((stats.get("/token password"), stats.get("/token refresh_token")), (Some(&1), Some(&1)), "{stats:?}");
    stack.finish();
}

#[test]
fn an_authorization_server_issues_them_at_the_proxys_word() {
    let directory = Directory::new("passwords");
    let keys = directory.file("subject-keys.json");
    let server = AuthorizationServer::start_with(Options {
        subject_keys_file: Some(keys.clone()),
        subject_issuer: Some("sip-proxy".into()),
        ..Default::default()
    });
    let key = directory.write("signing.pem", signing_key());
    let provider = proxy_provider(&server);
    let line = format!("{provider};password_grant=token_exchange;signing_key_files={}", key.display());
    let stack = ready(with_users(stored(EXAMPLE, &line, &directory)));
    std::fs::write(&keys, stack.rpc("auth_oauth.jwks", &[]).expect("keys").trim()).expect("written");
    a_whole_life(&stack, "alice");
    // Somebody else's word does not count.
    std::fs::write(&keys, "{\"keys\":[]}").expect("written");
    let run = ToolPhone::new("bob").run(&stack, "a", &SIGN_IN);
    assert!(run.exit != 0 && run.status() != 200, "{run:?}");
    stack.finish();
}

/// A REGISTER that asks for tokens.
fn wish() -> Request {
    wish_of("alice")
}

pub fn wish_of(user: &str) -> Request {
    Request::register(&aor(user)).with_body(FORM, "grant_type=password").with("Date", date(0))
}

#[test]
fn wrong_stale_and_used_nonces_give_nothing() {
    let (_directory, stack) = start_with(|builder| builder.define("NONCE_EXPIRE", 6));
    let mut phone = stack.udp();
    let mut answer = |challenge: &Challenge, password: &str, count: u32| {
        let credentials = challenge.answer("alice", password, "REGISTER", "sip:example.test", count);
        stack.request(&mut phone, &wish().with("Authorization", credentials))
    };
    let offered = challenge(&stack.request(&mut stack.udp(), &wish()));
    assert_eq!(answer(&offered, "wrong", 1).status, 401);
    let made_up = Challenge { nonce: "ZZZZZ2UzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=".into(), ..offered.clone() };
    assert_eq!(answer(&made_up, "alice-password", 1).status, 401, "not a nonce of this proxy");
    let good = answer(&offered, "alice-password", 2);
    assert_eq!((good.status, good.header("Content-Type")), (200, Some("application/json")), "{}", stack.module_log());
    let tokens: Value = serde_json::from_slice(&good.body).expect("JSON");
    stack.secrets.keep(tokens["access_token"].as_str().expect("a token"));
    let again = answer(&offered, "alice-password", 2);
    assert_eq!(again.status, 401, "the same use of the nonce: a replay");
    assert!(again.body.is_empty());
    std::thread::sleep(std::time::Duration::from_millis(7100));
    let stale = answer(&offered, "alice-password", 3);
    assert!(challenge(&stale).nonce != offered.nonce, "{stale:?}");
    assert_eq!(stack.counter("tokens_issued"), 1);
    // Whoever asks for nothing is registered as ever.
    let offered = challenge(&stack.request(&mut stack.udp(), &Request::register(ALICE)));
    let credentials = offered.answer("alice", "alice-password", "REGISTER", "sip:example.test", 1);
    let plain = stack.request(&mut stack.udp(), &Request::register(ALICE).with("Authorization", credentials));
    assert!(plain.status == 200 && plain.body.is_empty(), "{plain:?}");
    stack.finish();
}

#[test]
fn swapped_tokens_and_proofs_and_replays_are_refused() {
    let (_directory, stack) = start();
    let (alice, tablet, bob) = (ToolPhone::new("alice"), ToolPhone::new("alice"), ToolPhone::new("bob"));
    for phone in [&alice, &tablet, &bob] {
        phone.accepted(&stack, "a", &SIGN_IN);
        phone.keep_secrets(&stack, "a");
    }
    for (other, status, reason) in [(&tablet, 401, "token_unbound"), (&bob, 403, "aor_mismatch")] {
        let stolen = other.token("a");
        assert_eq!(alice.refused(&stack, "a", &["--token-pop", "--token", &stolen]), status);
        assert_eq!(stack.counter(&format!("reason_{reason}")), 1);
        let thief = ["--token", stolen.as_str(), "--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "x"];
        assert_eq!(other.refused(&stack, "a", &thief), 401, "a token without a proof");
    }
    // Octet for octet from elsewhere, and with another clock.
    let request = token_and_proof(&alice);
    assert_eq!(stack.request(&mut stack.tcp(), &request).status, 200);
    assert_eq!(stack.request(&mut stack.tcp(), &request).status, 403, "another branch: a replay");
    assert_eq!(alice.refused(&stack, "a", &["--token-pop", "--date", "Sat, 01 Jan 2000 00:00:00 GMT"]), 403);
    // A refresh token is of no use without its own phone's key.
    alice.remember("b", &alice.memory("a"), &[("tokens", tablet.memory("a")["tokens"].clone())]);
    assert_eq!(alice.refused(&stack, "b", &["--refresh"]), 401);
    tablet.accepted(&stack, "a", &["--refresh"]);
    tablet.keep_secrets(&stack, "a");
    stack.finish();
}

#[test]
fn a_phone_whose_session_was_ended_signs_in_anew() {
    let (_directory, stack) = start();
    let phone = ToolPhone::new("alice");
    phone.accepted(&stack, "a", &SIGN_IN);
    phone.keep_secrets(&stack, "a");
    let ended = stack.rpc("auth_oauth.sessions_revoke", &["alice@example.test"]).expect("ended");
    assert!(ended.contains("revoked: 1") && ended.contains("bindings_removed: 1"), "{ended}");
    let request = token_and_proof(&phone);
    for request in [
        request,
        wish_of("alice")
            .with("Authorization", "Bearer token=\"made-up\", pop=\"b3JkZXIgb2YgdGhlIHBob25lIGFuZCBvZiBubyBvdGhlcg\""),
    ] {
        let reply = stack.request(&mut stack.tcp(), &request);
        let challenges = reply.all("WWW-Authenticate");
        // OpenSIPS sends the 401 as it adds Digest.
        let (digest, bearer) = if is_opensips() { (1, 0) } else { (0, 1) };
        assert!(challenges.len() == 2 && challenges[digest].starts_with("Digest "), "{reply:?}");
        let bearer = challenges[bearer];
        assert!(bearer.starts_with("Bearer ") && bearer.contains("error=\"invalid_token\""), "{reply:?}");
        // The challenge is as good as any other.
        let offered = challenge(&reply);
        let mut wish = wish_of("alice");
        wish.set("Authorization", offered.answer("alice", "alice-password", "REGISTER", "sip:example.test", 1));
        let again = stack.request(&mut stack.tcp(), &wish);
        assert_eq!((again.status, again.header("Content-Type")), (200, Some("application/json")), "{again:?}");
    }
    for how in [&["--token-pop"][..], &["--refresh"]] {
        assert_eq!(phone.refused(&stack, "a", how), 401, "the old ones stay ended");
    }
    phone.accepted(&stack, "a", &SIGN_IN);
    phone.keep_secrets(&stack, "a");
    phone.accepted(&stack, "a", &["--token-pop"]);
    stack.finish();
}

/// A REGISTER with what a phone remembers.
fn token_and_proof(phone: &ToolPhone) -> Request {
    let memory = phone.memory("a");
    let instance = memory["instance"].as_str().expect("an instance");
    let contact = format!("<sip:alice@127.0.0.1:9>;+sip.instance=\"<{instance}>\"");
    let mut request = Request::register(ALICE);
    request.set("Contact", contact);
    prove_beside_token(&phone.key("a"), &phone.token("a"), request)
}

#[test]
fn a_new_signing_key_takes_over_by_a_reload() {
    let directory = Directory::new("passwords");
    let (old, new) = (directory.write("old.pem", signing_key()), directory.write("new.pem", signing_key()));
    let table = |keys: &[&Path]| {
        let keys: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.display())).collect();
        format!(
            "[[provider]]\nname = \"local\"\nissuer = \"https://sip.example.test\"\naudience = \"sip\"\n\
             domain = \"example.test\"\npassword_grant = \"issue\"\nsigning_key_files = [{}]\n",
            keys.join(", ")
        )
    };
    let unused =
        "name=other;issuer=https://other.example.test;audience=x;aor={sip};domains=other.example.test;jwks_file=";
    let unused = format!("{unused}{}", directory.write("none.json", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}").display());
    let stack = ready(with_settings(with_users(stored(EXAMPLE, &unused, &directory)), &directory, &table(&[&old])));
    let phone = ToolPhone::new("alice");
    phone.accepted(&stack, "a", &SIGN_IN);
    phone.keep_secrets(&stack, "a");
    directory.write("settings.toml", table(&[&new, &old]));
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    phone.accepted(&stack, "a", &["--token-pop"]);
    phone.accepted(&stack, "a", &["--refresh"]);
    phone.keep_secrets(&stack, "a");
    directory.write("settings.toml", table(&[&new]));
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    phone.accepted(&stack, "a", &["--token-pop"]);
    let jwks: Value =
        serde_json::from_str(stack.rpc("auth_oauth.jwks", &["local"]).expect("keys").trim()).expect("JSON");
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1));
    assert!(stack.rpc("auth_oauth.jwks", &["other"]).is_err());
    stack.finish();
}

#[test]
fn from_lua() {
    let directory = Directory::new("passwords");
    let key = directory.write("signing.pem", signing_key());
    let script = kit::path("tests/e2e/passwords.lua");
    let builder = stored("tests/e2e/kemi.cfg", &issuing(&key), &directory)
        .define("WITH_LUA", 1)
        .define_string("SCRIPT", script.to_str().expect("UTF-8"))
        .define_string("DESK_HA1", &hash("alice"));
    let stack = ready(builder);
    let phone = ToolPhone::new("alice");
    assert_eq!(phone.refused(&stack, "a", &[]), 401);
    phone.accepted(&stack, "a", &SIGN_IN);
    phone.keep_secrets(&stack, "a");
    phone.accepted(&stack, "a", &["--token-pop"]);
    phone.accepted(&stack, "a", &["--refresh"]);
    phone.keep_secrets(&stack, "a");
    stack.finish();
}
