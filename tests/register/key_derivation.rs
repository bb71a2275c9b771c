// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone that derives its key from its password and knows its proxy by the same key (Key-Derivation).

use serde_json::json;
use sipoauth_core::keys::pbkdf2::{Kdf, MasterKey, Parameters};
use sipoauth_core::sip::key_derivation::{KeyChallenge, KeyResponse};

use super::proxy::{Proxy, Seen};
use super::support::temporary::Directory;
use super::{kept, text};

const PASSWORD: &str = "alice-password";
const SIGN_IN: [&str; 3] = ["--key-derivation", "--password", PASSWORD];

fn parameters(kdf: Kdf, bits: u32) -> Parameters {
    Parameters::new(kdf, 2000, vec![0x5a; 16], bits).expect("within the bounds")
}

/// The challenge of a proxy that has this key.
fn challenge(request: &Seen, parameters: &Parameters, key: &MasterKey) -> String {
    let digest_string = request.digest_string(&request.body);
    KeyChallenge::new("example.test", parameters.clone(), key, &digest_string, &[3; 16]).to_text()
}

fn proves(request: &Seen, header: &str, key: &MasterKey, nonce: bool) -> bool {
    let response = KeyResponse::select(&[request.header(header)], "example.test").expect("credentials");
    let long = response.nonce.as_ref().map(|nonce| nonce.len() >= 32);
    assert_eq!((response.username.as_deref(), long), (Some("alice"), nonce.then_some(true)));
    response.is_from_holder(key, &request.digest_string(&request.body))
}

