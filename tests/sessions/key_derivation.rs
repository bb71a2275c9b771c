// SPDX-License-Identifier: MIT OR Apache-2.0

//! Phones that prove a password without sending it: challenges, answers, replays, and users who do not exist.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::redis::{PASSWORD as PASSWORD_OF_REDIS, Redis};
use crate::support::token::now;
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth::worker::key_derivation::AccountSource;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::Carried;
use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::key_derivation::{KeyChallenge, KeyResponse};
use sipoauth_core::sip::uri::Aor;
use std::time::{Duration, Instant};

const PASSWORD: &[u8] = b"correct horse";
pub const NONCE: &str = "0123456789abcdef";

pub fn settings() -> Value {
    json!({ "kd_iterations": 1000 })
}

/// Alice has an account. Her verifier.
pub fn account(proxy: &Proxy) -> Verifier {
    let verifier = proxy.context.admin().derive_verifier(PASSWORD).expect("a store is configured");
    proxy.context.admin().put_account(&Aor::parse(ALICE).expect("an address"), &verifier).expect("a writable store");
    verifier
}

fn ask_about(proxy: &mut Proxy, sip: &Sip, account: AccountSource<'_>) -> CheckResult {
    let mut handling = Handling { source: &sip.source.0, ..Handling::default() };
    let verdict = sip.read(|request| proxy.worker.check_key_derivation(request, account, &handling));
    let Some(cookie) = proxy.park(&verdict) else { return verdict };
    proxy.until("a parked request is resumed", |proxy| proxy.is_done(cookie));
    handling.resumed = true;
    sip.read(|request| proxy.worker.check_key_derivation(request, account, &handling))
}

fn ask(proxy: &mut Proxy, sip: &Sip) -> CheckResult {
    ask_about(proxy, sip, AccountSource::Store)
}

pub fn answer(proxy: &mut Proxy, sip: &Sip) -> (u32, Reason) {
    let verdict = ask(proxy, sip);
    assert_eq!(verdict.answer.challenge.is_some(), verdict.status == 401, "{verdict:?}");
    (verdict.status, verdict.answer.reason())
}

pub fn challenge(proxy: &mut Proxy, sip: &Sip) -> KeyChallenge {
    *ask(proxy, sip).answer.challenge.expect("a challenge")
}

pub fn prove(key: &MasterKey, sip: &Sip, nonce: Option<&str>) -> Sip {
    let response = KeyResponse::new("alice", None, nonce, key, &sip.digest(&sip.body)).to_text();
    Sip { credentials: vec!["Digest username=\"alice\"".into(), response], ..sip.clone() }
}

#[test]
fn both_sides_prove_the_password() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    account(&proxy);
    let first = Sip::register(ALICE, "one");
    assert_eq!(answer(&mut proxy, &first), (401, Reason::NoCredentials));
    let challenge = challenge(&mut proxy, &first);
    assert_eq!(challenge.realm, "example.test");
    // What the phone derives from its password proves that this is its server.
    let key = challenge.parameters.derive(PASSWORD);
    assert!(challenge.is_from_holder(&key, &first.digest(b""), None));
    assert!(!challenge.is_from_holder(&challenge.parameters.derive(b"wrong"), &first.digest(b""), None));
    let second = prove(&key, &Sip::register(ALICE, "two"), Some(NONCE));
    let verdict = ask(&mut proxy, &second);
    assert_eq!((verdict.status, verdict.answer.reason()), (200, Reason::Ok), "{}", proxy.log.text());
    assert_eq!((verdict.answer.carried, verdict.answer.account.as_deref()), (Carried::KeyDerivation, Some(ALICE)));
    assert!(verdict.granted.is_some());
    // Later requests, of any method, prove it alone; the body is covered.
    for method in ["REGISTER", "INVITE", "MESSAGE", "OPTIONS"] {
        let sip = match method {
            "REGISTER" => Sip::register(ALICE, "later"),
            _ => Sip::of_method(method, ALICE, &format!("later-{method}")).body("hello"),
        };
        let sip = prove(&key, &sip, None);
        assert_eq!(answer(&mut proxy, &sip), (200, Reason::Ok), "{method}");
        assert_eq!(
            answer(&mut proxy, &Sip { body: b"changed".to_vec(), ..sip }),
            (401, Reason::PopInvalid),
            "{method}"
        );
    }
    let text = proxy.log.text();
    assert!(!text.contains(std::str::from_utf8(PASSWORD).unwrap()) && text.contains("pop_invalid"), "{text}");
}

