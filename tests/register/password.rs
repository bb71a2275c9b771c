// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone whose proxy authenticates it with Digest and gives it tokens (sip-oauth section 4), and that shows them.

use std::fs;

use serde_json::{Value, json};
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::pop::pop_from_text;

use super::proxy::{Proxy, Seen};
use super::support::digest::Challenge;
use super::support::temporary::Directory;
use super::{AOR, Run, kept, text};

const NONCE: &str = "nonce-of-the-proxy";
const PASSWORD: &str = "alice-password";
const ACCESS: &str = "access-token-number-one";
const REFRESH: &str = "refresh/token+number-one";

fn challenge(parameters: &str) -> String {
    format!("Digest realm=\"example.test\", nonce=\"{NONCE}\"{parameters}")
}

/// The master-key of alice, as the proxy comes to it.
fn master_key_of(challenge: &Challenge, form: Ha1Form) -> Vec<u8> {
    let ha1 = challenge.ha1("alice", PASSWORD);
    master_key(form, &ha1, challenge.realm.as_bytes(), challenge.nonce.as_bytes()).expect("H(A1)").to_vec()
}

fn tokens() -> Value {
    json!({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 300, "refresh_token": REFRESH, "scope": "sip"})
}

fn granted(request: &Seen, body: &Value) -> Vec<u8> {
    let more = format!("Contact: <{}>;expires=600\r\nContent-Type: application/json\r\n", request.uri("Contact"));
    request.answer_with("200 OK", &more, &body.to_string())
}

/// A proxy that asks for Digest in a 401 and grants tokens then.
fn granting(parameters: &'static str) -> Proxy {
    Proxy::udp(move |count, request| match count {
        0 => {
            let others = "WWW-Authenticate: Bearer realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"x\"\r\n";
            let ours = format!("WWW-Authenticate: {}\r\n", challenge(parameters));
            vec![request.answer("401 Unauthorized", &(others.to_owned() + &ours))]
        }
        _ => vec![granted(request, &tokens())],
    })
}

const SIGN_IN: [&str; 4] = ["--grant", "password", "--password", PASSWORD];

/// A phone that has its tokens.
fn signed_in(directory: &Directory) -> std::path::PathBuf {
    let file = directory.file("phone.json");
    let run = granting(", qop=\"auth\"").register(&[&SIGN_IN[..], &["--state", text(&file)]].concat());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    file
}

fn pop_of(form: &str) -> (&str, &str) {
    form.rsplit_once("&pop=").expect("a proof at the end")
}

