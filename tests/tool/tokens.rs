// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth token` and `sipoauth reason`.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sipoauth_core::jose::hashed_token::token_fingerprint;
use sipoauth_core::reason::Reason;

use crate::support::authorization_server::AuthorizationServer;
use crate::support::certificates::Authority;
use crate::support::encryption::Recipient;
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery, key_set};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, claims, encode, now};
use crate::{run, run_with};

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

fn line(issuer: &str) -> String {
    format!("name=corp;issuer={issuer};audience=sip;aor={{sip}};domain=example.test;clients=sip-ua;required_scopes=sip")
}

/// Verdict and explanation of one token, after it is seen that they agree.
fn judged(token: &str, arguments: &[&str]) -> (i32, Value) {
    let verified = run_with(&[&["token", "verify", "-", "--json"], arguments].concat(), token);
    let explained = run_with(&[&["token", "explain", "-", "--json"], arguments].concat(), token);
    let (verdict, explanation) = (verified.json(), explained.json());
    assert_eq!((verified.code, &verdict["reason"]), (explained.code, &explanation["reason"]), "{}", explained.out);
    let steps = explanation["steps"].as_array().expect("a list");
    let failed: Vec<&Value> = steps.iter().filter(|s| s["result"] == "failed").map(|s| &s["reason"]).collect();
    match verified.code {
        0 => assert!(failed.is_empty(), "{}", explained.out),
        3 => assert!(failed.contains(&&verdict["reason"]), "{}", explained.out),
        _ => assert!(steps.iter().any(|s| s["result"] == "unknown"), "{}", explained.out),
    }
    for output in [&verified.out, &explained.out] {
        let signature = token.rsplit('.').next().expect("one part");
        assert!(signature.len() < 20 || !output.contains(signature), "the signature is printed: {output}");
    }
    (verified.code, explanation)
}

fn failed_rules(explanation: &Value) -> Vec<&str> {
    let steps = explanation["steps"].as_array().expect("a list");
    steps.iter().filter(|s| s["result"] == "failed").filter_map(|s| s["rule"].as_str()).collect()
}

