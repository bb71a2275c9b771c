// SPDX-License-Identifier: MIT OR Apache-2.0

//! A tiny SIP client: builds requests octet by octet, so that tests can send
//! wrong ones, and reads replies.

use super::host;
use super::patience::{self, PATIENCE};
use super::websocket::WebSocket;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing is lost on loopback, and a copy that is sent because an answer came late would be counted. A phone sends one
/// after half a second.
const T1: Duration = Duration::from_secs(4);
const MAX_REPLY: usize = 1 << 20;

/// A request. `Via`, `Max-Forwards` and `Content-Length` come from the client
/// that sends it, unless the headers already have them.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A request in a new dialog, from and to these URIs.
    pub fn new(method: &str, uri: &str, from: &str) -> Self {
        let mut request =
            Self { method: method.to_owned(), uri: uri.to_owned(), headers: Vec::new(), body: Vec::new() };
        request.set("From", format!("<{from}>;tag={}", unique("f")));
        request.set("To", format!("<{uri}>"));
        request.set("Call-ID", format!("{}@127.0.0.1", unique("c")));
        request.set("CSeq", format!("1 {method}"));
        request
    }

    /// REGISTER for this address-of-record at its domain.
    pub fn register(aor: &str) -> Self {
        let domain = aor.split('@').next_back().expect("split gives one part at least");
        let mut request = Self::new("REGISTER", &format!("sip:{domain}"), aor);
        request.set("To", format!("<{aor}>"));
        request.set("Contact", format!("<sip:{}@127.0.0.1:9>", unique("u")));
        request.set("Expires", "600");
        request
    }

    /// Adds the header, or replaces the one of this name.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.add(name, value)
    }

    /// Adds the header, also when there is one of this name.
    pub fn add(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("Content-Type", content_type)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next request of the same dialog: CSeq goes up by one.
    pub fn next(&mut self) -> &mut Self {
        let cseq = self.header("CSeq").and_then(|cseq| cseq.split(' ').next()?.parse::<u32>().ok());
        let cseq = format!("{} {}", cseq.unwrap_or(0) + 1, self.method);
        self.set("CSeq", cseq)
    }

    /// The message as it goes out, with this Via.
    pub fn to_octets(&self, via: &str) -> Vec<u8> {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        let mut line = |name: &str, value: &str| {
            let _ = write!(text, "{name}: {value}\r\n");
        };
        if self.header("Via").is_none() {
            line("Via", via);
        }
        if self.header("Max-Forwards").is_none() {
            line("Max-Forwards", "70");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if self.header("Content-Length").is_none() {
            line("Content-Length", &self.body.len().to_string());
        }
        text.push_str("\r\n");
        [text.as_bytes(), &self.body].concat()
    }
}

/// A reply, or a request that the server sent to us (then `status` is 0).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&octets[..end]);
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.splitn(3, ' ');
        let status = match start.next()? {
            "SIP/2.0" => start.next()?.parse().ok()?,
            _ => 0,
        };
        let reason = start.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self { status, reason, headers, body: octets[end + 4..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All values of a header that may occur more than once, e.g. the challenges.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
    Ws(Box<WebSocket>),
}

/// One phone's connection to the server on loopback.
pub struct Client {
    socket: Socket,
    local: u16,
    timeout: Duration,
}

impl Client {
    pub fn udp(port: u16) -> Self {
        Self::udp_from([127, 0, 0, 1], port)
    }

    /// From another address of loopback: another source for every limit.
    pub fn udp_from(address: [u8; 4], port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).expect("a port on loopback");
        socket.connect(("127.0.0.1", port)).expect("UDP connects to anything");
        let local = socket.local_addr().expect("bound").port();
        Self { socket: Socket::Udp(socket), local, timeout: PATIENCE }
    }

    pub fn tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts TCP");
        let local = stream.local_addr().expect("bound").port();
        Self { socket: Socket::Tcp(stream, Vec::new()), local, timeout: PATIENCE }
    }

    pub fn ws(port: u16) -> Self {
        let socket = WebSocket::connect(port).expect("the server accepts WebSocket");
        let local = socket.local_port();
        Self { socket: Socket::Ws(Box::new(socket)), local, timeout: PATIENCE }
    }

    /// Talks with another server over UDP from now on.
    pub fn connect(&mut self, port: u16) {
        if let Socket::Udp(socket) = &self.socket {
            socket.connect(("127.0.0.1", port)).expect("UDP connects to anything");
        }
    }

    /// How long to wait for a reply.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn local_port(&self) -> u16 {
        self.local
    }

    /// REGISTER; `authorization` is the whole value, e.g. `Bearer eyJ…`.
    pub fn register(&mut self, aor: &str, authorization: Option<&str>) -> io::Result<Reply> {
        let mut request = Request::register(aor);
        if let Some(authorization) = authorization {
            request.set("Authorization", authorization);
        }
        self.request(&request)
    }

    /// Sends and waits for the final reply; retransmits over UDP.
    pub fn request(&mut self, request: &Request) -> io::Result<Reply> {
        let octets = self.prepare(request);
        self.exchange(&octets)
    }

    /// Sends and returns the octets, so that they can be sent again as they are.
    pub fn send(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let octets = self.prepare(request);
        self.send_octets(&octets)?;
        Ok(octets)
    }

    /// Any octets, for instance a capture; waits for the final reply. One that comes late, to another request, is none.
    pub fn exchange(&mut self, octets: &[u8]) -> io::Result<Reply> {
        let deadline = Instant::now() + self.timeout;
        let mut interval = T1;
        self.send_octets(octets)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no reply in time"));
            }
            match self.receive_for(left.min(interval)) {
                Ok(reply) if reply.status >= 200 && answers(&reply, octets) => return Ok(reply),
                Ok(_) => {}
                Err(error) if waiting(&error) => {
                    if matches!(self.socket, Socket::Udp(_)) && Instant::now() < deadline {
                        self.send_octets(octets)?;
                        interval *= 2;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn send_octets(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Udp(socket) => patience::send(socket, octets),
            Socket::Tcp(stream, _) => stream.write_all(octets),
            Socket::Ws(socket) => socket.send(octets),
        }
    }

    /// The next message of any kind, provisional replies included.
    pub fn receive(&mut self) -> io::Result<Reply> {
        self.receive_for(self.timeout)
    }

    pub fn receive_for(&mut self, timeout: Duration) -> io::Result<Reply> {
        let octets = self.receive_octets(timeout)?;
        Reply::parse(&octets).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a SIP reply"))
    }

    /// The next request. A reply before it is a second one to an earlier request that was sent twice, since its first reply
    /// came late.
    pub fn receive_request(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        loop {
            let octets = self.receive_octets(deadline.saturating_duration_since(Instant::now()))?;
            if !octets.starts_with(b"SIP/2.0 ") {
                return Ok(octets);
            }
        }
    }

    /// The next message as it came, also a request.
    pub fn receive_octets(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        match &mut self.socket {
            Socket::Udp(socket) => patience::receive(socket, timeout),
            Socket::Tcp(stream, buffer) if host::holds_back_replies() => nudge(stream, buffer, timeout),
            Socket::Tcp(stream, buffer) => read_message(stream, buffer, timeout),
            Socket::Ws(socket) => socket.receive(timeout),
        }
    }

    fn prepare(&self, request: &Request) -> Vec<u8> {
        let transport = match self.socket {
            Socket::Udp(_) => "UDP",
            Socket::Tcp(..) => "TCP",
            Socket::Ws(_) => "WS",
        };
        let branch = unique("z9hG4bK");
        request.to_octets(&format!("SIP/2.0/{transport} 127.0.0.1:{};branch={branch};rport", self.local))
    }
}

/// A text that no other message of any test has.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    format!("{prefix}{:x}{count:x}{time:x}", std::process::id())
}

