// SPDX-License-Identifier: MIT OR Apache-2.0

//! Properties: nothing that a stranger sends makes the library panic, and no changed token is accepted.

#[path = "support/mod.rs"]
mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use sipoauth::config::policy::Policy;
use sipoauth::config::source::Source;
use sipoauth::engine::check::{Decision, KnownKeys, Message, Request, check_request, check_token};
use sipoauth::engine::session_check::{CodeId, Known, KnownSessions};
use sipoauth::engine::token_cache::TokenCache;
use sipoauth::proto::aor_template::AorTemplate;
use sipoauth::proto::challenge::{Challenge, Location};
use sipoauth::proto::claims::Claims;
use sipoauth::proto::digest_string::{DigestParts, digest_string};
use sipoauth::proto::jose::key_set::{KeySet, Origin};
use sipoauth::proto::jose::pem::keys_from_pem;
use sipoauth::proto::jose::rsa::modulus_of_spki;
use sipoauth::proto::json::Json;
use sipoauth::proto::pop::verify_pop;
use sipoauth::proto::reason::Reason;
use sipoauth::proto::session::{Account, CodeRecord};
use std::sync::{Arc, OnceLock};
use support::temporary::Directory;
use support::token::{TestKey, claims, encode, now};

const ISSUER: &str = "https://as.example.test";

struct Nothing;

impl KnownKeys for Nothing {
    fn fetched(&self, _: usize) -> Option<&KeySet> {
        None
    }
}

impl KnownSessions for Nothing {
    fn account(&self, _: &str) -> Known<Arc<Account>> {
        Known::Absent
    }

    fn code(&self, _: &CodeId) -> Known<CodeRecord> {
        Known::Absent
    }

    fn is_fresh(&self) -> bool {
        true
    }
}

/// A policy with one key of each kind, and a good token of each.
fn bench() -> &'static (Policy, Vec<String>) {
    static BENCH: OnceLock<(Policy, Vec<String>)> = OnceLock::new();
    BENCH.get_or_init(|| {
        let keys = [
            (TestKey::rsa("r"), "RS256"),
            (TestKey::rsa("r"), "PS256"),
            (TestKey::p256("e"), "ES256"),
            (TestKey::p384("f"), "ES384"),
            (TestKey::ed25519("d"), "EdDSA"),
        ];
        let directory = Directory::new("properties");
        let jwks: Vec<Value> = keys.iter().skip(1).map(|(key, _)| key.jwk()).collect();
        let file = directory.write("keys.json", json!({ "keys": jwks }).to_string());
        let mut source = Source::default();
        let line = format!("name=as;issuer={ISSUER};audience=sip;aor={{sip}};jwks_file={}", file.display());
        source.add_provider(&line).expect("a good line");
        let policy = Policy::new(&source.load().expect("readable")).expect("a good configuration");
        let tokens = keys.iter().map(|(key, alg)| key.token(alg, &claims(ISSUER, "sip", "alice", 3600))).collect();
        (policy, tokens)
    })
}

fn reason(token: &str) -> Reason {
    match check_token(&bench().0, &Nothing, &mut TokenCache::new(4), token, now()) {
        Decision::Done(answer) => answer.reason(),
        other => panic!("the keys are configured: {other:?}"),
    }
}

