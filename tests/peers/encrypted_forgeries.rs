// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encrypted tokens as attackers make them, and what other libraries made of them.

use crate::encrypted::{all, bench, join, parts};
use crate::site::{AUDIENCE, ISSUER, Site, claims};
use crate::support::encryption::{ALGORITHMS, ENCRYPTIONS, Recipient, cbc_tag, key_len, seal};
use crate::support::token::{TestKey, encode, now, unsigned};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;

#[test]
fn jwe_encryption_is_no_signature() {
    let recipient = Recipient::rsa();
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let good = claims(&json!({}));
    let mut ask = |content: &str| site.token(&recipient.encrypt("RSA-OAEP-256", "A128GCM", content));
    assert_eq!(ask(&good.to_string()), Reason::TokenMalformed, "a claims set");
    assert_eq!(ask(&claims(&json!({ "iss": "a.b" })).to_string()), Reason::TokenMalformed, "with two dots or more");
    assert_eq!(ask(""), Reason::TokenMalformed);
    assert_eq!(ask(&format!("{jws}.")), Reason::TokenMalformed);
    assert_eq!(ask(&unsigned(&json!({ "alg": "none", "typ": "at+jwt" }), &good)), Reason::AlgorithmNotAllowed);
    let stripped = jws.rsplit_once('.').expect("three parts").0;
    assert_eq!(ask(&format!("{stripped}.")), Reason::SignatureInvalid);
    // A symmetric signature, keyed with what the two sides share.
    let forged = TestKey::hmac("k", recipient.private.as_bytes()).token("HS256", &good);
    assert_eq!(ask(&forged), Reason::AlgorithmNotAllowed);
    let octets = recipient.encrypt_with(&json!({ "alg": "RSA-OAEP-256", "enc": "A128GCM" }), b"\xff.\xff.\xff");
    assert_eq!(site.token(&octets), Reason::TokenMalformed);
}

#[test]
fn jwe_an_all_zero_content_key_is_refused() {
    for (alg, enc) in [
        ("RSA-OAEP-256", "A128GCM"),
        ("RSA-OAEP-256", "A128CBC-HS256"),
        ("ECDH-ES+A256KW", "A256GCM"),
        ("ECDH-ES+A128KW", "A128CBC-HS256"),
    ] {
        let recipient = Recipient::for_algorithm(alg, enc, "P-256");
        let (mut site, _, jws) = bench(&recipient, &json!({}));
        let header = json!({ "alg": alg, "enc": enc });
        let zero = vec![0; key_len(enc)];
        assert_eq!(site.token(&recipient.encrypt_key(&header, &zero, jws.as_bytes())), Reason::DecryptionFailed);
        // What a library does that takes its zeroed buffer for the key when unwrapping fails.
        let public = json!({ "kty": "EC", "crv": "P-256", "x": encode([1; 32]), "y": encode([1; 32]) });
        let mut header = header.clone();
        header["epk"] = public;
        for encrypted_key in [vec![], vec![0; 256], vec![0; zero.len() + 8]] {
            let token = seal(header.to_string().as_bytes(), &encrypted_key, enc, &zero, jws.as_bytes());
            assert_eq!(site.token(&token), Reason::DecryptionFailed, "{alg} {}", encrypted_key.len());
        }
        assert_eq!(site.token(&recipient.encrypt(alg, enc, &jws)), Reason::Ok);
    }
}

#[test]
fn cve_2023_37464_a_truncated_tag_or_iv_is_refused() {
    for enc in ENCRYPTIONS {
        let recipient = Recipient::curve("P-256");
        let (mut site, _, jws) = bench(&recipient, &json!({}));
        let good = parts(&recipient.encrypt("ECDH-ES", enc, &jws));
        for part in [2, 4] {
            for length in 0..good[part].len() {
                let mut cut = good.clone();
                cut[part].truncate(length);
                assert_eq!(site.token(&join(&cut)), Reason::DecryptionFailed, "{enc} {part} {length}");
            }
            let mut long = good.clone();
            long[part].push(0);
            assert_eq!(site.token(&join(&long)), Reason::DecryptionFailed, "{enc} {part}");
        }
        assert_eq!(site.token(&join(&good)), Reason::Ok, "{enc}");
    }
}

