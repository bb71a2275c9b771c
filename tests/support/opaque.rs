// SPDX-License-Identifier: MIT OR Apache-2.0

//! A scripted authorization server that is asked about each token.

use super::scripted_server::{Answer, OPENID_CONFIGURATION, ScriptedServer, discovery, key_set};
use super::token::now;
use serde_json::json;
use std::time::Duration;

pub const INTROSPECTION: &str = "/introspection";

/// It says after a fifth of a second that a token is alice's.
pub fn server() -> ScriptedServer {
    let server = ScriptedServer::start(key_set(&[]));
    let mut document = discovery(&server.issuer());
    document["introspection_endpoint"] = json!(server.url(INTROSPECTION));
    server.set(OPENID_CONFIGURATION, Answer::Json(document));
    server.set(INTROSPECTION, active("alice", Duration::from_millis(200)));
    server
}

/// Tokens with "of-bob" are his, all others are this user's; those with "not-good" are nobody's.
pub fn active(user: &str, after: Duration) -> Answer {
    let user = user.to_owned();
    Answer::computed(move |asked| {
        let name = if asked.body.contains("of-bob") { "bob" } else { &user };
        let active = !asked.body.contains("not-good");
        let body = json!({"active": active, "sub": name, "aud": "sip", "scope": format!("for-{name}"),
            "sip": format!("sip:{name}@example.test"), "exp": now() + 300});
        Answer::Late(body, after)
    })
}

/// A provider line for it.
pub fn provider(server: &ScriptedServer) -> String {
    let issuer = server.issuer();
    format!(
        "name=test;issuer={issuer};audience=sip;aor={{sip}};domain=example.test;tokens=opaque;client_id=proxy;\
         client_secret=secret-of-the-proxy-here"
    )
}
