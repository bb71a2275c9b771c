// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth jwks`, `sipoauth keygen` and `sipoauth derive`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sipoauth_core::jose::jws::CompactJws;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::jose::signing_key::SigningKey;
use sipoauth_core::jose::thumbprint::thumbprint;
use sipoauth_core::keys::pop::{make_pop, pop_from_text, pop_to_text};

use crate::support::authorization_server::AuthorizationServer;
use crate::support::process::command;
use crate::support::scripted_server::{JWKS, ScriptedServer, key_set};
use crate::support::temporary::Directory;
use crate::support::token::TestKey;
use crate::{run, run_with};

#[test]
fn keys_are_listed_with_what_is_wrong_with_them() {
    let (good, curve) = (TestKey::p256("good"), TestKey::secp256k1("strange-curve"));
    let mut encryption = TestKey::rsa("for-encryption").jwk();
    encryption["use"] = json!("enc");
    let set = key_set(&[good.jwk(), curve.jwk(), encryption]);
    let server = ScriptedServer::start(set.clone());
    let directory = Directory::new("tool-jwks");
    let file = directory.write("keys.json", set.to_string());
    let line = format!("name=corp;issuer={};audience=sip;aor={{sip}}", server.issuer());
    for arguments in [
        vec!["--provider", line.as_str()],
        vec!["--provider", line.as_str(), "--name", "corp"],
        vec!["--uri", &server.url(JWKS)],
        vec!["--file", file.to_str().expect("UTF-8")],
    ] {
        let listed = run(&[&["jwks", "--json"], arguments.as_slice()].concat());
        assert_eq!(listed.code, 0, "{arguments:?}: {}", listed.err);
        let keys = listed.json()[0]["keys"].as_array().expect("a list").clone();
        let find = |kid: &str| keys.iter().find(|key| key["kid"] == kid).expect("listed").clone();
        assert_eq!((&find("good")["usable"], &find("good")["algorithms"]), (&json!(true), &json!(["ES256"])));
        assert_eq!(find("good")["thumbprint"].as_str(), thumbprint(&good.jwk()).as_deref());
        let note = |kid: &str| find(kid)["note"].as_str().expect("a text").to_owned();
        assert!(note("strange-curve").contains("the curve 'secp256k1' is not supported"));
        assert!(note("for-encryption").contains("its use is 'enc'"));
    }
    let text = run(&["jwks", "--provider", &line]);
    assert!(text.out.contains("P256, for ES256") && text.out.contains("not used: "), "{}", text.out);
    for (arguments, words) in [
        (vec!["--provider", line.as_str(), "--name", "other"], "there is corp"),
        (vec!["--file", "/nonexistent"], "/nonexistent: cannot be read"),
        (vec!["--uri", "http://as.example.test/jwks"], "is not protected"),
    ] {
        let run = run(&[&["jwks"], arguments.as_slice()].concat());
        assert!(run.code == 1 && run.err.contains(words), "{arguments:?}: {}", run.err);
    }
    server.set_keys(json!({"keys": []}));
    let none = run(&["jwks", "--provider", &line]);
    assert!(none.code == 1 && none.out.contains("FAILED") && none.out.contains("no usable"), "{}", none.out);
}

#[test]
fn a_real_servers_keys() {
    let server = AuthorizationServer::start();
    let line = format!("name=kit;issuer={};audience=sip;aor={{sip}}", server.issuer());
    let listed = run(&["jwks", "--json", "--provider", &line]).json();
    let usable = listed[0]["keys"].as_array().expect("a list").iter().filter(|key| key["usable"] == true).count();
    assert!(usable >= 3, "{listed}");
}

