// SPDX-License-Identifier: MIT OR Apache-2.0
//! The authorization server of the benches: keys, tokens for codes, and introspection, as slow as it is told to be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use sipoauth_core::text::form;

use super::keys::{Keys, now};
use super::{AUDIENCE, address};

/// The proxy's client.
pub const CLIENT: &str = "sip-proxy";
/// Codes are this and the user's number, a dash, and anything.
pub const CODE: &str = "code-of-user-";
/// What is behind the dash of a code for a browser, before the nonce.
pub const NONCE: &str = "nonce-";
/// Opaque tokens are this and the user's number, a dash, and anything.
pub const TOKEN: &str = "opaque-";
/// How long the server takes for each answer.
pub const DELAY: Duration = Duration::from_millis(50);
/// Longest request body.
const MAX_BODY: usize = 16 * 1024;

/// What is shared with its threads.
pub struct Server {
    keys: Keys,
    port: u16,
    /// Milliseconds before each answer about a token or a code.
    delay: AtomicU64,
    /// Answers about tokens.
    introspections: AtomicU64,
}

impl Server {
    /// Starts it on a port of its own, with a thread for each connection.
    pub fn start() -> Result<Arc<Server>, String> {
        let fail = |e: std::io::Error| format!("no HTTP server on loopback: {e}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let keys = Keys::new(format!("http://127.0.0.1:{port}"))?;
        let server = Arc::new(Server { keys, port, delay: AtomicU64::new(0), introspections: AtomicU64::new(0) });
        let shared = Arc::clone(&server);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&shared);
                // Without a thread the connection is closed, and whoever asked hears of it.
                let _ = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || server.serve(stream));
            }
        };
        std::thread::Builder::new().name("accept".into()).spawn(accept).map_err(fail)?;
        Ok(server)
    }

    /// Its keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The address of one of its resources.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How long an answer about a token or a code takes from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.delay.store(delay.as_millis() as u64, Relaxed);
    }

    /// How many answers about tokens it has given.
    pub fn introspections(&self) -> u64 {
        self.introspections.load(Relaxed)
    }

    fn take_time(&self) {
        let delay = self.delay.load(Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
        }
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (path, body, last) = read_request(&mut reader)?;
            let (status, answer) = self.answer(&path, &body);
            let connection = if last { "close" } else { "keep-alive" };
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: {connection}\r\n\
                 Content-Length: {}\r\n\r\n{answer}",
                answer.len()
            );
            writer.write_all(response.as_bytes()).ok()?;
            if last {
                return None;
            }
        }
    }

    fn answer(&self, path: &str, body: &[u8]) -> (&'static str, String) {
        let pairs = form::parse(body).unwrap_or_default();
        let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| &**v);
        match path {
            "/jwks" => ("200 OK", self.keys.key_set().to_string()),
            "/introspect" => {
                self.take_time();
                self.introspections.fetch_add(1, Relaxed);
                let Some(user) = user_of(value("token"), TOKEN) else {
                    return ("200 OK", r#"{"active":false}"#.into());
                };
                let answer = json!({
                    "active": true, "iss": self.keys.issuer(), "aud": AUDIENCE, "sub": format!("{user:032x}"),
                    "sip": address(user), "client_id": "sip-phone", "scope": "openid sip profile",
                    "iat": now(), "exp": now() + 7200,
                });
                ("200 OK", answer.to_string())
            }
            "/token" => {
                self.take_time();
                let Some(user) = user_of(value("code"), CODE) else {
                    return ("400 Bad Request", r#"{"error":"invalid_grant"}"#.into());
                };
                let nonce = value("code").split_once(NONCE).map(|(_, nonce)| nonce);
                let answer = json!({
                    "token_type": "Bearer", "expires_in": 7200, "scope": "openid sip",
                    "access_token": format!("access-{user}"), "refresh_token": format!("refresh-{user}"),
                    "id_token": self.keys.id_token(CLIENT, user, nonce),
                });
                ("200 OK", answer.to_string())
            }
            _ => ("404 Not Found", "{}".into()),
        }
    }
}

/// Sets the server's delay and takes it away again.
pub fn slowly<T>(server: &Server, run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    server.set_delay(DELAY);
    let result = run();
    server.set_delay(Duration::ZERO);
    result
}

fn user_of(value: &str, prefix: &str) -> Option<usize> {
    value.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

/// Path, body, and whether the connection ends with it.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>, bool)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    let path = words.nth(1)?.to_owned();
    let (mut length, mut last) = (0, words.next()?.starts_with("HTTP/1.0"));
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok().filter(|length| *length <= MAX_BODY)?;
        } else if name.eq_ignore_ascii_case("connection") {
            last = value.eq_ignore_ascii_case("close");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body, last))
}
