// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a session gives: methods and services by its stored scopes, numbers in every spelling, a bound for
//! registrations, and its token for application servers.

use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy};
use serde_json::json;
use sipoauth::worker::grants::{Demand, Withheld};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;

/// The tokens of this endpoint have the scopes "openid sip".
fn sign_in(plant: &Plant, proxy: &mut Proxy) -> Key {
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    sip.key(&code, &sip.reply_to_tag)
}

#[test]
fn its_stored_scopes_decide_about_methods() {
    let plant = Plant::new();
    let methods = json!(["INVITE=sip.call", "MESSAGE=sip openid", "REGISTER=sip"]);
    let mut proxy = plant.proxy(&json!({ "provider.method_scopes": methods, "provider.required_scopes": "sip" }));
    let key = sign_in(&plant, &mut proxy);
    for (i, (method, answer)) in [
        ("MESSAGE", (200, Reason::Ok)),
        ("INVITE", (401, Reason::InsufficientScope)),
        ("invite", (401, Reason::InsufficientScope)),
        ("OPTIONS", (200, Reason::Ok)),
        ("REGISTER", (200, Reason::Ok)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sip = Sip::of_method(method, ALICE, &format!("m{i}"));
        if method == "REGISTER" {
            sip = Sip::register(ALICE, "again");
        }
        let verdict = proxy.ask(&sip.prove_in_header(&key));
        assert_eq!((verdict.status, verdict.answer.reason()), answer, "{method}");
        let needed = if verdict.status == 401 { "sip sip.call" } else { "" };
        assert_eq!(verdict.needed_scope, needed, "{method}");
    }
}

#[test]
fn a_code_whose_scopes_allow_no_registration_makes_no_session() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.method_scopes": "REGISTER=sip.register" }));
    let code = plant.endpoint.code("alice");
    for _ in 0..2 {
        let verdict = proxy.ask(&Sip::with_code(ALICE, "one", &code));
        assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::InsufficientScope));
        assert_eq!(verdict.needed_scope, "sip.register");
        assert!(verdict.ticket.is_empty() && verdict.granted.is_none());
    }
    assert!(proxy.sessions("").is_empty() && plant.endpoint.exchanges() == 1);
}

#[test]
fn services_are_asked_for_after_the_check() {
    let plant = Plant::new();
    let mut proxy =
        plant.proxy(&json!({ "provider.services": ["chat=sip", "pstn=sip.pstn sip"], "scope_status": 403 }));
    let key = sign_in(&plant, &mut proxy);
    let mut verdict = proxy.ask(&Sip::of_method("MESSAGE", ALICE, "two").prove_in_header(&key));
    assert_eq!((verdict.services(), verdict.expires_limit()), ("chat", 0));
    assert!(proxy.worker.grants().require(&mut verdict, Demand::Service("pstn")));
    assert_eq!((verdict.status, verdict.answer.reason()), (403, Reason::InsufficientScope));
    assert_eq!(verdict.needed_scope, "sip.pstn sip");
    assert!(proxy.worker.grants().require(&mut verdict, Demand::Service("chat")));
    assert_eq!((verdict.status, verdict.answer.reason(), verdict.needed_scope.as_str()), (200, Reason::Ok, ""));
    assert!(proxy.worker.grants().require(&mut verdict, Demand::Service("fax")), "perhaps removed by a reload");
    assert_eq!((verdict.status, verdict.answer.reason()), (403, Reason::InsufficientScope));
    assert!(verdict.needed_scope.is_empty() && proxy.worker.grants().require(&mut verdict, Demand::Service("fax")));
    assert_eq!(proxy.log.text().matches("no provider has the service 'fax'").count(), 1, "{}", proxy.log.text());
    assert!(!proxy.worker.grants().require(&mut verdict, Demand::Service(" ")) && verdict.status == 403);
    let mut refused = proxy.ask(&Sip::of_method("MESSAGE", ALICE, "three"));
    assert!(!proxy.worker.grants().require(&mut refused, Demand::Scope("sip")), "nothing was accepted");
    assert_eq!(refused.answer.reason(), Reason::NoCredentials);
}

