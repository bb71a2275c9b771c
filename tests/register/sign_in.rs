// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone that signs in at an authorization server with Digest (sip-oauth section 3): at the test kit's, and at one
//! that gets things wrong.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use serde_json::json;
use sipoauth_core::keys::pop::{pop_from_text, pop_to_text};
use sipoauth_core::text::form;

use super::proxy::Proxy;
use super::support::authorization_server::{AuthorizationServer, Options};
use super::support::certificates::Authority;
use super::support::patience::{self, PATIENCE};
use super::support::temporary::Directory;
use super::{kept, text};

const PASSWORD: &str = "alice-password";

/// The code in a REGISTER, and the redirect_uri.
fn code_of(body: &str) -> (String, Option<String>) {
    let pairs = form::parse(body.as_bytes()).expect("a form");
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_string());
    assert_eq!(value("grant_type").as_deref(), Some("authorization_code"));
    (value("code").expect("a code"), value("redirect_uri"))
}

#[test]
fn the_code_comes_with_the_key_that_the_server_gives_the_proxy() {
    let server = AuthorizationServer::start();
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    let directory = Directory::new("sign-in");
    let file = directory.file("phone.json");
    let password = directory.write("password", format!("{PASSWORD}\r\n"));
    for query in ["", "?algorithm=SHA-256&scope=openid%20sip"] {
        let url = format!("{}/sip/authorize{query}", server.issuer());
        let redirect = ["--redirect-uri", "http://127.0.0.1/cb"];
        let sign_in = ["--authorize", &url, "--password-file", text(&password), "--state", text(&file)];
        let run = proxy.register(&[&sign_in[..], &redirect].concat());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        let request = proxy.next();
        let (code, redirect_uri) = code_of(&request.body);
        assert_eq!(redirect_uri.as_deref(), Some(redirect[1]));
        let exchange = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect[1])];
        let (status, answer) = server.token_request(&exchange);
        assert_eq!(status, 200, "{answer}");
        let state = kept(&file);
        assert_eq!(state["shared_key"]["key"], answer["master-key"]);
        assert_eq!(state["shared_key"]["order"], json!("master-key"));
        assert!(run.out.contains("← 401 Unauthorized") && run.out.contains("← 302 Found"), "{}", run.out);
        let key = pop_from_text(answer["master-key"].as_str().expect("a key")).expect("32 octets");
        for secret in [code.as_str(), PASSWORD, &pop_to_text(&key)] {
            assert!(!run.out.contains(secret), "{secret} in {}", run.out);
        }
        // Proofs go on with it.
        assert_eq!(proxy.register(&["--pop", "--state", text(&file)]).code, 0);
        let request = proxy.next();
        let pop = request.body.strip_prefix("grant_type=proof-of-possession&pop=").expect("the form");
        assert!(request.proves(&key, pop, "grant_type=proof-of-possession"));
    }
    let url = format!("{}/sip/authorize", server.issuer());
    let before = kept(&file);
    for (more, part) in [
        (&["--password", "wrong"][..], "does not accept the user name or the password"),
        (&["--password", PASSWORD, "--username", "bob"], "does not accept the user name or the password"),
    ] {
        let run = proxy.register(&[&["--authorize", &url, "--state", text(&file), "--json"], more].concat());
        assert!(run.code == 3 && run.err.contains(part), "{}{}", run.out, run.err);
        assert_eq!(run.json()["result"], "refused");
    }
    assert_eq!(kept(&file), before);
    assert!(proxy.seen.try_recv().is_err(), "the proxy was not asked");
}

#[test]
fn https_is_verified() {
    let authority = Authority::new();
    let server = AuthorizationServer::start_with(Options { tls: Some(authority.good()), ..Default::default() });
    let url = format!("{}/sip/authorize", server.issuer());
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    let sign_in = |ca_file| proxy.register(&["--authorize", &url, "--password", PASSWORD, "--ca-file", text(ca_file)]);
    let run = sign_in(authority.ca_file());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let run = sign_in(Authority::new().ca_file());
    assert!(run.code == 1 && run.err.contains("check --authorize and --ca-file"), "{}", run.err);
}

/// A server on loopback whose n-th answer is this.
fn http(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/sip/authorize", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("the tool connects");
            let mut head = Vec::new();
            let mut part = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                let length = patience::read(&stream, &mut part, Instant::now() + PATIENCE).expect("the tool sends");
                head.extend_from_slice(&part[..length]);
            }
            stream.write_all(answer.as_bytes()).expect("the tool reads");
        }
    });
    url
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn what_the_server_gets_wrong_has_a_sentence() {
    const DIGEST: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    let asked = || answer("401 Unauthorized", DIGEST, "");
    let other = |value: &str| answer("401 Unauthorized", &format!("WWW-Authenticate: {value}\r\n"), "");
    let moved = |location: &str| answer("302 Found", &format!("Location: {location}\r\n"), "");
    let cases = [
        (vec![answer("400 Bad Request", "", "")], "answered 400 and did not ask for a password"),
        (vec![answer("200 OK", "", "code=unasked-for-code")], "answered 200 and did not ask for a password"),
        (vec![other("Digest realm=\"r\", qop=\"auth\"")], "it has no nonce"),
        (vec![other("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256-sess")], "its algorithm is SHA-256-sess"),
        (vec![other("Basic realm=\"r\"")], "asks for Basic, not for Digest"),
        (vec![asked(), answer("302 Found", "", "")], "answered 302 without a code"),
        (vec![asked(), moved("http://127.0.0.1/cb?code=c1c2c3&state=another")], "with another state"),
        (vec![asked(), moved("http://127.0.0.1/cb?error=access_denied")], "with the error \"access_denied\""),
        (vec![asked(), answer("500 Oops", "", "code=c1c2c3")], "answered 500 without a code"),
        (vec!["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned()], "cannot be asked"),
    ];
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    for (answers, part) in cases {
        let run = proxy.register(&["--authorize", &http(answers), "--password", PASSWORD]);
        assert_eq!(run.code, 1, "{part}: {}{}", run.out, run.err);
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    // Not where everybody could read along.
    for url in ["http://as.example.test/sip/authorize", "ftp://as.example.test/", "as.example.test"] {
        let run = proxy.register(&["--authorize", url, "--password", PASSWORD]);
        assert!(run.code == 1 && run.err.contains("--authorize '"), "{}", run.err);
    }
    assert!(proxy.seen.try_recv().is_err(), "the proxy was not asked");
    // The code may also be in Location alone.
    let url = http(vec![asked(), moved("http://127.0.0.1/cb?code=only-in-location")]);
    assert_eq!(proxy.register(&["--authorize", &url, "--password", PASSWORD]).code, 0);
    assert_eq!(code_of(&proxy.next().body), ("only-in-location".to_owned(), None));
}
