// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is kept on disk and in Redis: nothing that a thief could use, nothing without the right key, and nothing new
//! when there is no room.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sipoauth_core::text::fingerprint::hex;

use crate::phones::{
    ALICE, STORE_KEY, aor, key_of, registered, registration_with_proof, run, start_with_codes, stored, with_code,
    with_many_codes, with_settings,
};
use crate::stack::Stack;
use crate::support::code_server::{ACCESS_TOKENS, CLIENT_SECRET, CODES, CodeServer, REFRESH_TOKENS};
use crate::support::redis::{PASSWORD, Redis};
use crate::support::temporary::Directory;

const VERIFIER: &str = "a-verifier-of-forty-three-characters-at-least";
const USERS: usize = 5;

/// How octets may be written: as they are, in hex, and in base64 at any place of a longer text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex(secret).into_bytes(), hex(secret).to_uppercase().into_bytes()];
    for shift in 0..3 {
        let shifted = [&[0; 3][..shift], secret].concat();
        let text = STANDARD.encode(&shifted);
        // Characters that also hold bits of what comes before or after are left out.
        let whole = &text[[0, 2, 3][shift]..(shifted.len() * 8 / 6).min(text.len())];
        forms.push(whole.as_bytes().to_vec());
        forms.push(whole.replace('+', "-").replace('/', "_").into_bytes());
    }
    forms
}

fn holds(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|part| part == text)
}

/// Panics when the data shows one of the secrets.
fn assert_free(place: &str, data: &[u8], secrets: &[(&str, Vec<u8>)]) {
    for (name, secret) in secrets {
        for form in forms(secret) {
            assert!(!holds(data, &form), "{place} shows {name} as {}", String::from_utf8_lossy(&form));
        }
    }
}

/// Phones that sign in and prove it; what must not be seen of them.
fn sign_in_all(stack: &Stack, server: &CodeServer) -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets: Vec<(&str, Vec<u8>)> = [
        ("a code", CODES),
        ("a verifier", VERIFIER),
        ("an access token", ACCESS_TOKENS),
        ("a refresh token", REFRESH_TOKENS),
        ("a client secret", CLIENT_SECRET),
        ("the store_key", STORE_KEY),
        ("the password", PASSWORD),
        ("the header of an ID token", r#"{"alg":"ES256""#),
        ("the claims of an ID token", r#""aud":"sip-proxy""#),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .into();
    for number in 0..USERS {
        let user = format!("rest{number}");
        let mut login = server.code(&user);
        login["code_verifier"] = json!(VERIFIER);
        let key = registered(stack, &aor(&user), &login);
        assert_eq!(registration_with_proof(stack, &aor(&user), &key).status, 200);
        secrets.push(("a code", login["code"].as_str().expect("a text").as_bytes().to_vec()));
        secrets.push(("a shared key", key));
    }
    secrets
}

/// A file without the hole at its end.
fn content(path: &Path) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    const BLOCK: usize = 1 << 20;
    let file = std::fs::File::open(path).expect("readable");
    let mut data = Vec::new();
    loop {
        let start = data.len();
        data.resize(start + BLOCK, 0);
        let length = file.read_at(&mut data[start..], start as u64).expect("readable");
        if data[start..].iter().all(|octet| *octet == 0) || length < BLOCK {
            let end = data.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
            data.truncate(end);
            return data;
        }
    }
}

#[test]
fn the_search_finds_every_form() {
    let secret = b"one-secret-of-this-test";
    for text in ["x", "xy", "xyz", "wxyz"] {
        let hidden = STANDARD.encode([text.as_bytes(), secret, b"behind"].concat());
        assert!(forms(secret).iter().any(|form| holds(hidden.as_bytes(), form)), "{text}: {hidden}");
    }
    assert!(forms(secret).iter().any(|form| holds(hex(secret).as_bytes(), form)));
}

#[test]
fn the_folder_shows_no_secret() {
    let (directory, server, stack) = start_with_codes(|b| b);
    let secrets = sign_in_all(&stack, &server);
    stack.finish();
    let mut size = 0;
    for entry in std::fs::read_dir(directory.file("store")).expect("a folder").flatten() {
        let data = content(&entry.path());
        size += data.len();
        if entry.file_name() == "data.mdb" {
            assert!(holds(&data, b"m:key-check"), "this is the store");
        }
        assert_free(&entry.path().display().to_string(), &data, &secrets);
    }
    assert!(size > 10_000, "{size}");
}

#[test]
fn redis_shows_no_secret() {
    let directory = Directory::new("redis-rest");
    let redis = Redis::start(&["--rdbcompression", "no"]);
    let server = CodeServer::start();
    let password = directory.write("password", PASSWORD);
    let builder = stored("cluster.cfg", &server.provider(), &directory)
        .define_string("STORE", &format!("redis://127.0.0.1:{}/0", redis.port()))
        .define_string("STORE_PASSWORD_FILE", password.to_str().expect("UTF-8"));
    let stack = run(with_many_codes(builder, &directory));
    let secrets = sign_in_all(&stack, &server);
    assert!(redis.cli(&["SAVE"]).contains("OK"));
    let dump = std::fs::read(redis.file("dump.rdb")).expect("a dump");
    assert!(holds(&dump, b"sipoauth:") && holds(&dump, b"key-check"), "this is the store");
    assert_free("the dump", &dump, &secrets);
    let mut keys = 0;
    for key in redis.cli(&["--scan"]).lines() {
        keys += 1;
        assert_free(key, key.as_bytes(), &secrets);
        assert_free(key, redis.cli(&["GET", key]).as_bytes(), &secrets);
    }
    assert!(keys > USERS * 3, "{keys}");
    stack.finish();
}

#[test]
fn with_another_key_the_proxy_does_not_start_and_changes_nothing() {
    let directory = Directory::new("wrong-key");
    let server = CodeServer::start();
    let builder = stored("public-ua.cfg", &server.provider(), &directory);
    let stack = run(builder.clone());
    let key = registered(&stack, ALICE, &server.code("alice"));
    stack.finish();

    let data = directory.file("store").join("data.mdb");
    let before = content(&data);
    let wrong = directory.write("other.key", "another secret of the tests, long enough too");
    let log = builder.clone().define_string("STORE_KEY_FILE", wrong.to_str().expect("UTF-8")).start_refused();
    let told = |line: &&str| {
        line.contains("ERROR") && line.contains("auth_oauth") && line.contains("store_key: is not the one")
    };
    println!("{}", log.lines().find(told).unwrap_or_else(|| panic!("{log}")));
    assert!(!log.contains("another secret of the tests"), "{log}");
    assert!(content(&data) == before, "it was changed");

    let contacts = server.contacts();
    let stack = run(builder);
    assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200, "{}", stack.module_log());
    assert!(server.asked().len() == 1 && server.contacts() > contacts, "keys are fetched, codes are not");
    stack.finish();
}

