// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever a proof covers cannot be changed: one change at a time, in the body and in the header.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::Plant;
use crate::support::token::now;
use serde_json::json;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::sip_date;

type Change = (&'static str, fn(&mut Sip), (u32, Reason));

const INVALID: (u32, Reason) = (401, Reason::PopInvalid);
const MALFORMED: (u32, Reason) = (400, Reason::PopMalformed);

const CHANGES: &[Change] = &[
    ("From's case", |s| s.from = "sip:alice@EXAMPLE.test".into(), INVALID),
    ("a parameter of From", |s| s.from.push_str(";x=1"), INVALID),
    ("To's case", |s| s.to = s.to.replace("example", "Example"), INVALID),
    ("Call-ID", |s| s.call_id.push('x'), INVALID),
    ("no Call-ID", |s| s.call_id.clear(), MALFORMED),
    ("CSeq number", |s| s.cseq = s.cseq.replacen(|c: char| c.is_ascii_digit(), "2", 1), INVALID),
    ("method in CSeq", |s| s.cseq = "1 NOTIFY".into(), MALFORMED),
    ("case of the method in CSeq", |s| s.cseq = s.cseq.to_lowercase(), MALFORMED),
    ("CSeq without method", |s| s.cseq = "1".into(), MALFORMED),
    ("no CSeq", |s| s.cseq.clear(), MALFORMED),
    ("Date", |s| s.date = sip_date::from_unix_seconds(now() + 60).expect("this era"), INVALID),
    ("no Date", |s| s.date.clear(), MALFORMED),
    ("an odd Date", |s| s.date = "today".into(), MALFORMED),
    ("Contact", |s| s.contact = s.contact.replace("5060", "5061"), INVALID),
    ("no Contact", |s| (s.contact, s.contacts) = (String::new(), 0), INVALID),
    ("a Contact without URI", |s| s.contact.clear(), MALFORMED),
    ("one more Contact", |s| s.contacts = 2, MALFORMED),
    ("* as Contact", |s| s.contact = "*".into(), INVALID),
    ("one octet more", |s| s.body.push(b'1'), INVALID),
    ("one octet less", |s| s.body.truncate(s.body.len() - 1), INVALID),
    ("one other octet", |s| *s.body.last_mut().expect("a body") ^= 1, INVALID),
];

#[test]
fn a_change_of_a_covered_part_is_found() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, "to-one");
    for (i, (what, change, wanted)) in CHANGES.iter().enumerate() {
        let mut in_body = Sip::register(ALICE, &format!("b{i}"));
        let covered = "grant_type=proof-of-possession&x=1";
        let pop = sipoauth_core::keys::pop::make_pop(&*key, &in_body.digest(covered.as_bytes()));
        let pop = sipoauth_core::keys::pop::pop_to_text(&pop);
        in_body = in_body.body(&format!("pop={pop}&{covered}"));
        let messages = [
            in_body,
            Sip::register(ALICE, &format!("h{i}")).body("x=1").prove_in_header(&key),
            Sip::of_method("MESSAGE", ALICE, &format!("m{i}")).body("text 1").prove_in_header(&key),
        ];
        for good in messages {
            let mut changed = good.clone();
            change(&mut changed);
            assert_eq!(proxy.answer(&changed), *wanted, "{what} of {changed:?}");
            assert_eq!(proxy.answer(&good), (200, Reason::Ok), "{what}: the unchanged message");
        }
    }
}

#[test]
fn the_order_of_the_bodys_parameters_counts() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, "to-one");
    let sip = Sip::register(ALICE, "p");
    let pop = sipoauth_core::keys::pop::make_pop(&*key, &sip.digest(b"grant_type=proof-of-possession&x=1&y=2"));
    let pop = sipoauth_core::keys::pop::pop_to_text(&pop);
    for (body, wanted) in [
        (format!("grant_type=proof-of-possession&y=2&x=1&pop={pop}"), INVALID),
        (format!("x=1&grant_type=proof-of-possession&y=2&pop={pop}"), INVALID),
        (format!("grant_type=proof_of_possession&x=1&y=2&pop={pop}"), INVALID),
        (format!("grant_type=proof-of-possession&x=%31&y=2&pop={pop}"), INVALID),
        (format!("grant_type=proof-of-possession&x=1&pop={pop}&pop={pop}"), (400, Reason::BodyMalformed)),
        (format!("grant_type=proof-of-possession&x=1&y=2&pop={}", &pop[1..]), MALFORMED),
        (format!("grant_type=proof-of-possession&x=1&pop={pop}&y=2"), (200, Reason::Ok)),
    ] {
        assert_eq!(proxy.answer(&sip.clone().body(&body)), wanted, "{body}");
    }
}

#[test]
fn a_proof_of_another_user_or_key_is_none() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let [alices, bobs] = ["alice", "bob"].map(|user| (plant.endpoint.code(user), format!("sip:{user}@example.test")));
    let keys = [&alices, &bobs].map(|(code, aor)| {
        let sip = Sip::with_code(aor, "one", code);
        proxy.sign_in(&sip);
        sip.key(code, "to-one")
    });
    assert_eq!(proxy.answer(&Sip::register(ALICE, "a").prove_in_body(&keys[1])), INVALID);
    assert_eq!(proxy.answer(&Sip::register(BOB, "b").prove_in_body(&keys[0])), INVALID);
    let third = Sip { from: BOB.into(), ..Sip::register(ALICE, "c") };
    assert_eq!(proxy.answer(&third.prove_in_body(&keys[0])), (403, Reason::ThirdPartyRegistration));
    let nobody = Sip::register("sip:nobody@example.test", "d");
    assert_eq!(proxy.answer(&nobody.prove_in_body(&keys[0])), (401, Reason::SessionUnknown));
}
