// SPDX-License-Identifier: MIT OR Apache-2.0

//! A scripted SIP proxy on loopback: UDP, TCP or TLS. It keeps what it got and answers what the test says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sipoauth_core::keys::pop::verify_pop;
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};

use super::support::patience::{self, PATIENCE};

/// The To tag of every answer.
pub const TO_TAG: &str = "proxy-1.a~b";
const POLL: Duration = Duration::from_millis(20);

/// A request as the proxy got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub octets: Vec<u8>,
    pub start: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    fn parse(octets: &[u8]) -> Seen {
        let text = String::from_utf8(octets.to_vec()).expect("the tool writes UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole request");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a request line").to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("not a header: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let seen = Seen { octets: octets.to_vec(), start, headers, body: body.to_owned() };
        assert_eq!(seen.header("Content-Length"), body.len().to_string());
        seen
    }

    pub fn header(&self, name: &str) -> &str {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        let value = all.next().map_or("", |(_, value)| value);
        assert!(all.next().is_none(), "two {name}");
        value
    }

    pub fn uri(&self, name: &str) -> &str {
        self.header(name).split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(uri, _)| uri)
    }

    pub fn tag_of_from(&self) -> &str {
        self.header("From").split_once(";tag=").expect("a tag").1
    }

    /// An answer to this request, with more header lines.
    pub fn answer(&self, status: &str, more: &str) -> Vec<u8> {
        self.answer_with(status, more, "")
    }

    /// The same with a body.
    pub fn answer_with(&self, status: &str, more: &str, body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            text += &format!("{name}: {}\r\n", self.header(name));
        }
        let length = body.len();
        text += &format!("To: \"Alice; tag=no\" {};tag={TO_TAG}\r\n", self.header("To"));
        text += &format!("{more}Content-Length: {length}\r\n\r\n{body}");
        text.into_bytes()
    }

    pub fn ok(&self) -> Vec<u8> {
        self.answer("200 OK", &format!("Contact: <{}>;expires=600\r\n", self.uri("Contact")))
    }

    /// Is this proof right for this request, with this message-body?
    pub fn proves(&self, key: &[u8], pop: &str, body: &str) -> bool {
        verify_pop(key, &self.digest_string(body), pop)
    }

    /// What a proof in this request covers, with this message-body.
    pub fn digest_string(&self, body: &str) -> Vec<u8> {
        let parts = DigestParts {
            from: self.uri("From").as_bytes(),
            to: self.uri("To").as_bytes(),
            call_id: self.header("Call-ID").as_bytes(),
            cseq: self.header("CSeq").as_bytes(),
            date: self.header("Date").as_bytes(),
            contact: self.uri("Contact").as_bytes(),
            body: body.as_bytes(),
        };
        digest_string(&parts).expect("every part is there")
    }
}

/// Copies that are there before a request is answered were sent because the answer came late.
fn drop_copies(socket: &UdpSocket, octets: &[u8]) {
    let mut buffer = vec![0; 65536];
    socket.set_nonblocking(true).expect("a socket");
    while socket.peek(&mut buffer).is_ok_and(|length| &buffer[..length] == octets) {
        let _ = socket.recv(&mut buffer);
    }
    socket.set_nonblocking(false).expect("a socket");
}

/// What the proxy answers to its n-th request, counted from 0: any number of messages.
type Script = Box<dyn FnMut(usize, &Seen) -> Vec<Vec<u8>> + Send>;

pub struct Proxy {
    pub port: u16,
    pub seen: Receiver<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn udp(mut script: impl FnMut(usize, &Seen) -> Vec<Vec<u8>> + Send + 'static) -> Proxy {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        Proxy::start(port, move |stop, seen| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let Ok((octets, from)) = patience::receive_from(&socket, POLL) else { continue };
                drop_copies(&socket, &octets);
                let request = Seen::parse(&octets);
                for answer in script(count, &request) {
                    socket.send_to(&answer, from).expect("loopback");
                }
                count += 1;
                let _ = seen.send(request);
            }
        })
    }

    /// TCP, or TLS with settings; one connection after the other.
    pub fn stream(
        tls: Option<Arc<ServerConfig>>,
        script: impl FnMut(usize, &Seen) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that can be stopped");
        let port = listener.local_addr().expect("bound").port();
        let mut script: Script = Box::new(script);
        Proxy::start(port, move |stop, seen| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(POLL);
                    continue;
                };
                stream.set_nonblocking(false).expect("blocking");
                let stream = Patient(stream);
                match &tls {
                    None => serve(stream, &mut script, &mut count, seen),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).expect("settings");
                        serve(StreamOwned::new(session, stream), &mut script, &mut count, seen);
                    }
                }
            }
        })
    }

    fn start(port: u16, work: impl FnOnce(&AtomicBool, &Sender<Seen>) + Send + 'static) -> Proxy {
        let (sender, seen) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || work(&flag, &sender)));
        Proxy { port, seen, stop, thread }
    }

    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the tool sent a request")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) && !std::thread::panicking() {
            panic!("the proxy failed");
        }
    }
}

/// A stream whose reads end when something is there, at its end, or never.
struct Patient(TcpStream);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        patience::read(&self.0, buffer, Instant::now() + PATIENCE)
    }
}

impl Write for Patient {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn serve(mut stream: impl Read + Write, script: &mut Script, count: &mut usize, seen: &Sender<Seen>) {
    let (mut buffer, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut part) {
        buffer.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&buffer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted: usize = head.rsplit_once("Content-Length: ").expect("a length").1.parse().expect("a number");
        if body.len() < wanted {
            continue;
        }
        let request = Seen::parse(&std::mem::take(&mut buffer));
        let answers = script(*count, &request);
        *count += 1;
        let _ = seen.send(request);
        if answers.is_empty() {
            return;
        }
        for answer in answers {
            if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}
