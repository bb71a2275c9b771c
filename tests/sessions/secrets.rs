// SPDX-License-Identifier: MIT OR Apache-2.0

//! No secret is readable in the store's files or in the log, whatever happened.

use crate::endpoint::refusal;
use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, STORE_KEY};
use crate::support::scripted_server::Answer;
use crate::support::token::encode;
use serde_json::json;
use std::fs;
use std::time::Duration;

#[test]
fn neither_files_nor_log_hold_a_secret() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(2);
    let mut proxy = plant.proxy(&json!({ "allow": "pop_reuse" }));
    let verifier = "the-verifier-of-the-phone-0123456789-0123456789";
    let mut octets: Vec<Vec<u8>> = vec![verifier.into(), STORE_KEY.into()];
    for name in ["one", "two", "three"] {
        let code = plant.endpoint.code("alice");
        let sip = Sip::with_code(ALICE, name, &format!("{code}&code_verifier={verifier}")).instance(name);
        let ticket = proxy.sign_in(&sip).ticket;
        assert!(!ticket.contains(&code), "{ticket}");
        let key = sip.key(&code, &sip.reply_to_tag);
        octets.extend([key.to_vec(), encode(*key).into_bytes()]);
        let proof = Sip::register(ALICE, &format!("p-{name}")).instance(name).prove_in_body(&key);
        assert_eq!(proxy.answer(&proof).0, 200);
        proxy.ask(&Sip { branch: "z9hG4bK-replayed".into(), ..proof });
    }
    for (i, answer) in [
        refusal(400, "invalid_grant"),
        refusal(401, "invalid_client"),
        Answer::computed(|request| Answer::Full(400, Vec::new(), request.body.clone().into_bytes())),
        Answer::computed(|request| {
            let echo = json!({ "error": "invalid_grant", "error_description": request.body });
            Answer::Full(400, Vec::new(), echo.to_string().into_bytes())
        }),
        Answer::Html,
        Answer::Garbage,
        Answer::Status(500),
    ]
    .into_iter()
    .enumerate()
    {
        plant.endpoint.answer_codes(answer.clone());
        plant.endpoint.answer_refreshes((i > 1).then_some(answer));
        let code = plant.endpoint.code("alice");
        proxy.ask(&Sip::with_code(ALICE, "bad", &format!("{code}&code_verifier={verifier}")));
        proxy.run_for(Duration::from_millis(300));
    }
    octets.extend(plant.endpoint.secrets().into_iter().map(String::into_bytes));
    assert!(octets.len() > 20);
    let log = proxy.log.text();
    drop(proxy);
    let mut places = vec![("the log".to_owned(), log.into_bytes())];
    for entry in fs::read_dir(plant.store()).expect("a folder") {
        let path = entry.expect("an entry").path();
        places.push((path.display().to_string(), fs::read(&path).expect("a file")));
    }
    assert!(places.iter().any(|(_, content)| content.len() > 16 * 1024), "there is a store");
    for (place, content) in &places {
        for secret in &octets {
            let found = content.windows(secret.len()).any(|window| window == secret.as_slice());
            assert!(!found, "{place} holds {}", String::from_utf8_lossy(secret));
        }
        assert!(!content.windows(14).any(|window| window == b"alice@example.") || place == "the log", "{place}");
    }
}