/// Is this a reply to these octets, as far as their Call-ID and the branch of their Via tell?
fn answers(reply: &Reply, octets: &[u8]) -> bool {
    let Some(request) = Reply::parse(octets) else { return true };
    let same = |own: Option<&str>, its: Option<&str>| own.is_none() || own == its;
    same(request.header("Call-ID"), reply.header("Call-ID")) && same(branch(&request), branch(reply))
}

/// Of the topmost Via.
fn branch(message: &Reply) -> Option<&str> {
    let parameters = message.header("Via")?.split(',').next()?.split(';');
    parameters.skip(1).find_map(|parameter| parameter.trim().strip_prefix("branch="))
}

/// Is this error just "nothing yet"?
fn waiting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What reaches a connection only when something else is written to it.
fn nudge(stream: &mut TcpStream, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<Vec<u8>> {
    const NAME: &str = "nudge-";
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match read_message(stream, buffer, left.min(T1)) {
            Ok(message)
                if Reply::parse(&message)
                    .is_some_and(|reply| reply.header("Call-ID").is_some_and(|id| id.starts_with(NAME))) => {}
            Err(error) if waiting(&error) => {
                let mut ping = Request::new("OPTIONS", "sip:127.0.0.1", "sip:nobody@127.0.0.1");
                ping.set("Call-ID", unique(NAME));
                stream
                    .write_all(&ping.to_octets(&format!("SIP/2.0/TCP 127.0.0.1;branch={};rport", unique("z9hG4bK"))))?;
                if left <= T1 {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

/// One message from a stream, by its Content-Length; what follows stays in the buffer.
fn read_message(stream: &TcpStream, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(length) = message_length(buffer) {
            return Ok(buffer.drain(..length).collect());
        }
        let mut part = [0; 4096];
        match patience::read(stream, &mut part, deadline)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer.extend_from_slice(&part[..count]),
        }
        if buffer.len() > MAX_REPLY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply without an end"));
        }
    }
}

fn message_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]);
    let body = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (buffer.len() >= head + body).then_some(head + body)
}