#[test]
fn jwe_every_bit_counts() {
    for (alg, enc) in [("ECDH-ES+A256KW", "A256GCM"), ("ECDH-ES", "A128CBC-HS256"), ("dir", "A128GCM")] {
        let recipient = Recipient::for_algorithm(alg, enc, "P-256");
        let (mut site, _, jws) = bench(&recipient, &json!({}));
        let token = recipient.encrypt(alg, enc, &jws);
        let good = parts(&token);
        for part in 0..5 {
            for at in 0..good[part].len() {
                let mut bad = good.clone();
                bad[part][at] ^= 1;
                assert_ne!(site.token(&join(&bad)), Reason::Ok, "{alg} {enc} {part} {at}");
            }
        }
        // Another spelling of the same octets, too: the header is covered as it stands.
        let last = token.chars().last().expect("a tag");
        assert_ne!(site.token(&format!("{}{}", &token[..token.len() - 1], (last as u8 ^ 1) as char)), Reason::Ok);
        assert_ne!(site.token(&format!("{token}=")), Reason::Ok);
        assert_eq!(site.token(&token), Reason::Ok);
    }
}

#[test]
fn jwe_padding_is_no_oracle() {
    // Whoever has the public key can make tags that fit: then the padding is looked at, and fails like all else.
    let recipient = Recipient::secret("s", "A128CBC-HS256");
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let secret: Value = serde_json::from_str(&recipient.private).expect("a JWK");
    let key = URL_SAFE_NO_PAD.decode(secret["k"].as_str().expect("a text")).expect("base64url");
    let good = recipient.encrypt("dir", "A128CBC-HS256", &jws);
    let header = good.split('.').next().expect("a header");
    let iv = &parts(&good)[2];
    for text in [vec![], vec![0; 1], vec![0; 15], vec![0; 16], vec![7; 64], vec![0; 17]] {
        let tag = cbc_tag(hmac::HMAC_SHA256, &key[..16], header.as_bytes(), iv, &text);
        let token = format!("{header}..{}.{}.{}", encode(iv), encode(&text), encode(&tag));
        let verdict = site.token(&token);
        // Octets that happen to end in good padding are no token.
        assert!([Reason::DecryptionFailed, Reason::TokenMalformed].contains(&verdict), "{} {verdict:?}", text.len());
        assert!(text.len() % 16 == 0 && !text.is_empty() || verdict == Reason::DecryptionFailed, "{}", text.len());
    }
}

#[test]
fn jwe_pbes2_counts_and_compression_cost_nothing() {
    let recipient = Recipient::rsa();
    let (mut site, _, jws) = bench(&recipient, &all());
    for alg in ["PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"] {
        let header = json!({ "alg": alg, "enc": "A128GCM", "p2c": i64::MAX, "p2s": "AAAAAAAAAAA" });
        let token = seal(header.to_string().as_bytes(), &[0; 24], "A128GCM", &[1; 16], jws.as_bytes());
        assert_eq!(site.token(&token), Reason::AlgorithmNotAllowed, "{alg}");
    }
    // A count beside an algorithm that has none is no work either.
    let counted = json!({ "alg": "RSA-OAEP-256", "enc": "A128GCM", "p2c": i64::MAX });
    assert_eq!(site.token(&recipient.encrypt_with(&counted, jws.as_bytes())), Reason::Ok);
    // DEFLATE of 100 kB of spaces, as a sender would put it in.
    let mut bomb = vec![0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0];
    bomb.resize(1000, 0);
    for zip in [json!("DEF"), json!("GZ"), json!(""), json!(null), json!(1)] {
        let header = json!({ "alg": "RSA-OAEP-256", "enc": "A128GCM", "zip": zip });
        assert_eq!(site.token(&recipient.encrypt_with(&header, &bomb)), Reason::TokenMalformed, "{header}");
    }
}