fn json_like() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!(ISSUER)),
        Just(json!("sip")),
        Just(json!("ES256")),
    ];
    let name = prop_oneof![
        "[a-z]{1,4}",
        prop::sample::select(vec![
            "alg", "kid", "typ", "crit", "iss", "aud", "exp", "nbf", "iat", "scope", "azp", "keys", "kty", "crv", "x",
            "y", "n", "e", "k", "use", "key_ops",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_tokens_are_refused(token in "[A-Za-z0-9_.=-]{0,200}") {
        prop_assert_ne!(reason(&token), Reason::Ok);
    }

    #[test]
    fn arbitrary_text_is_refused(token in "\\PC{0,200}") {
        prop_assert_ne!(reason(&token), Reason::Ok);
    }

    #[test]
    fn arbitrary_json_as_header_and_claims_is_refused(
        header in json_like(), payload in json_like(), signature in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let parts = [header.to_string().into_bytes(), payload.to_string().into_bytes(), signature];
        prop_assert_ne!(reason(&parts.map(encode).join(".")), Reason::Ok);
        let text = payload.to_string();
        let _ = Json::parse(text.as_bytes()).map(|json| Claims::from_json(&json));
    }

    #[test]
    fn arbitrary_key_sets_never_panic(set in json_like(), octets in prop::collection::vec(any::<u8>(), 0..300)) {
        for document in [set.to_string().into_bytes(), json!({ "keys": [set] }).to_string().into_bytes(), octets.clone()] {
            for origin in [Origin::Fetched, Origin::Configured] {
                if let Ok(keys) = KeySet::from_jwks(&document, origin) {
                    let again = KeySet::from_jwks(&keys.to_public_jwks(), Origin::Fetched);
                    prop_assert!(origin == Origin::Configured || again.is_ok());
                }
            }
        }
        let _ = (keys_from_pem(&octets), modulus_of_spki(&octets));
    }

    #[test]
    fn a_changed_octet_makes_a_token_another(
        which in 0..5usize, place in any::<prop::sample::Index>(), change in 1..=255u8
    ) {
        let good = &bench().1[which];
        let mut octets = good.clone().into_bytes();
        let place = place.index(octets.len());
        octets[place] ^= change;
        if let Ok(token) = String::from_utf8(octets) {
            prop_assert_ne!(reason(&token), Reason::Ok);
        }
    }

    #[test]
    fn a_cut_or_longer_token_is_another(which in 0..5usize, cut in any::<prop::sample::Index>(), extra in "[A-Za-z0-9_.=-]{1,8}") {
        let good = &bench().1[which];
        prop_assert_ne!(reason(&good[..cut.index(good.len())]), Reason::Ok);
        prop_assert_ne!(reason(&format!("{good}{extra}")), Reason::Ok);
        prop_assert_ne!(reason(&format!("{extra}{good}")), Reason::Ok);
    }

    #[test]
    fn the_parts_of_two_good_tokens_make_no_third(a in 0..5usize, b in 0..5usize, cut in 0..3usize) {
        prop_assume!(a != b);
        let (one, two): (Vec<_>, Vec<_>) = (bench().1[a].split('.').collect(), bench().1[b].split('.').collect());
        let mixed: Vec<_> = (0..3).map(|i| if i == cut { one[i] } else { two[i] }).collect();
        // All carry the same claims, so a mixed payload changes nothing.
        prop_assume!(mixed != one && mixed != two);
        prop_assert_ne!(reason(&mixed.join(".")), Reason::Ok);
    }

    #[test]
    fn arbitrary_requests_never_pass(
        method in "[A-Z]{0,9}|REGISTER", from in "\\PC{0,60}", to in "(sip:)?\\PC{0,60}", realm in "\\PC{0,20}",
        credentials in prop::collection::vec("((?i:bearer) )?(token=|pop=)?\"?\\PC{0,60}", 0..4), proxy in any::<bool>(),
        body in "(grant_type=(proof-of-possession&pop|authorization_code&code)=)?[\\x00-\\x7f]{0,40}", octets in any::<[u8; 8]>()
    ) {
        let bodies: Vec<&str> = credentials.iter().map(String::as_str).collect();
        let message = Message { body: body.as_bytes(), call_id: &octets, from_tag: &octets, ..Message::default() };
        let request = Request {
            proxy,
            method: &method,
            from: &from,
            to: &to,
            realm: &realm,
            credentials: &bodies,
            message,
            ..Request::default()
        };
        match check_request(&bench().0, &Nothing, &Nothing, &mut TokenCache::new(4), &request, now()) {
            Decision::Done(answer) => prop_assert_ne!(answer.reason(), Reason::Ok),
            other => prop_assert!(false, "nothing is to be fetched: {other:?}"),
        }
    }

    #[test]
    fn configuration_lines_never_panic(
        line in "([a-z_]{1,12}=\\PC{0,20};){0,4}",
        issuer in "\\PC{0,40}", aor in "\\PC{0,30}", key in "[a-z_]{1,20}", value in "\\PC{0,20}"
    ) {
        let mut source = Source::default();
        let _ = source.set(&key, &value);
        let _ = source.add_provider(&line);
        let _ = source.add_provider(&format!("name=a;issuer={issuer};audience=a;aor={aor};secret={value}"));
        let _ = AorTemplate::parse(&aor);
        // Reads no file: what names one is not loaded here.
        if !["config_file", "ca_file"].contains(&key.as_str()) && !line.contains("_file") {
            let _ = source.load().map(|bundle| Policy::new(&bundle));
        }
    }

    #[test]
    fn a_challenge_is_always_whole_lines(realm in "\\PC{0,30}|[\\x00-\\x7f]{0,30}", scope in "\\PC{0,20}", uri in "[\\x00-\\x7f]{0,30}") {
        let challenge = Challenge { realm: &realm, scope: &scope, authz_server: &uri, location: Location::Header, ..Challenge::default() };
        let lines = challenge.header_lines();
        prop_assert!(lines.ends_with("\r\n"));
        let names = lines.split_terminator("\r\n").all(|l| l.starts_with("WWW-Authenticate: ") || l.starts_with("Location: <"));
        prop_assert!(names && lines.matches(['\r', '\n']).count() <= 4, "{lines:?}");
    }

    #[test]
    fn digest_strings_and_proofs_never_panic(octets in prop::collection::vec(any::<u8>(), 0..60), text in "\\PC{0,70}") {
        let part = octets.as_slice();
        let parts = DigestParts { from: part, to: part, call_id: part, cseq: part, date: part, contact: part, body: part };
        let _ = digest_string(&parts);
        let _ = digest_string(&DigestParts { cseq: b"1 A", date: text.as_bytes(), ..parts });
        prop_assert!(!verify_pop(part, part, &text));
    }
}

#[test]
fn every_good_token_is_accepted() {
    for token in &bench().1 {
        assert_eq!(reason(token), Reason::Ok);
    }
}

/// Exhaustive where the chance of a miss matters: every octet, every bit.
#[test]
fn no_single_bit_of_a_token_can_be_changed() {
    for good in &bench().1[2..] {
        for place in 0..good.len() {
            for bit in 0..7 {
                let mut octets = good.clone().into_bytes();
                octets[place] ^= 1 << bit;
                let token = String::from_utf8(octets).expect("still ASCII");
                assert_ne!(reason(&token), Reason::Ok, "octet {place}, bit {bit}");
            }
        }
    }
}
