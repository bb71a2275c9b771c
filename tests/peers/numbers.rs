// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who owns a telephone number: the user whom a template with `|e164` names, and never a user whose name only looks
//! like it.

use crate::site::{Site, claims};
use crate::support::knows_nothing::KNOWS_NOTHING;
use crate::support::token::TestKey;
use serde_json::{Value, json};
use sipoauth_core::check::explain::{ExplainedUse, explain};
use sipoauth_core::reason::Reason;

const NUMBER: &str = "sip:+4930123456@example.test";

/// A site whose users have names and numbers, and its key.
fn site(changes: &Value) -> (Site, TestKey) {
    let key = TestKey::p256("k");
    let usual = json!({
        "aor": ["sip:{preferred_username}@{domain}", "sip:{phone_number|verified|e164}@{domain}"],
        "e164": "49",
    });
    let mut provider = crate::site::merged(&usual, changes);
    provider.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    (Site::new(&[key.jwk()], &provider), key)
}

/// What a token with these claims may do as this address, in each role that an address has.
fn used_as(site: &mut Site, key: &TestKey, changes: &Value, aor: &str) -> Reason {
    let header = format!("Bearer {}", key.token("ES256", &claims(changes)));
    let reasons: Vec<Reason> = ["REGISTER", "INVITE", "MESSAGE"]
        .iter()
        .map(|method| site.request_of(method, aor, aor, &[&header]).answer.reason())
        .collect();
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{changes} {aor} {reasons:?}");
    reasons[0]
}

/// Spellings of the number, each also as a name.
const SPELLINGS: [&str; 16] = [
    "030-123456",
    "0049.30.123456",
    "030123456",
    "+4930123456",
    "+49 30 123456",
    "+49-(30)-123456",
    "tel:+49-30-123456",
    "TEL:030123456",
    " 030123456 ",
    "%2B4930123456",
    "%252B4930123456",
    "%2b49%2030%20123456",
    "030%2D123456",
    "+4930123456;ext=7",
    "030123456;phone-context=+49",
    "030\t123456",
];

#[test]
fn a_user_who_is_called_like_a_number_does_not_own_it() {
    let (mut site, key) = site(&json!({}));
    for name in SPELLINGS {
        let named = json!({ "preferred_username": name });
        for aor in [NUMBER, "sip:030123456@example.test", "sip:%2B4930123456@example.test"] {
            let reason = used_as(&mut site, &key, &named, aor);
            assert_eq!(reason, Reason::IdentityMissing, "{name} as {aor}");
        }
    }
    let short = json!({ "preferred_username": "012345" });
    assert_eq!(used_as(&mut site, &key, &short, "sip:+4912345@example.test"), Reason::IdentityMissing);
}

#[test]
fn names_that_are_no_numbers_stay_names() {
    let (mut site, key) = site(&json!({}));
    for name in ["alice", "0123", "77", "030x123456", "4930123456", "alice-030123456", "anna+4930", "+", "00"] {
        let aor = format!("sip:{name}@example.test");
        assert_eq!(used_as(&mut site, &key, &json!({ "preferred_username": name }), &aor), Reason::Ok, "{name}");
    }
}

#[test]
fn a_verified_number_is_its_owners_in_every_spelling() {
    let (mut site, key) = site(&json!({}));
    let owner = json!({ "phone_number": "+49 30 123456", "phone_number_verified": true });
    for user in ["+4930123456", "030123456", "0049-30-123456", "030-123456", "%2B4930123456", "030%2D123%2e456"] {
        let aor = format!("sip:{user}@example.test");
        assert_eq!(used_as(&mut site, &key, &owner, &aor), Reason::Ok, "{user}");
    }
    assert_eq!(used_as(&mut site, &key, &owner, "sip:alice@example.test"), Reason::Ok, "his name beside it");
    assert_eq!(used_as(&mut site, &key, &owner, "sip:+4930123457@example.test"), Reason::AorMismatch);
}

