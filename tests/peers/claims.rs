// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a token must say: each claim checked, none taken as absent because of its type.

use crate::site::{AUDIENCE, ISSUER, Site, claims};
use crate::support::token::{TestKey, now};
use serde_json::{Value, json};
use sipoauth::worker::claim_text;
use sipoauth_core::reason::Reason;

/// The answers of a site with these provider settings to alice's token with these changes.
fn answers(provider: Value, cases: &[(Value, Reason)]) {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &provider);
    for (changes, expected) in cases {
        assert_eq!(site.token(&key.token("ES256", &claims(changes))), *expected, "{provider} {changes}");
    }
}

#[test]
fn opensips_expiry_nbf_iss_and_aud_are_checked() {
    let now = now();
    answers(
        json!({}),
        &[
            (json!({}), Reason::Ok),
            (json!({ "exp": now - 31 }), Reason::TokenExpired),
            (json!({ "exp": 0 }), Reason::TokenExpired),
            (json!({ "exp": -1 }), Reason::TokenExpired),
            (json!({ "nbf": now + 300 }), Reason::TokenNotYetValid),
            (json!({ "iat": now + 300 }), Reason::IssuedInFuture),
            (json!({ "iss": "https://evil.test" }), Reason::IssuerUnknown),
            (json!({ "iss": format!("{ISSUER}/") }), Reason::IssuerUnknown),
            (json!({ "iss": ISSUER.to_uppercase() }), Reason::IssuerUnknown),
            (json!({ "aud": "other" }), Reason::AudienceMismatch),
            (json!({ "aud": "SIP" }), Reason::AudienceMismatch),
        ],
    );
}

#[test]
fn kamailio_a_token_without_exp_is_refused() {
    answers(json!({}), &[(json!({ "exp": null }), Reason::ClaimMissing)]);
}

#[test]
fn kamailio_an_aud_array_is_read() {
    answers(
        json!({ "audience": ["sip", "sip2"] }),
        &[
            (json!({ "aud": ["account", AUDIENCE] }), Reason::Ok),
            (json!({ "aud": ["sip2"] }), Reason::Ok),
            (json!({ "aud": ["account", "other"] }), Reason::AudienceMismatch),
            (json!({ "aud": [] }), Reason::ClaimMissing),
            (json!({ "aud": [[AUDIENCE]] }), Reason::ClaimMalformed),
        ],
    );
}

#[test]
fn kamailio_leeway_is_30_seconds_and_settable() {
    let key = TestKey::p256("k");
    let at = |changes: Value, leeway: Value, time: i64| {
        let mut site = Site::new(&[key.jwk()], &leeway);
        site.token_at(&key.token("ES256", &claims(&changes)), time).answer.reason()
    };
    let now = now();
    let exp = json!({ "exp": now, "iat": now - 300 });
    assert_eq!(at(exp.clone(), json!({}), now + 29), Reason::Ok);
    assert_eq!(at(exp.clone(), json!({}), now + 30), Reason::TokenExpired);
    assert_eq!(at(exp.clone(), json!({ "leeway": 0 }), now - 1), Reason::Ok);
    assert_eq!(at(exp.clone(), json!({ "leeway": 0 }), now), Reason::TokenExpired);
    assert_eq!(at(exp, json!({ "leeway": 120 }), now + 119), Reason::Ok);
}

#[test]
fn somewhere_a_clock_skew_of_4_seconds_rejected_every_token() {
    let key = TestKey::p256("k");
    let now = now();
    let token = key.token("ES256", &claims(&json!({ "iat": now + 4, "nbf": now + 4 })));
    assert_eq!(Site::new(&[key.jwk()], &json!({})).token_at(&token, now).answer.reason(), Reason::Ok);
    let mut exact = Site::new(&[key.jwk()], &json!({ "leeway": 0 }));
    assert_eq!(exact.token_at(&token, now).answer.reason(), Reason::TokenNotYetValid);
    assert_eq!(exact.token_at(&token, now + 4).answer.reason(), Reason::Ok);
}