#[test]
fn a_challenge_sent_back_is_no_answer() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    account(&proxy);
    let sip = Sip::register(ALICE, "one").body("body");
    let challenge = challenge(&mut proxy, &sip);
    let sent_back = |body: String, nonce: Option<&str>| Sip {
        credentials: vec![
            KeyResponse { username: None, realm: None, nonce: nonce.map(Into::into), pop: challenge.pop }.to_text(),
        ],
        body: body.into_bytes(),
        ..sip.clone()
    };
    let nonce = challenge.nonce.as_str();
    for sip in [
        sent_back("body".into(), Some(nonce)),
        sent_back(format!("body{nonce}"), None),
        sent_back(format!("body{}", &nonce[..10]), Some(&nonce[10..])),
        sent_back("bo".into(), Some(&format!("dy{nonce}"))),
    ] {
        assert_eq!(answer(&mut proxy, &sip), (401, Reason::PopInvalid), "{:?}", sip.credentials);
    }
}

#[test]
fn each_proof_and_nonce_serves_one_request() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    let key = account(&proxy).key;
    let replayed = (403, Reason::PopReplayed);
    let sip = prove(&key, &Sip::register(ALICE, "one"), Some(NONCE));
    for _ in 0..3 {
        assert_eq!(answer(&mut proxy, &sip), (200, Reason::Ok), "a retransmission");
    }
    for other in [
        Sip { branch: "z9hG4bK-another".into(), ..sip.clone() },
        Sip { source: ("192.0.2.1".into(), 5061), ..sip.clone() },
    ] {
        assert_eq!(answer(&mut proxy, &other), replayed);
    }
    assert_eq!(answer(&mut proxy, &sip), (200, Reason::Ok), "the true request again");
    // The same nonce with another request, and that again.
    let reused = prove(&key, &Sip::register(ALICE, "two"), Some(NONCE));
    for _ in 0..2 {
        assert_eq!(answer(&mut proxy, &reused), replayed);
    }
    let same_branch = Sip { branch: sip.branch.clone(), ..Sip::register(ALICE, "three") };
    assert_eq!(answer(&mut proxy, &prove(&key, &same_branch, Some(NONCE))), replayed);
    // Another nonce: the same request is not new.
    let moved = Sip { branch: "z9hG4bK-moved".into(), ..Sip::register(ALICE, "one") };
    assert_eq!(answer(&mut proxy, &prove(&key, &moved, Some("fedcba9876543210"))), replayed);
    assert_eq!(answer(&mut proxy, &prove(&key, &moved, None)), replayed);
    // It is not accepted either when the nonce has become the end of the body.
    let with_body = Sip { body: NONCE.as_bytes().to_vec(), credentials: Vec::new(), ..moved };
    let pop = sip.credentials[1].split("pop=").nth(1).unwrap().to_owned();
    let split = Sip { credentials: vec![format!("Key-Derivation pop={pop}")], ..with_body };
    assert_eq!(answer(&mut proxy, &split), replayed);
    // Proofs alone.
    let alone = prove(&key, &Sip::of_method("MESSAGE", ALICE, "m"), None);
    assert_eq!(answer(&mut proxy, &alone), (200, Reason::Ok));
    assert_eq!(answer(&mut proxy, &alone), (200, Reason::Ok));
    assert_eq!(answer(&mut proxy, &Sip { branch: "z9hG4bK-y".into(), ..alone }), replayed);
}

#[test]
fn the_window_of_the_date() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "kd_iterations": 1000, "pop_window": 100 }));
    let key = account(&proxy).key;
    for (name, offset) in [("old", -101), ("future", 40)] {
        let sip = Sip::register(ALICE, name).dated(now() + offset);
        assert_eq!(answer(&mut proxy, &prove(&key, &sip, Some(NONCE))), (403, Reason::PopStale), "{name}");
        assert_eq!(answer(&mut proxy, &prove(&key, &sip, None)), (403, Reason::PopStale), "{name}");
    }
}