#[test]
fn a_number_has_one_session_in_every_spelling() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.e164": "49", "provider.aor": "{sip|e164}" }));
    let [plus, national, dashed, other] =
        ["+49301234567", "0301234567", "030-123-4567", "0301234568"].map(|user| format!("sip:{user}@example.test"));
    let code = plant.endpoint.code("0049301234567");
    let sip = Sip::with_code(&national, "one", &code);
    let verdict = proxy.sign_in(&sip);
    assert_eq!(verdict.answer.session.expect("a session").aor, plus);
    let key = sip.key(&code, &sip.reply_to_tag);
    for (i, address) in [&plus, &national, &dashed].into_iter().enumerate() {
        let sip = Sip::of_method("INVITE", address, &format!("i{i}")).prove_in_header(&key);
        assert_eq!(proxy.answer(&sip), (200, Reason::Ok), "{address}");
    }
    let sip = Sip::of_method("INVITE", &other, "other").prove_in_header(&key);
    assert_eq!(proxy.answer(&sip), (401, Reason::SessionUnknown));
}

#[test]
fn registrations_end_with_tokens_that_are_not_refreshed() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(100);
    let mut proxy = plant.proxy(&json!({ "session_lifetime": 5000 }));
    let limit = |proxy: &mut Proxy, name: &str| {
        let code = plant.endpoint.code("alice");
        let first = Sip::with_code(ALICE, name, &code);
        let limit = proxy.sign_in(&first).expires_limit();
        let key = first.key(&code, &first.reply_to_tag);
        let verdict = proxy.ask(&Sip::register(ALICE, &format!("{name}-again")).prove_in_body(&key));
        assert_eq!(verdict.answer.reason(), Reason::Ok);
        assert!(limit - verdict.expires_limit() <= 5, "{limit} {}", verdict.expires_limit());
        limit
    };
    let renewable = limit(&mut proxy, "one");
    assert!((4990..=5000).contains(&renewable), "the session's own end: {renewable}");
    plant.endpoint.give_no_refresh_tokens();
    let bound = limit(&mut proxy, "two");
    assert!((90..=100).contains(&bound), "{bound}");
    let mut free = plant.proxy(
        &json!({ "session_lifetime": 5000, "allow": "long_registrations", "store": plant.directory.file("other") }),
    );
    assert_eq!(limit(&mut free, "three"), 0);
}

#[test]
fn only_application_servers_get_its_token() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "application_servers": ["as.example.test"] }));
    let key = sign_in(&plant, &mut proxy);
    let verdict = proxy.ask(&Sip::of_method("MESSAGE", ALICE, "two").prove_in_header(&key));
    let token = proxy.worker.token_for(&verdict, "sip:bob@as.example.test").expect("the token");
    assert!(plant.endpoint.secrets().contains(&token) && token.starts_with("access-"), "not another one");
    for foreign in ["sip:as.example.test.evil.test", "sip:bob@evil.test", "", "sip:x@as.example.test;maddr=evil.test"] {
        assert_eq!(proxy.worker.token_for(&verdict, foreign), Err(Withheld::ForeignNextHop), "{foreign}");
    }
    // Nor does a question that was answered with no take it away.
    let mut asked = verdict.clone();
    assert!(
        proxy.worker.grants().require(&mut asked, Demand::Scope("sip.pstn")) && asked.answer.reason() != Reason::Ok
    );
    assert_eq!(proxy.worker.token_for(&asked, "sip:bob@as.example.test").as_ref(), Ok(&token));
    let refused = proxy.ask(&Sip::of_method("MESSAGE", ALICE, "three"));
    assert_eq!(proxy.worker.token_for(&refused, "sip:as.example.test"), Err(Withheld::NotAccepted));
    // Its session is ended in between: the tokens are gone.
    let ended = proxy.context.admin().revoke_sessions(ALICE, "").expect("a store");
    assert_eq!(ended.len(), 1);
    assert_eq!(proxy.worker.token_for(&verdict, "sip:as.example.test"), Err(Withheld::NotNow));
    assert!(!proxy.log.text().contains("access-"), "{}", proxy.log.text());
}
