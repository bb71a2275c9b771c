// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test kit's authorization server knows sip-oauth: Digest sign-in with a master-key, and the grants with which a
//! proxy turns a password, a user of its own or a token from elsewhere into tokens.

use crate::support::authorization_server::{AuthorizationServer, Options, SignIn};
use crate::support::digest::Challenge;
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::pop::pop_to_text;

const AUTHORIZE: [(&str, &str); 3] =
    [("response_type", "code"), ("user_id", "sip:alice@example.test"), ("state", "s 1")];
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const OUTSIDE: &str = "urn:example:sip-token";

fn exchange(server: &AuthorizationServer, sign_in: &SignIn) -> (u16, Value) {
    server.token_request(&[
        ("grant_type", "authorization_code"),
        ("code", &sign_in.code),
        ("redirect_uri", &sign_in.redirect_uri),
    ])
}

/// The error of a refused request.
fn refused(server: &AuthorizationServer, form: &[(&str, &str)]) -> String {
    let (status, answer) = server.token_request(form);
    assert_eq!(status, 400, "{answer}");
    answer["error"].as_str().expect("an error").to_owned()
}

/// Real tokens of this server for alice, whose refresh token works once.
fn assert_tokens(server: &AuthorizationServer, answer: &Value, scope: &str) {
    let claims = token::unverified_claims(answer["access_token"].as_str().expect("a token"));
    assert_eq!(claims["iss"], server.issuer());
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!(AuthorizationServer::resource("es256"))));
    assert_eq!((&claims["scope"], &answer["token_type"]), (&json!(scope), &json!("Bearer")));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", answer["refresh_token"].as_str().expect("one"))];
    let (status, next) = server.token_request(&refresh);
    assert_eq!((status, &next["scope"]), (200, &json!(scope)), "{next}");
    assert_ne!(next["refresh_token"], answer["refresh_token"]);
    assert_eq!(refused(server, &refresh), "invalid_grant");
}

#[test]
fn a_digest_sign_in_gives_a_code_once() {
    let server = AuthorizationServer::start();
    let first = server.authorize(&AUTHORIZE, None);
    let header = first.header("WWW-Authenticate").expect("a challenge");
    assert!(header.starts_with("Digest realm=\"example.test\", nonce=\"") && first.status == 401, "{header}");
    let challenge = Challenge::parse(header);
    let uri = server.authorize_uri(&AUTHORIZE);
    let answer = |user: &str, password: &str, count| {
        server.authorize(&AUTHORIZE, Some(&challenge.answer(user, password, "GET", &uri, count)))
    };
    for (user, password) in [("alice", "wrong"), ("bob", "bob-password"), ("nobody", "nobody-password")] {
        assert_eq!(answer(user, password, 1).status, 401, "{user}");
    }
    let signed_in = answer("alice", "alice-password", 1);
    let code = signed_in.body.strip_prefix("grant_type=authorization_code&code=").expect("the form").to_owned();
    let location = format!("http://127.0.0.1/cb?code={code}&state=s+1");
    assert_eq!((signed_in.status, signed_in.header("Location")), (302, Some(location.as_str())));
    // The nonce goes on with a higher count only.
    let stale = |answer: crate::support::http::Answer| {
        answer.status == 401 && Challenge::parse(answer.header("WWW-Authenticate").expect("one")).stale
    };
    assert!(stale(answer("alice", "alice-password", 1)));
    assert_eq!(answer("alice", "alice-password", 2).status, 302);
    let made_up = Challenge { nonce: "made-up".into(), ..challenge.clone() };
    assert!(stale(server.authorize(&AUTHORIZE, Some(&made_up.answer("alice", "alice-password", "GET", &uri, 1)))));
    // Whether there is such a user shows nowhere.
    let unknown = [AUTHORIZE[0], ("user_id", "sip:nobody@example.test")];
    assert_eq!(server.authorize(&unknown, None).status, 401);
    for incomplete in [&AUTHORIZE[..1], &AUTHORIZE[1..], &[("response_type", "token"), AUTHORIZE[1]]] {
        assert_eq!(server.authorize(incomplete, None).status, 400);
    }
    assert_eq!(server.stats()["/sip/authorize"], 12);
}

