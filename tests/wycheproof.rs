// SPDX-License-Identifier: MIT OR Apache-2.0

//! Project Wycheproof's cases, read in place from `../shared/vectors` and decided by the library's own functions.
//!
//! `cargo test --test wycheproof -- --nocapture` shows the table. No invalid case may be accepted; a valid case
//! may be refused only where `POLICY` says why.

use sipoauth::capi::key_derivation::sipoauth_pbkdf2;
use sipoauth::capi::types::{SIPOAUTH_KDF_SHA256, SIPOAUTH_OK, sipoauth_str};
use sipoauth_core::jose::algorithm::Algorithm;
use sipoauth_core::jose::jwk::VerificationKey;
use sipoauth_core::jose::jws::CompactJws;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::text::json::Json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Valid cases that are refused on purpose: file, `tcId`s, and why.
const POLICY: &[(&str, RangeInclusive<u64>, &str)] = &[
    (
        JWS,
        346..=346,
        "RFC 7520 figure 20: the header says PS384, the key PS256; a key that names its alg serves no other",
    ),
    (JWS, 347..=347, "RFC 7520 figure 27: P-521 is not supported, and ES521 is no registered alg"),
    (JWS, 350..=350, "figure 20 again, with key_ops"),
    (JWS, 351..=351, "figure 27 again, with key_ops"),
    (JWS, 372..=373, "lax base64: RFC 7515 section 2 knows no '?', and a token must not have several spellings"),
    (HMAC, 82..=108, "a MAC cut to 128 bits: RFC 7518 section 3.2 knows the full one only"),
    (HMAC, 163..=165, "a key of 128 bits: RFC 7518 section 3.2 asks for 256"),
    (HMAC, 166..=168, "a key and a MAC of 128 bits"),
    (HMAC, 172..=174, "a MAC cut to 128 bits"),
];

/// Cases called invalid whose token is, octet for octet, that of a valid case: the fault that their comment names
/// was lost when the file was made. No verifier can tell the two apart.
const TWINS: &[(&str, u64, u64)] = &[(JWS, 367, 357), (JWS, 370, 357)];

const JWS: &str = "json_web_signature_test";
const JWK: &str = "json_web_key_test";
const HMAC: &str = "hmac_sha256_test";

type Value = serde_json::Value;

/// Accepted and refused cases of one group.
#[derive(Default)]
struct Row {
    valid: [u32; 2],
    invalid: [u32; 2],
    acceptable: [u32; 2],
}

/// Everything that was decided about one file.
struct Report {
    file: &'static str,
    rows: BTreeMap<String, Row>,
    /// Valid and refused.
    refused: BTreeSet<u64>,
    /// Invalid and accepted.
    accepted: BTreeSet<u64>,
}

impl Report {
    fn add(&mut self, group: &str, case: &Value, accepted: bool) {
        let row = self.rows.entry(group.to_owned()).or_default();
        let id = case["tcId"].as_u64().expect("every case has a number");
        let cells = match case["result"].as_str() {
            Some("valid") => {
                if !accepted {
                    self.refused.insert(id);
                }
                &mut row.valid
            }
            Some("acceptable") => &mut row.acceptable,
            _ => {
                if accepted {
                    self.accepted.insert(id);
                }
                &mut row.invalid
            }
        };
        cells[usize::from(!accepted)] += 1;
    }

    fn print(&self) {
        println!("\n{:<58} {:>12} {:>12} {:>12}", self.file, "valid", "invalid", "acceptable");
        println!("{:<58} {:>12} {:>12} {:>12}", "  group", "acc / ref", "acc / ref", "acc / ref");
        for (group, row) in &self.rows {
            let cell = |[accepted, refused]: [u32; 2]| format!("{accepted} / {refused}");
            println!("  {group:<56} {:>12} {:>12} {:>12}", cell(row.valid), cell(row.invalid), cell(row.acceptable));
        }
        for (_, cases, why) in POLICY.iter().filter(|p| p.0 == self.file) {
            println!("  policy, cases {} to {}: {why}", cases.start(), cases.end());
        }
        for (_, case, valid) in TWINS.iter().filter(|twin| twin.0 == self.file) {
            println!("  case {case} is octet for octet the valid case {valid}");
        }
    }

    fn judge(&self) {
        let twins: BTreeSet<u64> = TWINS.iter().filter(|t| t.0 == self.file).map(|t| t.1).collect();
        let wrong: Vec<_> = self.accepted.difference(&twins).collect();
        assert!(wrong.is_empty(), "{}: invalid cases were accepted: {wrong:?}", self.file);
        let listed: BTreeSet<u64> = POLICY.iter().filter(|p| p.0 == self.file).flat_map(|p| p.1.clone()).collect();
        let unexplained: Vec<_> = self.refused.difference(&listed).collect();
        assert!(unexplained.is_empty(), "{}: valid cases refused without a policy: {unexplained:?}", self.file);
        let outdated: Vec<_> = listed.difference(&self.refused).collect();
        assert!(outdated.is_empty(), "{}: POLICY lists cases that are not refused: {outdated:?}", self.file);
    }
}

