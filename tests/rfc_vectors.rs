// SPDX-License-Identifier: MIT OR Apache-2.0

//! The RFCs' own examples: HMAC, JWS, digest-strings, and the torture messages.
//!
//! What is part of the project is always run; what lies in `../shared` is read in place and skipped aloud without it.

use sipoauth_core::jose::algorithm::Algorithm;
use sipoauth_core::jose::decryption_keys::{DecryptionKeys, keys_from_text};
use sipoauth_core::jose::jwe::CompactJwe;
use sipoauth_core::jose::jwe_algorithm::KeyManagement;
use sipoauth_core::jose::jwk::VerificationKey;
use sipoauth_core::jose::jws::CompactJws;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::keys::pbkdf2::{Kdf, derive};
use sipoauth_core::keys::pop::make_pop;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::credentials;
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};
use sipoauth_core::sip::uri::Aor;
use std::path::{Path, PathBuf};
use std::{fs, io};

type Value = serde_json::Value;

fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}

/// The files of a folder of `../shared/vectors`, by name; none, said aloud, when it is not there.
fn shared(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(folder);
    let read = || -> io::Result<Vec<_>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                continue;
            }
            files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
        }
        files.sort();
        Ok(files)
    };
    read().unwrap_or_else(|error| {
        println!("SKIPPED: {}: {error}", path.display());
        Vec::new()
    })
}

fn vectors(name: &str) -> Vec<Value> {
    let text = fs::read(own("rfc_vectors.json")).expect("part of the project");
    let all: Value = serde_json::from_slice(&text).expect("JSON");
    all[name].as_array().expect("a list of cases").clone()
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hexadecimal text");
    let octet = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal text");
    (0..text.len()).step_by(2).map(octet).collect()
}

/// The engine's order: every part decodes, then the signature is checked.
fn verify(token: &str, jwk: &Value) -> Result<Vec<u8>, Reason> {
    let jws = CompactJws::split(token)?;
    let (header, payload) = (jws.header()?, jws.unverified_payload()?);
    let keys = KeySet::from_jwks(jwk.to_string().as_bytes(), Origin::Configured).map_err(|_| Reason::KeyUnknown)?;
    jws.verify(&header, &keys).map(|()| payload)
}

#[test]
fn rfc_4231_hmac_sha256_makes_our_keys_and_proofs() {
    for case in vectors("rfc4231_hmac") {
        let expected = octets(&case["hmac_sha256"]);
        let made = make_pop(&octets(&case["key"]), &octets(&case["data"]));
        // Case 5 prints the first 128 bits only.
        assert_eq!(made[..expected.len()], expected, "{case}");
    }
}

#[test]
fn rfc_7914_pbkdf2_makes_our_keys() {
    for case in vectors("rfc7914_pbkdf2") {
        let text = |name: &str| case[name].as_str().expect("a text").as_bytes().to_vec();
        let wanted = octets(&case["dk"]);
        let iterations = case["c"].as_u64().and_then(|c| u32::try_from(c).ok()?.try_into().ok()).expect("a number");
        let mut key = vec![0; wanted.len()];
        derive(Kdf::Sha256, &text("password"), &text("salt"), iterations, &mut key);
        assert_eq!(key, wanted, "{case}");
    }
}

#[test]
fn rfc_4231_hmac_verifies_tokens_where_the_key_is_long_enough() {
    let mut verified = 0;
    for case in vectors("rfc4231_hmac") {
        let (secret, data) = (octets(&case["key"]), octets(&case["data"]));
        let key = VerificationKey::from_secret(&secret);
        assert_eq!(key.is_ok(), secret.len() >= 32, "{case}");
        let Ok(key) = key else { continue };
        for (algorithm, name) in
            [(Algorithm::HS256, "hmac_sha256"), (Algorithm::HS384, "hmac_sha384"), (Algorithm::HS512, "hmac_sha512")]
        {
            let mut mac = octets(&case[name]);
            assert!(key.verify(algorithm, &data, &mac), "{case}");
            mac[0] ^= 1;
            assert!(!key.verify(algorithm, &data, &mac), "{case}");
            verified += 1;
        }
    }
    assert_eq!(verified, 6);
}

