// SPDX-License-Identifier: MIT OR Apache-2.0

//! An HTTP server that answers exactly as told: the authorization server that
//! is broken, hostile, or just different. Answers can be changed at any time.

use super::patience::{self, PATIENCE};
use super::ports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
pub const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
pub const JWKS: &str = "/jwks";

const POLL: Duration = Duration::from_millis(20);
const MAX_REQUEST: usize = 128 * 1024;

/// One way to answer a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 with this JSON.
    Json(Value),
    /// 200 with this JSON and more headers, e.g. `("Cache-Control", "max-age=60")`.
    JsonWith(Value, Vec<(&'static str, String)>),
    /// This status with a small JSON error.
    Status(u16),
    /// This status, headers and body.
    Full(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// 200 and a key set without keys.
    NoKeys,
    /// 200 and an HTML page.
    Html,
    /// 200 and no body.
    Empty,
    /// Octets that are not HTTP.
    Garbage,
    /// The JSON cut off in the middle of the announced length.
    Truncated(Value),
    /// Accepts, reads, never answers.
    Hang,
    /// The JSON, one octet per interval.
    SlowDrip(Value, Duration),
    /// The JSON after this time.
    Late(Value, Duration),
    /// 200 and this many octets of white space, then `{}`.
    Huge(usize),
    /// A TCP reset instead of an answer.
    Reset,
    /// 302 to this URL.
    Redirect(String),
    /// Whatever this makes of the request.
    Computed(Computed),
}

/// Makes an answer of a request.
#[derive(Clone)]
pub struct Computed(Arc<dyn Fn(&Received) -> Answer + Send + Sync>);

impl std::fmt::Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Computed(…)")
    }
}

impl Answer {
    /// An answer that depends on the request.
    pub fn computed(answer: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Answer {
        Answer::Computed(Computed(Arc::new(answer)))
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Request line and header fields.
    pub head: String,
    pub body: String,
}

impl Received {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.trim()).next()
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    counts: BTreeMap<String, u64>,
    received: HashMap<String, Received>,
}

pub struct ScriptedServer {
    port: u16,
    script: Arc<Mutex<Script>>,
    running: Option<Running>,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ScriptedServer {
    /// Serves OpenID discovery and these keys at once.
    pub fn start(jwks: Value) -> Self {
        let mut server = Self { port: ports::free(), script: Arc::default(), running: None };
        let issuer = server.issuer();
        server.set(OPENID_CONFIGURATION, Answer::Json(discovery(&issuer)));
        server.set(JWKS, Answer::Json(jwks));
        server.restart();
        server
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// From now on this path answers so. A path never set answers 404.
    pub fn set(&self, path: &str, answer: Answer) {
        self.script.lock().expect("no panic while held").answers.insert(path.to_owned(), answer);
    }

    pub fn set_keys(&self, jwks: Value) {
        self.set(JWKS, Answer::Json(jwks));
    }

    /// Requests for this path since the start.
    pub fn count(&self, path: &str) -> u64 {
        self.script.lock().expect("no panic while held").counts.get(path).copied().unwrap_or(0)
    }

    /// The last request for this path.
    pub fn last(&self, path: &str) -> Option<Received> {
        self.script.lock().expect("no panic while held").received.get(path).cloned()
    }

    /// From now on connections are refused.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes accept
            let _ = thread.join();
        }
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let listener = ports::listen_again(self.port);
        let stop = Arc::new(AtomicBool::new(false));
        let (script, flag) = (Arc::clone(&self.script), Arc::clone(&stop));
        let thread = thread::spawn(move || accept(&listener, &script, &flag));
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A discovery document with the usual endpoints.
pub fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}{JWKS}"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

/// A key set of these public keys.
pub fn key_set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

fn accept(listener: &TcpListener, script: &Arc<Mutex<Script>>, stop: &Arc<AtomicBool>) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(stream) = stream {
            let (script, stop) = (Arc::clone(script), Arc::clone(stop));
            thread::spawn(move || serve(stream, &script, &stop));
        }
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>, stop: &AtomicBool) {
    let Some(line) = peek_line(&stream) else { return };
    let target = line.split(' ').nth(1).unwrap_or("");
    let path = target.split('?').next().unwrap_or("").to_owned();
    let mut answer = {
        let mut script = script.lock().expect("no panic while held");
        *script.counts.entry(path.clone()).or_default() += 1;
        script.answers.get(&path).cloned().unwrap_or(Answer::Status(404))
    };
    if matches!(answer, Answer::Reset) {
        return;
    }
    let received = read_request(&stream);
    while let Answer::Computed(Computed(compute)) = answer {
        answer = compute(&received);
    }
    script.lock().expect("no panic while held").received.insert(path, received);
    let _ = give(&mut stream, answer, stop);
    let _ = stream.shutdown(Shutdown::Write);
}

/// The request line. Only looks: octets left unread when the socket closes make a TCP reset.
fn peek_line(stream: &TcpStream) -> Option<String> {
    let mut first = [0; 1024];
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let length = patience::peek(stream, &mut first, deadline).ok().filter(|length| *length > 0)?;
        if let Some(end) = first[..length].iter().position(|octet| *octet == b'\n') {
            return Some(String::from_utf8_lossy(&first[..end]).into_owned());
        }
        thread::sleep(POLL);
    }
    None
}