#[test]
fn kamailio_claims_can_be_read_by_the_script() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let more = json!({ "realm_access": { "roles": ["a", "b"] }, "n": 7, "https://x.example/y": "z", "t": "ä\n\"" });
    let verdict = site.token_at(&key.token("ES256", &claims(&more)), now());
    let verified = verdict.answer.token.expect("accepted");
    let read = |path| claim_text(&verified.payload, path);
    assert_eq!(read("preferred_username").as_deref(), Some("alice"));
    assert_eq!(read("realm_access.roles").as_deref(), Some(r#"["a","b"]"#));
    assert_eq!(read("n").as_deref(), Some("7"));
    assert_eq!(read("https://x.example/y").as_deref(), Some("z"));
    assert_eq!(read("t").as_deref(), Some("ä\n\""));
    assert_eq!(read("absent"), None);
}

#[test]
fn flexisip_scope_is_checked() {
    answers(
        json!({ "required_scopes": ["sip", "sip.call"] }),
        &[
            (json!({ "scope": "openid sip.call sip" }), Reason::Ok),
            (json!({ "scope": null, "scp": ["sip", "sip.call"] }), Reason::Ok),
            (json!({ "scope": "sip" }), Reason::InsufficientScope),
            (json!({ "scope": "sip sip.call.x" }), Reason::InsufficientScope),
            (json!({ "scope": "SIP sip.call" }), Reason::InsufficientScope),
            (json!({ "scope": "sip,sip.call" }), Reason::InsufficientScope),
            (json!({ "scope": null }), Reason::InsufficientScope),
            (json!({ "scope": 1 }), Reason::ClaimMalformed),
        ],
    );
}

#[test]
fn mod_auth_openidc_nbf_is_read() {
    let now = now();
    answers(
        json!({}),
        &[
            (json!({ "nbf": now - 1 }), Reason::Ok),
            (json!({ "nbf": now + 20 }), Reason::Ok),
            (json!({ "nbf": now + 600 }), Reason::TokenNotYetValid),
        ],
    );
}

#[test]
fn jsonwebtoken_a_far_future_nbf_is_refused() {
    let far = [json!(32_503_680_000_i64), json!(i64::MAX), json!(9.0e14), json!(99_999_999_999.5)];
    for nbf in far {
        answers(json!({}), &[(json!({ "nbf": nbf, "exp": i64::MAX }), Reason::TokenNotYetValid)]);
    }
    // Later than the proxy can count is far, too.
    for nbf in [json!(u64::MAX), json!(1e300)] {
        answers(json!({}), &[(json!({ "nbf": nbf }), Reason::TokenNotYetValid)]);
        answers(json!({}), &[(json!({ "iat": nbf }), Reason::IssuedInFuture)]);
        answers(json!({}), &[(json!({ "exp": nbf }), Reason::Ok)]);
    }
    answers(json!({}), &[(json!({ "exp": -1e300 }), Reason::TokenExpired)]);
}

#[test]
fn cve_2026_25537_a_string_typed_exp_is_not_absence() {
    let late = (now() + 300).to_string();
    let odd = [json!(late), json!("never"), json!([now() + 300]), json!({}), json!(true), json!("")];
    for value in odd {
        for claim in ["exp", "nbf", "iat"] {
            answers(json!({}), &[(json!({ claim: value }), Reason::ClaimMalformed)]);
        }
    }
}

#[test]
fn jsonwebtoken_iss_and_aud_of_another_type_or_missing_are_refused() {
    answers(
        json!({}),
        &[
            (json!({ "iss": null }), Reason::ClaimMissing),
            (json!({ "iss": 7 }), Reason::ClaimMalformed),
            (json!({ "iss": [ISSUER] }), Reason::ClaimMalformed),
            (json!({ "iss": { "a": ISSUER } }), Reason::ClaimMalformed),
            (json!({ "aud": null }), Reason::ClaimMissing),
            (json!({ "aud": 7 }), Reason::ClaimMalformed),
            (json!({ "aud": [AUDIENCE, 7] }), Reason::ClaimMalformed),
            (json!({ "aud": { "a": AUDIENCE } }), Reason::ClaimMalformed),
            (json!({ "aud": true }), Reason::ClaimMalformed),
        ],
    );
}

#[test]
fn duplicate_json_members_are_refused() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let header = br#"{"alg":"ES256","kid":"k"}"#;
    let good = claims(&json!({})).to_string();
    let payload = |extra: &str| format!("{},{extra}}}", &good[..good.len() - 1]);
    assert_eq!(site.token(&key.jws_octets("ES256", header, good.as_bytes())), Reason::Ok);
    for extra in [r#""iss":"https://evil.test""#, r#""exp":99999999999"#, r#""\u0061ud":"sip""#, r#""a":{"b":1,"b":2}"#]
    {
        let token = key.jws_octets("ES256", header, payload(extra).as_bytes());
        assert_eq!(site.token(&token), Reason::TokenMalformed, "{extra}");
    }
    for header in [r#"{"alg":"none","alg":"ES256","kid":"k"}"#, r#"{"alg":"ES256","kid":"x","kid":"k"}"#] {
        let token = key.jws_octets("ES256", header.as_bytes(), good.as_bytes());
        assert_eq!(site.token(&token), Reason::TokenMalformed, "{header}");
    }
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for payload in ["", "null", "[]", "\"x\"", "7", "{", "{}x", "\u{feff}\u{feff}{}", &deep[..4000]] {
        let token = key.jws_octets("ES256", br#"{"alg":"ES256","kid":"k"}"#, payload.as_bytes());
        assert_eq!(site.token(&token), Reason::TokenMalformed, "{payload:.20}");
    }
    let token = key.jws_octets("ES256", br#"{"alg":"ES256","kid":"k"}"#, b"{\"iss\":\"\xff\"}");
    assert_eq!(site.token(&token), Reason::TokenMalformed);
}

#[test]
fn an_id_token_is_no_access_token_unless_configured() {
    let cases = [
        json!({ "nonce": "n", "scope": null }),
        json!({ "at_hash": "x" }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
    ];
    for case in cases {
        answers(json!({}), &[(case.clone(), Reason::IdToken)]);
        answers(json!({ "accept_id_tokens": true }), &[(case, Reason::Ok)]);
    }
}

#[test]
fn clients_and_required_claims_are_checked() {
    answers(
        json!({ "clients": ["sip-ua"] }),
        &[
            (json!({}), Reason::Ok),
            (json!({ "client_id": "other" }), Reason::ClientNotAllowed),
            (json!({ "client_id": null }), Reason::ClientNotAllowed),
            (json!({ "azp": "other" }), Reason::ClientNotAllowed),
            (json!({ "client_id": 7 }), Reason::ClientNotAllowed),
            (json!({ "client_id": {} }), Reason::ClaimMalformed),
            (json!({ "cid": "customer-7", "appid": 7, "tid": 7, "azp": "" }), Reason::Ok),
            (json!({ "client_id": null, "cid": 7 }), Reason::ClientNotAllowed),
            (json!({ "client_id": null, "cid": "other" }), Reason::ClientNotAllowed),
            (json!({ "client_id": null, "cid": "sip-ua" }), Reason::Ok),
        ],
    );
    answers(
        json!({ "required_claims": { "realm_access.roles": ["sip"], "email_verified": true } }),
        &[
            (json!({ "realm_access": { "roles": ["a", "sip"] }, "email_verified": true }), Reason::Ok),
            (json!({ "realm_access": { "roles": ["a"] }, "email_verified": true }), Reason::ClaimMismatch),
            (json!({ "realm_access": { "roles": ["sip"] }, "email_verified": false }), Reason::ClaimMismatch),
            (json!({ "realm_access": { "roles": ["sip"] } }), Reason::ClaimMismatch),
        ],
    );
}