#[test]
fn rfc_7515_and_8037_jws() {
    for case in vectors("jws") {
        let (id, token) = (case["id"].as_str().expect("a name"), case["token"].as_str().expect("a token"));
        let expected = match id {
            // P-521 is not supported.
            "RFC7515 A.4." => Err(Reason::AlgorithmNotAllowed),
            _ if case["valid"] == true => Ok(()),
            _ if id.contains("crit") => Err(Reason::CriticalUnknown),
            _ => Err(Reason::AlgorithmNotAllowed),
        };
        assert_eq!(verify(token, &case["jwk"]).map(drop), expected, "{id}");
    }
}

#[test]
fn rfc_7520_jws_in_place() {
    for folder in ["jose-cookbook/jws", "jose-cookbook/curve25519", "jose-cookbook/rfc7797"] {
        for (name, text) in shared(folder).iter().filter(|file| file.0.ends_with(".json")) {
            let case: Value = serde_json::from_slice(text).expect("JSON");
            let output = &case["output"];
            let expected = match name.as_str() {
                "4_3.ecdsa_signature.json" => Err(Reason::AlgorithmNotAllowed), // P-521
                // The payload is elsewhere, and a token without claims is none.
                "4_5.signature_with_detached_content.json" => Err(Reason::SignatureInvalid),
                "ecdh-es.json" => Err(Reason::TokenEncrypted),
                "hmac-sha2_b64_false.json" => Err(Reason::CriticalUnknown),
                _ => Ok(()),
            };
            // A token is a compact serialization (RFC 7519 section 1), never a JSON one.
            assert!(verify(&output["json"].to_string(), &case["input"]["key"]).is_err(), "{name}");
            let Some(token) = output["compact"].as_str() else {
                println!("{name}: no compact form");
                continue;
            };
            let verdict = verify(token, &case["input"]["key"]);
            println!("{name}: {:?}", verdict.as_ref().map(Vec::len));
            assert_eq!(verdict.as_ref().map(drop).map_err(|e| *e), expected, "{name}");
            if let Ok(payload) = verdict {
                assert_eq!(case["input"]["payload"], String::from_utf8_lossy(&payload).as_ref(), "{name}");
            }
        }
    }
}

/// What a JWE holds, by every algorithm that can be configured.
fn decrypt(jwe: &str, jwk: &Value) -> Result<Vec<u8>, Reason> {
    let keys = keys_from_text(&jwk.to_string()).map_err(|_| Reason::DecryptionKeyUnknown)?;
    let keys = DecryptionKeys::new(keys, KeyManagement::ALL.to_vec());
    let jwe = CompactJwe::split(jwe).ok_or(Reason::TokenOpaque)?;
    keys.decrypt(&jwe, &jwe.header()?).map(|octets| octets.to_vec())
}

fn jwe_vectors() -> Value {
    serde_json::from_slice(&fs::read(own("rfc_jwe.json")).expect("part of the project")).expect("JSON")
}

#[test]
fn rfc_7516_and_7520_jwe() {
    let vectors = jwe_vectors();
    let cases = vectors["jwe"].as_array().expect("a list of cases");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let compact = case["compact"].as_str().expect("a token");
        let plain = decrypt(compact, &case["jwk"]).unwrap_or_else(|e| panic!("{}: {e:?}", case["id"]));
        assert_eq!(
            String::from_utf8(plain).expect("text"),
            case["plaintext"].as_str().expect("a text"),
            "{}",
            case["id"]
        );
        // What is in it is no token.
        let keys = keys_from_text(&case["jwk"].to_string()).expect("a good key");
        let refused = DecryptionKeys::new(keys, KeyManagement::ALL.to_vec()).open(compact).map(drop);
        assert_eq!(refused.map_err(Reason::from), Err(Reason::TokenMalformed), "{}", case["id"]);
        // SHA-1 is not used unless it is asked for.
        let keys = keys_from_text(&case["jwk"].to_string()).expect("a good key");
        let usual = DecryptionKeys::new(keys, KeyManagement::DEFAULT.to_vec());
        let jwe = CompactJwe::split(compact).expect("five parts");
        let header = jwe.header().expect("a good header");
        let expected = if header.alg == KeyManagement::RsaOaep { Err(Reason::AlgorithmNotAllowed) } else { Ok(()) };
        assert_eq!(usual.decrypt(&jwe, &header).map(drop), expected, "{}", case["id"]);
    }
}