#[test]
fn verdict_and_explanation_agree_with_each_other_and_with_the_rules() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let issuer = server.issuer();
    let line = line(&issuer);
    let with = |name: &str, value: Value| {
        let mut claims = claims(&issuer, "sip", "alice", 300);
        claims[name] = value;
        key.token("ES256", &claims)
    };
    let good = with("x", json!(1));
    let forged = format!("{}{}", &good[..good.len() - 4], if good.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    let typ = json!({"alg": "ES256", "typ": "dpop+jwt", "kid": "k"});
    let unknown = json!({"alg": "ES256", "typ": "at+jwt", "kid": "another"});
    let usual = claims(&issuer, "sip", "alice", 300);
    for (name, token, reason, rule) in [
        ("expired", with("exp", json!(now() - 7200)), Reason::TokenExpired, "expiry"),
        ("nbf", with("nbf", json!(now() + 7200)), Reason::TokenNotYetValid, "not before"),
        ("iat", with("iat", json!(now() + 7200)), Reason::IssuedInFuture, "issued at"),
        ("aud", with("aud", json!("other")), Reason::AudienceMismatch, "audience"),
        ("client", with("client_id", json!("other")), Reason::ClientNotAllowed, "client"),
        ("scope", with("scope", json!("openid")), Reason::InsufficientScope, "scope"),
        ("ID token", with("at_hash", json!("x")), Reason::IdToken, "kind"),
        ("DPoP", with("cnf", json!({"jkt": "x"})), Reason::TokenBound, "binding"),
        ("issuer", with("iss", json!("https://other.example")), Reason::IssuerUnknown, "issuer"),
        ("claim", with("exp", json!("soon")), Reason::ClaimMalformed, "claims"),
        ("signature", forged, Reason::SignatureInvalid, "signature"),
        ("typ", key.jws("ES256", &typ, &usual), Reason::TypeNotAccepted, "type"),
        ("kid", key.jws("ES256", &unknown, &usual), Reason::KeyUnknown, "signature"),
        ("crit", key.jws("ES256", &json!({"alg": "ES256", "crit": ["x"]}), &usual), Reason::CriticalUnknown, "header"),
        ("opaque", "an-opaque-token-of-google".to_owned(), Reason::TokenOpaque, "form"),
        ("JWE", "a.b.c.d.e".to_owned(), Reason::TokenEncrypted, "encryption"),
    ] {
        let (code, explanation) = judged(&token, &["--provider", &line]);
        assert_eq!((code, explanation["reason"].as_str()), (3, Some(reason.code())), "{name}: {explanation}");
        assert_eq!(failed_rules(&explanation), [rule], "{name}: {explanation}");
    }
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k"}).to_string();
    let twice = key.jws_octets("ES256", header.as_bytes(), b"{\"sub\":1,\"sub\":2}");
    let text = run_with(&["token", "explain", "-", "--provider", &line], &twice);
    assert!(text.out.contains("cannot be read as JSON: a name stands twice in an object"), "{}", text.out);
    let (code, explanation) = judged(&good, &["--provider", &line]);
    assert_eq!((code, &explanation["aors"]), (0, &json!([ALICE])), "{explanation}");
    assert_eq!(explanation["fingerprint"], token_fingerprint(&good));

    // All that is wrong is shown at once, also of a token that is nobody's.
    let all = claims("https://other.example", "other", "alice", -7200);
    let (_, explanation) = judged(&key.token("ES256", &all), &["--provider", &line]);
    assert_eq!(failed_rules(&explanation), ["issuer", "expiry", "audience"], "{explanation}");
    let text = run_with(&["token", "explain", "-", "--provider", &line], &key.token("ES256", &all));
    assert!(text.out.contains("token has other, audience is sip  [audience_mismatch]"), "{}", text.out);
    assert!(text.out.contains("refused: issuer_unknown"), "{}", text.out);
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_judged_beside_it() {
    let (key, authority) = (TestKey::p256("k"), Authority::new());
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer());
    let [alices, mallorys] = ["alice", "mallory"].map(|name| authority.client(name).certificate);
    let der = Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(&alices).output();
    let mut bound = claims(&server.issuer(), "sip", "alice", 300);
    bound["cnf"] = json!({ "x5t#S256": encode(Sha256::digest(der.expect("openssl runs").stdout)) });
    let token = key.token("ES256", &bound);
    let usual = ["--provider", &line];
    let with = |file: &'static str| [&usual[..], &["--client-certificate", file]].concat();
    let [alices, mallorys] = [alices, mallorys].map(|file| &*file.to_str().expect("UTF-8").to_owned().leak());
    assert_eq!(judged(&token, &with(alices)).0, 0);
    for arguments in [usual.to_vec(), with(mallorys), [with(alices), vec!["--transport", "tcp"]].concat()] {
        let (code, explanation) = judged(&token, &arguments);
        assert_eq!((code, &*failed_rules(&explanation)), (3, &["binding"][..]), "{arguments:?}: {explanation}");
    }
    let text = run_with(&[&["token", "explain", "-"], &usual[..]].concat(), &token).out;
    assert!(text.contains("bound to x5t#S256, whose possession is not proved"), "{text}");
    for (file, problem) in [("/nowhere", "/nowhere: No such file"), (file!(), "holds no certificate")] {
        let refused = run_with(&[&["token", "verify", "-"], &with(file)[..]].concat(), &token);
        assert!(refused.code == 1 && refused.err.contains(problem), "{} {}", refused.out, refused.err);
    }
}

#[test]
fn what_was_in_an_encrypted_token_is_explained() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = format!("{};encryption=required", line(&server.issuer()));
    let recipient = Recipient::curve("P-256");
    let directory = Directory::new("tool-jwe");
    let file = directory.write("key.pem", &recipient.private);
    let files = format!("decryption_key_files={}", file.display());
    let options = ["--provider", &line, "--set", &files];
    let signed = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    let expired = key.token("ES256", &claims(&server.issuer(), "sip", "alice", -300));
    let encrypt = |to: &Recipient, token: &str| to.encrypt("ECDH-ES+A256KW", "A256GCM", token);
    for (token, code, reason, rules) in [
        (encrypt(&recipient, &signed), 0, "ok", &[][..]),
        (encrypt(&recipient, &expired), 3, "token_expired", &["expiry"]),
        (encrypt(&Recipient::curve("P-256"), &signed), 3, "decryption_failed", &["encryption"]),
        (signed.clone(), 3, "encryption_required", &["protection"]),
    ] {
        let (got, explanation) = judged(&token, &options);
        assert_eq!((got, explanation["reason"].as_str()), (code, Some(reason)), "{explanation}");
        assert_eq!(failed_rules(&explanation), rules, "{explanation}");
    }
}

