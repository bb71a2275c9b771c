// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an operator changes while the proxy runs: keys in files, keys that are to be fetched now, and what stays.

use serde_json::{Value, json};

use crate::phones::{ALICE, key_of, prove, register, sign_in, start_with, with_code};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::scripted_server::{self, JWKS, ScriptedServer};
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const FIXED: &str = "name=fixed;issuer=https://fixed.example.test;audience=sip;aor={sip};domains=fixed.example.test;secret=0123456789abcdef0123456789abcdef";

fn file_provider(jwks: &str) -> String {
    format!(
        "[[provider]]\nname = \"file\"\nissuer = \"https://file.example.test\"\naudience = \"sip\"\naor = \"{{sip}}\"\n\
         domains = \"example.test\"\njwks_file = \"{jwks}\"\n"
    )
}

#[test]
fn a_reload_reads_key_files_again() {
    let (old, new) = (TestKey::p256("k1"), TestKey::p256("k2"));
    let directory = Directory::new("reload-keys");
    let write = |jwks: Value| directory.write("keys.json", jwks.to_string());
    let keys = write(scripted_server::key_set(&[old.jwk()]));
    let config = directory.write("auth_oauth.toml", file_provider(keys.to_str().expect("UTF-8")));
    let builder = configured("registrar-sso.cfg", FIXED);
    let stack = Stack::new(builder.define_string("CONFIG_FILE", config.to_str().expect("UTF-8")));
    let claims = token::claims("https://file.example.test", "sip", "alice", 300);
    let (first, second) = (old.token("ES256", &claims), new.token("ES256", &claims));
    let statuses = || [&first, &second].map(|token| stack.register(&mut stack.udp(), ALICE, token).status);
    assert_eq!(statuses(), [200, 401]);
    write(scripted_server::key_set(&[new.jwk()]));
    assert_eq!(statuses(), [200, 401], "files are read at a reload only");
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    assert_eq!(statuses(), [401, 200]);

    write(json!({ "keys": [] }));
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("no keys");
    assert!(error.contains("provider 'file': jwks_file") && error.contains("keys.json"), "{error}");
    std::fs::remove_file(&keys).expect("ours");
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("no file");
    assert!(error.contains("jwks_file: cannot read") && error.contains("No such file"), "{error}");
    directory.write("auth_oauth.toml", "leeway = 3\nretry_after = soon\n");
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("no TOML");
    assert!(error.contains("auth_oauth.toml, line 2"), "{error}");
    let many: String = (0..65).map(|i| file_provider("x").replace("file\"", &format!("p{i}\""))).collect();
    directory.write("auth_oauth.toml", many);
    assert!(stack.rpc("auth_oauth.reload", &[]).is_err());
    assert_eq!(statuses(), [401, 200], "the last good one stays in force");
    assert_eq!(stack.counter("reloads"), 1);
    stack.finish();
}

#[test]
fn a_long_error_is_cut_for_kamcmd_and_whole_in_the_log() {
    let directory = Directory::new("reload-long");
    let long = format!("{}/{}", directory.path().display(), "long-name-".repeat(20));
    let config = directory.write("auth_oauth.toml", "");
    let builder = configured("registrar-sso.cfg", FIXED);
    let stack = Stack::new(builder.define_string("CONFIG_FILE", config.to_str().expect("UTF-8")));
    directory.write("auth_oauth.toml", file_provider(&long));
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("no file");
    assert!(error.contains("jwks_file: cannot read /") && error.contains("... (all is in the log)"), "{error}");
    let whole = format!("reload: jwks_file: cannot read {long}: No such file");
    stack.wait_until("the log has the whole sentence", || stack.module_log().contains(&whole));
    stack.finish();
}

#[test]
fn the_operator_has_keys_fetched_at_once() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
    // Of a token that is newer than the keys, the key might only come later.
    claims["iat"] = (token::now() - 100).into();
    let stolen = old.token("ES256", &claims);
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &stolen).status, 200);
    // Its key was compromised: the server publishes another one, and nobody sends a token with that yet.
    server.set_keys(scripted_server::key_set(&[new.jwk()]));
    for arguments in [&["test"][..], &[]] {
        let before = server.count(JWKS);
        let answer = stack.rpc("auth_oauth.refresh_keys", arguments).expect("a provider whose keys are fetched");
        assert!(answer.contains("started: 1"), "{answer}");
        stack.wait_until("the keys are fetched", || {
            server.count(JWKS) > before && stack.rpc("auth_oauth.keys", &[]).is_ok_and(|keys| keys.contains("new"))
        });
    }
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &stolen).status, 401, "also where it is remembered");
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &new.token("ES256", &claims)).status, 200);
    let error = stack.rpc("auth_oauth.refresh_keys", &["tset"]).expect_err("no such provider");
    assert!(error.contains("no provider is called 'tset'; there are: test"), "{error}");
    stack.finish();
}

/// Keys that served go on; each of the new ones is named with what is wrong with it.
#[test]
fn rpc_and_log_name_every_key_of_a_set_that_has_no_usable_one() {
    let key = TestKey::p256("good");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let mut alone = TestKey::p256("x").jwk();
    alone.as_object_mut().expect("a key").remove("kid");
    alone["use"] = serde_json::json!("enc");
    server.set_keys(scripted_server::key_set(&[TestKey::secp256k1("curve").jwk(), alone]));
    stack.rpc("auth_oauth.refresh_keys", &[]).expect("a provider whose keys are fetched");
    let words = ["the curve 'secp256k1' is not supported", "key 2: not for verifying signatures: its use is 'enc'"];
    stack.wait_until("RPC names both keys beside the one that serves", || {
        let keys = stack.rpc("auth_oauth.keys", &[]).expect("the RPC exists");
        keys.contains("kid: good") && words.iter().all(|words| keys.contains(words))
    });
    let log = stack.module_log();
    for line in ["keys cannot be used (1 in a row)", "key 'curve' is not used: the curve", "key 2 is not used: not for"]
    {
        assert!(log.contains(line), "{line}: {log}");
    }
    server.set_keys(scripted_server::key_set(&[key.jwk()]));
    stack.rpc("auth_oauth.refresh_keys", &[]).expect("a provider whose keys are fetched");
    stack.wait_until("the keys that are gone are forgotten", || {
        stack.rpc("auth_oauth.keys", &[]).is_ok_and(|keys| !keys.contains("secp256k1"))
    });
    stack.finish();
}

#[test]
fn sessions_stay_over_a_reload() {
    let config = Directory::new("reload-sessions");
    let file = config.write("auth_oauth.toml", "leeway = 20\n");
    let (_directory, server, stack) =
        start_with("public-ua.cfg", |builder| builder.define_string("CONFIG_FILE", file.to_str().expect("UTF-8")));
    let login = sign_in(&stack, &server, "alice");
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    config.write("auth_oauth.toml", "leeway = 25\npop_window = 200\n");
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    let proof = || stack.request(&mut stack.tcp(), &prove(&key, Request::register(ALICE))).status;
    assert_eq!(proof(), 200, "{}", stack.module_log());
    config.write("auth_oauth.toml", "store_size = 1\nstore = \"/elsewhere\"\npop_window = 1\n");
    stack.rpc("auth_oauth.reload", &[]).expect_err("a window that is too short");
    assert_eq!(proof(), 200, "{}", stack.module_log());
    assert_eq!(server.stats().get("/token"), Some(&1), "one sign-in");
    stack.finish();
}