/// RFC 7520 section 6: a PS256 signature within RSA-OAEP. Its recipient has the key of section 5.2.
#[test]
fn rfc_7520_nested_signature() {
    let vectors = jwe_vectors();
    let (nested, recipient) = (&vectors["nested"], &vectors["jwe"][1]["jwk"]);
    let keys = keys_from_text(&recipient.to_string()).expect("a good key");
    let keys = DecryptionKeys::new(keys, KeyManagement::ALL.to_vec());
    let jws = keys.open(nested["compact"].as_str().expect("a token")).expect("it is for this key");
    assert_eq!(&*jws, nested["jws"].as_str().expect("a token"));
    let payload = verify(&jws, &nested["signer"]).expect("a good signature");
    let claims: Value = serde_json::from_slice(&payload).expect("claims");
    assert_eq!(claims["iss"], "hobbiton.example");
}

#[test]
fn rfc_7520_jwe_in_place() {
    let mut decrypted = Vec::new();
    for folder in ["jose-cookbook/jwe", "jose-cookbook/curve25519"] {
        for (name, text) in shared(folder).iter().filter(|file| file.0.ends_with(".json") && file.0 != "jws.json") {
            let case: Value = serde_json::from_slice(text).expect("JSON");
            // A token is a compact serialization (RFC 7519 section 1), never a JSON one.
            assert!(decrypt(&case["output"]["json"].to_string(), &case["input"]["key"]).is_err(), "{name}");
            let Some(token) = case["output"]["compact"].as_str() else {
                println!("{name}: no compact form");
                continue;
            };
            let expected = match &name[..3] {
                // RSA1_5, PBES2, and key wrap with a shared secret are not supported.
                "5_1" => Err(Reason::AlgorithmNotAllowed),
                "5_3" | "5_7" | "5_8" => Err(Reason::DecryptionKeyUnknown),
                // Compressed.
                "5_9" => Err(Reason::DecryptionKeyUnknown),
                _ => Ok(case["input"]["plaintext"].as_str().expect("a text").to_owned()),
            };
            let verdict = decrypt(token, &case["input"]["key"]);
            println!("{name}: {:?}", verdict.as_ref().map(Vec::len));
            decrypted.extend(verdict.is_ok().then_some(&name[..3]).map(str::to_owned));
            let verdict = verdict.map(|octets| String::from_utf8(octets).expect("text"));
            assert_eq!(verdict, expected, "{name}");
            // Without a fitting key the header alone is refused.
            if matches!(&name[..3], "5_3" | "5_7" | "5_8" | "5_9") {
                let header = CompactJwe::split(token).expect("five parts").header().map(drop);
                let expected =
                    if name.starts_with("5_9") { Reason::TokenMalformed } else { Reason::AlgorithmNotAllowed };
                assert_eq!(header, Err(expected), "{name}");
            }
        }
    }
    // All of them, or none where the folder is not there.
    assert!(decrypted.is_empty() || decrypted == ["5_2", "5_4", "5_5", "5_6", "ecd"], "{decrypted:?}");
    for (name, text) in shared("jose-cookbook").iter().filter(|file| file.0.starts_with("6.")) {
        let case: Value = serde_json::from_slice(text).expect("JSON");
        let encrypt = &case["encrypt"];
        let jws = decrypt(encrypt["output"]["compact"].as_str().expect("a token"), &encrypt["input"]["key"]);
        let jws = String::from_utf8(jws.expect("it is for this key")).expect("text");
        let payload = verify(&jws, &case["sign"]["input"]["key"]).expect("a good signature");
        assert_eq!(case["sign"]["input"]["payload"], String::from_utf8_lossy(&payload).as_ref(), "{name}");
    }
}

/// A SIP message, cut at its lines. Enough for the RFCs' examples, not a parser to build on.
struct Message {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn read(octets: &[u8]) -> Message {
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&octets[..end]).replace("\r\n ", " ").replace("\r\n\t", " ");
        let field = |line: &str| line.split_once(':').map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()));
        Message { headers: head.lines().skip(1).filter_map(field).collect(), body: octets[end..].to_vec() }
    }

    /// The values of every header field with one of these names.
    fn all(&self, names: &[&str]) -> Vec<&str> {
        let named = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        self.headers.iter().filter(|h| named(&h.0)).map(|h| h.1.as_str()).collect()
    }

    fn get(&self, name: &str) -> &str {
        self.all(&[name]).first().copied().unwrap_or("")
    }

    fn uri(&self, name: &str) -> &str {
        addr_spec(self.get(name))
    }
}

