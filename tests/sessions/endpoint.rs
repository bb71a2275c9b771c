// SPDX-License-Identifier: MIT OR Apache-2.0

//! A token endpoint that knows its codes and refresh tokens, takes each of them once, and can be made to fail.

use crate::support::scripted_server::{Answer, Received, ScriptedServer, key_set};
use crate::support::token::{TestKey, encode, now};
use aws_lc_rs::rand;
use serde_json::{Value, json};
use sipoauth_core::text::form;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const CLIENT: &str = "sip-proxy";
pub const CLIENT_SECRET: &str = "the-client-secret-of-the-proxy";
pub const TOKEN: &str = "/token";
/// `grant_type` by which tokens from elsewhere are validated.
pub const VALIDATION: &str = "urn:example:sip-token";

pub struct Endpoint {
    pub server: ScriptedServer,
    state: Arc<Mutex<State>>,
}

struct State {
    key: TestKey,
    issuer: String,
    /// Who stands behind a code; a code that was taken is not here any more.
    codes: HashMap<String, Value>,
    /// Who stands behind a refresh token.
    refresh_tokens: HashMap<String, Value>,
    /// Everything that must stay secret.
    secrets: Vec<String>,
    /// Codes and refresh tokens that came twice, or that nobody has given out.
    misused: Vec<String>,
    exchanges: u64,
    refreshes: u64,
    lifetime: i64,
    refresh: bool,
    /// Who stands behind a token from elsewhere.
    foreign_tokens: HashMap<String, Value>,
    /// Further members of an answer to a code.
    more: Value,
    /// Instead of the right answer to codes, and to refresh tokens.
    code_answer: Option<Answer>,
    refresh_answer: Option<Answer>,
    /// The same for refresh tokens of this user.
    refresh_answer_of: Option<(String, Answer)>,
    /// The right answer to codes comes after this time.
    code_delay: Duration,
}

impl Endpoint {
    pub fn start() -> Endpoint {
        let key = TestKey::p256("first");
        let server = ScriptedServer::start(key_set(&[key.jwk()]));
        let state = Arc::new(Mutex::new(State {
            key,
            issuer: server.issuer(),
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            secrets: vec![CLIENT_SECRET.into()],
            misused: Vec::new(),
            exchanges: 0,
            refreshes: 0,
            lifetime: 3600,
            refresh: true,
            foreign_tokens: HashMap::new(),
            more: json!({}),
            code_answer: None,
            refresh_answer: None,
            refresh_answer_of: None,
            code_delay: Duration::ZERO,
        }));
        let answering = Arc::clone(&state);
        server.set(TOKEN, Answer::computed(move |request| lock(&answering).answer(request)));
        Endpoint { server, state }
    }