#[test]
fn when_the_folder_is_full_codes_wait_and_proofs_go_on() {
    let directory = Directory::new("full");
    let server = CodeServer::start();
    let builder = stored("public-ua.cfg", &server.provider(), &directory).define("DEBUG", 2);
    let stack = run(with_settings(builder, &directory, "source_limit = 65535\nstore_size = 1\n"));
    let mut phones: Vec<(String, Vec<u8>)> = Vec::new();
    let login = |user: &str| -> Value { server.code(user) };
    let full = loop {
        let user = format!("full{}", phones.len());
        let login = login(&user);
        let request = with_code(&aor(&user), &login);
        let reply = stack.request(&mut stack.udp(), &request);
        if reply.status != 200 {
            break reply;
        }
        phones.push((user, key_of(&stack, &login, &request, &reply)));
        assert!(phones.len() < 3000, "it is never full");
    };
    println!("full after {} phones", phones.len());
    assert_eq!(full.status, 503, "{full:?}\n{}", stack.module_log());
    assert!(full.header("Retry-After").is_some(), "{full:?}");
    assert!(phones.len() > 20 && stack.counter("reason_store_unavailable") >= 1, "{}", stack.module_log());
    let contacts = server.contacts();
    for (user, key) in &phones {
        let reply = registration_with_proof(&stack, &aor(user), key);
        assert_eq!(reply.status, 200, "{user}: {reply:?}\n{}", stack.module_log());
    }
    assert_eq!(server.contacts(), contacts);
    assert_eq!(server.asked().values().max(), Some(&1), "no code is sent twice");

    // Room again: what is ended is gone.
    stack.rpc("auth_oauth.sessions_revoke_all", &[]).expect("revoked");
    stack.wait_until("there is room", || {
        let login = login("later");
        stack.request(&mut stack.udp(), &with_code(&aor("later"), &login)).status == 200
    });
    stack.finish();
}