#[test]
fn the_exchange_of_its_code_gives_the_master_key() {
    let server =
        AuthorizationServer::start_with(Options { issuer_path: "/realms/sip".to_owned(), ..Default::default() });
    assert_eq!(server.digest_sign_in("alice", "alice").err(), Some(401));
    let sign_in = || server.digest_sign_in("alice", "alice-password").expect("the right password");
    let key_of = |s: &SignIn| master_key(Ha1Form::Hex, &s.ha1, s.realm.as_bytes(), s.nonce.as_bytes()).expect("H(A1)");
    let signed_in = sign_in();
    let (status, answer) = exchange(&server, &signed_in);
    assert_eq!((status, &answer["master-key"]), (200, &json!(pop_to_text(&key_of(&signed_in)))));
    assert_tokens(&server, &answer, "openid sip offline_access");
    let id_token = token::unverified_claims(answer["id_token"].as_str().expect("an ID token"));
    assert_eq!((&id_token["sub"], &id_token["aud"]), (&json!("alice"), &json!("sip-proxy")));
    assert_eq!(exchange(&server, &signed_in).1["error"], "invalid_grant");

    for form in ["underscore", "hex", "absent", "garbage", "draft"] {
        server.master_key_form(form);
        let signed_in = sign_in();
        let (_, answer) = exchange(&server, &signed_in);
        let key = key_of(&signed_in);
        let hex: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
        let (name, value) = match form {
            "underscore" => ("master_key", json!(pop_to_text(&key))),
            "hex" => ("master-key", json!(hex)),
            "absent" => ("master-key", Value::Null),
            "garbage" => ("master-key", json!("too-short")),
            _ => ("master-key", json!(pop_to_text(&key))),
        };
        assert_eq!(answer[name], value, "{form}");
        let names: Vec<&str> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
        let draft = ["expires_in", "id_token", "master-key", "token_refresh"];
        assert_eq!(names == draft, form == "draft", "{names:?}");
    }
    server.clear();
    assert!(exchange(&server, &sign_in()).1["master-key"].is_string());
    // Codes of the pages have none.
    let login = server.login_for_code_of("sip-proxy", "alice", "es256", "openid sip");
    let text = |name: &str| login[name].as_str().expect("a text").to_owned();
    let (code, verifier, redirect) = (text("code"), text("code_verifier"), text("redirect_uri"));
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", &redirect)];
    let (status, answer) = server.token_request(&[&form[..], &[("code_verifier", &verifier)]].concat());
    assert_eq!((status, &answer["master-key"]), (200, &Value::Null));
}

#[test]
fn a_password_gives_tokens() {
    let server = AuthorizationServer::start();
    let form = |user, password| [("grant_type", "password"), ("username", user), ("password", password)];
    for name in ["alice", "sip:alice@example.test"] {
        let (status, answer) = server.token_request(&form(name, "alice-password"));
        assert_eq!((status, &answer["expires_in"]), (200, &json!(300)), "{answer}");
        assert!(answer["id_token"].is_string() && answer["master-key"].is_null());
        assert_tokens(&server, &answer, "openid sip offline_access");
    }
    let scoped = [&form("alice", "alice-password")[..], &[("scope", "sip")]].concat();
    assert_eq!(server.token_request(&scoped).1["scope"], "sip");
    for (user, password) in
        [("alice", "alice"), ("nobody", "nobody-password"), ("alice@elsewhere.test", "alice-password")]
    {
        assert_eq!(refused(&server, &form(user, password)), "invalid_grant");
    }
    assert_eq!(refused(&server, &form("alice", "alice-password")[..2]), "invalid_request");
    let stats = server.stats();
    assert_eq!((stats["/token password"], stats["/token password invalid_grant"]), (7, 3));
}

/// "PUBLIC KEY" PEM of a P-256 JWK (RFC 5480).
fn pem(jwk: &Value) -> String {
    const BEFORE_THE_POINT: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a point")).expect("base64url");
    let text = STANDARD.encode([BEFORE_THE_POINT, &octets("x"), &octets("y")].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..])
}

