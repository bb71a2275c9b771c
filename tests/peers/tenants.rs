// SPDX-License-Identifier: MIT OR Apache-2.0

//! Servers that are their own kind: Entra's issuers and Graph tokens, Keycloak's two addresses.

use crate::plant::{self, Plant, key_set};
use crate::site::{AUDIENCE, Site, claims};
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery};
use crate::support::token::{self, TestKey};
use serde_json::json;
use sipoauth_core::reason::Reason;

const TENANT: &str = "8a5c7a4e-0000-4000-8000-1234567890ab";
const V1: &str = "https://sts.windows.net/{tenantid}/";
const V2: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

fn of(template: &str, tenant: &str) -> String {
    template.replace("{tenantid}", tenant)
}

#[test]
fn entra_v1_and_v2_issuers_of_the_listed_tenants() {
    let key = TestKey::rsa("k");
    let provider = json!({ "issuer": V2, "accepted_issuers": [V1], "tenants": [TENANT], "authz_server": "https://login.microsoftonline.com/common" });
    let mut site = Site::new(&[key.jwk()], &provider);
    let other = "00000000-0000-4000-8000-000000000000";
    for (iss, tid, expected) in [
        (of(V1, TENANT), json!(TENANT), Reason::Ok),
        (of(V2, TENANT), json!(TENANT), Reason::Ok),
        (of(V2, other), json!(other), Reason::IssuerUnknown),
        (of(V2, other), json!(TENANT), Reason::IssuerUnknown),
        (of(V2, TENANT), json!(other), Reason::IssuerUnknown),
        (of(V2, TENANT), json!(null), Reason::IssuerUnknown),
        (V2.to_owned(), json!("{tenantid}"), Reason::IssuerUnknown),
        (format!("{}x", of(V2, TENANT)), json!(TENANT), Reason::IssuerUnknown),
    ] {
        let token = key.token("RS256", &claims(&json!({ "iss": iss, "tid": tid })));
        assert_eq!(site.token(&token), expected, "{iss} {tid}");
    }
    let common = "https://login.microsoftonline.com/common";
    let refused = Site::refused(&json!({ "issuer": V2, "jwks_uri": common, "authz_server": common }));
    assert!(refused.contains("tenants: is missing"), "{refused}");
}

#[test]
fn entra_metadata_names_the_issuer_as_a_template() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let metadata = "/common/v2.0/.well-known/openid-configuration";
    let mut document = discovery(V2);
    document["jwks_uri"] = json!(server.url(JWKS));
    server.set(metadata, Answer::Json(document));
    let provider = json!({
        "issuer": V2, "tenants": [TENANT], "discovery_url": server.url(metadata), "authz_server": server.issuer(),
    });
    let mut plant = Plant::new(&provider, &json!({})).started();
    let token = |iss: String, tid| key.token("ES256", &claims(&json!({ "iss": iss, "tid": tid })));
    assert_eq!(plant.reason(&token(of(V2, TENANT), TENANT)), Reason::Ok);
    assert_eq!(plant.reason(&token(of(V2, "other"), "other")), Reason::IssuerUnknown);
}

#[test]
fn entra_a_graph_token_is_named_as_such() {
    let key = TestKey::rsa("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let header = json!({ "alg": "RS256", "kid": "k", "typ": "JWT", "nonce": "A7x" });
    // Graph signs over a header with the hash of the nonce: no one else can verify it.
    let token = TestKey::other_rsa("k").jws("RS256", &header, &claims(&json!({})));
    assert_eq!(site.token(&token), Reason::ForeignToken);
    assert!(Reason::ForeignToken.text().contains("Graph"));
}

#[test]
fn keycloak_internal_and_external_addresses_differ() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let issuer = "https://sso.example.test/realms/sip";
    let path = "/realms/sip/.well-known/openid-configuration";
    let mut document = discovery(issuer);
    document["jwks_uri"] = json!(server.url(JWKS));
    server.set(path, Answer::Json(document));
    let token = key.token("ES256", &token::claims(issuer, AUDIENCE, "alice", 300));
    for keys in [json!({ "discovery_url": server.url(path) }), json!({ "jwks_uri": server.url(JWKS) })] {
        let provider = crate::site::merged(&json!({ "issuer": issuer }), &keys);
        let mut plant = Plant::new(&provider, &json!({})).started();
        assert_eq!(plant.reason(&token), Reason::Ok, "{keys}");
        let inside = key.token("ES256", &token::claims(&server.issuer(), AUDIENCE, "alice", 300));
        assert_eq!(plant.reason(&inside), Reason::IssuerUnknown, "{keys}");
    }
}

