// SPDX-License-Identifier: MIT OR Apache-2.0

//! Properties: nothing that a stranger sends makes the library panic, and no changed token is accepted.

#[path = "support/mod.rs"]
mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use sipoauth::shared::connection_table::Connection;
use sipoauth::shared::{Arena, Sizes};
use sipoauth_core::check::explain::{ExplainedUse, Judged, explain};
use sipoauth_core::check::token_cache::{LookedUp, TokenCache};
use sipoauth_core::check::token_check::{TokenUsage, check_token};
use sipoauth_core::check::{Decision, Message, Request, check_request};
use sipoauth_core::config::client_certificate::ClientCertificate;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::jose::decryption_key::DecryptionKey;
use sipoauth_core::jose::decryption_keys::keys_from_text;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::jose::pem::keys_from_pem;
use sipoauth_core::jose::rsa::modulus_of_spki;
use sipoauth_core::keys::pop::verify_pop;
use sipoauth_core::oauth::exchange::{CodeGrant, Granted, TokenError, TokenServer, exchange, refresh};
use sipoauth_core::oauth::introspection::{Introspected, introspect};
use sipoauth_core::oauth::metadata::{Announced, MetadataError};
use sipoauth_core::ports::{Answered, Form, Post, PostError};
use sipoauth_core::reason::Reason;
use sipoauth_core::records::bound_identity::BoundIdentity;
use sipoauth_core::rules::aor_template::AorTemplate;
use sipoauth_core::rules::claims::Claims;
use sipoauth_core::rules::e164::Country;
use sipoauth_core::rules::scope_rules::NeededScopes;
use sipoauth_core::sip::challenge::{Challenge, Location};
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};
use sipoauth_core::sip::next_hop::NextHopRule;
use sipoauth_core::text::json::Json;
use sipoauth_core::text::secret::SecretText;
use std::collections::HashMap;
use std::sync::OnceLock;
use support::encryption::Recipient;
use support::knows_nothing::KNOWS_NOTHING;
use support::log_lines::Lines;
use support::temporary::Directory;
use support::token::{TestKey, claims, encode, now};

const ISSUER: &str = "https://as.example.test";

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

/// The verdict, with which the explanation must agree.
fn reason(token: &str) -> Reason {
    let now = now();
    let reason =
        match check_token(&bench().0, KNOWS_NOTHING, &mut TokenCache::new(4), token, TokenUsage::default(), now) {
            Decision::Done(answer) => answer.reason(),
            other => panic!("the keys are configured: {other:?}"),
        };
    let steps = explain(&bench().0, KNOWS_NOTHING, token, ExplainedUse::default(), now);
    let failed = steps.iter().find(|step| matches!(step.judged, Judged::Failed(_)));
    let first = failed.map_or(Judged::Failed(Reason::Ok), |step| step.judged);
    assert_eq!(first, Judged::Failed(reason), "{steps:?}");
    reason
}

/// Answers everything so.
struct Says(Answered);

impl Post for Says {
    fn post(&self, _: &Form<'_>) -> Result<Answered, PostError> {
        Ok(self.0.clone())
    }

    fn user_info(&self, _: &str, _: &str, _: Option<&ClientCertificate>) -> Result<Answered, PostError> {
        Ok(self.0.clone())
    }
}

/// A policy with a provider whose tokens are opaque.
fn introspecting() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let mut source = Source::default();
        let line = format!(
            "name=as;issuer={ISSUER};audience=sip;aor={{sip}};tokens=opaque;client_id=proxy;client_secret=hush"
        );
        source.add_provider(&line).expect("a good line");
        Policy::new(&source.load().expect("no files")).expect("a good configuration")
    })
}

