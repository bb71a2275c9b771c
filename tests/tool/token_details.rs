// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth token explain` and `verify` name what they judge by.

use serde_json::{Value, json};

use crate::run_with;
use crate::support::scripted_server::{Answer, ScriptedServer, key_set};
use crate::support::token::{TestKey, claims};

fn line(issuer: &str, more: &str) -> String {
    format!("name=corp;issuer={issuer};audience=sip;{more}")
}

/// Claims with these in the place of the usual ones; null takes one away.
fn changed(issuer: &str, changes: &Value) -> Value {
    let mut claims = claims(issuer, "sip", "alice", 300);
    for (name, value) in changes.as_object().expect("members") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// What `explain` says of a rule, and all that `verify` prints.
fn told(token: &str, line: &str, rule: &str) -> (String, String) {
    let explained = run_with(&["token", "explain", "-", "--json", "--provider", line], token).json();
    let steps = explained["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["rule"] == rule).unwrap_or_else(|| panic!("{rule}: {explained}"));
    let verified = run_with(&["token", "verify", "-", "--provider", line], token);
    (step["detail"].as_str().expect("a text").to_owned(), verified.out)
}

#[test]
fn values_that_make_no_address_are_named() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line =
        line(&server.issuer(), "aor=sip:{lines.ext}@{domain},sip:{email},sip:x-{flag}@{domain};domain=example.test");
    let odd = json!({"lines": {"ext": [1001, "1002", true, 1.5, null, {"a": 1}, ["x"]]}, "email": {"work": "a@b"}, "flag": false});
    let (detail, _) = told(&key.token("ES256", &changed(&server.issuer(), &odd)), &line, "address");
    assert!(detail.contains("sip:1001@example.test, sip:1002@example.test"), "{detail}");
    for words in [
        "'lines.ext' has a boolean",
        "'lines.ext' has a number",
        "'lines.ext' has null",
        "'lines.ext' has an object",
        "'lines.ext' has an array",
        "'email' is an object",
        "'flag' is a boolean",
    ] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    assert!(detail.contains("neither text nor integer"), "{detail}");
}

#[test]
fn a_token_may_stand_for_64_addresses() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer(), "aor=sip:{ext}@{domain};domain=example.test");
    let with = |count: usize| {
        let numbers: Vec<usize> = (1000..1000 + count).collect();
        key.token("ES256", &changed(&server.issuer(), &json!({ "ext": numbers })))
    };
    for (count, user, code) in [(64, 1063, 0), (65, 1064, 3), (65, 1063, 0)] {
        let from = format!("sip:{user}@example.test");
        let arguments = ["token", "explain", "-", "--provider", &line, "--method", "INVITE", "--from", &from];
        let run = run_with(&arguments, &with(count));
        assert_eq!(run.code, code, "{count}: {}", run.out);
        assert_eq!(run.out.contains("more than 64"), count > 64, "{}", run.out);
    }
}

#[test]
fn the_claim_that_is_wrong_is_named_with_its_type_and_its_token() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer(), "aor={sip}");
    for (changes, rule, words) in [
        (json!({"exp": "soon"}), "claims", "exp of the access token is a string"),
        (json!({"exp": "99999999999"}), "claims", "exp of the access token is a string"),
        (json!({"exp": null}), "claims", "exp of the access token is missing"),
        (json!({"iss": 7}), "claims", "iss of the access token is a number"),
        (json!({"aud": {"a": 1}}), "claims", "aud of the access token is an object"),
        (json!({"aud": ["sip", 7]}), "claims", "aud of the access token is an array with other values than strings"),
        (json!({"scope": true}), "claims", "scope of the access token is a boolean"),
        (json!({"scope": [[]]}), "claims", "scope of the access token is an array with other values than strings"),
        (json!({"nbf": true}), "claims", "nbf of the access token is a boolean"),
        (json!({"iat": []}), "claims", "iat of the access token is an array"),
        (json!({"sub": 1.5}), "claims", "sub of the access token is a number with a fraction or an exponent"),
        (json!({"client_id": {}}), "claims", "client_id of the access token is an object"),
        (json!({"cnf": "x"}), "claims", "cnf of the access token is a string"),
        (
            json!({"cnf": {"x5t#S256": 7}}),
            "claims",
            "cnf of the access token is an object whose x5t#S256 is not a SHA-256",
        ),
        (json!({"aud": null}), "audience", "aud of the access token is missing"),
    ] {
        let token = key.token("ES256", &changed(&server.issuer(), &changes));
        let (detail, verified) = told(&token, &line, rule);
        assert!(detail.contains(words), "{changes}: {detail}");
        assert!(verified.contains(words), "{changes}: {verified}");
        let shown = run_with(&["token", "show", "-"], &token).out;
        let words = words.replace("the access token", "the token");
        assert_eq!(shown.contains(&words), rule == "claims", "{changes}: {shown}");
    }
}