#[test]
fn a_number_that_nobody_has_verified_is_nobodys() {
    let (mut site, key) = site(&json!({}));
    for verified in [json!(null), json!(false), json!("false"), json!("no"), json!(1), json!([true]), json!({})] {
        let claims = json!({ "phone_number": "+4930123456", "phone_number_verified": verified });
        assert_eq!(used_as(&mut site, &key, &claims, NUMBER), Reason::AorMismatch, "{verified}");
        assert_eq!(used_as(&mut site, &key, &claims, "sip:alice@example.test"), Reason::Ok, "{verified}");
    }
    // Some servers write it as text.
    let claims = json!({ "phone_number": "+4930123456", "phone_number_verified": "true" });
    assert_eq!(used_as(&mut site, &key, &claims, NUMBER), Reason::Ok);
    let (mut site, key) = self::site(&json!({ "aor": "sip:{contact.phone|verified|e164}@{domain}" }));
    for (verified, expected) in [(true, Reason::Ok), (false, Reason::IdentityMissing)] {
        let claims = json!({ "contact": { "phone": "030123456", "phone_verified": verified }, "phone_verified": true });
        assert_eq!(used_as(&mut site, &key, &claims, NUMBER), expected);
    }
}

#[test]
fn no_template_without_the_filter_makes_a_number() {
    for (template, claim) in [
        ("{sip}", json!(NUMBER)),
        ("{sip}", json!(["sip:030123456@example.test", "sips:030-123456@example.test"])),
        ("{sip}", json!("sip:%2B4930123456@example.test;user=phone")),
        ("sip:{sip}", json!("030123456@example.test")),
        ("sip:+49{sip}@{domain}", json!("30123456")),
        ("sip:0{sip}@{domain}", json!("30123456")),
        ("sip:{sip|lower}@{domain}", json!("+4930123456")),
        ("sip:{sip|local}@{domain}", json!("030123456@example.test")),
        ("sip:{short|e164}{sip}@{domain}", json!("6")),
        ("sip:{sip}@{host}", json!("030123456")),
    ] {
        let (mut site, key) = site(&json!({ "aor": template }));
        let claims = json!({ "sip": claim, "short": "+493012345", "host": "example.test" });
        assert_eq!(used_as(&mut site, &key, &claims, NUMBER), Reason::IdentityMissing, "{template} {claim}");
    }
}

#[test]
fn a_whole_address_may_have_a_number_where_the_filter_says_so() {
    for (template, claim) in [
        ("{sip|e164}", "sip:030-123456@example.test"),
        ("{sip|e164}", "sip:+4930123456@Example.test;user=phone"),
        ("sip:{sip|e164}", "0049 30 123456@example.test"),
        ("sip:{sip|e164}@{host}", "030123456"),
    ] {
        let (mut site, key) = site(&json!({ "aor": template }));
        let claims = json!({ "sip": claim, "host": "example.test" });
        assert_eq!(used_as(&mut site, &key, &claims, NUMBER), Reason::Ok, "{template} {claim}");
        let claims = json!({ "sip": "sip:alice@example.test", "host": "example.test" });
        assert_eq!(used_as(&mut site, &key, &claims, "sip:alice@example.test"), Reason::IdentityMissing, "{template}");
    }
}

#[test]
fn without_a_plan_texts_are_what_they_are() {
    let (mut site, key) = site(&json!({ "aor": "sip:{preferred_username}@{domain}", "e164": null }));
    let named = json!({ "preferred_username": "030123456" });
    assert_eq!(used_as(&mut site, &key, &named, "sip:030123456@example.test"), Reason::Ok);
    assert_eq!(used_as(&mut site, &key, &named, NUMBER), Reason::AorMismatch);
}

#[test]
fn explain_names_what_is_dropped() {
    let (site, key) = site(&json!({}));
    let token = key.token("ES256", &claims(&json!({ "preferred_username": "030-123456" })));
    let policy = &site.worker.placed().policy;
    let steps = explain(policy, KNOWS_NOTHING, &token, ExplainedUse::default(), crate::support::token::now());
    let address = steps.iter().find(|step| step.rule == "address").expect("the step");
    for word in ["sip:030-123456@example.test", "reads as a telephone number", "|e164", "no address"] {
        assert!(address.detail.contains(word), "{word}: {}", address.detail);
    }
}
