// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bodies that are not right: each mistake has its answer, nothing is sent and nothing is stored.

use crate::phone::{ALICE, Sip};
use crate::plant::Plant;
use serde_json::json;
use sipoauth_core::reason::Reason;

const CODE: &str = "a-code-that-is-long-enough-0123456789";

#[test]
fn every_mistake_has_its_answer_and_leaves_nothing_behind() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = |rest: &str| format!("grant_type=authorization_code&code={CODE}{rest}");
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, wanted) in [
        ("", format!("code={CODE}"), (400, Reason::GrantMissing)),
        ("", format!("grant_type=&code={CODE}"), (400, Reason::GrantMissing)),
        (form, "grant_type=password&username=a".into(), (400, Reason::GrantUnsupported)),
        (form, "grant_type=Authorization_Code&code=x".into(), (400, Reason::GrantUnsupported)),
        (form, "grant_type=authorization_code".into(), (400, Reason::GrantIncomplete)),
        (form, "grant_type=authorization_code&code=".into(), (400, Reason::GrantIncomplete)),
        (form, "grant_type=proof-of-possession".into(), (400, Reason::GrantIncomplete)),
        (form, code(&format!("&code={CODE}")), (400, Reason::BodyMalformed)),
        (form, code("&co%64e=x"), (400, Reason::BodyMalformed)),
        (form, code("&state=1&state=2"), (400, Reason::BodyMalformed)),
        (form, code("&"), (400, Reason::BodyMalformed)),
        (form, code("\r\n"), (400, Reason::BodyMalformed)),
        (form, code("%"), (400, Reason::BodyMalformed)),
        (form, code("%zz"), (400, Reason::BodyMalformed)),
        (form, code("%ff"), (400, Reason::BodyMalformed)),
        (form, code("%00"), (400, Reason::BodyMalformed)),
        (form, "hello".into(), (400, Reason::BodyMalformed)),
        (form, code(&"&a=b".repeat(40)), (400, Reason::BodyMalformed)),
        (form, code(&"x".repeat(8193)), (400, Reason::BodyTooLarge)),
        (form, code(&format!("&x={}", "y".repeat(32_768))), (400, Reason::BodyTooLarge)),
        (form, code(&format!("&code_verifier={}", "y".repeat(129))), (400, Reason::BodyTooLarge)),
        (form, code(&format!("&redirect_uri={}", "y".repeat(1025))), (400, Reason::BodyTooLarge)),
        (form, format!("grant_type=proof-of-possession&pop={}", "a".repeat(65)), (400, Reason::BodyTooLarge)),
        (form, "grant_type=proof-of-possession&pop=abc".into(), (400, Reason::PopMalformed)),
        ("application/sdp", "v=0".into(), (415, Reason::BodyType)),
        ("application/json", code(""), (415, Reason::BodyType)),
        ("application/x-www-form-urlencoded2", code(""), (415, Reason::BodyType)),
        (form, String::new(), (401, Reason::NoCredentials)),
        ("application/sdp", String::new(), (401, Reason::NoCredentials)),
    ] {
        let sip = Sip { content_type: content_type.into(), ..Sip::register(ALICE, "one") }.body(&body);
        assert_eq!(proxy.answer(&sip), wanted, "{content_type} {}", &body[..body.len().min(200)]);
    }
    let mut sip = Sip::with_code(ALICE, "one", CODE);
    sip.body.extend_from_slice(b"&x=\xff");
    assert_eq!(proxy.answer(&sip), (400, Reason::BodyMalformed));
    assert_eq!(plant.endpoint.exchanges(), 0);
    for kind in ["a:", "c:", "t:", "l:"] {
        assert!(proxy.records(kind).is_empty(), "{kind}");
    }
}

#[test]
fn a_registration_that_can_make_no_key_sends_no_code() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let good = || Sip::with_code(ALICE, "one", CODE);
    for sip in [
        Sip { from_tag: String::new(), ..good() },
        Sip { call_id: String::new(), ..good() },
        Sip { call_id: "x".repeat(3000), ..good() },
        Sip { instance: "x".repeat(3000), ..good() },
    ] {
        assert_eq!(proxy.answer(&sip), (400, Reason::PopMalformed));
    }
    assert_eq!(proxy.answer(&Sip { to: "tel:+49301234".into(), ..good() }), (400, Reason::AorMissing));
    assert_eq!(plant.endpoint.exchanges(), 0);
    assert!(proxy.records("c:").is_empty());
}

#[test]
fn what_belongs_to_the_code_is_passed_on() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let rest = "&code_verifier=verifier-0123456789-0123456789-0123456789-01&redirect_uri=https%3A%2F%2Fphone.test%2Fcb";
    let sip = Sip::with_code(ALICE, "one", &format!("{code}{rest}&state=of-the-phone"));
    proxy.sign_in(&Sip { content_type: String::new(), ..sip });
    let body = plant.endpoint.server.last(crate::endpoint::TOKEN).expect("an exchange").body;
    assert!(rest[1..].split('&').all(|part| body.contains(part)) && !body.contains("state"), "{body}");
}

#[test]
fn bodies_beside_other_credentials() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let digest = vec!["Digest username=\"alice\"".to_owned()];
    let sdp = Sip { content_type: "application/sdp".into(), credentials: digest.clone(), ..Sip::register(ALICE, "a") };
    assert_eq!(proxy.answer(&sdp.body("v=0")), (401, Reason::NoCredentials));
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip { credentials: digest, ..Sip::with_code(ALICE, "one", &code) });
}
