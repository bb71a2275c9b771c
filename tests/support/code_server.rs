// SPDX-License-Identifier: MIT OR Apache-2.0

//! A token endpoint that takes any code of the form `PREFIX<user>-<anything>` and says that this user has signed in:
//! for tests that need more codes than login pages can give.

use super::scripted_server::{Answer, JWKS, OAUTH_METADATA, OPENID_CONFIGURATION, Received, ScriptedServer, key_set};
use super::sip::unique;
use super::token::{TestKey, encode, now};
use serde_json::{Value, json};
use sipoauth_core::text::form;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub const CLIENT: &str = "sip-proxy";
pub const CLIENT_SECRET: &str = "secret-of-the-proxy-at-the-code-server";
/// Every code begins so, and each token with the one after it: what to look for where none may be.
pub const CODES: &str = "authorization-code-of-";
pub const ACCESS_TOKENS: &str = "access-token-of-the-code-server-";
pub const REFRESH_TOKENS: &str = "refresh-token-of-the-code-server-";
const TOKEN: &str = "/token";
const LIFETIME: i64 = 7200;

type Asked = Arc<Mutex<HashMap<String, u32>>>;

pub struct CodeServer {
    server: ScriptedServer,
    asked: Asked,
}

impl CodeServer {
    pub fn start() -> Self {
        let key = TestKey::p256("codes");
        let server = ScriptedServer::start(key_set(&[key.jwk()]));
        let (issuer, asked) = (server.issuer(), Asked::default());
        let counts = Arc::clone(&asked);
        let answer = move |request: &Received| exchange(&key, &issuer, &counts, request);
        server.set(TOKEN, Answer::computed(answer));
        Self { server, asked }
    }

    /// A provider line for this server.
    pub fn provider(&self) -> String {
        let issuer = self.server.issuer();
        format!(
            "name=test;issuer={issuer};audience=sip;aor={{sip}};domain=example.test;\
             client_id={CLIENT};client_secret={CLIENT_SECRET}"
        )
    }

    /// A code that nobody has seen, in the form of a finished login.
    pub fn code(&self, user: &str) -> Value {
        json!({ "code": format!("{CODES}{user}-{}", unique("n")) })
    }

    /// How often each code came.
    pub fn asked(&self) -> HashMap<String, u32> {
        self.asked.lock().expect("no panic while held").clone()
    }

    /// All requests of any kind.
    pub fn contacts(&self) -> u64 {
        [TOKEN, JWKS, OPENID_CONFIGURATION, OAUTH_METADATA].iter().map(|path| self.server.count(path)).sum()
    }
}

fn exchange(key: &TestKey, issuer: &str, asked: &Asked, request: &Received) -> Answer {
    let pairs = form::parse(request.body.as_bytes()).unwrap_or_default();
    let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| &**v);
    let code = value("code");
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    if length != Some(request.body.len()) {
        return Answer::Status(400); // whoever sent it has died on the way
    }
    let again = {
        let mut asked = asked.lock().expect("no panic while held");
        let count = asked.entry(code.to_owned()).or_default();
        *count += 1;
        *count > 1
    };
    let user = code.strip_prefix(CODES).and_then(|rest| rest.split('-').next());
    let Some(user) = user.filter(|_| !again && value("grant_type") == "authorization_code") else {
        return Answer::Full(400, vec![], br#"{"error":"invalid_grant"}"#.to_vec());
    };
    let claims = json!({
        "iss": issuer,
        "aud": CLIENT,
        "sub": user,
        "sip": format!("sip:{user}@example.test"),
        "iat": now(),
        "exp": now() + LIFETIME,
    });
    let token = |kind: &str| format!("{kind}{}", encode(user));
    Answer::Json(json!({
        "token_type": "Bearer",
        "expires_in": LIFETIME,
        "scope": "openid sip",
        "access_token": token(ACCESS_TOKENS),
        "refresh_token": token(REFRESH_TOKENS),
        "id_token": key.jws("ES256", &json!({ "alg": "ES256", "kid": key.kid }), &claims),
    }))
}