#[test]
fn a_token_that_needs_a_protected_way_is_judged_by_its_transport_also_without_a_request() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let directory = Directory::new("tool-transport");
    let files =
        format!("decryption_key_files={}", directory.write("key.pem", &Recipient::curve("P-256").private).display());
    let line = format!("{};encryption=required_without_tls", line(&server.issuer()));
    let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    let request = ["--method", "REGISTER", "--from", ALICE];
    for used in [&[][..], &request] {
        for (transport, code) in
            [(&[][..], 0), (&["--transport", "tls"], 0), (&["--transport", "wss"], 0), (&["--transport", "udp"], 3)]
        {
            let options = [&["--provider", &line, "--set", &files], used, transport].concat();
            let (got, explanation) = judged(&token, &options);
            assert_eq!(got, code, "{used:?} {transport:?}: {explanation}");
            let expected = if code == 0 { vec![] } else { vec!["protection"] };
            assert_eq!(failed_rules(&explanation), expected, "{explanation}");
        }
    }
}

#[test]
fn the_server_is_asked_about_opaque_tokens() {
    let server = AuthorizationServer::start();
    let line = |secret: &str, further: &str| {
        let (issuer, audience) = (server.issuer(), AuthorizationServer::resource("opaque"));
        format!(
            "name=corp;issuer={issuer};audience={audience};aor={{sip}};domain=example.test;client_id=sip-rs;\
             client_secret={secret};tokens=opaque;{further}"
        )
    };
    let (good, revoked) = (server.token("alice", "opaque"), server.token("alice", "opaque"));
    server.revoke(&revoked);
    let invite = ["--method", "INVITE", "--from", ALICE, "--to", BOB];
    let judge = |token: &str, line: &str, used: &[&str]| {
        let (code, explanation) = judged(token, &[&["--provider", line], used].concat());
        let reason = explanation["reason"].as_str().expect("a text").to_owned();
        let rules: Vec<String> = failed_rules(&explanation).into_iter().map(str::to_owned).collect();
        (code, reason, rules.join(" "))
    };
    let usual = line("rs-secret", "");
    assert_eq!(judge(&good, &usual, &invite), (0, "ok".into(), String::new()));
    assert_eq!(judge(&revoked, &usual, &[]), (3, "token_inactive".into(), "introspection".into()));
    let needs = line("rs-secret", "method_scopes=INVITE=sip.call");
    assert_eq!(judge(&good, &needs, &invite), (3, "insufficient_scope".into(), "method scope".into()));
    assert_eq!(judge(&good, &needs, &["--method", "MESSAGE", "--from", ALICE]).0, 0);
    assert_eq!(judge(&good, &line("wrong", ""), &[]), (4, "client_refused".into(), String::new()));
}

/// A provider whose tokens are opaque, at a scripted server.
fn opaque(issuer: &str) -> String {
    let client = "client_id=sip-proxy;client_secret=hush-hush-hush;tokens=opaque";
    format!("name=corp;issuer={issuer};audience=sip;aor={{sip}};domain=example.test;{client}")
}

