// SPDX-License-Identifier: MIT OR Apache-2.0

//! The authorization server's certificate: a real provider over TLS, and every way to be the wrong one.

use crate::plant::Plant;
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::certificates::{Authority, Certificate};
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

fn server(certificate: Certificate) -> AuthorizationServer {
    AuthorizationServer::start_with(Options { tls: Some(certificate), ..Options::default() })
}

/// The answer to a good token, when keys must come from this server; and what was logged.
fn answer(server: &AuthorizationServer, globals: &Value) -> (Reason, String) {
    let provider = json!({
        "issuer": server.issuer(),
        "audience": AuthorizationServer::resource("es256"),
        "aor": "sip:{sub}@{domain}",
    });
    let mut plant = Plant::new(&provider, globals).started();
    let reason = plant.reason(&server.token("alice", "es256"));
    (reason, plant.site.log.text())
}

#[test]
fn flexisip_the_servers_certificate_is_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusted = json!({ "ca_file": authority.ca_file() });
    let good = server(authority.good());
    assert_eq!(answer(&good, &trusted).0, Reason::Ok);
    // The system's authorities know nothing of ours, and another authority is not ours.
    for globals in [json!({}), json!({ "ca_file": other.ca_file() }), json!({ "allow": "http" })] {
        let (reason, log) = answer(&good, &globals);
        assert_eq!(reason, Reason::ProviderUnreachable, "{globals}");
        assert!(log.contains("certificate"), "{log}");
    }
    let bad = [
        ("wrong name", authority.wrong_name()),
        ("expired", authority.expired()),
        ("self-signed", authority.self_signed()),
    ];
    for (kind, certificate) in bad {
        let (reason, log) = answer(&server(certificate), &trusted);
        assert_eq!(reason, Reason::ProviderUnreachable, "{kind}");
        assert!(log.contains("certificate"), "{kind}: {log}");
    }
}
