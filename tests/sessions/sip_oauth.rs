// SPDX-License-Identifier: MIT OR Apache-2.0

//! The grants of sip-oauth: a master-key from the server, tokens for who signs in by Digest, tokens beside proofs, tokens
//! from elsewhere.

use crate::endpoint::VALIDATION;
use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::redis::{PASSWORD as PASSWORD_OF_REDIS, Redis};
use crate::support::scripted_server::Answer as ServerAnswer;
use crate::support::token::{self, TestKey, now, signing_key};
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::Carried;
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};
use std::time::Duration;

const REALM: &str = "example.test";
pub const PASSWORD: &str = "grant_type=password";

/// A proxy that issues tokens itself; its keys are in a file.
pub fn issuer(plant: &Plant, more: &Value) -> Proxy {
    let key = plant.directory.write("signing.pem", signing_key());
    let mut settings = json!({
        "provider.password_grant": "issue",
        "provider.signing_key_files": key,
        "provider.aor": null,
        "provider.scope": ["sip", "sip.call"],
        "provider.domain": REALM,
        "provider.client_id": null,
        "provider.client_secret": null,
    });
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    plant.proxy(&settings)
}

/// A user with a phone that signs in by Digest.
pub struct User {
    name: &'static str,
    nonce: String,
    hash: String,
}

impl User {
    pub fn new(name: &'static str, nonce: &str) -> User {
        let hash = ha1(DigestAlgorithm::Md5, name, REALM, &format!("{name}-password")).to_string();
        User { name, nonce: nonce.into(), hash }
    }

    pub fn known(&self) -> DigestUser<'_> {
        DigestUser { ha1: &self.hash, password: "" }
    }

    pub fn key(&self) -> Key {
        master_key(Ha1Form::Hex, &self.hash, REALM.as_bytes(), self.nonce.as_bytes()).expect("H(A1)")
    }

    /// Answers the challenge.
    pub fn answer(&self, sip: Sip) -> Sip {
        let answer = DigestInput {
            algorithm: DigestAlgorithm::Md5,
            username: self.name,
            realm: REALM,
            nonce: &self.nonce,
            opaque: None,
            method: "REGISTER",
            uri: "sip:example.test",
            auth: Some((1, "cnonce")),
        };
        Sip { credentials: vec![answer.credentials(&self.hash)], ..sip }
    }

    pub fn register(&self, name: &str) -> Sip {
        self.answer(Sip::register(&format!("sip:{}@example.test", self.name), name).body(PASSWORD))
    }

    /// Signs in: the JSON of the 200.
    pub fn sign_in(&self, proxy: &mut Proxy, sip: &Sip) -> Value {
        let verdict = proxy.ask_for_tokens(sip, self.known());
        told(proxy, &verdict, Carried::Password)
    }
}

/// The tokens that a phone is told.
fn told(proxy: &mut Proxy, verdict: &CheckResult, carried: Carried) -> Value {
    let got = (verdict.status, verdict.answer.reason(), verdict.answer.carried);
    assert_eq!(got, (200, Reason::Ok, carried), "{}", proxy.log.text());
    let body = proxy.worker.grants().token_response(verdict).expect("tokens");
    let tokens: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(tokens["token_type"], "Bearer");
    tokens
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// `Bearer token=…, pop=…`
pub fn with_both(sip: Sip, token: &Value, key: &Key) -> Sip {
    let pop = pop_to_text(&make_pop(&**key, &sip.digest(&sip.body)));
    Sip { credentials: vec![format!("Bearer token=\"{}\", pop=\"{pop}\"", text(token))], ..sip }
}

pub fn refreshing(sip: Sip, refresh_token: &Value, key: &Key) -> Sip {
    let covered = format!("grant_type=refresh_token&refresh_token={}", text(refresh_token));
    let pop = pop_to_text(&make_pop(&**key, &sip.digest(covered.as_bytes())));
    sip.body(&format!("{covered}&pop={pop}"))
}

fn message(name: &str) -> Sip {
    Sip::of_method("MESSAGE", ALICE, name).body("Hello")
}

#[test]
fn a_master_key_of_the_server_is_the_key() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.require_master_key": true }));
    let code = plant.endpoint.code("alice");
    assert_eq!(proxy.reason(&Sip::with_code(ALICE, "none", &code)), Reason::CodeInDoubt);
    assert!(proxy.log.text().contains("no master-key"), "{}", proxy.log.text());

    let key: Key = zeroize::Zeroizing::new([7; 32]);
    plant.endpoint.add_to_answers(json!({ "master-key": pop_to_text(&key) }));
    let code = plant.endpoint.code("alice");
    // The second flow of the phone uses the same code; its answer has another To tag, and may not be known yet.
    for (name, reg_id) in [("one", 1), ("two", 2)] {
        let tag = if reg_id == 2 { String::new() } else { "tag".into() };
        let shown = format!("{code}&code_verifier=the-verifier-of-the-phone-0123456789-0123456789");
        let sip = Sip { reg_id, reply_to_tag: tag, ..Sip::with_code(ALICE, name, &shown).instance("1") };
        let verdict = proxy.ask(&sip);
        assert_eq!((verdict.status, verdict.answer.reason()), (200, Reason::Ok), "{}", proxy.log.text());
        // Its key does not wait for the answer, and is not taken back with it.
        proxy.worker.registrations().withdraw(&verdict.ticket, b"another").expect("nothing to do");
        proxy.worker.registrations().confirm(&verdict.ticket, b"tag").expect("its code is confirmed");
        let derived = sip.key(&code, "tag");
        assert_eq!(
            proxy.reason(&Sip::register(ALICE, &format!("a{name}")).prove_in_body(&derived)),
            Reason::PopInvalid
        );
        assert_eq!(proxy.reason(&message(&format!("b{name}")).prove_in_header(&key)), Reason::Ok);
    }
    assert_eq!((plant.endpoint.exchanges(), proxy.sessions(ALICE).len()), (2, 1));
    for broken in [json!("BwcH"), json!(7)] {
        plant.endpoint.add_to_answers(json!({ "master-key": broken }));
        let code = plant.endpoint.code("alice");
        assert_eq!(proxy.reason(&Sip::with_code(ALICE, "broken", &code)), Reason::CodeInDoubt);
    }
}