#[test]
fn digest_gives_tokens_and_a_master_key() {
    let directory = Directory::new("password");
    let file = directory.file("phone.json");
    let password = directory.write("password", format!("{PASSWORD}\n"));
    let proxy = granting(", qop=\"auth,auth-int\", opaque=\"o\", algorithm=MD5");
    let run = proxy.register(&["--grant", "password", "--password-file", text(&password), "--state", text(&file)]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let (first, second) = (proxy.next(), proxy.next());
    assert_eq!((first.body.as_str(), first.header("Authorization")), ("grant_type=password", ""));
    assert_eq!(first.header("Content-Type"), "application/x-www-form-urlencoded");
    assert_eq!((first.header("CSeq"), second.header("CSeq")), ("1 REGISTER", "2 REGISTER"));
    assert_eq!((first.header("Call-ID"), first.tag_of_from()), (second.header("Call-ID"), second.tag_of_from()));
    assert_eq!((second.body.as_str(), second.header("Date")), ("grant_type=password", ""));
    let sent = second.header("Authorization");
    let challenge = Challenge::parse(&challenge(", qop=auth"));
    let (cnonce, right) = (Challenge::cnonce(sent), |cnonce| {
        challenge.answer_with("alice", PASSWORD, "REGISTER", "sip:example.test", 1, cnonce)
    });
    assert_eq!(sent.replace(", opaque=\"o\"", ""), right(cnonce));

    let state = kept(&file);
    let kept_key = pop_from_text(state["shared_key"]["key"].as_str().expect("a key")).expect("32 octets");
    assert_eq!(kept_key.to_vec(), master_key_of(&challenge, Ha1Form::Hex));
    assert_eq!(
        (&state["shared_key"]["order"], &state["shared_key"]["username"]),
        (&json!("master-key"), &json!("alice"))
    );
    assert_eq!(state["tokens"]["access_token"], ACCESS);
    assert_eq!((&state["tokens"]["refresh_token"], &state["tokens"]["scope"]), (&json!(REFRESH), &json!("sip")));
    assert!(state["tokens"]["until"].as_str().expect("a date").ends_with(" GMT"));
    assert!(
        run.out.contains("shared key and tokens saved to ") && run.out.contains(", scope \"sip\", until "),
        "{}",
        run.out
    );
    // Nothing of it is printed, also not what the password could be guessed from.
    let response = sent.split("response=\"").nth(1).expect("a response").split('"').next().expect("its end");
    for secret in [ACCESS, REFRESH, PASSWORD, response, state["shared_key"]["key"].as_str().expect("a key")] {
        assert!(!run.out.contains(secret), "{secret} in {}", run.out);
    }
    let shown = granting("").register(&[&SIGN_IN[..], &["--show-secrets", "--json"]].concat()).json();
    assert!(shown["body"].as_str().expect("shown").contains(ACCESS) && shown["key"].is_string());
}

#[test]
fn a_proof_may_stand_beside_the_digest() {
    let password = |form: &'static str, parameters: &'static str| {
        let proxy = Proxy::udp(move |count, request| match count {
            0 => {
                let header = format!("Proxy-Authenticate: {}\r\n", challenge(parameters));
                vec![request.answer("407 Proxy Authentication Required", &header)]
            }
            1 => vec![request.answer("503 Later", "Retry-After: 0\r\n")],
            _ => vec![granted(request, &tokens())],
        });
        let run = proxy.register(&[&SIGN_IN[..], &["--with-pop", "--retry", "--ha1-form", form]].concat());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        [proxy.next(), proxy.next(), proxy.next()]
    };
    for (name, form) in [("hex", Ha1Form::Hex), ("raw", Ha1Form::Raw)] {
        let [first, second, third] = password(name, ", algorithm=SHA-256, qop=\"auth\"");
        assert_eq!(first.body, "grant_type=password");
        let key = master_key_of(&Challenge::parse(&challenge(", algorithm=SHA-256")), form);
        for (request, count) in [(second, 1), (third, 2)] {
            let (covered, pop) = pop_of(&request.body);
            assert_eq!(covered, "grant_type=password");
            assert!(request.proves(&key, pop, covered) && request.header("Authorization").is_empty());
            let nc = format!("nc=0000000{count}");
            assert!(request.header("Proxy-Authorization").contains(&nc), "{}", request.header("Proxy-Authorization"));
        }
    }
    // The other reading of the message-body.
    let proxy = granting("");
    assert_eq!(proxy.register(&[&SIGN_IN[..], &["--with-pop", "--pop-body", "empty"]].concat()).code, 0);
    let (_, second) = (proxy.next(), proxy.next());
    let key = master_key_of(&Challenge::parse(&challenge("")), Ha1Form::Hex);
    assert!(second.proves(&key, pop_of(&second.body).1, ""));
    // RFC 2069's Digest.
    let [_, second, _] = password("hex", "");
    let answer = Challenge::parse(&challenge("")).answer("alice", PASSWORD, "REGISTER", "sip:example.test", 1);
    assert_eq!(second.header("Proxy-Authorization"), answer);
}

#[test]
fn what_the_proxy_gets_wrong_has_a_sentence() {
    type Answer = fn(&Seen) -> Vec<u8>;
    fn asked(request: &Seen, value: &str) -> Vec<u8> {
        request.answer("401 Unauthorized", &format!("WWW-Authenticate: {value}\r\n"))
    }
    let digest: Answer = |request| asked(request, &challenge(", qop=\"auth\""));
    let cases: [(Answer, Answer, i32, &str); 11] = [
        (digest, Seen::ok, 1, "there are no tokens in it: the answer is not JSON"),
        (digest, |request| granted(request, &json!({"access_token": 7})), 1, "access_token is not a text"),
        (digest, |request| granted(request, &json!({"error": "invalid_grant"})), 1, "its error is invalid_grant"),
        (
            digest,
            |request| asked(request, "Digest realm=\"r\", nonce=\"n\""),
            3,
            "the user name or the password is wrong",
        ),
        (digest, |request| request.answer("403 No", ""), 3, "refused: 403 No"),
        (digest, |request| request.answer("503 Later", "Retry-After: 9\r\n"), 4, "try again after 9 s"),
        (|request| asked(request, "Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess"), Seen::ok, 1, "MD5-sess"),
        (|request| asked(request, "Digest realm=\"r\", qop=\"auth\""), Seen::ok, 1, "it has no nonce"),
        (|request| asked(request, "Bearer realm=\"r\""), Seen::ok, 1, "asks for Bearer, not for Digest"),
        (Seen::ok, Seen::ok, 1, "accepted without asking for the password"),
        (|request| request.answer("404 Not Found", ""), Seen::ok, 3, "refused: 404"),
    ];
    let directory = Directory::new("password");
    for (first, second, code, part) in cases {
        let file = directory.file("phone.json");
        let proxy = Proxy::udp(move |count, request| vec![if count == 0 { first(request) } else { second(request) }]);
        let run = proxy.register(&[&SIGN_IN[..], &["--state", text(&file)]].concat());
        assert_eq!(run.code, code, "{part}: {}{}", run.out, run.err);
        assert!((run.out + &run.err).contains(part), "{part}");
        let state = kept(&file);
        assert!(state["tokens"].is_null() && state["shared_key"].is_null(), "{part}: {state}");
    }
}

#[test]
fn a_refresh_replaces_the_tokens() {
    let directory = Directory::new("refresh");
    let file = signed_in(&directory);
    let key = master_key_of(&Challenge::parse(&challenge("")), Ha1Form::Hex);
    let proxy = Proxy::udp(|count, request| match count {
        0 => vec![granted(request, &json!({"access_token": "two", "token_type": "Bearer", "refresh_token": "r-two"}))],
        1 => vec![granted(request, &json!({"access_token": "three", "token_type": "Bearer", "expires_in": 60}))],
        2 => vec![request.ok()],
        _ => vec![request.answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"r\"\r\n")],
    });
    let refresh = || {
        let run = proxy.register(&["--refresh", "--state", text(&file)]);
        (run, proxy.next(), kept(&file))
    };
    let (run, request, state) = refresh();
    let (covered, pop) = pop_of(&request.body);
    assert_eq!(covered, "grant_type=refresh_token&refresh_token=refresh%2Ftoken%2Bnumber-one");
    assert!(request.proves(&key, pop, covered) && request.header("Authorization").is_empty());
    assert_eq!(
        (run.code, &state["tokens"]["access_token"], &state["tokens"]["refresh_token"]),
        (0, &json!("two"), &json!("r-two"))
    );
    assert!(state["tokens"]["scope"].is_null() && state["shared_key"]["order"] == "master-key");
    assert!(
        run.out.contains("; tokens saved to ") && !run.out.contains("Ftoken") && !run.out.contains(pop),
        "{}",
        run.out
    );
    let (_, request, state) = refresh();
    assert!(request.body.starts_with("grant_type=refresh_token&refresh_token=r-two&pop="));
    assert_eq!(
        (&state["tokens"]["access_token"], &state["tokens"]["refresh_token"]),
        (&json!("three"), &json!("r-two"))
    );
    // An answer of no use leaves the file as it is.
    let before = fs::read(&file).expect("saved");
    for code in [1, 2] {
        assert_eq!(refresh().0.code, code);
        assert_eq!(fs::read(&file).expect("saved"), before);
    }
}