#[test]
fn rfc_8414_metadata_of_an_issuer_with_a_path() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let issuer = server.url("/tenant/a");
    server.set(OPENID_CONFIGURATION, Answer::Html);
    let mut document = discovery(&issuer);
    document["jwks_uri"] = json!(server.url(JWKS));
    server.set("/.well-known/oauth-authorization-server/tenant/a", Answer::Json(document));
    let mut plant = Plant::new(&json!({ "issuer": issuer }), &json!({})).started();
    assert_eq!(plant.reason(&key.token("ES256", &token::claims(&issuer, AUDIENCE, "alice", 300))), Reason::Ok);
}

#[test]
fn several_issuers_never_share_keys() {
    let (ours, theirs) = (TestKey::p256("k"), TestKey::p256("k"));
    let (a, b) = (ScriptedServer::start(key_set(&[&ours])), ScriptedServer::start(key_set(&[&theirs])));
    let second = json!({ "name": "b", "issuer": b.issuer(), "audience": AUDIENCE, "aor": "sip:{sub}@b.test" });
    let first = json!({ "name": "a", "issuer": a.issuer(), "audience": AUDIENCE, "aor": "sip:{sub}@a.test" });
    let mut plant = Plant::new(&json!({}), &json!({ "provider": [first, second] })).started();
    assert_eq!(plant.reason(&plant::token(&a, &ours)), Reason::Ok);
    assert_eq!(plant.reason(&plant::token(&b, &theirs)), Reason::Ok);
    assert_eq!(plant.reason(&plant::token(&a, &theirs)), Reason::SignatureInvalid);
    assert_eq!(plant.reason(&plant::token(&b, &ours)), Reason::SignatureInvalid);
}

/// Whatever realm the script names: a provider's tokens are good for the domains that it serves.
#[test]
fn a_token_of_one_provider_is_not_good_for_the_domain_of_another() {
    let (ours, theirs) = (TestKey::p256("a"), TestKey::p256("b"));
    let (a, b) = (ScriptedServer::start(key_set(&[&ours])), ScriptedServer::start(key_set(&[&theirs])));
    let provider = |name: &str, server: &ScriptedServer| {
        let domains = format!("{name}.test");
        json!({ "name": name, "issuer": server.issuer(), "audience": AUDIENCE, "aor": "{sip}", "domains": domains })
    };
    let all = json!({ "provider": [provider("a", &a), provider("b", &b)] });
    let mut plant = Plant::new(&json!({}), &all).started();
    // Whoever may write claims at provider A may not become a user of B.
    let mut claims = token::claims(&a.issuer(), AUDIENCE, "alice", 300);
    claims["sip"] = json!(["sip:alice@a.test", "sip:alice@b.test"]);
    let token = ours.token("ES256", &claims);
    assert_eq!(plant.reason(&token), Reason::Ok);
    let header = format!("Bearer {token}");
    for (aor, expected) in [("sip:alice@a.test", Reason::Ok), ("sip:alice@b.test", Reason::DomainMismatch)] {
        for realm in ["a.test", "b.test", ""] {
            for method in ["REGISTER", "INVITE"] {
                let verdict = plant.site.request_in(realm, method, aor, aor, &[&header]);
                assert_eq!(verdict.answer.reason(), expected, "{realm} {method} {aor}");
            }
        }
    }
}
