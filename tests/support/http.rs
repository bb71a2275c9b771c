// SPDX-License-Identifier: MIT OR Apache-2.0

//! The smallest HTTP client that can talk to our own servers on loopback.

use super::patience::{self, PATIENCE};
use std::fmt::Write as _;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

/// What a server answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Sends a request without a body to `http://host:port/…`; returns status and body.
pub fn request(method: &str, url: &str) -> Result<(u16, String), String> {
    send(method, url, &[], "").map(|answer| (answer.status, answer.body))
}

/// Sends a request with these headers and this body.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// here")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let attempt = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(host)?;
        // HTTP/1.0: the answer ends with the connection and is never chunked.
        let length = body.len();
        let head = format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match patience::read(&stream, &mut part, deadline)? {
                0 => return Ok(answer),
                length => answer.extend_from_slice(&part[..length]),
            }
        }
    };
    let answer = attempt().map_err(|error| format!("{method} {url}: {error}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of headers")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status line")?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Answer { status, headers, body: body.to_owned() })
}

/// POST of application/x-www-form-urlencoded.
pub fn post_form(url: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Result<Answer, String> {
    let headers = [headers, &[("Content-Type", "application/x-www-form-urlencoded")]].concat();
    send("POST", url, &headers, query(form).trim_start_matches('?'))
}

/// `?a=b&c=d` with everything unusual percent-encoded.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        let _ = write!(text, "{}={}", encode(key), encode(value));
    }
    text
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