/// Head and body, as far as they come.
pub fn read_request(stream: &TcpStream) -> Received {
    let deadline = Instant::now() + PATIENCE;
    let mut octets = Vec::new();
    let mut buffer = [0; 4096];
    let mut received = Received::default();
    while octets.len() < MAX_REQUEST {
        if let Some(end) = octets.windows(4).position(|end| end == b"\r\n\r\n") {
            received.head = String::from_utf8_lossy(&octets[..end]).into_owned();
            received.body = String::from_utf8_lossy(&octets[end + 4..]).into_owned();
            let length = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if octets.len() - end - 4 >= length {
                break;
            }
        }
        match patience::read(stream, &mut buffer, deadline) {
            Ok(count) if count > 0 => octets.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    received
}

fn give(stream: &mut TcpStream, answer: Answer, stop: &AtomicBool) -> std::io::Result<()> {
    let json = |value: &Value| value.to_string().into_bytes();
    match answer {
        Answer::Json(value) => write_full(stream, 200, &[], &json(&value)),
        Answer::JsonWith(value, headers) => write_full(stream, 200, &headers, &json(&value)),
        Answer::Status(status) => write_full(stream, status, &[], b"{\"error\":\"scripted\"}"),
        Answer::Full(status, headers, body) => write_full(stream, status, &headers, &body),
        Answer::NoKeys => write_full(stream, 200, &[], b"{\"keys\":[]}"),
        Answer::Html => {
            let html = [("Content-Type", "text/html".to_owned())];
            write_full(stream, 200, &html, b"<!doctype html><title>Sign in</title><h1>Sign in</h1>")
        }
        Answer::Empty => write_full(stream, 200, &[], b""),
        Answer::Garbage => stream.write_all(&[0x16, 0x03, 0x00, 0xff, 0xfe, 0x00, b'\n', 0x80, 0x81]),
        Answer::Truncated(value) => {
            let body = json(&value);
            write_head(stream, 200, &[], body.len())?;
            stream.write_all(&body[..body.len() / 2])
        }
        Answer::Hang => {
            while !stop.load(Ordering::Relaxed) && connected(stream) {
                thread::sleep(POLL);
            }
            Ok(())
        }
        Answer::SlowDrip(value, interval) => {
            let body = json(&value);
            write_head(stream, 200, &[], body.len())?;
            for octet in body {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                stream.write_all(&[octet])?;
                thread::sleep(interval);
            }
            Ok(())
        }
        Answer::Late(value, time) => {
            thread::sleep(time);
            write_full(stream, 200, &[], &json(&value))
        }
        Answer::Huge(length) => {
            write_head(stream, 200, &[], length + 2)?;
            let block = [b' '; 8192];
            let mut left = length;
            while left > 0 {
                let count = left.min(block.len());
                stream.write_all(&block[..count])?;
                left -= count;
            }
            stream.write_all(b"{}")
        }
        Answer::Redirect(url) => write_full(stream, 302, &[("Location", url)], b""),
        Answer::Reset | Answer::Computed(_) => unreachable!("decided before"),
    }
}

/// Is the other side still there?
fn connected(stream: &TcpStream) -> bool {
    !matches!(patience::peek(stream, &mut [0], Instant::now() + POLL), Ok(0))
}

fn write_full(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) -> std::io::Result<()> {
    write_head(stream, status, headers, body.len())?;
    stream.write_all(body)
}

fn write_head(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], length: usize) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        head.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}