#[test]
fn users_who_do_not_exist_look_like_others() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    let key = account(&proxy).key;
    let known = challenge(&mut proxy, &Sip::register(ALICE, "a"));
    let unknown = challenge(&mut proxy, &Sip::register(BOB, "b"));
    let shape = |c: &KeyChallenge| {
        let p = &c.parameters;
        (p.kdf(), p.iterations(), p.key_size(), p.salt().len(), c.nonce.len(), c.realm.clone(), c.to_text().len())
    };
    assert_eq!(shape(&known), shape(&unknown));
    assert_ne!(known.parameters.salt(), unknown.parameters.salt());
    let again = challenge(&mut proxy, &Sip::register(BOB, "c"));
    assert_eq!(unknown.parameters, again.parameters, "a salt that changed with each challenge would tell");
    assert!(unknown.nonce != again.nonce && unknown.pop != again.pop);
    // Wrong answers differ in nothing, and a retransmission of one in nothing but its nonce.
    let wrong = MasterKey::from_octets(vec![7; 32]).unwrap();
    let refused = |proxy: &mut Proxy, aor: &str| {
        let sip = Sip::register(aor, "w");
        let response = KeyResponse::new("", None, Some(NONCE), &wrong, &sip.digest(b""));
        let sip = Sip { credentials: vec![response.to_text()], ..sip };
        let verdict = ask(proxy, &sip);
        (verdict.status, verdict.answer.reason(), verdict.answer.challenge.map(|c| c.parameters.iterations()))
    };
    assert_eq!(refused(&mut proxy, ALICE), (401, Reason::PopInvalid, Some(1000)));
    assert_eq!(refused(&mut proxy, ALICE), refused(&mut proxy, BOB));
    // The same after a restart.
    drop(proxy);
    let mut proxy = plant.proxy(&settings());
    assert_eq!(challenge(&mut proxy, &Sip::register(BOB, "d")).parameters, unknown.parameters);
    assert_eq!(challenge(&mut proxy, &Sip::register(ALICE, "d")).parameters, known.parameters);
    assert_eq!(answer(&mut proxy, &prove(&key, &Sip::register(ALICE, "e"), None)), (200, Reason::Ok));
    let removed = proxy.context.admin().remove_account(&Aor::parse(ALICE).unwrap());
    assert_eq!(removed, Ok(true));
    assert_eq!(answer(&mut proxy, &prove(&key, &Sip::register(ALICE, "f"), None)), (401, Reason::PopInvalid));
}

/// Shows what one can measure: run it with --nocapture. Time is not judged here, for machines differ.
#[test]
fn how_long_known_and_unknown_users_take() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "kd_iterations": 1000, "leeway": 600 }));
    account(&proxy);
    let wrong = MasterKey::from_octets(vec![7; 32]).unwrap();
    let mut times = [const { Vec::new() }; 4];
    for round in 0..2000 {
        for (user, aor) in [ALICE, BOB].into_iter().enumerate() {
            let plain = Sip::register(aor, &format!("t{round}"));
            let response = KeyResponse::new("", None, None, &wrong, &plain.digest(b"")).to_text();
            let refused = Sip { credentials: vec![response], ..plain.clone() };
            for (kind, sip) in [plain, refused].into_iter().enumerate() {
                let start = Instant::now();
                let verdict = ask(&mut proxy, &sip);
                times[kind * 2 + user].push(start.elapsed());
                assert_eq!(verdict.status, 401);
            }
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        let place = |part: usize| times[times.len() * part / 100];
        format!("{:?} (5%: {:?}, 95%: {:?})", place(50), place(5), place(95))
    };
    for (name, times) in
        ["challenge, known", "challenge, unknown", "wrong proof, known", "wrong proof, unknown"].iter().zip(&mut times)
    {
        println!("{name}: {}", median(times));
    }
}

#[test]
fn whose_account_it_is() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    let key = account(&proxy).key;
    let sip = Sip::register(ALICE, "one");
    let named = |username: &str, name: &str| {
        let sip = Sip::register(ALICE, name);
        let response = KeyResponse::new(username, None, None, &key, &sip.digest(b""));
        Sip { credentials: vec![response.to_text()], ..sip }
    };
    for (i, username) in ["alice", "alice@example.test", ALICE, "al%69ce", ""].into_iter().enumerate() {
        assert_eq!(answer(&mut proxy, &named(username, &format!("n{i}"))), (200, Reason::Ok), "{username}");
    }
    for username in ["bob", "alice@other.test", "Alice", "sip:bob@example.test"] {
        assert_eq!(answer(&mut proxy, &named(username, "x")), (403, Reason::AorMismatch), "{username}");
    }
    // A REGISTER for somebody else.
    let third = prove(&key, &Sip { from: BOB.into(), ..sip.clone() }, None);
    assert_eq!(answer(&mut proxy, &third), (403, Reason::ThirdPartyRegistration));
    // What can be neither proved nor challenged.
    assert_eq!(answer(&mut proxy, &Sip { date: String::new(), ..sip.clone() }), (400, Reason::DateMissing));
    assert_eq!(answer(&mut proxy, &Sip { contacts: 2, ..sip.clone() }), (400, Reason::PopMalformed));
    assert_eq!(answer(&mut proxy, &Sip { to: "tel:1".into(), ..sip.clone() }), (400, Reason::AorMissing));
    let twice = prove(&key, &sip, None);
    let twice = Sip { credentials: [twice.credentials.clone(), twice.credentials].concat(), ..sip };
    assert_eq!(answer(&mut proxy, &twice), (400, Reason::SeveralTokens));
}