/// A server may give the same key for two codes. No proof covers `+sip.instance`, which chooses the session.
#[test]
fn a_proof_by_a_key_of_two_sessions_is_used_with_the_first() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key: Key = zeroize::Zeroizing::new([7; 32]);
    plant.endpoint.add_to_answers(json!({ "master-key": pop_to_text(&key) }));
    let sign_in = |proxy: &mut Proxy, name: &str, instance: &str| {
        let code = plant.endpoint.code("alice");
        proxy.sign_in(&Sip::with_code(ALICE, name, &code).instance(instance)).session
    };
    let (phone, tablet) = (sign_in(&mut proxy, "one", "1"), sign_in(&mut proxy, "two", "2"));
    assert_ne!(phone, tablet);
    let another_branch = |sip: &Sip, branch: &str| Sip { branch: format!("z9hG4bK-{branch}"), ..sip.clone() };
    for used in [
        Sip::register(ALICE, "body").instance("1").prove_in_body(&key),
        message("header").instance("1").prove_in_header(&key),
    ] {
        assert_eq!(proxy.reason(&used), Reason::Ok);
        let at_the_other = another_branch(&used, "a").instance("2");
        assert_eq!(proxy.reason(&at_the_other), Reason::PopReplayed, "with the other session");
        // The phone signs in again: a new session takes the place of the first.
        assert_ne!(sign_in(&mut proxy, &format!("again-{}", used.method), "1"), phone);
        assert_eq!(proxy.reason(&another_branch(&used, "b")), Reason::PopReplayed, "with the next session");
    }
    assert_eq!(proxy.reason(&message("fresh").instance("1").prove_in_header(&key)), Reason::Ok);
}

#[test]
fn a_key_from_the_server_is_as_good_as_its_code_is_short() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key: Key = zeroize::Zeroizing::new([9; 32]);
    plant.endpoint.add_to_answers(json!({ "master_key": pop_to_text(&key) }));
    plant.endpoint.add_code("12345678", &["alice"]);
    assert_eq!(proxy.reason(&Sip::with_code(ALICE, "one", "12345678")), Reason::Ok);
    let proof = Sip::register(ALICE, "two").over("udp").prove_in_body(&key);
    assert_eq!(proxy.reason(&proof), Reason::Ok, "nobody finds this key by trying codes");
}

#[test]
fn a_password_gives_tokens_and_a_key() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "nonce-1");
    let tokens = alice.sign_in(&mut proxy, &alice.register("one").instance("1"));
    assert_eq!((&tokens["expires_in"], &tokens["scope"]), (&json!(3600), &json!("sip sip.call")));
    let both = with_both(message("m1"), &tokens["access_token"], &alice.key());
    let verdict = proxy.ask(&both);
    let got = (verdict.status, verdict.answer.reason(), verdict.answer.carried);
    assert_eq!(got, (200, Reason::Ok, Carried::TokenAndProof), "{}", proxy.log.text());
    assert_eq!(verdict.answer.token.expect("the token").claims.subject.as_deref(), Some("alice"));
    assert_eq!(proxy.reason(&both), Reason::Ok, "a retransmission");
    assert_eq!(proxy.reason(&Sip { branch: "z9hG4bK-other".into(), ..both }), Reason::PopReplayed);
    let again = with_both(Sip::register(ALICE, "again"), &tokens["access_token"], &alice.key());
    assert_eq!(proxy.reason(&again), Reason::Ok);
    // The same sign-in again gives the same.
    let repeated = alice.sign_in(&mut proxy, &alice.register("one").instance("1"));
    assert_eq!(repeated["access_token"], tokens["access_token"]);
    assert_eq!(proxy.sessions(ALICE).len(), 1);
    for secret in [text(&tokens["access_token"]), text(&tokens["refresh_token"]), &alice.hash] {
        assert!(!proxy.log.text().contains(secret));
    }
}

#[test]
fn credentials_that_were_used_give_no_tokens_to_who_has_seen_them() {
    used_credentials(&json!({}));
}

/// Whoever has seen Digest credentials has seen all of them, so that setting is about codes.
#[test]
fn neither_do_they_where_codes_serve_flows_without_a_verifier() {
    used_credentials(&json!({ "allow": "flows_without_verifier" }));
}