#[test]
fn what_looks_like_a_jwt_is_judged_and_explained_like_any_other_opaque_token() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let (issuer, line) = (server.issuer(), opaque(&server.issuer()));
    let mut metadata = discovery(&issuer);
    metadata["introspection_endpoint"] = json!(server.url("/introspect"));
    server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    server.set("/introspect", Answer::Json(json!({"active": true, "aud": "sip", "sip": ALICE, "scope": "sip"})));
    let mut endless = claims(&issuer, "sip", "alice", 300);
    endless["exp"] = json!("");
    let strangers = claims("https://other.example", "sip", "alice", 300);
    for token in [
        key.token("ES256", &endless),
        key.token("ES256", &strangers),
        key.jws("ES256", &json!({"alg": "ES512"}), &claims(&issuer, "sip", "alice", 300)),
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA".to_owned(),
    ] {
        let (code, explanation) = judged(&token, &["--provider", &line]);
        assert_eq!((code, &explanation["aors"]), (0, &json!([ALICE])), "{explanation}");
        assert_eq!(failed_rules(&explanation), [""; 0], "{explanation}");
    }
}

#[test]
fn a_server_that_does_not_tell_of_a_token_has_the_reason_of_the_proxy() {
    let mut server = ScriptedServer::start(key_set(&[TestKey::p256("k").jwk()]));
    let (issuer, line) = (server.issuer(), opaque(&server.issuer()));
    let judge = |name: &str, exit: i32, reason: &str, words: &str| {
        let (code, value) = judged("an-opaque-token", &["--provider", &line]);
        assert_eq!((code, value["reason"].as_str()), (exit, Some(reason)), "{name}: {value}");
        let problem = value["problem"].as_str().unwrap_or_default();
        let step = value["steps"].as_array().expect("steps").iter().find(|step| step["rule"] == "introspection");
        let step = step.expect("the server was asked");
        assert!(problem.is_empty() || step["detail"] == problem, "{name}: {step}");
        assert!(problem.contains(words) && problem.is_empty() == words.is_empty(), "{name}: {value}");
    };
    let with = |name: &str, value: &str| {
        let mut metadata = discovery(&issuer);
        metadata["introspection_endpoint"] = json!(format!("{issuer}/introspect"));
        metadata[name] = json!(value);
        Answer::Json(metadata)
    };
    // The operator must act, or the server may tell soon.
    let (operator, later) = ("client_refused", "introspection_unavailable");
    for (name, metadata, reason, words) in [
        ("no endpoint", Answer::Json(discovery(&issuer)), operator, "no introspection_endpoint"),
        ("an empty endpoint", with("introspection_endpoint", ""), operator, "no introspection_endpoint"),
        ("not protected", with("introspection_endpoint", "http://as.example.test/i"), operator, "not protected"),
        ("another issuer", with("issuer", "https://as.example.test"), operator, "calls itself issuer"),
        ("no metadata", Answer::Status(404), later, "HTTP status 404"),
        ("a web page", Answer::Html, later, "not a JSON metadata document"),
        ("broken", Answer::Status(500), later, "HTTP status 500"),
    ] {
        server.set(OPENID_CONFIGURATION, metadata);
        judge(name, 4, reason, words);
    }
    server.set(OPENID_CONFIGURATION, with("issuer", &issuer));
    for (name, status, error, (code, reason), words) in [
        ("client", 401, "invalid_client", (4, operator), "invalid_client"),
        ("request", 400, "invalid_request", (4, operator), "takes this for token_inactive"),
        ("token", 400, "invalid_token", (3, "token_inactive"), ""),
        ("address", 404, "", (4, operator), "404"),
        ("busy", 429, "slow_down", (4, later), "429"),
        ("broken", 500, "server_error", (4, later), "500"),
        ("no answer to the question", 200, "", (4, later), "no 'active'"),
    ] {
        let error = if error.is_empty() { json!({}) } else { json!({"error": error}) };
        server.set("/introspect", Answer::Full(status, vec![], error.to_string().into_bytes()));
        judge(name, code, reason, words);
    }
    server.stop();
    judge("away", 4, later, "127.0.0.1");
}

