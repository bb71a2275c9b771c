// SPDX-License-Identifier: MIT OR Apache-2.0

//! SIP requests around a token: the header field, its scheme, and who may use the token.

use crate::site::{ALICE, Site, claims};
use crate::support::token::TestKey;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::check::Request;
use sipoauth_core::reason::Reason;

const BOB: &str = "sip:bob@example.test";

fn site() -> (Site, String) {
    let key = TestKey::p256("k");
    let token = key.token("ES256", &claims(&json!({})));
    (Site::new(&[key.jwk()], &json!({})), token)
}

#[test]
fn flexisip_bearer_in_any_case() {
    let (mut site, token) = site();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let verdict = site.request("REGISTER", &[&format!("{scheme} {token}")]);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::Ok, 200), "{scheme}");
    }
    for scheme in ["Bearerx", "Token", "Digest", "B earer"] {
        let verdict = site.request("REGISTER", &[&format!("{scheme} {token}")]);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::NoCredentials, 401), "{scheme}");
    }
}

#[test]
fn flexisip_to_is_compared_on_register() {
    let (mut site, token) = site();
    let header = format!("Bearer {token}");
    let mut reason = |method, from, to| site.request_of(method, from, to, &[&header]).answer.reason();
    assert_eq!(reason("REGISTER", ALICE, ALICE), Reason::Ok);
    assert_eq!(reason("REGISTER", ALICE, BOB), Reason::ThirdPartyRegistration);
    assert_eq!(reason("REGISTER", BOB, ALICE), Reason::ThirdPartyRegistration);
    assert_eq!(reason("REGISTER", BOB, BOB), Reason::AorMismatch);
    assert_eq!(reason("REGISTER", ALICE, "sip:alice@other.test"), Reason::DomainMismatch);
    assert_eq!(reason("REGISTER", ALICE, "tel:+4930"), Reason::AorMissing);
    assert_eq!(reason("INVITE", ALICE, BOB), Reason::Ok);
    assert_eq!(reason("INVITE", BOB, ALICE), Reason::AorMismatch);
}

#[test]
fn flexisip_no_method_passes_with_a_bad_token_or_none() {
    let (mut site, token) = site();
    let forged = TestKey::p256("k").token("ES256", &claims(&json!({})));
    for method in ["REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "PRACK", "x"] {
        let mut reason = |credentials: &[&str]| site.request(method, credentials).answer.reason();
        assert_eq!(reason(&[&format!("Bearer {token}")]), Reason::Ok, "{method}");
        assert_eq!(reason(&[&format!("Bearer {forged}")]), Reason::SignatureInvalid, "{method}");
        assert_eq!(reason(&["Bearer x.y.z"]), Reason::TokenMalformed, "{method}");
        assert_eq!(reason(&["Bearer opaque"]), Reason::TokenOpaque, "{method}");
        assert_eq!(reason(&[]), Reason::NoCredentials, "{method}");
    }
}

#[test]
fn duplicate_bearer_headers_and_two_tokens_are_refused() {
    let (mut site, token) = site();
    let header = format!("Bearer {token}");
    let mut answer = |credentials: &[&str]| {
        let verdict = site.request("REGISTER", credentials);
        (verdict.answer.reason(), verdict.status)
    };
    let several = (Reason::SeveralTokens, 400);
    assert_eq!(answer(&[&header, &header]), several);
    assert_eq!(answer(&[&header, "Bearer other"]), several);
    assert_eq!(answer(&[&header, "Bearer token=\"x\""]), several);
    let malformed = (Reason::CredentialsMalformed, 400);
    assert_eq!(answer(&[&format!("{header}, Bearer other")]), malformed);
    assert_eq!(answer(&[&format!("{header}, token=\"other\"")]), malformed);
    assert_eq!(answer(&[&format!("Bearer token=\"{token}\", access_token=\"{token}\"")]), malformed);
    let many = vec![header.as_str(); 1000];
    assert_eq!(answer(&many), malformed);
    assert_eq!(answer(&["Digest username=\"alice\"", &header]), (Reason::Ok, 200));
}

#[test]
fn kamailio_claims_cannot_be_injected_through_user_parts() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    for (user, aor) in [
        ("x'; DROP TABLE location;--", "sip:x'%3B%20DROP%20TABLE%20location%3B--@example.test"),
        ("alice@example.test;x", "sip:alice%40example.test%3Bx@example.test"),
        ("a\r\nX: y", "sip:a%0D%0AX%3A%20y@example.test"),
        ("a:b?c=d", "sip:a%3Ab%3Fc%3Dd@example.test"),
    ] {
        let token = key.token("ES256", &claims(&json!({ "preferred_username": user })));
        let verdict = site.request("REGISTER", &[&format!("Bearer {token}")]);
        assert_eq!(verdict.answer.reason(), Reason::AorMismatch, "{user:?}");
        let verified = verdict.answer.token.expect("genuine");
        assert_eq!(verified.aors.iter().map(|a| a.as_str()).collect::<Vec<_>>(), [aor]);
    }
}