fn used_credentials(settings: &Value) {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, settings);
    let alice = User::new("alice", "nonce-1");
    let own = alice.register("one").instance("1");
    let ask = |proxy: &mut Proxy, sip: &Sip| proxy.ask_for_tokens(sip, alice.known());
    let elsewhere = |sip: &Sip| Sip { source: ("198.51.100.9".into(), 5060), ..sip.clone() };
    let refused = |proxy: &mut Proxy, sip: &Sip, what: &str| {
        let verdict = ask(proxy, sip);
        assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::CodeRefused), "{what}");
        assert!(proxy.worker.grants().token_response(&verdict).is_err(), "{what}");
    };
    // Before its answer has left, and after that.
    for confirmed in [false, true] {
        let verdict = ask(&mut proxy, &own);
        let tokens = told(&mut proxy, &verdict, Carried::Password);
        if confirmed {
            proxy.worker.registrations().confirm(&verdict.ticket, b"to-one").expect("stored");
        }
        refused(&mut proxy, &elsewhere(&own), "the same octets from elsewhere");
        refused(&mut proxy, &own.clone().instance("2"), "another phone");
        refused(&mut proxy, &elsewhere(&alice.register("two").instance("1")), "another request from elsewhere");
        // The phone's own request again: its answer was lost.
        let again = ask(&mut proxy, &own);
        assert_eq!(told(&mut proxy, &again, Carried::Password)["access_token"], tokens["access_token"]);
    }
    refused(&mut proxy, &alice.register("two").instance("1"), "a nonce is good for one sign-in");
    assert_eq!(proxy.counted("code_attempts"), 7);
    assert_eq!(proxy.sessions(ALICE).len(), 1);
    let anew = User::new("alice", "nonce-2");
    anew.sign_in(&mut proxy, &anew.register("three").instance("1"));
}

/// A host's nonce may be good for longer than a code.
#[test]
fn credentials_that_were_used_are_remembered_for_an_hour() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({ "code_lifetime": 10 }));
    let alice = User::new("alice", "nonce-1");
    let is_kept = |proxy: &Proxy, seconds: i64| {
        let access = proxy.context.sessions().expect("sessions are configured");
        let store = access.open(&proxy.worker.placed().policy).expect("a store");
        let found = |key: &String| store.raw(key, (now() + seconds) * 1000).expect("a readable store").is_some();
        proxy.records("c:").iter().all(found)
    };
    let verdict = proxy.ask_for_tokens(&alice.register("one"), alice.known());
    told(&mut proxy, &verdict, Carried::Password);
    assert!(proxy.records("c:").len() == 1 && is_kept(&proxy, 3590), "before its answer has left");
    proxy.worker.registrations().confirm(&verdict.ticket, b"to-one").expect("stored");
    assert!(is_kept(&proxy, 3590) && !is_kept(&proxy, 3700), "after that");
    let refused = proxy.ask_for_tokens(&alice.register("two"), alice.known());
    assert_eq!(refused.answer.reason(), Reason::CodeRefused);
}

#[test]
fn token_and_proof_belong_together() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let (phone, tablet, bob) = (User::new("alice", "n1"), User::new("alice", "n2"), User::new("bob", "n3"));
    let of_phone = phone.sign_in(&mut proxy, &phone.register("p").instance("1"));
    let of_tablet = tablet.sign_in(&mut proxy, &tablet.register("t").instance("2"));
    let of_bob = bob.sign_in(&mut proxy, &bob.register("b"));
    let token = |tokens: &Value| tokens["access_token"].clone();
    for (i, (token, key, reason)) in [
        (token(&of_phone), phone.key(), Reason::Ok),
        (token(&of_tablet), phone.key(), Reason::TokenUnbound),
        (token(&of_phone), tablet.key(), Reason::TokenUnbound),
        (token(&of_bob), phone.key(), Reason::AorMismatch),
        (token(&of_phone), bob.key(), Reason::PopInvalid),
        (json!("made-up"), phone.key(), Reason::TokenOpaque),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(proxy.reason(&with_both(message(&format!("m{i}")), &token, &key)), reason, "{i}");
    }
    let bare = Sip { credentials: vec![format!("Bearer {}", text(&of_phone["access_token"]))], ..message("bare") };
    assert_eq!(proxy.answer(&bare), (401, Reason::PopMissing));
    assert_eq!(proxy.answer(&message("pop").prove_in_header(&phone.key())), (401, Reason::TokenMissing));
    assert_eq!(proxy.answer(&Sip::register(ALICE, "body").prove_in_body(&phone.key())), (401, Reason::TokenMissing));

    let mut lenient = issuer(&plant, &json!({ "provider.token_pop": "optional" }));
    let phone = User::new("alice", "n4");
    let tokens = phone.sign_in(&mut lenient, &phone.register("q").instance("1"));
    let bare = Sip { credentials: vec![format!("Bearer {}", text(&tokens["access_token"]))], ..message("bare2") };
    assert_eq!(lenient.reason(&bare), Reason::Ok);
    assert_eq!(lenient.reason(&message("pop2").prove_in_header(&phone.key())), Reason::Ok);
    let unbound = with_both(message("both2"), &tokens["access_token"], &tablet.key());
    assert_eq!(lenient.reason(&unbound), Reason::TokenUnbound, "whoever sends both, both must fit");
}