/// The URI of a name-addr or addr-spec.
fn addr_spec(value: &str) -> &str {
    match value.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(""),
        None => value.split(';').next().unwrap_or("").trim(),
    }
}

#[test]
fn rfc_4474_digest_strings_are_bit_exact() {
    // The BYE of the RFC has no Date; its digest-string shows the one that the authentication service adds.
    for (name, date) in [("invite", None), ("bye", Some("Thu, 21 Feb 2002 14:19:51 GMT"))] {
        let message = Message::read(&fs::read(own(&format!("rfc4474/{name}.message"))).expect("part of the project"));
        let parts = DigestParts {
            from: message.uri("From").as_bytes(),
            to: message.uri("To").as_bytes(),
            call_id: message.get("Call-ID").as_bytes(),
            cseq: message.get("CSeq").as_bytes(),
            date: date.unwrap_or(message.get("Date")).as_bytes(),
            contact: message.uri("Contact").as_bytes(),
            body: &message.body,
        };
        let canonical = fs::read(own(&format!("rfc4474/{name}.canonical"))).expect("part of the project");
        assert_eq!(digest_string(&parts).expect("complete"), canonical, "{name}");
    }
}

#[test]
fn rfc_4475_and_5118_torture_messages_have_defined_answers() {
    for (name, octets) in shared("rfc4475").into_iter().chain(shared("rfc5118")) {
        let message = Message::read(&octets);
        for value in message.all(&["From", "f", "To", "t", "Contact", "m"]) {
            for text in [value, addr_spec(value)] {
                if let Some(aor) = Aor::parse(text) {
                    assert_eq!(Aor::parse(aor.as_str()).as_ref(), Some(&aor), "{name}: {text}");
                    assert!(!aor.user().is_empty() && !aor.host().is_empty(), "{name}: {text}");
                }
            }
        }
        let bodies = message.all(&["Authorization", "Proxy-Authorization"]);
        assert_eq!(credentials::select(&bodies, "example.com"), Err(Reason::NoCredentials), "{name}");
        let parts = DigestParts {
            from: message.uri("From").as_bytes(),
            to: message.uri("To").as_bytes(),
            call_id: message.get("Call-ID").as_bytes(),
            cseq: message.get("CSeq").as_bytes(),
            date: message.get("Date").as_bytes(),
            contact: message.uri("Contact").as_bytes(),
            body: &message.body,
        };
        let _ = digest_string(&parts); // An answer of either kind, never a panic.
    }
}

/// URIs of RFC 4475 and RFC 5118, and what they are as addresses-of-record.
#[test]
fn torture_addresses() {
    for (text, canonical) in [
        // 3.1.1.13, escnull: a NUL is a character of the user like any other, and no end.
        ("sip:null-%00-null@example.com", Some("sip:null-%00-null@example.com")),
        ("sip:%00@host5.example.com", Some("sip:%00@host5.example.com")),
        // 3.1.1.9, semiuri: the whole of "user;par=…" is the user.
        ("sip:user;par=u%40example.net@example.com", Some("sip:user;par=u%40example.net@example.com")),
        // 3.1.1.3, intmeth: escapes and every character that a user may have.
        (
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            Some("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com"),
        ),
        // 3.1.1.4, esc01: an escaped percent sign stays escaped.
        ("sip:%75se%72@example.com", Some("sip:user@example.com")),
        ("sip:cal%6Cer@host5.example.net", Some("sip:caller@host5.example.net")),
        ("sip:I%20have%20spaces@example.net", Some("sip:I%20have%20spaces@example.net")),
        // 3.1.2.13 and others: not addresses at all.
        ("sip:mail@example.com lr", None),
        ("sip:vivekg@chair-dnrc.example.com ; unknownparam", None),
        ("name:John_Smith", None),
        ("http://www.example.com", None),
        ("isbn:2983792873", None),
        // RFC 5118.
        ("sip:caller@[2001:db8::1]", Some("sip:caller@[2001:db8::1]")),
        ("sip:caller@[2001:db8::9:255]:5070", Some("sip:caller@[2001:db8::9:255]:5070")),
        ("sip:caller@[::ffff:192.0.2.10]", Some("sip:caller@[::ffff:192.0.2.10]")),
        ("sip:caller@2001:db8::10", None),
        ("sip:caller@[2001:db8:::192.0.2.1]", None),
    ] {
        assert_eq!(Aor::parse(text).as_ref().map(Aor::as_str), canonical, "{text}");
    }
}