#[test]
fn jwe_an_epk_off_the_curve_of_low_order_or_on_another_curve_is_refused() {
    let p256 = Recipient::curve("P-256");
    let (mut site, _, jws) = bench(&p256, &json!({}));
    let good: Value = serde_json::from_slice(&parts(&p256.encrypt("ECDH-ES", "A128GCM", &jws))[0]).expect("a header");
    let x = good["epk"]["x"].as_str().expect("a coordinate");
    let mut ask = |epk: Value| {
        let mut header = json!({ "alg": "ECDH-ES", "enc": "A128GCM", "epk": epk });
        if epk == Value::Null {
            header.as_object_mut().expect("an object").remove("epk");
        }
        site.token(&seal(header.to_string().as_bytes(), &[], "A128GCM", &[1; 16], jws.as_bytes()))
    };
    let ec = |x: &str, y: &str| json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
    let (zero, one) = (encode([0; 32]), encode([1; 32]));
    for epk in [ec(x, &zero), ec(x, x), ec(&zero, &zero), ec(&one, &one), ec(&encode([0xff; 32]), &one)] {
        assert_eq!(ask(epk.clone()), Reason::DecryptionFailed, "{epk}");
    }
    let long = encode([1; 33]);
    for epk in [
        Value::Null,
        json!("epk"),
        json!({}),
        json!({ "kty": "EC", "crv": "P-256", "x": x }),
        ec(&long, &one),
        ec(&x[..x.len() - 2], &one),
        ec("!", &one),
        json!({ "kty": "OKP", "crv": "P-256", "x": x, "y": one }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": x, "y": one }),
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x, "d": one }),
    ] {
        assert_eq!(ask(epk.clone()), Reason::TokenMalformed, "{epk}");
    }
    let other = json!({ "kty": "EC", "crv": "P-384", "x": encode([1; 48]), "y": encode([1; 48]) });
    assert_eq!(ask(other), Reason::DecryptionKeyUnknown, "a key of another curve is not this one");

    // X25519: points of low order make the same secret with every key (RFC 7748 section 6.1).
    let (mut site, _, jws) = bench(&Recipient::curve("X25519"), &json!({}));
    let mut order8 = [0; 32];
    let known = [0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a];
    let rest = [0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00];
    order8.copy_from_slice(&[known, rest].concat());
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one, order8] {
        let header = json!({ "alg": "ECDH-ES", "enc": "A128GCM",
            "epk": { "kty": "OKP", "crv": "X25519", "x": encode(point) } });
        let token = seal(header.to_string().as_bytes(), &[], "A128GCM", &[1; 16], jws.as_bytes());
        assert_eq!(site.token(&token), Reason::DecryptionFailed, "{header}");
    }
}