/// The proxy has room for 7 kB of an answer.
#[test]
fn an_answer_is_judged_as_the_proxy_keeps_it() {
    let server = ScriptedServer::start(key_set(&[TestKey::p256("k").jwk()]));
    let line = format!("{};introspection_endpoint={}/introspect", opaque(&server.issuer()), server.issuer());
    let judge = |name: &str, value: Value| {
        let mut answer = claims(&server.issuer(), "sip", "alice", 300);
        (answer["active"], answer[name]) = (json!(true), value);
        server.set("/introspect", Answer::Json(answer));
        judged("an-opaque-token", &["--provider", &line])
    };
    let scopes = |count: usize| json!((0..count).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" "));
    assert_eq!(judge("scope", scopes(20)).0, 0);
    let (code, value) = judge("picture", json!("x".repeat(9000)));
    assert_eq!((code, value["aors"].as_array().map(Vec::len)), (0, Some(1)), "{value}");
    let (code, value) = judge("scope", scopes(4000));
    assert_eq!((code, value["reason"].as_str()), (4, Some("introspection_unavailable")), "{value}");
    assert!(
        value["problem"].as_str().is_some_and(|problem| problem.contains("what the rules look at has more")),
        "{value}"
    );
}

/// The proxy shows such a token to its server. The tool cannot say what the server will answer.
#[test]
fn a_token_that_only_a_validating_server_can_judge_is_not_called_refused() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let (issuer, usual) = (server.issuer(), line(&server.issuer()));
    let validating =
        "name=elsewhere;issuer=https://v.example.test;domain=v.test;client_id=p;client_secret=hush-hush-hush;\
                      tokens=validation_grant;validation_grant_type=urn:example:sip-token"
            .to_owned();
    let own = key.token("ES256", &claims(&issuer, "sip", "alice", 300));
    let of_validator = key.token("ES256", &claims("https://v.example.test", "sip", "alice", 300));
    let of_nobody = key.token("ES256", &claims("https://nobody.example.test", "sip", "alice", 300));
    let request = |user: &'static str| ["--from", user];
    let (here, there) = (request("sip:alice@v.test"), request(ALICE));
    for (token, lines, used, is_judged) in [
        ("opaque-token", vec![&validating], &[][..], false),
        ("opaque-token", vec![&validating], &here, false),
        ("opaque-token", vec![&validating, &usual], &there, true),
        (&of_validator, vec![&validating, &usual], &[], false),
        (&of_nobody, vec![&validating, &usual], &here, false),
        (&of_nobody, vec![&validating, &usual], &there, true),
        (&own, vec![&validating, &usual], &[], true),
        (&own, vec![&validating, &usual], &there, true),
    ] {
        for command in ["verify", "explain"] {
            let lines = lines.iter().flat_map(|line| ["--provider", line.as_str()]);
            let arguments: Vec<&str> =
                ["token", command, "-"].into_iter().chain(lines).chain(used.iter().copied()).collect();
            let run = run_with(&arguments, token);
            assert_eq!(
                run.err.contains("only its server can judge this token"),
                !is_judged,
                "{arguments:?}: {}",
                run.err
            );
            assert_eq!(run.code == 1, !is_judged, "{arguments:?}: {}{}", run.out, run.err);
            assert!(is_judged || !run.out.contains("refused"), "{arguments:?}: {}", run.out);
        }
    }
}

#[test]
fn who_may_use_a_token() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer());
    let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    let used = |method, from, to| {
        let (code, value) = judged(&token, &["--provider", &line, "--method", method, "--from", from, "--to", to]);
        (code, value["reason"].as_str().expect("a text").to_owned())
    };
    assert_eq!(used("INVITE", ALICE, BOB), (0, "ok".into()));
    assert_eq!(used("INVITE", BOB, ALICE), (3, "aor_mismatch".into()));
    assert_eq!(used("REGISTER", ALICE, BOB), (3, "third_party_registration".into()));
    assert_eq!(used("REGISTER", "sip:alice@other.test", "sip:alice@other.test"), (3, "domain_mismatch".into()));
}

#[test]
fn an_outage_is_not_a_refusal() {
    let key = TestKey::p256("k");
    let mut server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer());
    let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    for away in [Answer::Status(503), Answer::Html] {
        server.set(JWKS, away);
        let (code, value) = judged(&token, &["--provider", &line]);
        assert_eq!((code, value["reason"].as_str()), (4, Some("provider_unreachable")), "{value}");
        assert!(value["problem"].as_str().is_some_and(|p| p.contains("/jwks")), "{value}");
    }
    server.stop();
    assert_eq!(judged(&token, &["--provider", &line]).0, 4);
}