#[test]
fn accounts_of_the_operators_own_database() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    let verifier = proxy.context.admin().derive_verifier(PASSWORD).unwrap();
    let line = verifier.to_text();
    let proved = prove(&verifier.key, &Sip::register(ALICE, "one"), Some(NONCE));
    let verdict = ask_about(&mut proxy, &proved, AccountSource::Given(&line));
    assert_eq!((verdict.status, verdict.answer.account.as_deref()), (200, Some(ALICE)));
    assert_eq!(answer(&mut proxy, &proved), (401, Reason::PopInvalid), "there is no such account in the store");
    for (account, wanted) in [("", (401, Reason::PopInvalid)), ("secret", (503, Reason::AccountMalformed))] {
        let verdict = ask_about(&mut proxy, &proved, AccountSource::Given(account));
        assert_eq!((verdict.status, verdict.answer.reason()), wanted, "{account}");
    }
}

/// A host looks users up by a part of the address as it is written. Two spellings of one address would show by equal
/// or different challenges whether there is such a user.
#[test]
fn a_given_account_has_one_spelling() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&settings());
    let line = proxy.context.admin().derive_verifier(PASSWORD).unwrap().to_text();
    for account in [line.as_str(), ""] {
        for address in ["sip:%61lice@example.test", "sip:alice@example.test:5061", "sips:alice@example.test"] {
            for (from, to) in [(address, address), (address, ALICE), (ALICE, address)] {
                let sip = Sip { from: from.into(), to: to.into(), ..Sip::register(ALICE, "one") };
                let verdict = ask_about(&mut proxy, &sip, AccountSource::Given(account));
                assert_eq!(verdict.answer.reason(), Reason::AorMismatch, "{from} {to}");
                assert!(verdict.answer.challenge.is_none());
            }
        }
        let plain = Sip { from: "SIP:alice@Example.TEST;x=y".into(), ..Sip::register(ALICE, "two") };
        let verdict = ask_about(&mut proxy, &plain, AccountSource::Given(account));
        assert_eq!(verdict.answer.reason(), Reason::NoCredentials);
    }
}

#[test]
fn a_redirect_is_for_those_who_sign_in_elsewhere() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "kd_iterations": 1000, "location": "302" }));
    assert_eq!(answer(&mut proxy, &Sip::register(ALICE, "one")), (401, Reason::NoCredentials));
}

#[test]
fn without_a_store_the_sentence_says_so() {
    let plant = Plant::new();
    let none = json!({ "store": null, "store_key": null, "store_size": null,
        "provider.client_id": null, "provider.client_secret": null });
    let mut proxy = plant.proxy(&none);
    assert_eq!(answer(&mut proxy, &Sip::register(ALICE, "one")), (503, Reason::KeyDerivationNotConfigured));
    assert!(proxy.log.text().contains("needs 'store'"), "{}", proxy.log.text());
    assert!(proxy.context.admin().list_accounts("", "").is_err());
}

/// A location service that knows users by name alone takes alice of another domain for the provider's alice.
#[test]
fn an_account_of_another_domain_is_no_user_of_the_providers() {
    const ELSEWHERE: &str = "sip:alice@elsewhere.test";
    let plant = Plant::new();
    for (more, expected) in [
        (json!({}), Reason::NoCredentials),
        (json!({ "location_ignores_domain": true }), Reason::DomainMismatch),
        (json!({ "location_ignores_domain": true, "allow": "shared_user_names" }), Reason::NoCredentials),
    ] {
        let mut all = settings();
        all["provider.domain"] = "example.test".into();
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let mut proxy = plant.proxy(&all);
        let verifier = account(&proxy);
        proxy
            .context
            .admin()
            .put_account(&Aor::parse(ELSEWHERE).expect("an address"), &verifier)
            .expect("a writable store");
        let other = Sip::register(ELSEWHERE, "other");
        assert_eq!(ask(&mut proxy, &other).answer.reason(), expected, "{more}");
        let line = verifier.to_text();
        let given = ask_about(&mut proxy, &Sip { call_id: "given".into(), ..other }, AccountSource::Given(&line));
        assert_eq!(given.answer.reason(), expected, "{more}");
        assert_eq!(ask(&mut proxy, &Sip::register(ALICE, "own")).answer.reason(), Reason::NoCredentials, "{more}");
    }
}

