// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is an ID token, though it has neither a nonce nor a hash: it is meant for a client, not for this service.

use crate::site::{Site, claims};
use crate::support::token::TestKey;
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

const API: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";
const CLIENT: &str = "99998888-aaaa-2222-bbbb-3333cccc4444";

fn judged(provider: &Value, cases: &[(Value, Reason)]) {
    let key = TestKey::p256("k");
    let usual = json!({ "audience": [API, "api://sip", "sip"] });
    let mut site = Site::new(&[key.jwk()], &crate::site::merged(&usual, provider));
    let bare = json!({ "scope": null, "client_id": null, "azp": null, "nonce": null, "aud": API });
    for (changes, expected) in cases {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" });
        let token = key.jws("ES256", &header, &claims(&crate::site::merged(&bare, changes)));
        assert_eq!(site.token(&token), *expected, "{changes}");
    }
}

#[test]
fn roles_alone_make_no_access_token_of_a_token_for_a_client() {
    let roles = |more: Value| crate::site::merged(&json!({ "roles": ["phone"] }), &more);
    judged(
        &json!({}),
        &[
            (roles(json!({})), Reason::IdToken),
            (roles(json!({ "aud": "sip" })), Reason::IdToken),
            (roles(json!({ "azp": API })), Reason::IdToken),
            (roles(json!({ "aud": [API, "api://sip"], "azp": API })), Reason::IdToken),
            (roles(json!({ "scp": "" })), Reason::IdToken),
            (roles(json!({ "scope": " " })), Reason::IdToken),
            (roles(json!({ "groups": ["g"] })), Reason::IdToken),
            (json!({ "groups": ["g"] }), Reason::IdToken),
            (json!({ "azp": CLIENT }), Reason::IdToken),
            (json!({ "scp": "" }), Reason::IdToken),
            (json!({ "scope": [] }), Reason::IdToken),
            (json!({ "client_id": CLIENT, "token_use": "id" }), Reason::IdToken),
            // What is an access token stays one: for a resource, issued to a client that is another one, or with scopes.
            (roles(json!({ "aud": "api://sip" })), Reason::Ok),
            (roles(json!({ "azp": CLIENT })), Reason::Ok),
            (roles(json!({ "appid": CLIENT })), Reason::Ok),
            (roles(json!({ "scp": "sip.access" })), Reason::Ok),
            (json!({ "client_id": CLIENT, "token_use": "access" }), Reason::Ok),
            (json!({ "gty": "client-credentials" }), Reason::Ok),
        ],
    );
    judged(
        &json!({ "clients": ["api://sip", CLIENT] }),
        &[(roles(json!({ "aud": "api://sip", "azp": CLIENT })), Reason::IdToken)],
    );
    judged(&json!({ "accept_id_tokens": true }), &[(roles(json!({})), Reason::Ok)]);
}

#[test]
fn a_type_that_says_so_makes_an_access_token() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({ "audience": API }));
    let bare = json!({ "scope": null, "client_id": null, "azp": null, "aud": API, "roles": ["phone"] });
    for (typ, expected) in [("at+jwt", Reason::Ok), ("JWT", Reason::IdToken)] {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": typ });
        assert_eq!(site.token(&key.jws("ES256", &header, &claims(&bare))), expected, "{typ}");
    }
}