/// A policy with a provider that exchanges codes, and the key of its ID tokens.
fn exchanging() -> &'static (Policy, TestKey) {
    static POLICY: OnceLock<(Policy, TestKey)> = OnceLock::new();
    POLICY.get_or_init(|| {
        let key = TestKey::p256("k");
        let directory = Directory::new("exchanging");
        let file = directory.write("keys.json", json!({ "keys": [key.jwk()] }).to_string());
        let mut source = Source::default();
        for (name, value) in [("store", "/nowhere"), ("store_key", "0123456789abcdef0123456789abcdef")] {
            source.set(name, value).expect("a good setting");
        }
        let line = format!(
            "name=as;issuer={ISSUER};audience=sip;aor={{sip}};jwks_file={};client_id=proxy;client_secret=hush",
            file.display()
        );
        source.add_provider(&line).expect("a good line");
        (Policy::new(&source.load().expect("readable")).expect("a good configuration"), key)
    })
}

/// A token answer in every shape that servers give it: a value for each member, or none.
fn token_answer() -> impl Strategy<Value = Value> {
    let (_, key) = exchanging();
    let now = now();
    let claims = json!({"iss": ISSUER, "sub": "alice", "aud": ["proxy", "sip"], "iat": now - 5, "exp": now + 300,
        "sip": "sip:alice@example.test", "at_hash": null});
    let header = json!({"alg": "ES256", "kid": "k"});
    let good = json!(key.jws("ES256", &header, &claims));
    let forged = json!(TestKey::p256("k").jws("ES256", &header, &claims));
    let error = [
        "",
        "invalid_grant",
        "invalid_client",
        "invalid_request",
        "server_error",
        "slow_down",
        "odd",
        "login_required",
    ];
    let any_of = |values: Vec<Value>| {
        prop::option::of(prop::sample::select(values)).prop_map(|value| value.unwrap_or(json!("absent")))
    };
    let members = (
        any_of(vec![json!("an-access-token"), json!(""), Value::Null, json!(7)]),
        any_of(vec![json!("Bearer"), json!("bearer"), json!("DPoP"), json!(""), Value::Null, json!(1)]),
        any_of(vec![json!(60), json!("60"), json!(60.5), json!(0), json!(-1), json!("soon"), Value::Null]),
        any_of(vec![json!("openid sip"), json!(["openid", null, "sip"]), json!(""), json!(1), Value::Null]),
        prop::sample::select(vec![good.clone(), good, forged, json!("absent"), Value::Null, json!("")]),
        any_of(error.map(Value::from).into_iter().chain([Value::Null, json!(1)]).collect()),
    );
    members.prop_map(|(access_token, token_type, expires_in, scope, id_token, error)| {
        let all = [
            ("access_token", access_token),
            ("token_type", token_type),
            ("expires_in", expires_in),
            ("scope", scope),
            ("id_token", id_token),
            ("error", error),
        ];
        Value::Object(all.into_iter().filter(|(_, v)| *v != "absent").map(|(n, v)| (n.to_owned(), v)).collect())
    })
}

/// Statuses of all classes.
const STATUSES: [u16; 24] = [
    200, 200, 200, 201, 202, 203, 204, 206, 301, 302, 307, 400, 401, 403, 404, 408, 410, 422, 425, 429, 500, 502, 503,
    504,
];

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
            "alg",
            "kid",
            "typ",
            "crit",
            "iss",
            "aud",
            "exp",
            "nbf",
            "iat",
            "scope",
            "azp",
            "keys",
            "kty",
            "crv",
            "x",
            "y",
            "n",
            "e",
            "k",
            "d",
            "p",
            "q",
            "dp",
            "dq",
            "qi",
            "use",
            "key_ops",
            "active",
            "token_type",
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

/// A policy that decrypts, and a good encrypted token.
fn encrypted() -> &'static (Policy, String) {
    static BENCH: OnceLock<(Policy, String)> = OnceLock::new();
    BENCH.get_or_init(|| {
        let (key, recipient) = (TestKey::p256("e"), Recipient::curve("P-256"));
        let directory = Directory::new("encrypted");
        let file = directory.write("keys.json", json!({ "keys": [key.jwk()] }).to_string());
        let private = directory.write("private.pem", &recipient.private);
        let mut source = Source::default();
        let line = format!("name=as;issuer={ISSUER};audience=sip;aor={{sip}};jwks_file={}", file.display());
        source.add_provider(&line).expect("a good line");
        source.set("decryption_key_files", private.to_str().expect("UTF-8")).expect("a path");
        let policy = Policy::new(&source.load().expect("readable")).expect("a good configuration");
        let jws = key.token("ES256", &claims(ISSUER, "sip", "alice", 3600));
        (policy, recipient.encrypt("ECDH-ES+A256KW", "A128GCM", &jws))
    })
}