#[test]
fn jwe_algorithm_and_encryption_cannot_be_swapped() {
    let (rsa, curve, secret) = (Recipient::rsa(), Recipient::curve("P-256"), Recipient::secret("s", "A256GCM"));
    let key = TestKey::p256("k");
    let private = [&*rsa.private, &curve.private, &secret.private];
    let mut site = Site::decrypting(&[key.jwk()], &private, &json!({}), &all());
    let jws = key.token("ES256", &claims(&json!({})));
    for (recipient, alg) in [(&rsa, "RSA-OAEP-256"), (&curve, "ECDH-ES+A256KW"), (&secret, "dir")] {
        let good = recipient.encrypt(alg, "A256GCM", &jws);
        assert_eq!(site.token(&good), Reason::Ok, "{alg}");
        let good = parts(&good);
        let header: Value = serde_json::from_slice(&good[0]).expect("a header");
        let names = ALGORITHMS.iter().chain(&["RSA1_5", "A256KW", "A256GCMKW", "none", "DIR", ""]);
        for (member, name) in names.map(|n| ("alg", *n)).chain(ENCRYPTIONS.map(|n| ("enc", n))).chain([("enc", "none")])
        {
            let mut changed = header.clone();
            changed[member] = json!(name);
            if changed == header {
                continue;
            }
            let mut swapped = good.clone();
            swapped[0] = changed.to_string().into_bytes();
            let verdict = site.token(&join(&swapped));
            let refused = [
                Reason::AlgorithmNotAllowed,
                Reason::DecryptionFailed,
                Reason::DecryptionKeyUnknown,
                Reason::KeyUnsuitable,
                Reason::TokenMalformed,
            ];
            assert!(refused.contains(&verdict), "{alg}: {member} {name}: {verdict:?}");
        }
        // An encrypted key where there must be none, and the other way round.
        let mut other = good.clone();
        other[1] = if good[1].is_empty() { vec![0; 40] } else { Vec::new() };
        assert_eq!(site.token(&join(&other)), Reason::DecryptionFailed, "{alg}");
    }
    let rsa1_5 = json!({ "alg": "RSA1_5", "enc": "A256GCM" });
    let token = seal(rsa1_5.to_string().as_bytes(), &[1; 256], "A256GCM", &[1; 32], jws.as_bytes());
    assert_eq!(site.token(&token), Reason::AlgorithmNotAllowed);
}