#[test]
fn who_does_not_know_the_password_gets_nothing() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let good = alice.register("one");
    let mut reason = |sip: &Sip, user: DigestUser<'_>| proxy.ask_for_tokens(sip, user).answer.reason();
    let wrong =
        User { hash: ha1(DigestAlgorithm::Md5, "alice", REALM, "wrong").to_string(), ..User::new("alice", "n1") };
    assert_eq!(reason(&good, wrong.known()), Reason::DigestMismatch, "wrong H(A1)");
    let credentials = vec![good.credentials[0].replace("\"n1\"", "\"n2\"")];
    assert_eq!(reason(&Sip { credentials, ..good.clone() }, alice.known()), Reason::DigestMismatch, "wrong nonce");
    let other_realm =
        Sip { credentials: vec![good.credentials[0].replace("realm=\"example.test\"", "realm=\"x\"")], ..good.clone() };
    assert_eq!(reason(&other_realm, alice.known()), Reason::NoCredentials);
    assert_eq!(reason(&Sip { credentials: Vec::new(), ..good.clone() }, alice.known()), Reason::NoCredentials);
    assert_eq!(reason(&good.clone().body(""), alice.known()), Reason::NoCredentials, "nothing is asked for");
    assert_eq!(reason(&good.clone().body("grant_type=x"), alice.known()), Reason::GrantUnsupported);
    let bob = Sip { from: BOB.into(), to: BOB.into(), ..good.clone() };
    assert_eq!(reason(&bob, alice.known()), Reason::AorMismatch);
    let third = Sip { from: BOB.into(), ..good.clone() };
    assert_eq!(reason(&third, alice.known()), Reason::ThirdPartyRegistration);
    let foreign = "sip:alice@other.test".to_owned();
    let foreign = Sip { from: foreign.clone(), to: foreign, ..good.clone() };
    assert_eq!(reason(&foreign, alice.known()), Reason::PasswordUnsupported);

    let with_pop = |key: &Key, sip: Sip| {
        let pop = pop_to_text(&make_pop(&**key, &sip.digest(PASSWORD.as_bytes())));
        alice.answer(sip.body(&format!("{PASSWORD}&pop={pop}")))
    };
    let key = alice.key();
    assert_eq!(reason(&with_pop(&wrong.key(), Sip::register(ALICE, "w")), alice.known()), Reason::PopInvalid);
    let old = Sip::register(ALICE, "o").dated(now() - 3600);
    assert_eq!(reason(&with_pop(&key, old), alice.known()), Reason::PopStale);
    let mut dateless = with_pop(&key, Sip::register(ALICE, "d"));
    dateless.date.clear();
    assert_eq!(reason(&dateless, alice.known()), Reason::PopMalformed);
    assert_eq!(reason(&with_pop(&key, Sip::register(ALICE, "g")), alice.known()), Reason::Ok);
    assert_eq!(proxy.sessions("").len(), 1);
}

#[test]
fn a_phone_refreshes_its_tokens_itself() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let (alice, bob) = (User::new("alice", "n1"), User::new("bob", "n2"));
    let first = alice.sign_in(&mut proxy, &alice.register("one"));
    let of_bob = bob.sign_in(&mut proxy, &bob.register("bob"));
    let refresh = |proxy: &mut Proxy, name: &str, token: &Value| {
        proxy.ask(&refreshing(Sip::register(ALICE, name), token, &alice.key()))
    };
    let verdict = refresh(&mut proxy, "r1", &first["refresh_token"]);
    let second = told(&mut proxy, &verdict, Carried::Refresh);
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let token = |proxy: &mut Proxy, name: &str, tokens: &Value| {
        proxy.reason(&with_both(message(name), &tokens["access_token"], &alice.key()))
    };
    assert_eq!((token(&mut proxy, "a", &second), token(&mut proxy, "b", &first)), (Reason::Ok, Reason::Ok));

    // An answer may be lost: the same refresh token gets the same tokens, and the second one is not spent.
    let verdict = refresh(&mut proxy, "r2", &first["refresh_token"]);
    assert_eq!(told(&mut proxy, &verdict, Carried::Refresh)["refresh_token"], second["refresh_token"]);
    // Beside the access token, too; but not beside another's.
    let beside = |tokens: &Value, name: &str| Sip {
        credentials: vec![format!("Bearer {}", text(&tokens["access_token"]))],
        ..refreshing(Sip::register(ALICE, name), &second["refresh_token"], &alice.key())
    };
    assert_eq!(proxy.reason(&beside(&of_bob, "r3")), Reason::TokenUnbound);
    let verdict = proxy.ask(&beside(&second, "r4"));
    let third = told(&mut proxy, &verdict, Carried::Refresh);
    assert_eq!(token(&mut proxy, "c", &first), Reason::TokenUnbound, "two are enough");

    // Nobody can redeem another user's token, and trying does not spoil it.
    assert_eq!(refresh(&mut proxy, "r5", &of_bob["refresh_token"]).answer.reason(), Reason::RefreshRefused);
    let sip = refreshing(Sip::register(BOB, "r6"), &of_bob["refresh_token"], &bob.key());
    let verdict = proxy.ask(&sip);
    told(&mut proxy, &verdict, Carried::Refresh);
    let stolen = refreshing(Sip::register(ALICE, "r7"), &third["refresh_token"], &bob.key());
    assert_eq!(proxy.reason(&stolen), Reason::PopInvalid);
    let replayed = refreshing(Sip::register(ALICE, "r8"), &third["refresh_token"], &alice.key());
    let verdict = proxy.ask(&replayed);
    told(&mut proxy, &verdict, Carried::Refresh);
    assert_eq!(proxy.reason(&Sip { branch: "z9hG4bK-o".into(), ..replayed }), Reason::PopReplayed);
    assert_eq!(plant.endpoint.refreshes(), 0, "the proxy refreshes nothing by itself");
}

