// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens that are bound to a client certificate (RFC 8705), at a Kamailio that speaks TLS.

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::certificates::{Authority, Certificate};
use crate::support::ports;
use crate::support::scripted_server::{ScriptedServer, key_set};
use crate::support::sip::{Client, Reply};
use crate::support::tls_tunnel::TlsTunnel;
use crate::support::token::{self, TestKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::process::Command;

const ALICE: &str = "sip:alice@example.test";

fn thumbprint(certificate: &Certificate) -> String {
    let mut der = Command::new("openssl");
    der.args(["x509", "-outform", "DER", "-in"]).arg(&certificate.certificate);
    URL_SAFE_NO_PAD.encode(Sha256::digest(der.output().expect("openssl runs").stdout))
}

#[test]
fn a_bound_token_counts_over_the_connection_of_its_certificate() {
    let (key, authority) = (TestKey::p256("one"), Authority::new());
    let (alices, mallorys) = (authority.client("alice"), authority.client("mallory"));
    let (server, certificate) = (ScriptedServer::start(key_set(&[key.jwk()])), authority.good());
    let port = ports::free();
    let stack = Stack::new(
        configured("tests/e2e/client_certificate.cfg", &scripted_provider(&server))
            .define("TLS_PORT", port)
            .define_string("SERVER_CERTIFICATE", certificate.certificate.to_str().expect("UTF-8"))
            .define_string("SERVER_KEY", certificate.key.to_str().expect("UTF-8")),
    );
    stack.wait_for_keys();
    let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
    claims["sip"] = json!(ALICE);
    let plain = key.token("ES256", &claims);
    claims["cnf"] = json!({ "x5t#S256": thumbprint(&alices) });
    let bound = key.token("ES256", &claims);
    claims["cnf"] = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    let other = key.token("ES256", &claims);

    let register = |connect: fn(u16) -> Client, certificate: Option<&Certificate>, tokens: &[(&str, u16)]| {
        let tunnel = TlsTunnel::open(port, certificate);
        let mut phone = connect(tunnel.port());
        for (token, status) in tokens {
            let reply: Reply = stack.register(&mut phone, ALICE, token);
            assert_eq!(reply.status, *status, "{reply:?}");
            let challenge = reply.header("WWW-Authenticate").unwrap_or_default();
            assert_eq!(challenge.contains("invalid_token"), *status == 401, "{challenge}");
        }
    };
    for connect in [Client::tcp, Client::ws] {
        // Twice, so that the second one is a token that is known.
        let all = [(&*bound, 200), (&*bound, 200), (&*other, 401), (&*plain, 200), (&*bound, 200)];
        register(connect, Some(&alices), &all);
        register(connect, Some(&mallorys), &[(&bound, 401), (&plain, 200), (&bound, 401)]);
        register(connect, None, &[(&bound, 401), (&other, 401), (&plain, 200)]);
    }
    for mut phone in [stack.udp(), stack.tcp()] {
        assert_eq!(stack.register(&mut phone, ALICE, &bound).status, 401);
        assert_eq!(stack.register(&mut phone, ALICE, &plain).status, 200);
    }
    stack.finish();
}
