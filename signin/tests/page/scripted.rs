// SPDX-License-Identifier: MIT OR Apache-2.0

//! An authorization server that answers as told: what an honest one would never do.

use serde_json::{Value, json};

use crate::browser::{Browser, parameter};
use crate::site::Site;
use crate::support::http::Answer as Page;
use crate::support::scripted_server::{Answer, ScriptedServer, key_set};
use crate::support::token::{TestKey, now};

pub struct Server {
    pub http: ScriptedServer,
    pub key: TestKey,
}

impl Server {
    pub fn start() -> Server {
        let key = TestKey::ed25519("k");
        Server { http: ScriptedServer::start(key_set(&[key.jwk()])), key }
    }

    /// The claims of an ID token for this nonce.
    pub fn claims(&self, user: &str, nonce: &str) -> Value {
        json!({
            "iss": self.http.issuer(), "aud": "sip-page", "sub": user, "sip": format!("sip:{user}@example.test"),
            "sid": format!("sid-{user}"), "nonce": nonce, "iat": now(), "exp": now() + 300,
        })
    }

    /// From now on every code gives an ID token with these claims.
    pub fn grant(&self, claims: &Value) {
        self.http.set(
            "/token",
            Answer::Json(json!({
                "access_token": "opaque-access-token", "token_type": "Bearer", "expires_in": 300,
                "refresh_token": "opaque-refresh-token", "scope": "openid sip",
                "id_token": self.key.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k" }), claims),
            })),
        );
    }

    /// A logout token with these changes.
    pub fn logout_token(&self, user: &str, jti: &str, change: &Value) -> String {
        let mut claims = json!({
            "iss": self.http.issuer(), "aud": "sip-page", "iat": now(), "exp": now() + 120, "jti": jti, "sub": user,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.key.jws("EdDSA", &json!({ "alg": "EdDSA", "kid": "k", "typ": "logout+jwt" }), &claims)
    }
}

/// Begins a sign-in; the address to which the browser is sent.
pub fn begin(browser: &mut Browser, site: &Site, provider: &str) -> String {
    let answer = browser.get(&site.at(&format!("/sign-in/{provider}")));
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.header("Location").expect("a redirect").to_owned()
}

/// Comes back with an answer.
pub fn come_back(browser: &mut Browser, site: &Site, provider: &str, query: &str) -> Page {
    browser.get(&site.at(&format!("/signed-in/{provider}?{query}")))
}

/// The whole sign-in of a user at such a server.
pub fn sign_in(server: &Server, browser: &mut Browser, site: &Site, user: &str) -> Page {
    let url = begin(browser, site, "corp");
    server.grant(&server.claims(user, &parameter(&url, "nonce").expect("a nonce")));
    let state = parameter(&url, "state").expect("a state");
    let answer = come_back(browser, site, "corp", &format!("code=c&state={state}"));
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer
}