    /// The endpoint has this path from now on, and the old one answers 404.
    pub fn move_to(&self, path: &str) {
        let answering = Arc::clone(&self.state);
        self.server.set(path, Answer::computed(move |request| lock(&answering).answer(request)));
        self.server.set(TOKEN, Answer::Full(404, Vec::new(), b"404 page not found".to_vec()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The key set that its server gives.
    pub fn keys(&self) -> Value {
        key_set(&[self.state().key.jwk()])
    }

    /// A new code for this user.
    pub fn code(&self, user: &str) -> String {
        let code = random("code");
        self.add_code(&code, &[user]);
        code
    }

    /// A new code for someone who owns several addresses.
    pub fn code_of_many(&self, users: &[&str]) -> String {
        let code = random("code");
        self.add_code(&code, users);
        code
    }

    pub fn add_code(&self, code: &str, users: &[&str]) {
        let addresses: Vec<_> = users.iter().map(|user| format!("sip:{user}@example.test")).collect();
        let mut state = self.state();
        state.codes.insert(code.into(), json!({ "sub": users[0], "sip": addresses }));
        if code.len() > 12 {
            state.secrets.push(code.into());
        }
    }

    /// A token from elsewhere that is good for this user.
    pub fn foreign_token(&self, user: &str) -> String {
        self.foreign_token_of(user, user)
    }

    /// One that is good for this user, while the answer names its owner.
    pub fn foreign_token_of(&self, user: &str, owner: &str) -> String {
        let token = random("foreign");
        let mut state = self.state();
        let owner = json!({ "username": user, "sub": owner, "sip": format!("sip:{owner}@example.test") });
        state.foreign_tokens.insert(token.clone(), owner);
        state.secrets.push(token.clone());
        token
    }

    /// What answers to codes have beside tokens.
    pub fn add_to_answers(&self, more: Value) {
        self.state().more = more;
    }

    /// Codes are answered so from now on; None: rightly.
    pub fn answer_codes(&self, answer: impl Into<Option<Answer>>) {
        self.state().code_answer = answer.into();
    }

    /// Right answers to codes come after this time.
    pub fn delay_codes(&self, time: Duration) {
        self.state().code_delay = time;
    }

    pub fn answer_refreshes(&self, answer: impl Into<Option<Answer>>) {
        self.state().refresh_answer = answer.into();
    }

    /// Those of this user are.
    pub fn answer_refreshes_of(&self, user: &str, answer: Answer) {
        self.state().refresh_answer_of = Some((user.into(), answer));
    }

    /// Lifetime of access tokens in seconds.
    pub fn set_lifetime(&self, seconds: i64) {
        self.state().lifetime = seconds;
    }

    pub fn give_no_refresh_tokens(&self) {
        self.state().refresh = false;
    }

    /// Requests with a code, however they were answered.
    pub fn exchanges(&self) -> u64 {
        self.state().exchanges
    }

    /// Requests with a refresh token, however they were answered.
    pub fn refreshes(&self) -> u64 {
        self.state().refreshes
    }

    /// Codes and refresh tokens that came twice, or that nobody has given out.
    pub fn misused(&self) -> Vec<String> {
        self.state().misused.clone()
    }

    pub fn secrets(&self) -> Vec<String> {
        self.state().secrets.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while held")
}

/// 32 characters that nobody guesses, after a word that tells what they are.
pub fn random(what: &str) -> String {
    let mut octets = [0; 24];
    rand::fill(&mut octets).expect("randomness");
    format!("{what}-{}", encode(octets))
}

/// An error of RFC 6749 section 5.2.
pub fn refusal(status: u16, error: &str) -> Answer {
    Answer::Full(status, Vec::new(), json!({ "error": error }).to_string().into_bytes())
}

impl State {
    fn answer(&mut self, request: &Received) -> Answer {
        let form = form::parse(request.body.as_bytes()).expect("a form");
        let value = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_string());
        if value("grant_type").as_deref() == Some("refresh_token") {
            self.refreshes += 1;
            if let Some(answer) = &self.refresh_answer {
                return answer.clone();
            }
            let token = value("refresh_token").expect("a refresh token");
            if let Some((user, answer)) = &self.refresh_answer_of
                && self.refresh_tokens.get(&token).is_some_and(|known| known["sub"] == json!(user))
            {
                return answer.clone();
            }
            return match self.refresh_tokens.remove(&token) {
                Some(user) => self.issue(&user),
                None => self.refuse(token),
            };
        }
        self.exchanges += 1;
        if let Some(answer) = &self.code_answer {
            return answer.clone();
        }
        if value("grant_type").as_deref() == Some(VALIDATION) {
            let token = value("access_token").expect("a token");
            let user =
                self.foreign_tokens.get(&token).filter(|user| user["username"] == json!(value("username"))).cloned();
            return user.map_or_else(|| refusal(400, "invalid_grant"), |user| self.issue(&user));
        }
        if value("grant_type").as_deref() == Some("password") {
            let user = value("username").filter(|user| value("password") == Some(format!("{user}-password")));
            let user = user.map(|user| json!({ "sub": user, "sip": format!("sip:{user}@example.test") }));
            return user.map_or_else(|| refusal(400, "invalid_grant"), |user| self.issue(&user));
        }
        // Who is killed while it sends may send half a request.
        let Some(code) = value("code") else { return refusal(400, "invalid_request") };
        let answer = match self.codes.remove(&code) {
            Some(user) => self.issue(&user),
            None => return self.refuse(code),
        };
        match answer {
            Answer::Json(tokens) if !self.code_delay.is_zero() => Answer::Late(tokens, self.code_delay),
            answer => answer,
        }
    }

    fn refuse(&mut self, what: String) -> Answer {
        self.misused.push(what);
        refusal(400, "invalid_grant")
    }

    fn issue(&mut self, user: &Value) -> Answer {
        // The proxies have no leeway and look at the clock before they ask: a second may turn in between.
        let mut claims = json!({ "iss": self.issuer, "aud": CLIENT, "iat": now() - 60, "exp": now() + 300 });
        claims.as_object_mut().expect("an object").extend(user.as_object().expect("an object").clone());
        let id_token = self.key.jws("ES256", &json!({ "alg": "ES256", "kid": self.key.kid }), &claims);
        let mut answer = json!({
            "access_token": random("access"),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": "openid sip",
            "id_token": id_token,
        });
        let more = self.more.as_object().expect("an object").clone();
        answer.as_object_mut().expect("an object").extend(more);
        if self.refresh {
            let token = random("refresh");
            self.refresh_tokens.insert(token.clone(), user.clone());
            answer["refresh_token"] = json!(token);
        }
        let texts = ["access_token", "id_token", "refresh_token"].map(|name| answer[name].as_str().map(str::to_owned));
        self.secrets.extend(texts.into_iter().flatten());
        Answer::Json(answer)
    }
}
