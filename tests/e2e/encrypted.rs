// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encrypted tokens (RFC 8898 section 2.1.2): made by the real authorization server, with keys as docs/guide/encrypted-tokens.md makes them.

use std::process::Command;

use crate::stack::{Stack, configured};
use crate::support::authorization_server::{AuthorizationServer, Options, TokenRequest};
use crate::support::encryption::Recipient;
use crate::support::temporary::Directory;

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

/// Key pairs in a folder: NAME.pem and NAME.pub, as that page says.
fn key_pairs(directory: &Directory) {
    for (name, arguments) in [
        ("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("ec", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ] {
        let [private, public] = ["pem", "pub"].map(|end| directory.file(&format!("{name}.{end}")));
        openssl(Command::new("openssl").arg("genpkey").args(arguments).arg("-out").arg(&private));
        openssl(Command::new("openssl").arg("pkey").arg("-in").arg(private).args(["-pubout", "-out"]).arg(public));
    }
}

fn openssl(command: &mut Command) {
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The real server that encrypts for these keys.
fn server(directory: &Directory) -> AuthorizationServer {
    AuthorizationServer::start_with(Options { recipient_keys: Some(directory.path().to_owned()), ..Options::default() })
}

fn configuration(directory: &Directory, server: &AuthorizationServer, keys: &[&str], rule: &str) {
    let keys: Vec<_> = keys.iter().map(|name| directory.file(name).display().to_string()).collect();
    let audiences = ["rs256-rsaoaep256", "es256-ecdh", "es256"].map(AuthorizationServer::resource);
    let text = format!(
        "decryption_key_files = {keys:?}\n[[provider]]\nname = \"test\"\nissuer = \"{}\"\naudience = {audiences:?}\n\
         aor = \"{{sip}}\"\ndomain = \"example.test\"\n{rule}",
        server.issuer()
    );
    directory.write("auth_oauth.toml", text);
}

fn stack(directory: &Directory) -> Stack {
    let file = directory.file("auth_oauth.toml");
    // The provider is in the file; one more would need keys of its own.
    let line = "name=unused;issuer=https://unused.test;audience=x;aor={sip};domains=unused.test;secret=0123456789abcdef0123456789abcdef";
    let builder = configured("registrar-sso.cfg", line).define_string("CONFIG_FILE", file.to_str().expect("UTF-8"));
    let stack = Stack::new(builder);
    stack.wait_for_keys();
    stack
}

#[test]
fn encrypted_tokens_of_the_real_server_register_and_call() {
    let directory = Directory::new("encrypted");
    key_pairs(&directory);
    let server = server(&directory);
    configuration(&directory, &server, &["rsa.pem", "ec.pem"], "encryption = \"required_without_tls\"\n");
    let stack = stack(&directory);

    let mut accepted = 0;
    for resource in ["rs256-rsaoaep256", "es256-ecdh"] {
        // Through the real sign-in, and once more from the cache.
        let login = server.login("alice", resource);
        let token = login["access_token"].as_str().expect("a token");
        assert_eq!(token.split('.').count(), 5, "{resource}");
        let mut phone = stack.tcp();
        for _ in 0..2 {
            assert_eq!(stack.register(&mut phone, ALICE, token).status, 200, "{resource}: {}", stack.module_log());
            accepted += 1;
        }
        assert_eq!(stack.register(&mut stack.tcp(), BOB, token).status, 403, "{resource}");
        let expired = server.issue(&TokenRequest { resource, ttl: -60, ..TokenRequest::default() });
        assert_eq!(stack.register(&mut phone, ALICE, &expired).status, 401, "{resource}");
        // Encrypted for this proxy, but changed on its way.
        let (head, tag) = token.rsplit_once('.').expect("five parts");
        let first = if tag.starts_with('A') { "B" } else { "A" };
        assert_eq!(
            stack.register(&mut phone, ALICE, &format!("{head}.{first}{}", &tag[1..])).status,
            401,
            "{resource}"
        );
    }
    assert_eq!(stack.counter("accepted"), accepted);
    assert!(stack.counter("cache_hits") >= 2, "{}", stack.module_log());
    assert_eq!((stack.counter("reason_token_expired"), stack.counter("reason_decryption_failed")), (2, 2));

    // A signed token for somebody else, and one that is not encrypted at all, over TCP.
    let signed = server.token("alice", "es256");
    let foreign = Recipient::other_rsa().encrypt("RSA-OAEP-256", "A256GCM", &signed);
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &foreign).status, 401);
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &signed).status, 401);
    assert_eq!((stack.counter("reason_decryption_failed"), stack.counter("reason_encryption_required")), (3, 1));

    let keys = stack.rpc("auth_oauth.keys", &[]).expect("the RPC exists");
    let own: Vec<_> = keys.split('{').filter(|key| key.contains("(decryption)")).collect();
    assert!(own.len() == 2 && own[0].contains("RSA") && own[1].contains("EC"), "{keys}");
    assert!(!keys.contains("PRIVATE"), "{keys}");
    stack.finish();
}

#[test]
fn decryption_keys_roll_over_in_a_reload() {
    let directory = Directory::new("rollover");
    key_pairs(&directory);
    let server = server(&directory);
    configuration(&directory, &server, &["ec.pem"], "");
    let stack = stack(&directory);
    let mut phone = stack.tcp();
    let before = server.token("alice", "es256-ecdh");
    assert_eq!(stack.register(&mut phone, ALICE, &before).status, 200, "{}", stack.module_log());

    let signed = server.token("alice", "es256");
    let recipient = Recipient::curve("P-256");
    directory.write("next.pem", &recipient.private);
    let next = recipient.encrypt("ECDH-ES", "A128GCM", &signed);
    assert_eq!(stack.register(&mut phone, ALICE, &next).status, 401, "not yet known");
    for (keys, known) in [(&["next.pem", "ec.pem"][..], [200, 200]), (&["next.pem"], [401, 200])] {
        configuration(&directory, &server, keys, "");
        stack.rpc("auth_oauth.reload", &[]).expect("a good configuration");
        let answers = [&before, &next].map(|token| stack.register(&mut phone, ALICE, token).status);
        assert_eq!(answers, known, "{keys:?}: {}", stack.module_log());
    }
    // A bad key leaves the good ones in force.
    directory.write("broken.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    configuration(&directory, &server, &["broken.pem"], "");
    let error = stack.rpc("auth_oauth.reload", &[]).expect_err("a bad one");
    assert!(error.contains("decryption_key_files") && error.contains("is a public key"), "{error}");
    assert_eq!(stack.register(&mut phone, ALICE, &next).status, 200);
    stack.finish();
}

#[test]
fn without_a_key_an_encrypted_token_is_named_as_such() {
    let directory = Directory::new("encrypted");
    key_pairs(&directory);
    let server = server(&directory);
    configuration(&directory, &server, &[], "");
    let stack = stack(&directory);
    let token = server.token("alice", "rs256-rsaoaep256");
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &token).status, 401);
    assert_eq!(stack.counter("reason_token_encrypted"), 1);
    stack.finish();
}