/// What an earlier try came to says nothing to a later one, which has waited for its session only.
#[test]
fn a_phone_refreshes_after_a_failure_also_where_its_session_is_looked_up_first() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let mut proxy = plant.proxy(&json!({
        "provider.password_grant": "password",
        "store": format!("redis://127.0.0.1:{}/0", redis.port()),
        "store_password_file": plant.directory.write("redis-password", PASSWORD_OF_REDIS),
        "store_cache": 1,
    }));
    let alice = User::new("alice", "n1");
    let user = DigestUser { password: "alice-password", ..alice.known() };
    let verdict = proxy.ask_for_tokens(&alice.register("one"), user);
    let first = told(&mut proxy, &verdict, Carried::Password);
    let forget = |proxy: &mut Proxy| proxy.run_for(Duration::from_millis(1200));
    let refresh = |proxy: &mut Proxy, name: &str| {
        proxy.ask(&refreshing(Sip::register(ALICE, name), &first["refresh_token"], &alice.key()))
    };
    plant.endpoint.answer_refreshes(ServerAnswer::Status(503));
    forget(&mut proxy);
    // Its session is looked up, and then nobody waits for the exchange.
    for (name, sent) in [("r1", 1), ("r2", 2)] {
        assert_eq!(refresh(&mut proxy, name).status, 503);
        proxy.until("it is sent", |_| plant.endpoint.refreshes() == sent);
    }
    plant.endpoint.answer_refreshes(None);
    forget(&mut proxy);
    assert_eq!(refresh(&mut proxy, "r3").status, 503);
    proxy.until("it is sent, and the phone comes again", |_| plant.endpoint.refreshes() == 3);
    let mut tries = (4..30).map(|number| refresh(&mut proxy, &format!("r{number}")));
    let verdict = tries.find(|verdict| verdict.status != 503).expect("an answer");
    told(&mut proxy, &verdict, Carried::Refresh);
    assert_eq!(plant.endpoint.refreshes(), 3);
}

#[test]
fn what_the_phone_holds_is_not_refreshed_by_the_proxy() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(2);
    let mut proxy = plant.proxy(&json!({ "provider.password_grant": "password" }));
    let alice = User::new("alice", "n1");
    let user = DigestUser { password: "alice-password", ..alice.known() };
    let verdict = proxy.ask_for_tokens(&alice.register("one"), user);
    let first = told(&mut proxy, &verdict, Carried::Password);
    assert!(verdict.expires_limit() <= 2, "a registration lasts as long as the token: {}", verdict.expires_limit());
    proxy.run_for(Duration::from_millis(3200));
    assert_eq!(plant.endpoint.refreshes(), 0);
    // Its access token, opaque here, has ended; it may still ask for another.
    let proof = Sip::register(ALICE, "p").prove_in_body(&alice.key());
    assert_eq!(proxy.reason(&proof), Reason::TokenMissing);
    let verdict = proxy.ask(&refreshing(Sip::register(ALICE, "r"), &first["refresh_token"], &alice.key()));
    let second = told(&mut proxy, &verdict, Carried::Refresh);
    assert_eq!(plant.endpoint.refreshes(), 1);
    assert_ne!(first["refresh_token"], second["refresh_token"]);

    let wrong = DigestUser { password: "wrong", ..alice.known() };
    let other = User::new("alice", "n2");
    assert_eq!(proxy.ask_for_tokens(&other.register("w"), wrong).answer.reason(), Reason::CodeRefused);
    let none = proxy.ask_for_tokens(&User::new("alice", "n3").register("v"), alice.known());
    assert_eq!(none.answer.reason(), Reason::ClientRefused, "the script gives no password");
    assert!(proxy.log.text().contains("needs the password"), "{}", proxy.log.text());
}

#[test]
fn sessions_of_passwords_outlive_a_restart() {
    let plant = Plant::new();
    let alice = User::new("alice", "n1");
    let mut proxy = issuer(&plant, &json!({}));
    let tokens = alice.sign_in(&mut proxy, &alice.register("one"));
    let key = plant.directory.file("signing.pem");
    drop(proxy);
    let settings = json!({ "provider.signing_key_files": key });
    let kept = std::fs::read(&key).expect("the key");
    let mut proxy = {
        let proxy = issuer(&plant, &settings);
        // The helper has made another key, as an operator would who lost his: the old token is not verified any more.
        assert_ne!(std::fs::read(&key).expect("a key"), kept);
        proxy
    };
    let both = with_both(message("lost"), &tokens["access_token"], &alice.key());
    assert_eq!(proxy.reason(&both), Reason::KeyUnknown);
    let verdict = proxy.ask(&refreshing(Sip::register(ALICE, "r"), &tokens["refresh_token"], &alice.key()));
    let tokens = told(&mut proxy, &verdict, Carried::Refresh);
    assert_eq!(proxy.reason(&with_both(message("new"), &tokens["access_token"], &alice.key())), Reason::Ok);
}