#[test]
fn a_real_servers_token() {
    let server = AuthorizationServer::start();
    let token = server.token("alice", "rs256");
    let audience = AuthorizationServer::resource("rs256");
    let line = format!("name=kit;issuer={};audience={audience};aor={{sip}};domain=example.test", server.issuer());
    let (code, value) = judged(&token, &["--provider", &line, "--method", "REGISTER", "--from", ALICE]);
    assert_eq!((code, value["aor"].as_str(), value["provider"].as_str()), (0, Some(ALICE), Some("kit")), "{value}");
    let text = run_with(&["token", "verify", "-", "--provider", &line], &token);
    assert!(text.out.starts_with("accepted\n") && text.out.contains(ALICE), "{}", text.out);
}

#[test]
fn show_says_that_nothing_is_verified() {
    let key = TestKey::p256("k");
    let mut expired = claims("https://as.example.test", "sip", "alice", -7200);
    expired["note"] = json!("\u{1b}[2J");
    let token = key.token("ES256", &expired);
    let directory = Directory::new("tool-token");
    let file = directory.write("token", format!("Bearer {token}\n"));
    let file = file.to_str().expect("UTF-8");
    let shown = run(&["token", "show", "--token-file", file]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.starts_with("NOT VERIFIED"), "{}", shown.out);
    for words in ["looks like an access token", &token_fingerprint(&token), "EXPIRED", "(2 h ago)", "alice", "ES256"] {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }
    let signature = token.rsplit('.').next().expect("three parts");
    assert!(!shown.out.contains(signature) && !shown.out.contains('\u{1b}'), "{}", shown.out);
    assert!(run(&["token", "show", "--show-secrets", &token]).out.contains(&token));
    let value = run(&["token", "show", "--json", &token]).json();
    assert_eq!((&value["verified"], &value["claims"]["sub"]), (&json!(false), &json!("alice")));
    assert!(value["signature"].is_null() && value["token"].is_null());

    let id_token = key.jws("ES256", &json!({"alg": "ES256"}), &json!({"iss": "x", "aud": "y", "exp": 1, "nonce": "z"}));
    let encrypted = format!("{}.a.b.c.d", encode(r#"{"alg":"ECDH-ES","enc":"A256GCM"}"#));
    for (token, kind) in [
        (id_token.as_str(), "looks like an ID token"),
        (&encrypted, "JWE: encrypted"),
        ("ya29.opaque", "opaque"),
        ("a.b.c", "a part is not base64url or not JSON"),
    ] {
        let kind_shown =
            run(&["token", "show", "--json", token]).json()["kind"].as_str().unwrap_or_default().to_owned();
        assert!(kind_shown.contains(kind), "{token}: {kind_shown}");
    }
    for (arguments, words) in [
        (vec!["token", "show"], "required arguments"),
        (vec!["token", "show", "a b"], "more than one token"),
        (vec!["token", "show", "--token-file", "/nonexistent"], "/nonexistent: the token cannot be read"),
        (vec!["token", "show", " "], "there is no token"),
        (vec!["token", "verify", "a.b.c", "--provider", "name=x"], "provider 'x': issuer: is missing"),
        (vec!["token", "verify", "a.b.c", "--method", "INVITE"], "--from"),
    ] {
        let run = run(&arguments);
        assert!(run.code == 1 && run.err.contains(words), "{arguments:?}: {} {}", run.code, run.err);
    }
}

#[test]
fn reasons_are_explained() {
    for reason in Reason::ALL {
        for code in [reason.code().to_owned(), reason.number().to_string(), format!("reason_{}", reason.code())] {
            let run = run(&["reason", &code]);
            assert!(run.code == 0 && run.out.contains(reason.text()), "{code}: {}{}", run.out, run.err);
        }
    }
    let all = run(&["reason", "--json"]).json();
    assert_eq!(all.as_array().map(Vec::len), Some(Reason::ALL.len()));
    assert!(run(&["reason", "token_expried"]).err.contains("did you mean 'token_expired'?"));
    assert_eq!(run(&["reason", "colour"]).code, 1);
}
