// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sessions over a reload: they stay, and the proxy's own client follows its files.

use crate::endpoint::TOKEN;
use crate::phone::{ALICE, Sip};
use crate::plant::Plant;
use crate::support::scripted_server::{Answer, JWKS};
use base64::Engine as _;
use serde_json::json;
use sipoauth_core::reason::Reason;

#[test]
fn sessions_stay_and_a_new_client_secret_is_used() {
    let plant = Plant::new();
    let secret = plant.directory.write("client-secret", "the-first-secret-of-the-client\n");
    let settings = json!({ "provider.client_secret": null, "provider.client_secret_file": secret });
    let mut proxy = plant.proxy(&settings);
    let used = |plant: &Plant| {
        let request = plant.endpoint.server.last(TOKEN).expect("a code was sent");
        let basic =
            request.header("authorization").and_then(|v| v.strip_prefix("Basic ")).expect("client_secret_basic");
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).expect("base64")).expect("text")
    };
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, &sip.reply_to_tag);
    assert!(used(&plant).ends_with(":the-first-secret-of-the-client"), "{}", used(&plant));

    let session = proxy.sessions(ALICE)[0].session.id;
    plant.directory.write("client-secret", "the-second-secret-of-the-client\n");
    proxy.context.admin().reload().expect("a good configuration");
    assert_eq!(proxy.answer(&Sip::register(ALICE, "p").prove_in_body(&key)), (200, Reason::Ok));
    assert_eq!(proxy.sessions(ALICE)[0].session.id, session);

    // A bad configuration costs no session either.
    std::fs::remove_file(&secret).expect("ours");
    let error = proxy.context.admin().reload().expect_err("the secret is gone").0;
    assert!(error.contains("client_secret_file: cannot read") && error.contains("client-secret"), "{error}");
    assert_eq!(proxy.answer(&Sip::register(ALICE, "q").prove_in_body(&key)), (200, Reason::Ok));

    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip::with_code(ALICE, "two", &code));
    assert!(used(&plant).ends_with(":the-second-secret-of-the-client"), "{}", used(&plant));
}

/// The keys of a provider with opaque tokens are fetched when an ID token needs them.
#[test]
fn keys_that_are_needed_now_and_then_stay_over_a_reload_and_come_soon_after_a_failure() {
    let plant = Plant::new();
    let server = &plant.endpoint.server;
    let introspection = server.url("/introspect");
    let settings =
        json!({ "key_cooldown": 3600, "provider.tokens": "opaque", "provider.introspection_endpoint": introspection });
    let mut proxy = plant.proxy(&settings);

    server.set(JWKS, Answer::Status(404));
    let code = plant.endpoint.code("alice");
    assert_eq!(proxy.reason(&Sip::with_code(ALICE, "away", &code)), Reason::CodeInDoubt);
    assert!(proxy.log.text().contains("/jwks: HTTP status 404"), "the true reason: {}", proxy.log.text());

    server.set_keys(plant.endpoint.keys());
    let mut number = 0;
    proxy.until("the keys are fetched long before key_cooldown has passed", |proxy| {
        number += 1;
        let code = plant.endpoint.code("alice");
        proxy.reason(&Sip::with_code(ALICE, &format!("again-{number}"), &code)) == Reason::Ok
    });

    server.set(JWKS, Answer::Status(500));
    proxy.context.admin().reload().expect("a good configuration");
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip::with_code(ALICE, "after", &code));
}