/// Decides every case of a file. `decide` gets the group and the case.
fn run(file: &'static str, group_name: fn(&Value) -> String, decide: fn(&Value, &Value) -> bool) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/vectors/wycheproof/{file}.json"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there; Wycheproof's cases are read in place and never copied", path.display());
        return;
    };
    let document: Value = serde_json::from_str(&text).expect("Wycheproof's files are JSON");
    let mut report = Report { file, rows: BTreeMap::new(), refused: BTreeSet::new(), accepted: BTreeSet::new() };
    let mut decided = 0;
    for group in list(&document, "testGroups") {
        for case in list(group, "tests") {
            report.add(&group_name(group), case, decide(group, case));
            decided += 1;
        }
    }
    let token = |id| {
        let cases = list(&document, "testGroups").iter().flat_map(|group| list(group, "tests"));
        cases.filter(|case| case["tcId"] == id).map(|case| &case["jws"]).next()
    };
    for (_, case, valid) in TWINS.iter().filter(|twin| twin.0 == file) {
        assert_eq!(token(*case), token(*valid), "{file}: cases {case} and {valid} differ; judge them anew");
    }
    report.print();
    assert_eq!(Some(decided), document["numberOfTests"].as_u64(), "{file}: every case is decided");
    report.judge();
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hexadecimal text");
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal text");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The library's verdict on a token, as the engine asks for it: every part is decoded, then verified.
fn accepts(jws: &str, document: &Value, origin: Origin) -> bool {
    let Ok(keys) = KeySet::from_jwks(document.to_string().as_bytes(), origin) else { return false };
    let verdict = CompactJws::split(jws).and_then(|token| {
        let header = token.header()?;
        token.unverified_payload()?;
        token.verify(&header, &keys)
    });
    verdict.is_ok()
}

/// Public keys come from a server, secrets from the configuration. An invalid case must fail with the private
/// keys in the configuration, too.
fn accepts_with_keys_of(group: &Value, case: &Value, as_set: fn(&Value) -> Value) -> bool {
    let jws = case["jws"].as_str().expect("every case has a token");
    let (public, private) = (group.get("public").map(as_set), group.get("private").map(as_set));
    let fetched = public.as_ref().map(|keys| accepts(jws, keys, Origin::Fetched));
    let configured = private.as_ref().map(|keys| accepts(jws, keys, Origin::Configured));
    if case["result"] == "valid" {
        fetched.or(configured).unwrap_or(false)
    } else {
        fetched.unwrap_or(false) || configured.unwrap_or(false)
    }
}

fn comment(group: &Value) -> String {
    let key = |name: &str| group.get(name).map(|k| k["keys"].get(0).unwrap_or(k).clone());
    let key = key("public").or_else(|| key("private")).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!("{} ({} {})", text(&group["comment"]), text(&key["kty"]), text(&key["alg"]))
}

/// The signature of a message, checked by the key in every form in which the group gives it.
fn verifies(algorithm: Algorithm, group: &Value, case: &Value) -> bool {
    let mut keys = vec![VerificationKey::from_spki(&octets(&group["publicKeyDer"]))];
    for jwk in [&group["publicKeyJwk"], &group["keyJwk"]].into_iter().filter(|jwk| jwk.is_object()) {
        let text = jwk.to_string();
        keys.push(VerificationKey::from_jwk(&Json::parse(text.as_bytes()).expect("JSON"), false));
    }
    let (message, signature) = (octets(&case["msg"]), octets(&case["sig"]));
    let good =
        |key: &Result<VerificationKey, _>| key.as_ref().is_ok_and(|key| key.verify(algorithm, &message, &signature));
    let verdicts: Vec<bool> = keys.iter().map(good).collect();
    assert!(verdicts.windows(2).all(|two| two[0] == two[1]), "DER and JWK disagree about {case}");
    verdicts[0]
}

fn kind(group: &Value) -> String {
    format!("{} {}", group["type"].as_str().unwrap_or("-"), group["sha"].as_str().unwrap_or(""))
}

#[test]
fn json_web_signature() {
    run(JWS, comment, |group, case| accepts_with_keys_of(group, case, |jwk| serde_json::json!({ "keys": [jwk] })));
}

#[test]
fn json_web_key() {
    run(JWK, comment, |group, case| accepts_with_keys_of(group, case, Value::clone));
}

#[test]
fn ecdsa_p256() {
    run("ecdsa_secp256r1_sha256_p1363_test", kind, |group, case| verifies(Algorithm::ES256, group, case));
}

#[test]
fn ed25519() {
    run("ed25519_test", kind, |group, case| verifies(Algorithm::EdDSA, group, case));
}

#[test]
fn rsa_pkcs1() {
    run("rsa_signature_2048_sha256_test", kind, |group, case| verifies(Algorithm::RS256, group, case));
}

#[test]
fn rsa_pss() {
    run("rsa_pss_2048_sha256_mgf1_32_test", kind, |group, case| verifies(Algorithm::PS256, group, case));
}

#[test]
fn hmac_sha256() {
    let name = |group: &Value| format!("key {} bits, tag {} bits", group["keySize"], group["tagSize"]);
    run(HMAC, name, |_, case| {
        let key = VerificationKey::from_secret(&octets(&case["key"]));
        key.is_ok_and(|key| key.verify(Algorithm::HS256, &octets(&case["msg"]), &octets(&case["tag"])))
    });
}

/// As a C program calls it.
fn derives(case: &Value) -> bool {
    let (password, salt, wanted) = (octets(&case["password"]), octets(&case["salt"]), octets(&case["dk"]));
    let iterations = case["iterationCount"].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number");
    let view = |octets: &[u8]| sipoauth_str { ptr: octets.as_ptr().cast(), len: octets.len() };
    let mut key = vec![0; wanted.len()];
    // SAFETY: both texts and the key outlive the call and have the lengths that it is told.
    let status = unsafe {
        let (password, salt) = (view(&password), view(&salt));
        sipoauth_pbkdf2(SIPOAUTH_KDF_SHA256, password, salt, iterations, key.as_mut_ptr(), key.len())
    };
    status == SIPOAUTH_OK && key == wanted
}

#[test]
fn pbkdf2_hmac_sha256() {
    run("pbkdf2_hmacsha256_test", |group| group["type"].as_str().unwrap_or("-").to_owned(), |_, case| derives(case));
}