#[test]
fn made_keys_sign_what_their_public_part_verifies() {
    let directory = Directory::new("tool-keygen");
    for algorithm in ["ES256", "RS256", "EdDSA"] {
        let file = directory.file(algorithm);
        let path = file.to_str().expect("UTF-8");
        let made = run(&["keygen", "client", "--alg", algorithm, "--out", path]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert_eq!(fs::metadata(&file).expect("made").permissions().mode() & 0o777, 0o600);
        let pem = fs::read_to_string(&file).expect("made");
        let secret = pem.lines().nth(1).expect("base64");
        assert!(!made.out.contains(secret) && !made.err.contains(secret), "the private key is printed");
        let kid = made.json()["keys"][0]["kid"].as_str().expect("a kid").to_owned();
        assert_eq!(thumbprint(&made.json()["keys"][0]).as_deref(), Some(kid.as_str()));
        assert!(made.err.contains(&format!("client_key_id={kid}")), "{}", made.err);
        let jwt = SigningKey::from_pem(pem.as_bytes(), Some(kid))
            .expect("usable")
            .sign_jwt("JWT", &json!({}))
            .expect("signs");
        let jws = CompactJws::split(&jwt).expect("three parts");
        let keys = KeySet::from_jwks(made.out.as_bytes(), Origin::Fetched).expect("usable");
        assert_eq!(jws.verify(&jws.header().expect("ours"), &keys), Ok(()), "{algorithm}");

        let again = run(&["keygen", "client", "--alg", algorithm, "--out", path]);
        assert!(again.code == 1 && again.err.contains("is not written over"), "{}", again.err);
        assert_eq!(fs::read_to_string(&file).expect("there"), pem);
    }
}

#[test]
fn decryption_keys_and_secrets() {
    let directory = Directory::new("tool-keygen-more");
    for (algorithm, kty) in [("ECDH-ES", "EC"), ("RSA-OAEP-256", "RSA")] {
        let (file, public) = (directory.file(algorithm), directory.file(&format!("{algorithm}.json")));
        let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
        let made = run(&[
            "keygen",
            "decryption",
            "--alg",
            algorithm,
            "--kid",
            "mine",
            "--out",
            &text(&file),
            "--jwks-out",
            &text(&public),
        ]);
        assert_eq!((made.code, made.out.as_str()), (0, ""), "{}", made.err);
        let set: Value = serde_json::from_slice(&fs::read(&public).expect("made")).expect("JSON");
        let key = &set["keys"][0];
        assert_eq!(
            (&key["use"], &key["alg"], &key["kty"], &key["kid"]),
            (&json!("enc"), &json!(algorithm), &json!(kty), &json!("mine"))
        );
        assert!(key["d"].is_null() && key["p"].is_null());
        let checked =
            command("openssl").args(["pkey", "-noout", "-check", "-in"]).arg(&file).output().expect("openssl");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    for kind in ["store", "secret"] {
        let (first, second) = (run(&["keygen", kind]), run(&["keygen", kind]));
        assert_eq!(STANDARD.decode(first.out.trim_end()).map(|octets| octets.len()), Ok(32));
        assert_ne!(first.out, second.out);
        let file = directory.file(kind);
        let made = run(&["keygen", kind, "--out", file.to_str().expect("UTF-8")]);
        assert_eq!((made.code, made.out.as_str()), (0, ""));
        assert_eq!(fs::metadata(&file).expect("made").permissions().mode() & 0o777, 0o600);
    }
    let both = run(&["keygen", "client", "--out", "-"]);
    assert!(both.code == 1 && both.err.contains("--jwks-out"), "{}", both.err);
}

#[test]
fn keys_and_proofs_are_derived() {
    // RFC 4231 test case 2, split in three.
    let parts = ["--from-tag", "what do ya ", "--to-tag", "want for ", "--call-id", "nothing?"];
    let key = run_with(&[&["derive", "key", "--code", "-"], &parts[..]].concat(), "Jefe\n");
    let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let octets = pop_from_text(hex).expect("32 octets");
    assert_eq!((key.code, key.out.trim_end()), (0, pop_to_text(&octets).as_str()), "{}", key.err);

    let digest = "sip:a@x|sip:b@x|c@d|7 REGISTER|Sat, 13 Nov 2010 23:29:00 GMT|sip:a@192.0.2.1|";
    let pop = pop_to_text(&make_pop(&octets, digest.as_bytes()));
    let request =
        ["--from", "sip:a@x", "--to", "sip:b@x", "--call-id", "c@d", "--contact", "sip:a@192.0.2.1", "--json"];
    let time = ["--cseq", "7  REGISTER", "--date", "Sat, 13 Nov 2010 23:29:00 GMT"];
    let derive = |more: &[&str]| run(&[&["derive", "pop", "--key", hex], &request[..], &time, more].concat());
    let made = derive(&[]).json();
    assert_eq!((made["digest_string"].as_str(), made["pop"].as_str()), (Some(digest), Some(pop.as_str())));
    assert_eq!(derive(&["--compare", &pop]).code, 0);
    let directory = Directory::new("tool-derive");
    let body = directory.write("body", "hello");
    let other = derive(&["--compare", &pop, "--body-file", body.to_str().expect("UTF-8")]);
    assert_eq!((other.code, &other.json()["fits"]), (3, &json!(false)));
    for (arguments, words) in [
        (["--cseq", "REGISTER", "--date", "Sat, 13 Nov 2010 23:29:00 GMT"], "Cseq is missing"),
        (["--cseq", "1 REGISTER", "--date", "today"], "Date is missing"),
    ] {
        let run = run(&[&["derive", "pop", "--key", hex], &request[..], &arguments].concat());
        assert!(run.code == 1 && run.err.contains(words), "{}", run.err);
    }
    for (option, words) in [("--from", "From "), ("--to", "To "), ("--call-id", "CallId "), ("--contact", "Contact ")] {
        let mut odd = request.map(str::to_owned);
        let place = odd.iter().position(|text| text == option).expect("it is there") + 1;
        odd[place].push_str("|x");
        let odd = odd.each_ref().map(String::as_str);
        let run = run(&[&["derive", "pop", "--key", hex], &odd[..], &time].concat());
        assert!(run.code == 1 && run.err.contains(words) && run.err.contains("has a '|'"), "{}", run.err);
    }
    let all = ["--from", "sip:a@x", "--to", "sip:a@x", "--call-id", "c", "--contact", "*", "--json"];
    let star = run(&[&["derive", "pop", "--key", hex], &all[..], &time].concat()).json();
    assert!(star["digest_string"].as_str().is_some_and(|text| text.ends_with("|*|")), "{star}");
    let bound = derive(&["--request-uri", "sip:b@x;lr"]).json();
    let wanted = digest.replace("7 REGISTER|", "7 REGISTER sip:b@x;lr|");
    assert_eq!(bound["digest_string"].as_str(), Some(wanted.as_str()));
    let odd = derive(&["--request-uri", "sip:b @x"]);
    assert!(odd.code == 1 && odd.err.contains("RequestUri"), "{}", odd.err);
    let short = run(&[&["derive", "pop", "--key", "hush"], &request[..], &time].concat());
    assert!(short.code == 1 && short.err.contains("32 octets") && !short.err.contains("hush"), "{}", short.err);
}

#[test]
fn a_signing_key_is_what_the_proxy_signs_tokens_with() {
    let directory = Directory::new("tool-keygen");
    let file = directory.file("signing.pem");
    let path = file.to_str().expect("UTF-8");
    let made = run(&["keygen", "signing", "--out", path]);
    assert!(made.code == 0 && made.err.contains(&format!("signing_key_files={path}")), "{}", made.err);
    let key = SigningKey::for_issuer(&fs::read(&file).expect("made")).expect("a P-256 key");
    assert_eq!(made.json()["keys"][0], key.public_jwk().expect("P-256"));
}