#[test]
fn jwe_headers_are_bounded_and_strict() {
    let recipient = Recipient::curve("P-256");
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let mut ask = |change: Value| {
        let mut header = json!({ "alg": "ECDH-ES", "enc": "A128GCM" });
        header.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        site.token(&recipient.encrypt_with(&header, jws.as_bytes()))
    };
    for (change, reason) in [
        (json!({}), Reason::Ok),
        (json!({ "cty": "jwt" }), Reason::Ok),
        (json!({ "cty": "application/jwt" }), Reason::Ok),
        // oidc-provider writes these.
        (json!({ "cty": "at+jwt", "iss": ISSUER, "aud": AUDIENCE }), Reason::Ok),
        (json!({ "iss": "https://mallory.test" }), Reason::TokenMalformed),
        (json!({ "aud": [AUDIENCE] }), Reason::TokenMalformed),
        (json!({ "sub": "bob" }), Reason::TokenMalformed),
        (json!({ "unknown": { "a": [1, 2] } }), Reason::Ok),
        (json!({ "kid": "a name that the server made up" }), Reason::Ok),
        (json!({ "cty": "json" }), Reason::TokenMalformed),
        (json!({ "cty": 1 }), Reason::TokenMalformed),
        (json!({ "kid": 1 }), Reason::TokenMalformed),
        (json!({ "kid": "k".repeat(513) }), Reason::TokenMalformed),
        (json!({ "apu": "A".repeat(516) }), Reason::TokenMalformed),
        (json!({ "x": "x".repeat(4000) }), Reason::TokenMalformed),
        (json!({ "crit": ["exp"], "exp": 1 }), Reason::CriticalUnknown),
        (json!({ "crit": [] }), Reason::CriticalUnknown),
        (json!({ "b64": false }), Reason::CriticalUnknown),
        (json!({ "alg": null }), Reason::TokenMalformed),
    ] {
        // The sender would not make a token without an alg.
        let verdict =
            if change.get("alg").is_some() {
                let header = json!({ "enc": "A128GCM" });
                Site::decrypting(&[TestKey::p256("k").jwk()], &[&recipient.private], &json!({}), &json!({}))
                    .token(&seal(header.to_string().as_bytes(), &[], "A128GCM", &[1; 16], b"x"))
            } else {
                ask(change.clone())
            };
        assert_eq!(verdict, reason, "{}", &change.to_string()[..change.to_string().len().min(60)]);
    }
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    for header in [
        r#"{"alg":"dir","alg":"dir","enc":"A128GCM"}"#,
        r#"{"alg":"dir","enc":"A128GCM","\u0065nc":"A128GCM"}"#,
        "[]",
        "null",
        "",
        "{",
        r#"{"alg":"dir","enc":"A128GCM"} "x""#,
    ] {
        let token = seal(header.as_bytes(), &[], "A128GCM", &[1; 16], jws.as_bytes());
        assert_eq!(site.token(&token), Reason::TokenMalformed, "{header}");
    }
    let deep = format!(r#"{{"alg":"dir","enc":"A128GCM","x":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(site.token(&seal(deep.as_bytes(), &[], "A128GCM", &[1; 16], b"x")), Reason::DecryptionKeyUnknown);
    // Too long as a whole: not even taken apart.
    let huge = recipient.encrypt("ECDH-ES", "A128GCM", &"x".repeat(1 << 20));
    assert_eq!(site.token(&huge), Reason::TokenTooLarge);
    let dots = ".".repeat(10_000);
    assert_eq!(site.token(&dots), Reason::TokenOpaque);
    assert_eq!(site.token("...."), Reason::TokenMalformed);
    let key = format!("{}.{}.AAAA.AAAA.AAAA", encode(r#"{"alg":"RSA-OAEP-256","enc":"A128GCM"}"#), "A".repeat(12_000));
    let (mut rsa, ..) = bench(&Recipient::rsa(), &json!({}));
    assert_eq!(rsa.token(&key), Reason::TokenMalformed);
}

#[test]
fn jwe_a_failed_unwrap_looks_like_any_other_failure() {
    let recipient = Recipient::rsa();
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let good = parts(&recipient.encrypt("RSA-OAEP-256", "A128GCM", &jws));
    // Right padding around a key of the wrong length; wrong padding; not even a number of the modulus' size.
    let wrong_length = recipient.encrypted_key("RSA-OAEP-256", &[7; 31]);
    let mut flipped = good.clone();
    flipped[1][17] ^= 1;
    let mut tag = good.clone();
    tag[4][0] ^= 1;
    for (what, encrypted_key) in
        [("length", &wrong_length), ("padding", &flipped[1]), ("range", &vec![0xff; 256]), ("short", &vec![1; 255])]
    {
        let mut bad = good.clone();
        bad[1].clone_from(encrypted_key);
        let verdict = site.token_at(&join(&bad), now());
        assert_eq!(verdict.answer.reason(), Reason::DecryptionFailed, "{what}");
        assert_eq!((verdict.status, verdict.answer.provider), (401, None), "{what}");
    }
    assert_eq!(site.token(&join(&tag)), Reason::DecryptionFailed);
    assert_eq!(site.token(&join(&good)), Reason::Ok);
}

#[test]
fn jwe_one_level_of_nesting() {
    let recipient = Recipient::curve("X25519");
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let once = recipient.encrypt("ECDH-ES", "A128GCM", &jws);
    let twice = recipient.encrypt("ECDH-ES", "A128GCM", &once);
    assert_eq!((site.token(&once), site.token(&twice)), (Reason::Ok, Reason::TokenMalformed));
}

#[test]
fn forged_encrypted_tokens_of_one_source_stop_to_cost_anything() {
    let recipient = Recipient::rsa();
    let (mut site, key, jws) = bench(&recipient, &json!({ "source_limit": 3 }));
    let encrypt = |jws: &str| recipient.encrypt("RSA-OAEP-256", "A128GCM", jws);
    let good = encrypt(&jws);
    let garbled = Recipient::other_rsa().encrypt("RSA-OAEP-256", "A128GCM", &jws);
    // Anybody can encrypt for the proxy.
    let forged = encrypt(&TestKey::p256("k").token("ES256", &claims(&json!({}))));
    let no_token = encrypt("anything");
    let expired = encrypt(&key.token("ES256", &claims(&json!({ "exp": now() - 60 }))));
    let minute = now() / 60 * 60;
    let mut ask = |source: &str, token: &str, second| {
        let handling = Handling { source, now: Some(minute + second), ..Handling::default() };
        site.worker.check_token(token, &handling).answer.reason()
    };
    assert_eq!(ask("192.0.2.7", &garbled, 0), Reason::DecryptionFailed);
    for _ in 0..5 {
        assert_eq!(ask("192.0.2.7", &expired, 30), Reason::TokenExpired, "it is its issuer's");
        assert_eq!(ask("192.0.2.7", &jws.replace("eyJ", "eyK"), 30), Reason::TokenMalformed, "nothing to decrypt");
    }
    assert_eq!(ask("192.0.2.7", &forged, 30), Reason::SignatureInvalid);
    assert_eq!(ask("192.0.2.7", &no_token, 30), Reason::TokenMalformed);
    for token in [&garbled, &forged, &no_token, &good] {
        assert_eq!(ask("192.0.2.7", token, 31), Reason::Overloaded);
    }
    assert_eq!(ask("192.0.2.7", &jws, 31), Reason::Ok, "nothing to decrypt");
    assert_eq!(ask("192.0.2.8", &good, 31), Reason::Ok);
    assert_eq!(ask("192.0.2.7", &good, 31), Reason::Ok, "from the cache");
    assert_eq!(ask("192.0.2.7", &garbled, 60), Reason::DecryptionFailed, "the next minute");
    // All of a network that one host can choose from are one.
    for (host, reason) in (1..=5).zip([[Reason::DecryptionFailed; 3].as_slice(), &[Reason::Overloaded; 2]].concat()) {
        assert_eq!(ask(&format!("2001:db8:1:2::{host}"), &garbled, 0), reason, "{host}");
    }
}

#[test]
fn of_rsa_keys_that_a_token_does_not_name_two_are_tried() {
    let [first, second] = [Recipient::other_rsa(), Recipient::rsa()];
    let key = TestKey::p256("k");
    let jws = key.token("ES256", &claims(&json!({})));
    let private = [&first.private, &first.private, &second.private].map(String::as_str);
    let mut site = Site::decrypting(&[key.jwk()], &private, &json!({}), &json!({}));
    assert_eq!(site.token(&second.encrypt("RSA-OAEP-256", "A128GCM", &jws)), Reason::DecryptionFailed);
    let mut site = Site::decrypting(&[key.jwk()], &private[1..], &json!({}), &json!({}));
    assert_eq!(site.token(&second.encrypt("RSA-OAEP-256", "A128GCM", &jws)), Reason::Ok, "the second one");
}

/// The limit is for what nobody has verified. A token that the proxy knows may be decrypted again.
#[test]
fn jwe_a_known_token_is_read_whatever_others_from_its_source_have_forged() {
    let recipient = Recipient::rsa();
    let (mut site, _, jws) = bench(&recipient, &json!({ "source_limit": 1 }));
    let encrypted = |recipient: &Recipient| format!("Bearer {}", recipient.encrypt("RSA-OAEP-256", "A128GCM", &jws));
    let good = encrypted(&recipient);
    assert_eq!(site.request("MESSAGE", &[&good]).answer.reason(), Reason::Ok);
    let forged = || encrypted(&Recipient::other_rsa());
    let limited = |site: &mut crate::site::Site| site.request("MESSAGE", &[&forged()]).answer.reason();
    while limited(&mut site) != Reason::Overloaded {}
    site.worker = sipoauth::worker::Worker::new(std::sync::Arc::clone(&site.context)).expect("a good configuration");
    assert_eq!(site.request("INFO", &[&good]).answer.reason(), Reason::Ok);
    site.worker = sipoauth::worker::Worker::new(std::sync::Arc::clone(&site.context)).expect("a good configuration");
    let glance = site.request("MESSAGE", &[&good]);
    assert!(glance.glance.is_some() && site.worker.token_of(&glance).is_some());
    assert_eq!(limited(&mut site), Reason::Overloaded);
}