#[test]
fn accounts_are_listed_without_their_keys() {
    let plant = Plant::new();
    let proxy = plant.proxy(&settings());
    let verifier = account(&proxy);
    proxy.context.admin().put_account(&Aor::parse("sip:BOB@Example.test").unwrap(), &verifier).unwrap();
    let page = proxy.context.admin().list_accounts("", "").unwrap();
    let mut aors: Vec<_> = page.accounts.iter().map(|account| account.aor.as_str()).collect();
    aors.sort_unstable();
    assert_eq!(aors, ["sip:BOB@example.test", ALICE]);
    assert_eq!(proxy.context.admin().list_accounts("sip:alice@EXAMPLE.test", "").unwrap().accounts.len(), 1);
    assert_eq!(proxy.context.admin().list_accounts("sip:carol@example.test", "").unwrap().accounts.len(), 0);
    // The record is sealed: neither the key nor the verifier is in the store as it stands.
    let file = std::fs::read(plant.store().join("data.mdb")).unwrap();
    let there = |octets: &[u8]| file.windows(octets.len()).any(|window| window == octets);
    assert!(!there(verifier.key.octets()) && !there(verifier.to_text().as_bytes()) && !there(PASSWORD));
}

/// Proxies that share Redis and compare proofs.
pub fn cluster<const N: usize>(plant: &Plant, redis: &Redis) -> [Proxy; N] {
    let settings = json!({
        "kd_iterations": 1000,
        "store": format!("redis://127.0.0.1:{}/0", redis.port()),
        "store_password_file": plant.directory.write("redis-password", PASSWORD_OF_REDIS),
        "replay_scope": "cluster",
    });
    std::array::from_fn(|_| {
        let mut proxy = plant.proxy(&settings);
        // Once it hears of the others' changes it forgets what it had read before.
        proxy.run_for(Duration::from_millis(300));
        proxy
    })
}

#[test]
fn proxies_that_share_redis() {
    let redis = Redis::start(&[]);
    let plant = Plant::new();
    let [mut one, mut two, mut three, mut four] = cluster(&plant, &redis);
    let key = account(&one).key;
    let first = Sip::register(ALICE, "one");
    assert_eq!(answer(&mut one, &first), (401, Reason::NoCredentials), "{}", one.log.text());
    assert_eq!(challenge(&mut two, &first).parameters, challenge(&mut one, &first).parameters);
    assert_eq!(
        challenge(&mut two, &Sip::register(BOB, "b")).parameters,
        challenge(&mut one, &Sip::register(BOB, "b")).parameters
    );
    let sip = prove(&key, &Sip::register(ALICE, "two"), Some(NONCE));
    assert_eq!(answer(&mut one, &sip), (200, Reason::Ok), "{}", one.log.text());
    assert_eq!(answer(&mut one, &sip), (200, Reason::Ok));
    // Another proxy has not seen it, but the store has.
    assert_eq!(answer(&mut two, &Sip { branch: "z9hG4bK-other".into(), ..sip.clone() }), (403, Reason::PopReplayed));
    let reused = prove(&key, &Sip::register(ALICE, "three"), Some(NONCE));
    assert_eq!(answer(&mut two, &reused), (403, Reason::PopReplayed), "the nonce");
    // A proxy that knows nothing yet must fetch the account and compare at once.
    assert_eq!(answer(&mut three, &Sip { branch: "z9hG4bK-3".into(), ..sip }), (403, Reason::PopReplayed));
    let fresh = prove(&key, &Sip::register(ALICE, "four"), Some("another-nonce-0001"));
    assert_eq!(answer(&mut four, &fresh), (200, Reason::Ok));
    assert_eq!(answer(&mut one, &Sip { branch: "z9hG4bK-5".into(), ..fresh }), (403, Reason::PopReplayed));
    // A password that is changed elsewhere counts at once, or is asked about when the old one seems wrong.
    let new = two.context.admin().derive_verifier(b"another password").unwrap();
    two.context.admin().put_account(&Aor::parse(ALICE).unwrap(), &new).unwrap();
    assert_eq!(answer(&mut one, &prove(&new.key, &Sip::register(ALICE, "five"), None)), (200, Reason::Ok));
    assert_eq!(answer(&mut one, &prove(&key, &Sip::register(ALICE, "six"), None)), (401, Reason::PopInvalid));
}