#[test]
fn each_flow_of_a_phone_has_its_own_key() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let flows = [User::new("alice", "n1"), User::new("alice", "n2")];
    let tokens: Vec<Value> = (1..=2)
        .map(|reg_id: u32| {
            let user = &flows[reg_id as usize - 1];
            let sip = Sip { reg_id, ..user.register(&format!("f{reg_id}")).instance("1") };
            user.sign_in(&mut proxy, &sip)
        })
        .collect();
    assert_eq!(proxy.sessions(ALICE).len(), 2);
    let mut reason = |name: &str, reg_id: u32, token: usize, key: usize| {
        let sip = Sip { reg_id, ..Sip::register(ALICE, name).instance("1") };
        proxy.reason(&with_both(sip, &tokens[token]["access_token"], &flows[key].key()))
    };
    assert_eq!((reason("a", 1, 0, 0), reason("b", 2, 1, 1)), (Reason::Ok, Reason::Ok));
    assert_eq!(reason("c", 2, 1, 0), Reason::PopInvalid, "the other flow's key");
    assert_eq!(reason("d", 2, 0, 1), Reason::TokenUnbound, "the other flow's token");
    // A flow that signs in anew replaces its own session only, and its tokens are forgotten.
    let anew = User::new("alice", "n3");
    anew.sign_in(&mut proxy, &Sip { reg_id: 1, ..anew.register("g").instance("1") });
    assert_eq!((proxy.sessions(ALICE).len(), proxy.records("t:").len()), (2, 2));
}

#[test]
fn a_token_from_elsewhere_is_replaced_once() {
    let plant = Plant::new();
    let settings = json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.audience": null,
        "provider.aor": null,
        "application_servers": "as.example.test",
    });
    let mut proxy = plant.proxy(&settings);
    let token = plant.endpoint.foreign_token("alice");
    let with = |sip: Sip, token: &str| Sip { credentials: vec![format!("Bearer {token}")], ..sip };
    let verdict = proxy.ask(&with(Sip::register(ALICE, "one"), &token));
    assert_eq!((verdict.status, verdict.answer.carried), (200, Carried::Token), "{}", proxy.log.text());
    for method in ["REGISTER", "INVITE", "MESSAGE"] {
        let sip =
            if method == "REGISTER" { Sip::register(ALICE, "two") } else { Sip::of_method(method, ALICE, method) };
        let verdict = proxy.ask(&with(sip, &token));
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{method}");
        let forwarded = proxy.worker.token_for(&verdict, "sip:as.example.test").expect("a token");
        assert!(forwarded.starts_with("access-"), "the server's token goes on, not the phone's");
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert_eq!(proxy.answer(&with(Sip::register(BOB, "bob"), &token)), (401, Reason::CodeRefused));
    assert_eq!(proxy.reason(&with(Sip::register(ALICE, "own"), &token)), Reason::Ok, "nobody spoils it by trying");
    assert_eq!(proxy.answer(&with(Sip::register(BOB, "made"), "made-up-token")), (401, Reason::CodeRefused));
    let both = Sip { credentials: vec![format!("Bearer token={token}, pop=abc")], ..Sip::register(ALICE, "both") };
    assert_eq!(proxy.reason(&both), Reason::TokenUnbound);
    let first = Sip::of_method("INVITE", BOB, "call");
    let of_bob = plant.endpoint.foreign_token("bob");
    assert_eq!(proxy.reason(&with(first, &of_bob)), Reason::Ok, "the first request need not be a REGISTER");
    let ended = proxy.context.admin().revoke_sessions(ALICE, "").expect("a store");
    assert_eq!(ended.len(), 1);
    assert_eq!(proxy.answer(&with(Sip::register(ALICE, "three"), &token)), (401, Reason::SessionEnded));
}

#[test]
fn a_token_from_elsewhere_that_ends_is_validated_anew() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(5);
    let settings = json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.aor": null,
        "code_lifetime": 10,
    });
    let mut proxy = plant.proxy(&settings);
    let token = plant.endpoint.foreign_token("alice");
    let with = |name: &str| Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(ALICE, name) };
    assert_eq!(proxy.reason(&with("one")), Reason::Ok);
    proxy.run_for(Duration::from_millis(6100));
    assert_eq!(proxy.reason(&with("two")), Reason::Ok, "{}", proxy.log.text());
    assert_eq!(plant.endpoint.exchanges(), 2);
}