#[test]
fn both_sides_prove_the_same_key() {
    for (kdf, bits, status, asking, answering) in [
        (Kdf::Sha256, 256, "401 Unauthorized", "WWW-Authenticate", "Authorization"),
        (Kdf::Sha512, 512, "407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"),
    ] {
        let parameters = parameters(kdf, bits);
        let key = parameters.derive(PASSWORD.as_bytes());
        let (ours, asked) = (key.clone(), parameters.clone());
        let proxy = Proxy::udp(move |count, request| match count {
            0 => {
                // Another challenge before it in the same header field.
                let value = format!("Digest realm=\"x\", nonce=\"n\", {}", challenge(request, &asked, &ours));
                vec![request.answer(status, &format!("{asking}: {value}\r\n"))]
            }
            _ => vec![request.ok()],
        });
        let directory = Directory::new("key-derivation");
        let file = directory.file("phone.json");
        let run = proxy.register(&[&SIGN_IN[..], &["--state", text(&file)]].concat());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        let (first, second) = (proxy.next(), proxy.next());
        assert!(first.header("Authorization").is_empty() && !first.header("Date").is_empty());
        assert_eq!((first.header("CSeq"), second.header("CSeq")), ("1 REGISTER", "2 REGISTER"));
        assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
        assert!(proves(&second, answering, &key, true));
        let state = kept(&file);
        assert_eq!(state["shared_key"]["order"], json!("key-derivation"));
        let pop = KeyResponse::select(&[second.header(answering)], "example.test").expect("credentials").pop;
        let pop = sipoauth_core::keys::pop::pop_to_text(&pop);
        for secret in [state["shared_key"]["key"].as_str().expect("a key"), &pop, PASSWORD] {
            assert!(!run.out.contains(secret), "{secret} in {}", run.out);
        }
        assert!(run.out.contains("pop=\"…\"") && !run.out.contains("fingerprint"), "{}", run.out);

        // From now on the proof alone.
        let run = proxy.register(&["--pop", "--state", text(&file)]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        assert!(proves(&proxy.next(), "Authorization", &key, false));
        let message = ["--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "hi"];
        assert_eq!(proxy.register(&[&["--pop", "--state", text(&file)], &message[..]].concat()).code, 0);
        assert!(proves(&proxy.next(), "Authorization", &key, false));
        let run = proxy.register(&["--refresh", "--state", text(&file)]);
        assert!(run.code == 1 && run.err.contains("is of a Key-Derivation"), "{}", run.err);
        let run = proxy.register(&["--pop", "--pop-in", "body", "--state", text(&file)]);
        assert!(run.code == 1 && run.err.contains("proof is in a header"), "{}", run.err);
    }
}

#[test]
fn any_request_can_be_challenged() {
    let parameters = parameters(Kdf::Sha256, 256);
    let key = parameters.derive(PASSWORD.as_bytes());
    let ours = key.clone();
    let proxy = Proxy::udp(move |count, request| match count {
        0 => {
            let value = challenge(request, &parameters, &ours);
            vec![request.answer("401 Unauthorized", &format!("WWW-Authenticate: {value}\r\n"))]
        }
        1 => vec![request.answer("503 Later", "Retry-After: 0\r\n")],
        _ => vec![request.ok()],
    });
    let message = ["--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "hi", "--username", "alice"];
    assert_eq!(proxy.register(&[&SIGN_IN[..], &message, &["--retry"]].concat()).code, 0);
    let (first, second, third) = (proxy.next(), proxy.next(), proxy.next());
    assert_eq!((first.body.as_str(), second.body.as_str(), second.header("CSeq")), ("hi", "hi", "2 MESSAGE"));
    assert!(proves(&second, "Authorization", &key, true) && proves(&third, "Authorization", &key, true));
    let nonce =
        |request: &Seen| request.header("Authorization").split("nonce=\"").nth(1).map(|rest| rest[..32].to_owned());
    assert_ne!(nonce(&second), nonce(&third));
}

#[test]
fn a_proxy_that_does_not_know_the_password_learns_nothing() {
    const UNPROVEN: &str = "did not prove that it knows the password";
    // What the proxy takes for the password, and what it writes instead of a part of its challenge.
    let cases = [
        ("another-password", "", "", 5, UNPROVEN),
        (PASSWORD, "nonce=\"AwMDAw", "nonce=\"AwMDBA", 5, UNPROVEN),
        (PASSWORD, "=2000", "=2001", 5, UNPROVEN),
        (PASSWORD, "=2000", "=10000001", 1, "the iterations must be between"),
        (PASSWORD, "=2000", "=999", 1, "the iterations must be between"),
        (PASSWORD, "=256", "=64", 1, "the key must have"),
        (PASSWORD, "salt=\"Wlpa", "salt=\"Wlpa\", x=\"pa", 1, "the salt must have"),
        (PASSWORD, "salt", "pepper", 1, "has no salt"),
        (PASSWORD, "PBKDF2-HMAC-SHA-256", "MD5", 1, "the kdf is not known"),
        (PASSWORD, "Key-Derivation", "Digest", 1, "asks for Digest, not for Key-Derivation"),
    ];
    let directory = Directory::new("key-derivation");
    for (password, from, to, code, part) in cases {
        let parameters = parameters(Kdf::Sha256, 256);
        let key = parameters.derive(password.as_bytes());
        let proxy = Proxy::udp(move |_, request| {
            let value = challenge(request, &parameters, &key);
            assert!(value.contains(from), "{from} in {value}");
            vec![request.answer("401 Unauthorized", &format!("WWW-Authenticate: {}\r\n", value.replace(from, to)))]
        });
        let file = directory.file("phone.json");
        let run = proxy.register(&[&SIGN_IN[..], &["--state", text(&file), "--json"]].concat());
        assert_eq!(run.code, code, "{part}: {}{}", run.out, run.err);
        assert!(run.err.contains(part), "{part}: {}", run.err);
        assert_eq!(run.json()["exit_code"], code);
        proxy.next();
        assert!(proxy.seen.try_recv().is_err(), "{part}: nothing more was sent");
        assert!(kept(&file)["shared_key"].is_null());
    }
    let unasked = Proxy::udp(|_, request| vec![request.ok()]);
    let run = unasked.register(&SIGN_IN);
    assert!(run.code == 5 && run.err.contains("accepted without a challenge"), "{}{}", run.out, run.err);
    let closed = Proxy::udp(|_, request| vec![request.answer("403 Forbidden", "")]);
    assert_eq!(closed.register(&SIGN_IN).code, 3);
}

#[test]
fn a_proof_may_be_refused() {
    let key = parameters(Kdf::Sha256, 256).derive(PASSWORD.as_bytes());
    let proxy = Proxy::udp(move |_, request| {
        let value = challenge(request, &parameters(Kdf::Sha256, 256), &key);
        vec![request.answer("401 Unauthorized", &format!("WWW-Authenticate: {value}\r\n"))]
    });
    let run = proxy.register(&SIGN_IN);
    assert!(run.code == 3 && run.out.contains("though it has the same key"), "{}{}", run.out, run.err);
    assert!(
        (proxy.next(), proxy.next()).1.header("Authorization").starts_with("Key-Derivation username=\"alice\", nonce=")
    );
}