#[test]
fn opensips_and_envoy_no_token_is_logged() {
    let (mut site, token) = site();
    let forged = TestKey::p256("k").token("ES256", &claims(&json!({})));
    for header in [format!("Bearer {token}"), format!("Bearer {forged}"), format!("Bearer {token}x")] {
        site.request_of("REGISTER", BOB, ALICE, &[&header]);
    }
    assert!(site.log.text().contains("signature_invalid"));
    crate::support::leak::assert_no_secret(&site.log.text(), &[&token, &forged]);
}

#[test]
fn a_refusal_is_logged_with_its_source_and_where_it_matters_the_address() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let good = format!("Bearer {}", key.token("ES256", &claims(&json!({}))));
    let forged = format!("Bearer {}", TestKey::p256("k").token("ES256", &claims(&json!({}))));
    let victim = "sip:victim:open\u{1}sesame@example.test";
    for (credentials, to) in [(&good, "sip:victim@example.test"), (&forged, ALICE), (&forged, victim)] {
        let credentials = [credentials.as_str()];
        let request = Request { method: "MESSAGE", from: to, to, credentials: &credentials, ..Request::default() };
        site.worker.check(&request, &Handling { source: "192.0.2.66\nx", ..Handling::default() });
    }
    let log = site.log.text();
    let line = |reason: &str| log.lines().find(|line| line.contains(reason)).expect("a line").to_owned();
    let (owner, signature) = (line("aor_mismatch"), line("signature_invalid"));
    assert!(owner.contains(" aor=sip:victim@example.test source=192.0.2.66"), "{owner}");
    assert!(signature.contains(" source=192.0.2.66") && !signature.contains("aor="), "{signature}");
    assert!(!log.contains("sesame") && !log.contains("\nx"), "{log}");
}

/// Invisible characters reach neither the log nor a variable, whoever wrote them.
#[test]
fn what_a_stranger_writes_is_seen_as_it_is_in_log_and_result() {
    let key = TestKey::p256("k");
    for hidden in
        ['\u{2028}', '\u{2029}', '\u{202e}', '\u{200f}', '\u{2066}', '\u{85}', '\u{9b}', '\u{feff}', '\u{ad}', '\n']
    {
        let text = format!("a{hidden}b");
        // Neither its key nor its issuer is known.
        for (kid, iss) in [(text.as_str(), crate::site::ISSUER), ("k", text.as_str())] {
            let mut site = Site::new(&[key.jwk()], &json!({}));
            let header = json!({ "alg": "ES256", "kid": kid, "typ": "at+jwt" });
            let token = key.jws("ES256", &header, &claims(&json!({ "iss": iss })));
            let verdict = site.request("REGISTER", &[&format!("Bearer {token}")]);
            let seen = verdict.answer.unverified.expect("what it says of itself");
            assert!(seen.kid == "a?b" || seen.issuer == "a?b", "{seen:?}");
            let log = site.log.text();
            assert!(log.contains("a?b") && !log.trim_end_matches('\n').contains(hidden) || hidden == '\n', "{log}");
            assert!(!log.contains(&text), "{log}");
        }
        // A token of the issuer with a name for its key, its user and its client that some user has chosen.
        let jwk = crate::site::merged(&key.jwk(), &json!({ "kid": text }));
        let mut site = Site::new(&[jwk], &json!({}));
        let header = json!({ "alg": "ES256", "kid": text, "typ": "at+jwt" });
        let chosen =
            claims(&json!({ "sub": text, "client_id": text, "azp": null, "scope": format!("sip s{hidden}t") }));
        let token = key.jws("ES256", &header, &chosen);
        for _ in 0..3 {
            let verdict = site.request("REGISTER", &[&format!("Bearer {token}")]);
            assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", site.log.text());
            let shown = verdict.shown().expect("accepted");
            let texts = [shown.kid, shown.subject, shown.client_id];
            assert_eq!(texts, ["a?b"; 3], "{hidden:?}");
            assert!(!shown.scope.contains(hidden), "{:?}", shown.scope);
            let token = site.worker.token_of(&verdict).expect("accepted");
            assert_eq!(token.claims.subject.as_deref(), Some(text.as_str()), "who he is stays as it is");
        }
    }
}

#[test]
fn a_forged_token_does_not_have_the_name_of_the_genuine_one_in_the_log() {
    let (mut site, token) = site();
    let genuine = site.request("REGISTER", &[&format!("Bearer {token}")]);
    let genuine = genuine.shown().expect("accepted").fingerprint.to_owned();
    let begin = token.rfind('.').expect("a signature") + 1;
    for at in [begin, begin + 1, (begin + token.len()) / 2, token.len() - 24, token.len() - 2] {
        let mut octets = token.clone().into_bytes();
        octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(octets).expect("ASCII");
        let verdict = site.request("REGISTER", &[&format!("Bearer {forged}")]);
        assert_eq!(verdict.answer.reason(), Reason::SignatureInvalid, "{at}");
        let name = verdict.answer.unverified.expect("named").fingerprint;
        assert!(name.len() == genuine.len() && name != genuine, "{at}: {name}");
    }
    assert!(!site.log.text().contains(&genuine), "{}", site.log.text());
}
