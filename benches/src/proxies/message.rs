// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests, made ahead of the load: only the branch and, where it may change, the CSeq number are written when
//! a request is sent.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{DOMAIN, address};

/// Width of the CSeq number; leading zeros keep all requests equally long.
const DIGITS: usize = 10;

/// The registrar takes only growing numbers of a binding.
static CSEQ: AtomicU32 = AtomicU32::new(1);

/// A number that no request had before.
pub fn next_cseq() -> u32 {
    CSEQ.fetch_add(1, Relaxed)
}

/// A request of one user.
#[derive(Clone)]
pub struct Message {
    method: &'static str,
    user: usize,
    rest: Vec<u8>,
    /// Where the number is in `rest`.
    cseq_at: usize,
    /// It is covered by a proof.
    fixed: bool,
}

impl Message {
    /// REGISTER of a user, with these header lines (each with its line end) and this body.
    pub fn register(user: usize, headers: &str, body: &str) -> Message {
        Message::new("REGISTER", user, headers, body)
    }

    /// OPTIONS of a user.
    pub fn options(user: usize) -> Message {
        Message::new("OPTIONS", user, "", "")
    }

    fn new(method: &'static str, user: usize, headers: &str, body: &str) -> Message {
        let aor = address(user);
        let mut rest = format!(
            "Max-Forwards: 70\r\nFrom: <{aor}>;tag={from_tag}\r\nTo: <{aor}>\r\nCall-ID: {call_id}\r\nCSeq: ",
            from_tag = from_tag(user),
            call_id = call_id(user),
        );
        let cseq_at = rest.len();
        rest += &format!(
            "{:0DIGITS$} {method}\r\nContact: <{}>\r\nExpires: 600\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            0,
            contact(user),
            body.len()
        );
        Message { method, user, rest: rest.into_bytes(), cseq_at, fixed: false }
    }

    /// The same with this CSeq number for good.
    pub fn with_cseq(mut self, number: u32) -> Message {
        self.write_cseq(number);
        self.fixed = true;
        self
    }

    /// Whose request it is.
    pub fn user(&self) -> usize {
        self.user
    }

    /// Octets without Via.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Never: every request has header fields.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The request as it is sent for the first time.
    pub fn render(&mut self, out: &mut Vec<u8>, local: SocketAddr, branch: u64) {
        if !self.fixed {
            self.write_cseq(next_cseq());
        }
        self.render_again(out, local, branch);
    }

    /// A copy of what was sent.
    pub fn render_again(&self, out: &mut Vec<u8>, local: SocketAddr, branch: u64) {
        out.clear();
        let method = self.method;
        write!(out, "{method} sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch:016x}\r\n")
            .expect("memory takes everything");
        out.extend_from_slice(&self.rest);
    }

    fn write_cseq(&mut self, number: u32) {
        let text = format!("{number:0DIGITS$}");
        self.rest[self.cseq_at..self.cseq_at + DIGITS].copy_from_slice(text.as_bytes());
    }
}

/// The value of CSeq with this number.
pub fn cseq(number: u32) -> String {
    format!("{number:0DIGITS$} REGISTER")
}

/// The tag in From of a user's requests.
pub fn from_tag(user: usize) -> String {
    format!("from{user:05}")
}

/// The Call-ID of a user's requests.
pub fn call_id(user: usize) -> String {
    format!("call{user:05}@127.0.0.1")
}

/// The Contact URI of a user.
pub fn contact(user: usize) -> String {
    format!("sip:u{user:05}@127.0.0.1:9")
}

/// A reply: its status, and the branch of the request.
pub fn read_reply(octets: &[u8]) -> Option<(u16, u64)> {
    let status = std::str::from_utf8(octets.strip_prefix(b"SIP/2.0 ")?.get(..3)?).ok()?.parse().ok()?;
    const COOKIE: &[u8] = b"branch=z9hG4bK";
    let at = octets.windows(COOKIE.len()).position(|window| window == COOKIE)? + COOKIE.len();
    let branch = std::str::from_utf8(octets.get(at..at + 16)?).ok()?;
    Some((status, u64::from_str_radix(branch, 16).ok()?))
}

/// What stands in a reply between two texts, the first time.
pub fn between<'a>(octets: &'a [u8], before: &str, after: &[char]) -> Option<&'a str> {
    let text = std::str::from_utf8(octets).ok()?;
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_with_a_new_number_each_time() {
        let mut message = Message::register(7, "Expires: 60\r\n", "x");
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let local = "127.0.0.2:5060".parse().unwrap();
        message.render(&mut first, local, 1);
        message.render(&mut second, local, 0xfe);
        let text = String::from_utf8(second.clone()).unwrap();
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
        assert!(text.contains("Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK00000000000000fe\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 1\r\n\r\nx"), "{text}");
        let mut fixed = message.with_cseq(99);
        fixed.render(&mut first, local, 1);
        assert!(String::from_utf8(first).unwrap().contains("\r\nCSeq: 0000000099 REGISTER\r\n"));
    }

    #[test]
    fn replies_are_read() {
        let reply =
            b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK00000000000000fe\r\nTo: <b>;tag=t\r\n";
        assert_eq!(read_reply(reply), Some((401, 0xfe)));
        assert_eq!(read_reply(b"SIP/2.0 200 OK\r\n"), None);
        assert_eq!(between(reply, ";tag=", &[';', '\r']), Some("t"));
    }
}