/// Its server sees neither the phone nor its connection.
#[test]
fn a_token_from_elsewhere_that_is_bound_to_a_key_is_not_shown_to_the_server() {
    let plant = Plant::new();
    let settings = json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.aor": null,
    });
    let mut claims = token::claims("https://elsewhere.example.test", "sip", "alice", 300);
    let token = |claims: &Value| TestKey::p256("k").token("ES256", claims);
    let with =
        |name: &str, token: &str| Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(ALICE, name) };
    claims["cnf"] = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    let bound = token(&claims);
    let mut proxy = plant.proxy(&settings);
    assert_eq!(proxy.answer(&with("one", &bound)), (401, Reason::TokenBound));
    // What cannot be read of it hides no key.
    for (name, cnf, end) in [
        ("three", json!({ "x5t#S256": "padded==" }), json!(300)),
        ("four", json!("a key"), json!(300)),
        ("five", json!({ "jkt": "x" }), Value::Null),
        ("six", json!({ "jkt": "x" }), json!("tomorrow")),
    ] {
        let mut odd = claims.clone();
        odd["cnf"] = cnf;
        if !end.is_number() {
            odd["exp"] = end;
        }
        let (status, reason) = proxy.answer(&with(name, &token(&odd)));
        assert!(
            status == 401 && [Reason::ClaimMissing, Reason::ClaimMalformed].contains(&reason),
            "{name}: {reason:?}"
        );
    }
    assert_eq!(plant.endpoint.exchanges(), 0);
    claims.as_object_mut().expect("an object").remove("cnf");
    assert_eq!(proxy.reason(&with("two", &token(&claims))), Reason::CodeRefused, "the server is asked about others");
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn a_lost_answer_about_a_token_from_elsewhere_is_asked_for_again() {
    let plant = Plant::new();
    let settings = json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.aor": null,
    });
    let mut proxy = plant.proxy(&settings);
    let token = plant.endpoint.foreign_token("alice");
    let with = |name: &str| Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(ALICE, name) };
    plant.endpoint.answer_codes(ServerAnswer::Status(502));
    assert_eq!(proxy.answer(&with("one")), (503, Reason::ExchangeUnavailable));
    plant.endpoint.answer_codes(None);
    proxy.until("the server is asked again", |proxy| proxy.reason(&with("two")) == Reason::Ok);
}

#[test]
fn a_token_that_stood_for_its_connection_needs_a_proof_when_the_policy_does() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({ "provider.token_pop": "optional", "connection_auth": true }));
    let alice = User::new("alice", "n1");
    let tokens = alice.sign_in(&mut proxy, &alice.register("one"));
    let bare = Sip { credentials: vec![format!("Bearer {}", text(&tokens["access_token"]))], ..message("bare").on(7) };
    assert_eq!(proxy.reason(&bare), Reason::Ok);
    assert_eq!(proxy.reason(&message("later").on(7)), Reason::Ok, "the connection stands for it");
    let file = std::fs::read_to_string(&proxy.configuration).expect("written by the test");
    std::fs::write(&proxy.configuration, file.replace("\"optional\"", "\"required\"")).expect("written");
    proxy.context.admin().reload().expect("a good configuration");
    assert_eq!(proxy.reason(&message("after").on(7)), Reason::PopMissing);
    let both = with_both(message("both").on(8), &tokens["access_token"], &alice.key());
    assert_eq!(proxy.reason(&both), Reason::Ok);
    assert_eq!(proxy.reason(&message("then").on(8)), Reason::Ok, "a session stands for its connection");
}

#[test]
fn a_code_that_names_a_sign_in_is_a_code() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.password_grant": "password", "provider.domain": REALM }));
    let alice = User::new("alice", "n1");
    let known = DigestUser { ha1: &alice.hash, password: "alice-password" };
    let signed_in = proxy.ask_for_tokens(&alice.register("one"), known);
    assert_eq!(signed_in.answer.reason(), Reason::Ok, "{}", proxy.log.text());
    // Its parts are not secret: user, realm and nonce are in every request.
    let code = "grant_type=authorization_code&code=password+alice+example.test+n1";
    assert_eq!(proxy.reason(&Sip::register(ALICE, "forged").body(code)), Reason::CodeRefused);
    assert_eq!(proxy.sessions(ALICE).len(), 1);
}

#[test]
fn a_connection_does_not_stand_in_for_a_password() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({ "connection_auth": true, "provider.token_pop": "optional" }));
    let alice = User::new("alice", "n1");
    alice.sign_in(&mut proxy, &alice.register("one").on(7));
    let plain = Sip::register(ALICE, "two").on(7);
    assert_eq!(proxy.ask(&plain).answer.carried, Carried::Connection);
    // The phone answers the next challenge for new tokens: Digest is to say who it is.
    let verdict = proxy.ask(&alice.register("three").on(7));
    assert_eq!((verdict.answer.reason(), verdict.answer.carried), (Reason::NoCredentials, Carried::Password));
    let again = User::new("alice", "n2");
    again.sign_in(&mut proxy, &again.register("four").on(7));
}

#[test]
fn a_token_alone_does_not_count_where_proofs_are_asked_for() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let tokens = alice.sign_in(&mut proxy, &alice.register("one"));
    let verdict = proxy.worker.check_token(text(&tokens["access_token"]), &Handling::default());
    assert_eq!((verdict.status, verdict.granted.is_some()), (401, false));
    assert_eq!(verdict.answer.reason(), Reason::PopMissing);
}