/// Headers that get further than arbitrary ones.
fn jwe_header() -> impl Strategy<Value = Value> {
    let name = |names: &'static [&'static str]| prop::sample::select(names).prop_map(Value::from);
    let coordinate = prop::collection::vec(any::<u8>(), 30..70).prop_map(|octets| json!(encode(octets)));
    let curve = name(&["P-256", "P-384", "P-521", "X25519", "secp256k1"]);
    let epk = (name(&["EC", "OKP"]), curve, coordinate.clone(), coordinate)
        .prop_map(|(kty, crv, x, y)| json!({ "kty": kty, "crv": crv, "x": x, "y": y }));
    let alg = name(&["RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "dir", "RSA1_5"]);
    let enc = name(&["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"]);
    let more = prop::option::of((name(&["zip", "crit", "b64", "cty", "apu", "apv", "kid", "p2c"]), json_like()));
    (alg, enc, prop::option::of(prop_oneof![epk, json_like()]), more).prop_map(|(alg, enc, epk, more)| {
        let mut header = json!({ "alg": alg, "enc": enc });
        if let Some(epk) = epk {
            header["epk"] = epk;
        }
        if let Some((name, value)) = more {
            header[name.as_str().expect("a text")] = value;
        }
        header
    })
}

/// Only a good ID token says who has signed in here.
fn prop_assert_granted(granted: &Granted) {
    assert_eq!(granted.identity.aors, ["sip:alice@example.test"]);
    assert_eq!(granted.identity.subject, "alice");
    assert!(granted.expires_at >= now());
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
    fn arbitrary_encrypted_tokens_are_refused(
        header in jwe_header(), parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 4),
        text in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}"
    ) {
        let (policy, good) = encrypted();
        let token = std::iter::once(header.to_string().into_bytes()).chain(parts).map(encode).collect::<Vec<_>>().join(".");
        // The parts of a good token with another header, too.
        let tail = good.split_once('.').expect("five parts").1;
        for token in [token, text, format!("{}.{tail}", encode(header.to_string()))] {
            let refused = policy.decryption.open(&token).map(|_| ());
            prop_assert!(refused.is_err(), "{token}");
        }
    }

    #[test]
    fn a_changed_octet_of_an_encrypted_token_is_refused(place in any::<prop::sample::Index>(), change in 1..=255u8) {
        let (policy, good) = encrypted();
        let mut octets = good.clone().into_bytes();
        let place = place.index(octets.len());
        octets[place] ^= change;
        if let Ok(token) = String::from_utf8(octets) {
            let verdict = check_token(policy, KNOWS_NOTHING, &mut TokenCache::new(4), &token, TokenUsage::default(), now());
            prop_assert!(matches!(&verdict, Decision::Done(answer) if answer.reason() != Reason::Ok), "{verdict:?}");
        }
    }

    #[test]
    fn arbitrary_decryption_keys_never_panic(jwk in json_like(), text in "\\PC{0,200}", octets in prop::collection::vec(any::<u8>(), 0..80)) {
        for text in [jwk.to_string(), json!({ "keys": [jwk] }).to_string(), text] {
            if let Ok(keys) = keys_from_text(&text) {
                prop_assert!(!keys.is_empty() && keys.iter().all(|key| key.kty() == "oct" || key.public_jwk().is_some()));
            }
        }
        prop_assert!(DecryptionKey::from_pkcs8(&octets).is_err());
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
    fn arbitrary_requests_never_pass(
        method in "[A-Z]{0,9}|REGISTER", from in "\\PC{0,60}", to in "(sip:)?\\PC{0,60}", realm in "\\PC{0,20}",
        credentials in prop::collection::vec("((?i:bearer) )?(token=|pop=)?\"?\\PC{0,60}", 0..4),
        body in "(grant_type=(proof-of-possession&pop|authorization_code&code)=)?[\\x00-\\x7f]{0,40}", octets in any::<[u8; 8]>()
    ) {
        let bodies: Vec<&str> = credentials.iter().map(String::as_str).collect();
        let message = Message { body: body.as_bytes(), call_id: &octets, from_tag: &octets, ..Message::default() };
        let request = Request {
            method: &method,
            from: &from,
            to: &to,
            realm: &realm,
            credentials: &bodies,
            message,
            ..Request::default()
        };
        match check_request(&bench().0, KNOWS_NOTHING, &mut TokenCache::new(4), LookedUp::No, &request, now()) {
            Decision::Done(answer) => prop_assert_ne!(answer.reason(), Reason::Ok),
            other => prop_assert!(false, "nothing is to be fetched: {other:?}"),
        }
    }

    #[test]
    fn only_active_true_makes_a_token_active(
        answer in json_like(), active in any::<bool>(), status in prop::sample::select(vec![200u16, 201, 302, 400, 401, 500]),
        content_type in prop::sample::select(vec!["", "text/html", "application/json", "application/token-introspection+jwt"]),
        octets in prop::collection::vec(any::<u8>(), 0..60)
    ) {
        let provider = &introspecting().providers[0];
        let mut full = answer.clone();
        if let Value::Object(members) = &mut full && active {
            members.insert("active".into(), json!(true));
        }
        let token = TestKey::hmac("k", &[7; 32]).jws("HS256", &json!({"alg": "HS256", "typ": "token-introspection+jwt"}), &full);
        for body in [octets, token.into_bytes(), full.to_string().into_bytes()] {
            let http = Says(Answered { status, content_type: content_type.into(), body });
            let endpoint = Announced { address: "https://as.example.test/i".into(), signs_introspection: false, names_itself: false };
            let told = introspect(&http, &endpoint, provider, None, &|| Err("none".into()), "token", now());
            if let Ok(Introspected::Active(text)) = told {
                prop_assert!((200..300).contains(&status) && content_type != "application/token-introspection+jwt");
                prop_assert_eq!(&full["active"], &json!(true));
                let json = Json::parse(&text).expect("it was parsed before");
                if let Ok(claims) = Claims::from_introspection(&json, ISSUER) {
                    prop_assert!(!claims.is_id_token);
                    let _ = provider.rules.check_claims(&claims, now());
                }
            }
        }
    }

    #[test]
    fn no_answer_is_an_outage_that_is_none_or_a_sign_in_that_is_not_good(
        answer in token_answer(), status in prop::sample::select(STATUSES.to_vec()),
        mark in prop::sample::select(vec!["", "\u{feff}"]), odd in prop::option::weighted(0.1, "\\PC{0,40}"),
        code in any::<bool>()
    ) {
        let (policy, _) = exchanging();
        let body = odd.clone().unwrap_or_else(|| format!("{mark}{answer}")).into_bytes();
        let http = Says(Answered { status, content_type: String::new(), body });
        let endpoint = "https://as.example.test/token";
        let outcome = if code {
            let server = TokenServer {
                http: &http, log: &Lines::default(), endpoint, policy, provider: 0, keys: None, fetch_keys: &|| Err("none".into()),
                resolve: &|_| Err(MetadataError::Absent("none".into())), now: &now,
            };
            let grant = CodeGrant { code: "a-code", code_verifier: None, redirect_uri: None, nonce: None };
            exchange(&server, &grant).map(|granted| prop_assert_granted(&granted))
        } else {
            refresh(&http, &Lines::default(), endpoint, policy, 0, "a-refresh-token", now()).map(drop)
        };
        let is_error = odd.is_none() && answer["error"].as_str().is_some_and(|error| !error.is_empty());
        match outcome {
            Ok(()) => {
                prop_assert!((200..300).contains(&status) && odd.is_none() && !is_error, "{status} {answer}");
                prop_assert_eq!(&answer["access_token"], "an-access-token");
                let kind = answer["token_type"].as_str().unwrap_or("");
                prop_assert!(kind != "DPoP", "{kind}");
            }
            Err(TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble)) => {
                prop_assert_eq!(trouble.answered, status < 500, "{} {}", status, trouble);
            }
            Err(TokenError::ClientRefused(text) | TokenError::Misconfigured(text)) => {
                prop_assert!(status == 401 || text.contains("invalid_client"), "{status} {text}");
            }
            Err(TokenError::Unexplained(text)) => {
                let is_elsewhere = status != 401 && (300..500).contains(&status);
                prop_assert!(status / 100 == 3 || !is_error && (is_elsewhere || !code && status < 300), "{status} {text}");
            }
            Err(TokenError::Refused(_) | TokenError::RequestRefused(_)) => {
                prop_assert!(is_error || odd.is_some() || (400..500).contains(&status), "{status} {answer}");
            }
            Err(TokenError::Denied(_) | TokenError::Unfit(..)) => {
                prop_assert!((200..300).contains(&status) && !is_error, "{status} {answer}");
            }
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
        let _ = AorTemplate::parse(&aor, Country::parse("49").ok().as_ref(), "example.test");
        let _ = NeededScopes::parse(&line);
        let _ = NextHopRule::parse(&aor);
        // Reads no file: what names one is not loaded here.
        if !["config_file", "ca_file", "decryption_key_files"].contains(&key.as_str()) && !line.contains("_file") {
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
    fn what_a_connection_is_bound_to_comes_back_whole_or_not_at_all(octets in prop::collection::vec(any::<u8>(), 0..80), token in "\\PC{0,60}", domain in "\\PC{0,20}") {
        if let Some(bound) = BoundIdentity::decode(&octets) {
            prop_assert_eq!(&bound.encode().expect("short")[..], &octets[..]);
        }
        let bound = BoundIdentity::Token { token: SecretText(token), domain };
        prop_assert_eq!(BoundIdentity::decode(&bound.encode().expect("short")), Some(bound));
    }

    /// Against a plain map: an entry may be lost, but what is found is what was put last, by this peer.
    #[test]
    fn connections_never_find_what_was_put_for_others(
        steps in prop::collection::vec((0..3u8, 0..12u64, 0..3u16, prop::collection::vec(any::<u8>(), 0..40)), 1..60)
    ) {
        let arena = Arena::new(&Sizes { connections: 8, ..Sizes::default() }, 0).expect("memory");
        let (table, mut known) = (arena.connections(), HashMap::new());
        for (time, (step, number, port, content)) in steps.into_iter().enumerate() {
            let connection = Connection { number, peer: ("192.0.2.1", port) };
            let time = time as i64;
            match step {
                0 => {
                    table.put(&connection, &content, time);
                    known.insert(number, (port, content));
                    prop_assert_eq!(table.get(&connection, time).is_some(), number != 0);
                }
                1 => {
                    table.forget(number);
                    prop_assert_eq!(table.get(&connection, time), None);
                }
                _ => if let Some(found) = table.get(&connection, time) {
                    prop_assert_eq!(known.get(&number), Some(&(port, found.to_vec())));
                }
            }
        }
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
    let (policy, token) = encrypted();
    let verdict = check_token(policy, KNOWS_NOTHING, &mut TokenCache::new(4), token, TokenUsage::default(), now());
    assert!(matches!(&verdict, Decision::Done(answer) if answer.reason() == Reason::Ok), "{verdict:?}");
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

#[test]
fn the_parts_of_two_good_tokens_make_no_third() {
    let good: Vec<Vec<&str>> = bench().1.iter().map(|token| token.split('.').collect()).collect();
    for (one, two) in good.iter().flat_map(|one| good.iter().map(move |two| (one, two))) {
        for cut in 0..3 {
            let mixed: Vec<&str> = (0..3).map(|part| if part == cut { one[part] } else { two[part] }).collect();
            // All carry the same claims, so another's payload changes nothing.
            if !good.contains(&mixed) {
                assert_ne!(reason(&mixed.join(".")), Reason::Ok, "{mixed:?}");
            }
        }
    }
}