/// The tool judges a long answer as the proxy does, which keeps only what rules look at.
#[test]
fn a_long_introspection_answer_counts_as_it_does_in_the_proxy() {
    let server = ScriptedServer::start(key_set(&[]));
    let issuer = server.issuer();
    let introspection = format!(
        "aor={{sip}};client_id=proxy;client_secret=hush-hush;tokens=opaque;introspection_endpoint={issuer}/introspect"
    );
    let judge = |answer: Value| {
        server.set("/introspect", Answer::Json(answer));
        run_with(&["token", "verify", "-", "--provider", &line(&issuer, &introspection)], "an-opaque-token")
    };
    let mut answer = changed(&issuer, &json!({"sip": "sip:alice@example.test"}));
    answer["active"] = json!(true);
    for number in 0..300 {
        answer[format!("attribute-{number}")] = json!("x".repeat(120));
    }
    let verified = judge(answer.clone());
    assert!(verified.out.starts_with("accepted"), "{}", verified.out);
    answer["scope"] = json!(format!("sip {}", "x".repeat(8000)));
    let verified = judge(answer);
    assert!(verified.out.contains("introspection_unavailable"), "{}", verified.out);
    assert!(verified.out.contains("what the rules look at has more than 7168"), "{}", verified.out);
}

#[test]
fn the_claim_of_an_introspection_answer_is_named() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let issuer = server.issuer();
    let introspection =
        format!("aor={{sip}};client_id=proxy;client_secret=hush-hush;introspection_endpoint={issuer}/introspect");
    for (changes, words) in [
        (json!({"exp": "soon"}), "exp of the introspection answer is a string"),
        (json!({"token_type": 7}), "token_type of the introspection answer is a number"),
        (json!({"aud": null}), "aud of the introspection answer is missing"),
    ] {
        let mut answer = changed(&issuer, &changes);
        answer["active"] = json!(true);
        server.set("/introspect", Answer::Json(answer));
        let opaque = run_with(
            &["token", "explain", "-", "--provider", &line(&issuer, &format!("{introspection};tokens=opaque"))],
            "an-opaque-token",
        );
        assert!(opaque.out.matches(words).count() == 2, "{changes}: {}", opaque.out);
    }
    let mut answer = changed(&issuer, &json!({"exp": "soon"}));
    answer["active"] = json!(true);
    server.set("/introspect", Answer::Json(answer));
    let token = key.token("ES256", &claims(&issuer, "sip", "alice", 300));
    let both = run_with(
        &[
            "token",
            "explain",
            "-",
            "--provider",
            &line(&issuer, &format!("{introspection};tokens=jwt_and_introspection")),
        ],
        &token,
    );
    assert!(both.out.matches("exp of the introspection answer is a string").count() == 2, "{}", both.out);
}

#[test]
fn judging_a_token_needs_no_store() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    for more in [
        "client_id=sip-proxy;client_secret=hush-hush",
        "client_id=sip-proxy;client_secret=hush-hush;password_grant=password",
    ] {
        let line = line(&server.issuer(), &format!("aor={{sip}};domain=example.test;{more}"));
        for command in ["verify", "explain"] {
            let run = run_with(&["token", command, "-", "--provider", &line], &token);
            assert!(!format!("{}{}", run.out, run.err).contains("store"), "{more}: {}{}", run.out, run.err);
            assert!(run.code == 0 || more.contains("password"), "{more}: {}{}", run.out, run.err);
        }
        let run = run_with(&["jwks", "--provider", &line], "");
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        // The proxy itself does.
        let run = run_with(&["check-config", "--offline", "--provider", &line], "");
        assert!(run.code == 1 && run.out.contains("'store'"), "{}", run.out);
    }
}

#[test]
fn a_token_that_looks_like_an_id_token_is_told_by_its_marks() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer(), "aor={sip};clients=sip-ua");
    for (changes, words) in [
        (json!({"at_hash": "x"}), "at_hash"),
        (json!({"c_hash": "x", "s_hash": "y"}), "c_hash, s_hash"),
        (json!({"nonce": "x", "scope": null}), "nonce without scope"),
        (json!({"token_use": "id"}), "token_use"),
        (json!({"typ": "ID"}), "typ"),
        (json!({"scope": null, "client_id": null}), "neither scope, role nor client"),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header["typ"] = json!("JWT");
        let token = key.jws("ES256", &header, &changed(&server.issuer(), &changes));
        let (detail, verified) = told(&token, &line, "kind");
        assert!(detail.contains(words) && detail.contains("accept_id_tokens"), "{changes}: {detail}");
        assert!(verified.contains("id_token") && verified.contains("accept_id_tokens"), "{changes}: {verified}");
    }
    let roles = changed(&server.issuer(), &json!({"roles": ["a"], "scope": null, "client_id": null, "aud": "sip-ua"}));
    let accepts =
        self::line(&server.issuer(), "aor={sip}").replace("audience=sip", "audience=sip-ua;clients=sip-ua,other");
    let token = key.jws("ES256", &json!({"alg": "ES256", "kid": "k", "typ": "JWT"}), &roles);
    let (detail, _) = told(&token, &accepts, "kind");
    assert!(detail.contains("accept_id_tokens"), "{detail}");
}

#[test]
fn from_alone_asks_about_a_registration() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer(), "aor={sip}");
    let token = key.token("ES256", &claims(&server.issuer(), "sip", "alice", 300));
    for (user, code) in [("alice", 0), ("bob", 3)] {
        let from = format!("sip:{user}@example.test");
        let run = run_with(&["token", "explain", "-", "--provider", &line, "--from", &from], &token);
        assert_eq!(run.code, code, "{}{}", run.out, run.err);
        assert!(run.out.contains("REGISTER of"), "{}", run.out);
    }
}