#[test]
fn a_server_that_names_the_user_is_believed_rather_than_the_phone() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
    }));
    let with = |sip: Sip, token: &str| Sip { credentials: vec![format!("Bearer {token}")], ..sip };
    let own = plant.endpoint.foreign_token("alice");
    assert_eq!(proxy.reason(&with(Sip::register(ALICE, "one"), &own)), Reason::Ok, "{}", proxy.log.text());
    // It takes the user's name for its own users' and the token for somebody else's.
    let odd = plant.endpoint.foreign_token_of("alice", "bob");
    assert_eq!(proxy.reason(&with(Sip::register(ALICE, "two"), &odd)), Reason::AorMismatch);
}

#[test]
fn what_others_may_have_issued_is_not_shown_to_the_server() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.aor": null,
        "provider.domain": REALM,
    }));
    let token = plant.endpoint.foreign_token("alice");
    let elsewhere = "sip:alice@other.test".to_owned();
    let sip = Sip { from: elsewhere.clone(), to: elsewhere, ..Sip::register(ALICE, "one") };
    let sip = Sip { credentials: vec![format!("Bearer {token}")], ..sip };
    assert_ne!(proxy.reason(&sip), Reason::Ok, "another domain's user of the same name");
    assert_eq!(plant.endpoint.exchanges(), 0);
}

/// However he signs in: a name that reads as a number is not the number.
/// A registrar takes them for one address, but `sessions_revoke` would not find a session of another spelling.
#[test]
fn a_name_with_a_password_or_a_foreign_token_owns_one_spelling_of_its_address() {
    let plant = Plant::new();
    let mut passwords = issuer(&plant, &json!({}));
    let mut tokens = plant.proxy(&json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.aor": null,
        "store": plant.directory.file("other"),
    }));
    let token = plant.endpoint.foreign_token("alice");
    for (i, address) in
        ["sip:alice@example.test:5061", "sips:alice@example.test", "sip:alice@example.test:5060"].iter().enumerate()
    {
        let alice = User::new("alice", &format!("nonce-{i}"));
        let asked = alice.answer(Sip::register(address, &format!("p{i}")).body(PASSWORD));
        let reason = passwords.ask_for_tokens(&asked, alice.known()).answer.reason();
        assert_eq!(reason, Reason::AorMismatch, "{address}");
        let sent = Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(address, &format!("t{i}")) };
        assert_eq!(tokens.reason(&sent), Reason::AorMismatch, "{address}");
    }
    assert_eq!(plant.endpoint.exchanges(), 0);
}

/// The response covers the name only as a part of H(A1), so whoever has seen it can write the name differently.
#[test]
fn used_credentials_stay_used_however_their_name_is_written() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "nonce-1");
    let honest = alice.register("one");
    alice.sign_in(&mut proxy, &honest);
    for name in ["alice", "alice@example.test", "alice@EXAMPLE.test", "alice@eXample.test"] {
        let credentials = honest.credentials[0].replace("username=\"alice\"", &format!("username=\"{name}\""));
        let copy = Sip { credentials: vec![credentials], source: ("203.0.113.9".into(), 5060), ..alice.register(name) };
        assert_eq!(proxy.ask_for_tokens(&copy, alice.known()).answer.reason(), Reason::CodeRefused, "{name}");
    }
}

#[test]
fn a_name_with_a_password_or_a_foreign_token_is_no_telephone_number() {
    let plant = Plant::new();
    let names = ["030123456", "030-123456", "0049.30.123456", "+4930123456", "%2B4930123456", "012345"];
    let mut proxy = issuer(&plant, &json!({ "provider.e164": "49" }));
    for name in names {
        let user = User::new(name, &format!("n{name}"));
        let verdict = proxy.ask_for_tokens(&user.register(name), user.known());
        assert_eq!(verdict.answer.reason(), Reason::AorMismatch, "{name}");
    }
    let alice = User::new("alice", "n1");
    alice.sign_in(&mut proxy, &alice.register("one"));
    assert!(proxy.sessions("sip:+4930123456@example.test").is_empty());

    let settings = json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": REALM,
        "provider.aor": null,
        "provider.e164": "49",
        "store": plant.directory.file("other"),
    });
    let mut proxy = plant.proxy(&settings);
    for name in names {
        let token = plant.endpoint.foreign_token(name);
        let aor = format!("sip:{name}@example.test");
        let sip = Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(&aor, name) };
        assert_eq!(proxy.reason(&sip), Reason::AorMismatch, "{name}");
    }
    assert_eq!(plant.endpoint.exchanges(), 0, "the server is not even asked");
    let token = plant.endpoint.foreign_token("alice");
    let sip = Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(ALICE, "alice") };
    assert_eq!(proxy.reason(&sip), Reason::Ok, "{}", proxy.log.text());
}

#[test]
fn a_code_of_a_user_who_is_called_like_a_number_gives_no_session_for_it() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.e164": "49" }));
    for name in ["030123456", "+4930123456", "0049-30-123456"] {
        let code = plant.endpoint.code(name);
        for aor in [format!("sip:{name}@example.test"), "sip:+4930123456@example.test".to_owned()] {
            let sip = Sip::with_code(&aor, &format!("{name}{}", aor.len()), &code);
            assert_eq!(proxy.reason(&sip), Reason::IdentityMissing, "{name} as {aor}");
        }
    }
    assert!(proxy.sessions("sip:+4930123456@example.test").is_empty());
}