#[test]
fn a_token_goes_with_a_proof() {
    let directory = Directory::new("token-pop");
    let file = signed_in(&directory);
    let key = master_key_of(&Challenge::parse(&challenge("")), Ha1Form::Hex);
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    let show = |arguments: &[&str]| -> (Run, Seen) {
        let run = proxy.register(&[&["--token-pop", "--state", text(&file)], arguments].concat());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        (run, proxy.next())
    };
    let parts = |request: &Seen, header: &str| {
        let rest = request.header(header).strip_prefix("Bearer token=\"").expect("a token").to_owned();
        let (token, pop) = rest.split_once("\", pop=\"").expect("a proof");
        (token.to_owned(), pop.strip_suffix('"').expect("the end").to_owned())
    };
    let (run, request) = show(&[]);
    let (token, pop) = parts(&request, "Authorization");
    assert!(token == ACCESS && request.proves(&key, &pop, "") && request.body.is_empty());
    assert!(!run.out.contains(ACCESS) && !run.out.contains(&pop), "{}", run.out);
    let (_, request) =
        show(&["--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "hi", "--proxy-authorization"]);
    let (_, pop) = parts(&request, "Proxy-Authorization");
    assert!(request.proves(&key, &pop, "hi"));
    // A thief's token with this phone's key.
    let (run, request) = show(&["--token", "a-stolen-token-of-bob"]);
    let (token, pop) = parts(&request, "Authorization");
    assert!(token == "a-stolen-token-of-bob" && request.proves(&key, &pop, "") && !run.out.contains(&token));
    let stolen = directory.write("stolen", "another-token\n");
    assert_eq!(parts(&show(&["--token-file", text(&stolen)]).1, "Authorization").0, "another-token");
    // The proof alone is there, too.
    assert_eq!(proxy.register(&["--pop", "--state", text(&file)]).code, 0);
    assert!(proxy.next().body.starts_with("grant_type=proof-of-possession&pop="));
}

#[test]
fn flows_of_one_instance_have_numbers() {
    let directory = Directory::new("outbound");
    let (one, two) = (directory.file("one.json"), directory.file("two.json"));
    let proxy = Proxy::udp(|_, request| vec![request.answer("200 OK", "Require: outbound\r\nFlow-Timer: 120\r\n")]);
    let instance = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let register = |arguments: &[&str]| {
        let run = proxy.register(arguments);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        assert!(run.out.contains("  Require: outbound\n  Flow-Timer: 120\n"), "{}", run.out);
        let request = proxy.next();
        let contact = request.header("Contact").split_once(">;").expect("parameters").1.to_owned();
        (contact, request.header("Supported").to_owned())
    };
    for (file, id) in [(&one, "1"), (&two, "2")] {
        let common = ["--state", text(file), "--reg-id", id, "--instance", instance];
        let wanted = (format!("reg-id={id};+sip.instance=\"<{instance}>\""), "path, outbound".to_owned());
        assert_eq!(register(&[&["--code", super::CODE], &common[..]].concat()), wanted);
        // The state file knows it.
        assert_eq!(register(&["--pop", "--state", text(file)]), wanted);
        assert_eq!(kept(file)["reg_id"], json!(id.parse::<u32>().expect("a number")));
    }
    let other = proxy.register(&["--pop", "--state", text(&two), "--method", "OPTIONS", "--to", AOR]);
    let request = proxy.next();
    assert!(other.code == 0 && !request.header("Contact").contains("reg-id") && request.header("Supported").is_empty());
    assert_eq!(register(&[]).1, "");
    assert_eq!(proxy.register(&["--reg-id", "0"]).code, 1);
}

#[test]
fn mistakes_get_a_sentence() {
    let directory = Directory::new("password");
    let file = signed_in(&directory);
    let proxy = Proxy::udp(|_, request| vec![request.ok()]);
    let tokenless = directory.file("tokenless.json");
    assert_eq!(proxy.register(&["--code", super::CODE, "--state", text(&tokenless)]).code, 0);
    let empty = directory.write("empty", "\n");
    proxy.next();
    for (arguments, part) in [
        (&["--grant", "password"][..], "--password"),
        (&["--password", "x"], "--authorize"),
        (&["--grant", "password", "--password-file", text(&empty)], "the password is empty"),
        (&["--grant", "password", "--password-file", "/nonexistent"], "--password-file /nonexistent cannot be read"),
        (&["--grant", "password", "--password", "x", "--code", "y"], "cannot be used with"),
        (&["--grant", "password", "--password", "x", "--method", "OPTIONS", "--to", AOR], "needs a REGISTER"),
        (&["--grant", "password", "--password", "x", "--body", "y"], "--body cannot be combined"),
        (&["--grant", "password", "--password", "x", "--username", "a\tb"], "there is no user"),
        (&["--with-pop"], "--grant"),
        (&["--refresh", "--state", text(&tokenless)], "has no tokens"),
        (&["--token-pop", "--state", text(&tokenless)], "has no tokens"),
        (&["--token-pop"], "--state"),
        (&["--token-pop", "--pop", "--state", text(&file)], "cannot be used with"),
        (&["--token-pop", "--state", text(&file), "--token", "a b"], "no Bearer token has"),
    ] {
        let run = proxy.register(arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {}", run.out);
        assert!(run.err.contains(part), "{arguments:?}: {}", run.err);
    }
    assert!(proxy.seen.try_recv().is_err(), "nothing was sent");
}