#[test]
fn a_token_of_the_proxy_is_exchanged() {
    let directory = Directory::new("subject");
    let (key, other) = (TestKey::p256("proxy"), TestKey::p256("proxy"));
    let keys = directory.write("keys.json", json!({"keys": [key.jwk()]}).to_string());
    let server = AuthorizationServer::start_with(Options {
        subject_keys_file: Some(keys.clone()),
        subject_issuer: Some("https://proxy.example.test".to_owned()),
        ..Default::default()
    });
    let claims = |audience: &str, user: &str, ttl| token::claims("https://proxy.example.test", audience, user, ttl);
    let good = claims(server.issuer(), "alice", 60);
    let form = |subject: &str| {
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let ask = |subject: &str, more: &[(&str, &str)]| {
        let form = form(subject);
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.token_request(&[&form[..], more].concat())
    };
    for audience in [server.issuer().to_owned(), format!("{}/token", server.issuer())] {
        let (status, answer) = ask(&key.token("ES256", &claims(&audience, "alice", 60)), &[]);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
        assert_tokens(&server, &answer, "openid sip offline_access");
    }
    let audience = AuthorizationServer::resource("rs256");
    let (_, answer) = ask(&key.token("ES256", &good), &[("audience", &audience), ("scope", "sip")]);
    assert_eq!(answer["scope"], "sip");
    assert_eq!(token::unverified_claims(answer["access_token"].as_str().expect("a token"))["aud"], audience);
    for (what, subject) in [
        ("another key", other.token("ES256", &good)),
        ("another algorithm", TestKey::p384("proxy").token("ES384", &good)),
        ("too old", key.token("ES256", &claims(server.issuer(), "alice", -60))),
        ("for others", key.token("ES256", &claims("https://elsewhere.example", "alice", 60))),
        ("from others", key.token("ES256", &token::claims("https://x", server.issuer(), "alice", 60))),
        ("no account", key.token("ES256", &claims(server.issuer(), "nobody", 60))),
        ("no token", "x".to_owned()),
    ] {
        assert_eq!(ask(&subject, &[]).1["error"], "invalid_grant", "{what}");
    }
    let (_, answer) = ask(&key.token("ES256", &good), &[("requested_token_type", "urn:x")]);
    assert_eq!(answer["error"], "invalid_request");
    assert_eq!(server.stats()[&format!("/token {TOKEN_EXCHANGE} invalid_grant")], 7);
    // The proxy's key may change, and be PEM.
    std::fs::write(keys, pem(&other.jwk())).expect("our own file");
    assert_eq!(ask(&other.token("ES256", &good), &[]).0, 200);
}

#[test]
fn a_token_from_elsewhere_is_validated() {
    let server = AuthorizationServer::start();
    let ask = |user: &str, token: &str, scope: &[(&str, &str)]| {
        server.token_request(
            &[&[("grant_type", OUTSIDE), ("username", user), ("access_token", token)][..], scope].concat(),
        )
    };
    for form in ["opaque", "jwt"] {
        let token = server.outside_token("alice", "sip sip.call", 60, form);
        assert_eq!(token.contains('.'), form == "jwt");
        let (status, answer) = ask("alice", &token, &[]);
        assert_eq!((status, &answer["expires"], &answer["expires_in"]), (200, &json!(300), &Value::Null), "{answer}");
        assert_tokens(&server, &answer, "sip sip.call");
        assert_eq!(ask("alice", &token, &[("scope", "sip")]).1["scope"], "sip");
        assert_eq!(ask("alice", &token, &[("scope", "openid")]).1["error"], "invalid_scope");
        assert_eq!(ask("bob", &token, &[]).1["error"], "invalid_grant");
        server.revoke_outside(&token);
        assert_eq!(ask("alice", &token, &[]).1["error"], "invalid_grant");
    }
    let old = server.outside_token("alice", "sip", -1, "opaque");
    for token in [old.as_str(), "never-issued"] {
        let (status, answer) = ask("alice", token, &[]);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    }
    let stats = server.stats();
    assert_eq!(stats[&format!("/token {OUTSIDE}")], 12);
    assert_eq!(stats[&format!("/token {OUTSIDE} invalid_grant")], 6);
}
