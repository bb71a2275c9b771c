// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an operator sees and does: RPC, statistics, reload.

use crate::stack::{AUDIENCES, Stack, configured};
use crate::support::authorization_server::{AuthorizationServer, TokenRequest};
use crate::support::temporary::Directory;

const ALICE: &str = "sip:alice@example.test";

#[test]
fn rpc_shows_providers_keys_and_exact_counters() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let good = server.token("alice", "es256");
    for _ in 0..3 {
        assert_eq!(stack.register(&mut stack.udp(), ALICE, &good).status, 200);
    }
    let expired = server.issue(&TokenRequest { ttl: -60, ..TokenRequest::default() });
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &expired).status, 401);
    assert_eq!(stack.udp().register(ALICE, None).expect("an answer").status, 401);
    for (name, value) in [
        ("accepted", 3),
        ("denied", 1),
        ("no_credentials", 1),
        ("not_now", 0),
        ("reason_token_expired", 1),
        ("key_fetches", 1),
        ("key_fetch_errors", 0),
        ("panics", 0),
    ] {
        assert_eq!(stack.counter(name), value, "{name}");
    }
    let statistics = stack.rpc("stats.get_statistics", &["auth_oauth:"]).expect("Kamailio's own statistics");
    assert!(statistics.contains("accepted = 3"), "{statistics}");

    let providers = stack.rpc("auth_oauth.providers", &[]).expect("providers");
    assert!(providers.contains("name: test") && providers.contains(server.issuer()), "{providers}");
    let keys = stack.rpc("auth_oauth.keys", &[]).expect("keys");
    for alg in ["RS256", "ES256", "EdDSA"] {
        assert!(keys.contains(alg), "{keys}");
    }
    stack.finish();
}

#[test]
fn reload_takes_a_good_configuration_and_keeps_the_old_one_otherwise() {
    let server = AuthorizationServer::start();
    let directory = Directory::new("reload");
    let write = |scope: &str| {
        let text = format!(
            "[[provider]]\nname = \"file\"\nissuer = \"{}\"\naudience = [{}]\naor = \"{{sip}}\"\ndomain = \"example.test\"\n{scope}\n",
            server.issuer(),
            AUDIENCES.split(',').map(|a| format!("\"{a}\"")).collect::<Vec<_>>().join(",")
        );
        directory.write("auth_oauth.toml", text)
    };
    let file = write("");
    let other = "name=other;issuer=https://other.example;audience=x;aor={sip};domains=other.example;pem_file=KEY";
    let key = directory.write("key.pem", PUBLIC_KEY);
    let builder = configured("registrar-sso.cfg", &other.replace("KEY", key.to_str().expect("UTF-8")));
    let stack = Stack::new(builder.define_string("CONFIG_FILE", file.to_str().expect("UTF-8")));
    stack.wait_for_keys();
    let token = server.token("alice", "es256");
    let status = |stack: &Stack| stack.register(&mut stack.udp(), ALICE, &token).status;
    assert_eq!(status(&stack), 200, "{}", stack.module_log());

    write("required_scopes = \"sip.special\"");
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    assert_eq!(status(&stack), 401, "the scope is asked for, also of a remembered token");
    let challenge = stack.udp().register(ALICE, None).expect("an answer");
    assert!(challenge.header("WWW-Authenticate").is_some_and(|c| c.contains("scope=\"sip.special\"")));

    write("required_scopes = \"sip\"\nleway = 3");
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("a bad one");
    assert!(error.contains("auth_oauth.toml, line 8") && error.contains("leway"), "{error}");
    assert_eq!(status(&stack), 401, "the old one stays in force");

    write("required_scopes = \"sip\"");
    stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
    assert_eq!(status(&stack), 200);
    assert_eq!(stack.counter("reloads"), 2);
    assert_eq!(server.stats().get("/jwks"), Some(&1), "the keys are kept over reloads");
    stack.finish();
}

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
