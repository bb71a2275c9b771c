// SPDX-License-Identifier: MIT OR Apache-2.0

//! A token that was verified once is judged anew on every use.

use crate::site::{ISSUER, Site, claims};
use crate::support::knows_nothing::KNOWS_NOTHING;
use crate::support::token::{TestKey, now};
use serde_json::{Value, json};
use sipoauth_core::check::token_cache::TokenCache;
use sipoauth_core::check::token_check::{TokenUsage, check_token};
use sipoauth_core::check::{Answer, Decision};
use sipoauth_core::reason::Reason;

/// The answer under one policy to a token that another policy has let into the cache.
fn on_a_hit(changes: Value) -> Answer {
    let key = TestKey::p256("k");
    let token = key.token("ES256", &claims(&json!({})));
    let policy = |provider: &Value| Site::new(&[key.jwk()], provider).context.policy().expect("published").policy;
    let (before, after) = (policy(&json!({})), policy(&changes));
    let mut cache = TokenCache::new(8);
    let mut ask = |policy| match check_token(policy, KNOWS_NOTHING, &mut cache, &token, TokenUsage::default(), now()) {
        Decision::Done(answer) => answer,
        other => panic!("the keys are configured: {other:?}"),
    };
    let first = ask(&before);
    assert_eq!((first.reason(), first.cached), (Reason::Ok, false));
    ask(&after)
}

#[test]
fn liboauth2_issuer_audience_client_and_scope_are_judged_on_a_cache_hit() {
    for (changes, expected) in [
        (json!({}), Reason::Ok),
        (json!({ "issuer": "https://new.example" }), Reason::IssuerUnknown),
        (json!({ "audience": "other" }), Reason::AudienceMismatch),
        (json!({ "required_scopes": ["sip.call"] }), Reason::InsufficientScope),
        (json!({ "clients": ["other"] }), Reason::ClientNotAllowed),
    ] {
        let answer = on_a_hit(changes.clone());
        assert_eq!((answer.reason(), answer.cached), (expected, true), "{changes}");
    }
}

#[test]
fn a_cached_token_expires_between_two_requests() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let (now, exp) = (now(), now() + 10);
    let token = key.token("ES256", &claims(&json!({ "exp": exp, "nbf": now })));
    for (time, expected, cached) in [
        (now, Reason::Ok, false),
        (now, Reason::Ok, true),
        (exp + 29, Reason::Ok, true),
        (exp + 30, Reason::TokenExpired, true),
        (now - 31, Reason::TokenNotYetValid, true),
    ] {
        let verdict = site.token_at(&token, time);
        assert_eq!((verdict.answer.reason(), verdict.answer.cached), (expected, cached), "{time}");
    }
}

#[test]
fn a_reload_judges_cached_tokens_anew() {
    let key = TestKey::p256("k");
    let token = key.token("ES256", &claims(&json!({})));
    for (changes, expected) in [
        (json!({ "issuer": "https://new.example" }), Reason::IssuerUnknown),
        (json!({ "issuer": "https://new.example", "accepted_issuers": [ISSUER] }), Reason::Ok),
        (json!({ "audience": "other" }), Reason::AudienceMismatch),
        (json!({ "required_scopes": ["sip.call"] }), Reason::InsufficientScope),
        (json!({ "algorithms": ["RS256"] }), Reason::AlgorithmNotAllowed),
        (json!({ "typ": "jwt" }), Reason::TypeNotAccepted),
        (json!({ "required_claims": { "role": "sip" } }), Reason::ClaimMismatch),
    ] {
        let mut site = Site::new(&[key.jwk()], &json!({}));
        assert_eq!([site.token(&token), site.token(&token)], [Reason::Ok; 2]);
        site.reload(None, &changes);
        assert_eq!(site.token(&token), expected, "{changes}");
    }
}

/// Scopes of methods are judged on each use, after the owner; a bare token has no method.
#[test]
fn the_scopes_of_the_method_are_judged_on_a_cache_hit() {
    let key = TestKey::p256("k");
    let rules =
        json!({ "method_scopes": ["INVITE=sip.call", "*=sip"], "required_scopes": "openid", "services": "chat=sip" });
    let mut site = Site::new(&[key.jwk()], &rules);
    let token = key.token("ES256", &claims(&json!({})));
    let header = format!("Bearer {token}");
    for (method, expected, cached) in [
        ("REGISTER", Reason::Ok, false),
        ("INVITE", Reason::InsufficientScope, true),
        ("Invite", Reason::InsufficientScope, true),
        ("MESSAGE", Reason::Ok, true),
    ] {
        let verdict = site.request(method, &[&header]);
        assert_eq!((verdict.answer.reason(), verdict.answer.cached), (expected, cached), "{method}");
        let (needed, services) = if expected == Reason::Ok { ("", "chat") } else { ("openid sip.call", "") };
        assert_eq!((verdict.needed_scope.as_str(), verdict.services()), (needed, services), "{method}");
        let is_register = method == "REGISTER";
        assert!((verdict.expires_limit() > 280) == is_register && verdict.expires_limit() <= 300, "{method}");
    }
    let bob = "sip:bob@example.test";
    assert_eq!(site.request_of("INVITE", bob, bob, &[&header]).answer.reason(), Reason::AorMismatch);
    assert_eq!(site.token(&token), Reason::Ok);
    assert_eq!(site.request("INVITE", &[]).needed_scope, "openid sip.call", "the first challenge says it too");
    site.reload(None, &json!({ "method_scopes": "REGISTER=sip.register" }));
    let verdict = site.request("REGISTER", &[&header]);
    assert_eq!((verdict.answer.reason(), verdict.needed_scope.as_str()), (Reason::InsufficientScope, "sip.register"));
    assert!(site.log.text().contains("needed_scope=sip.register"), "{}", site.log.text());
}

/// Within the leeway a token still counts, and its registration gets the shortest time.
#[test]
fn a_registration_is_bound_by_what_is_left_of_its_token() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    for (left, limit) in [(300, 295..=300), (1, 1..=1), (-20, 1..=1)] {
        let header = format!("Bearer {}", key.token("ES256", &claims(&json!({ "exp": now() + left }))));
        let verdict = site.request("REGISTER", &[&header]);
        assert!(
            verdict.status == 200 && limit.contains(&verdict.expires_limit()),
            "{left}: {}",
            verdict.expires_limit()
        );
    }
}

#[test]
fn kamailio_keys_are_reloaded_and_old_ones_forgotten() {
    let (old, new) = (TestKey::p256("k"), TestKey::p256("k"));
    let mut site = Site::new(&[old.jwk()], &json!({}));
    let (first, second) = (old.token("ES256", &claims(&json!({}))), new.token("ES256", &claims(&json!({}))));
    assert_eq!([site.token(&first), site.token(&second)], [Reason::Ok, Reason::SignatureInvalid]);
    site.reload(Some(&[new.jwk()]), &json!({}));
    assert_eq!([site.token(&first), site.token(&second)], [Reason::SignatureInvalid, Reason::Ok]);
}

#[test]
fn the_user_is_judged_on_a_cache_hit() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let header = format!("Bearer {}", key.token("ES256", &claims(&json!({}))));
    assert_eq!(site.request("REGISTER", &[&header]).answer.reason(), Reason::Ok);
    let bob = "sip:bob@example.test";
    let verdict = site.request_of("REGISTER", bob, bob, &[&header]);
    assert_eq!((verdict.answer.reason(), verdict.answer.cached), (Reason::AorMismatch, true));
}
