// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends one request and receives its answer over UDP (with the retransmissions of RFC 3261 section 17.1.2), TCP or
//! TLS. Every wait has a limit.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::{Deserialize, Serialize};

use crate::message::{MAX_LEN, Response, SipRequest, frame};
use crate::retransmission::Retransmission;
use crate::tls;

/// How the proxy is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

impl Transport {
    /// The name in a Via.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The port when none is given.
    pub fn port(self) -> u16 {
        if self == Transport::Tls { 5061 } else { 5060 }
    }
}

/// The proxy's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Server {
    /// Reads HOST, HOST:PORT or [IPv6]:PORT.
    pub fn parse(text: &str, transport: Transport) -> Option<Server> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(transport.port()), |port| port.parse().ok().filter(|port| *port > 0))?;
        (!host.is_empty() && (text.starts_with('[') || !host.contains(':')))
            .then(|| Server { host: host.to_owned(), port })
    }

    /// All addresses of the name.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let failed = |e| format!("{}: the name cannot be resolved ({e}); check --server", self.host);
        Ok((self.host.as_str(), self.port).to_socket_addrs().map_err(failed)?.collect())
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What happens before the final answer.
pub enum TransportEvent<'a> {
    /// The request went out once more.
    SentAgain,
    /// A 1xx came.
    Provisional(&'a Response),
    /// Something came that does not answer this request.
    Ignored(&'static str),
}

/// A stream on which no operation lasts longer than the deadline, even if the peer sends one octet at a time.
struct Bounded {
    stream: TcpStream,
    deadline: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

enum Wire {
    Udp(UdpSocket),
    Tcp(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

/// The phone's connection to the proxy.
pub struct SipConnection {
    wire: Wire,
    server: Server,
    local: SocketAddr,
    remote: SocketAddr,
    buffer: Vec<u8>,
}

impl SipConnection {
    /// Connects. With `tls` settings a stream uses TLS.
    pub fn open(
        server: &Server,
        transport: Transport,
        tls: Option<&Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<SipConnection, String> {
        let addresses = server.addresses()?;
        let failed = |e: io::Error| format!("{server} cannot be reached over {}: {}", transport.name(), describe(&e));
        let mut last: io::Error = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            let opened = match transport {
                Transport::Udp => udp(address).map(|(socket, local)| (Wire::Udp(socket), local)),
                Transport::Tcp | Transport::Tls => {
                    tcp(address, timeout).map(|(stream, local)| (Wire::Tcp(stream), local))
                }
            };
            match opened {
                Ok((wire, local)) => {
                    let wire = match (wire, tls) {
                        (Wire::Tcp(stream), Some(config)) => Wire::Tls(tls::connect(config, server, stream)?),
                        (wire, _) => wire,
                    };
                    return Ok(SipConnection {
                        wire,
                        server: server.clone(),
                        local,
                        remote: address,
                        buffer: Vec::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// The local address, for Via and Contact.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The proxy's address, after its name was resolved.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Sends the request and waits for its final answer.
    pub fn exchange(
        &mut self,
        request: &SipRequest,
        octets: &[u8],
        timeout: Duration,
        seen: &mut dyn FnMut(TransportEvent<'_>),
    ) -> Result<Response, String> {
        let datagrams = matches!(self.wire, Wire::Udp(_));
        let mut timers = Retransmission::start(Instant::now(), timeout, datagrams);
        self.drain();
        self.send(octets, timers.deadline())?;
        loop {
            match self.receive(timers.due())? {
                Some(message) => match Response::parse(&message) {
                    Ok(response) if !request.is_answered_by(&response) => {
                        seen(TransportEvent::Ignored("it answers another request"));
                    }
                    Ok(response) if response.status >= 200 => return Ok(response),
                    Ok(response) => {
                        seen(TransportEvent::Provisional(&response));
                        timers.provisional(Instant::now());
                    }
                    Err(why) => seen(TransportEvent::Ignored(why)),
                },
                None if Instant::now() >= timers.deadline() => return Err(unanswered(&self.server, timers.seconds())),
                None => {
                    self.send(octets, timers.deadline())?;
                    seen(TransportEvent::SentAgain);
                    timers.sent_again(Instant::now());
                }
            }
        }
    }

    /// Drops datagrams that are still waiting, because a late duplicate must not count as the answer to a repetition.
    fn drain(&mut self) {
        if let Wire::Udp(socket) = &self.wire
            && socket.set_nonblocking(true).is_ok()
        {
            let mut some = [0; 16];
            while socket.recv(&mut some).is_ok() {}
            let _ = socket.set_nonblocking(false);
        }
    }

    /// Sends a message.
    pub fn send(&mut self, octets: &[u8], deadline: Instant) -> Result<(), String> {
        let sent = match &mut self.wire {
            Wire::Udp(socket) => socket.send(octets).map(drop),
            Wire::Tcp(stream) => {
                stream.deadline = deadline;
                stream.write_all(octets)
            }
            Wire::Tls(stream) => {
                stream.sock.deadline = deadline;
                stream.write_all(octets).and_then(|()| stream.flush())
            }
        };
        sent.map_err(|e| self.broken(&e))
    }

    /// The next message, or None if none arrives before `until`.
    pub fn receive(&mut self, until: Instant) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(message) = self.take_framed()? {
                return Ok(Some(message));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut part = vec![0; MAX_LEN];
            let received = match &mut self.wire {
                Wire::Udp(socket) => socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut part)),
                Wire::Tcp(stream) => {
                    stream.deadline = until;
                    stream.read(&mut part)
                }
                Wire::Tls(stream) => {
                    stream.sock.deadline = until;
                    stream.read(&mut part)
                }
            };
            match received {
                Ok(count) if matches!(self.wire, Wire::Udp(_)) => {
                    part.truncate(count);
                    return Ok(Some(part));
                }
                Ok(0) => return Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.buffer.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Takes a whole message from the received octets. Empty lines before it are keep-alives.
    fn take_framed(&mut self) -> Result<Option<Vec<u8>>, String> {
        let blank = self.buffer.iter().take_while(|b| b"\r\n".contains(b)).count();
        self.buffer.drain(..blank);
        let length = frame(&self.buffer).map_err(|why| {
            format!("{} sent something that is not a SIP message: {why}; is it a SIP port?", self.server)
        })?;
        Ok(length.map(|length| self.buffer.drain(..length).collect()))
    }

    fn broken(&self, error: &io::Error) -> String {
        format!("the connection to {} broke before an answer came: {}", self.server, describe(error))
    }
}

/// The sentence for a request without an answer.
pub fn unanswered(server: &Server, seconds: f64) -> String {
    format!(
        "{server} did not answer within {seconds:.1} s; check --server and --transport, or give it more time with --timeout"
    )
}

fn udp(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

fn tcp(address: SocketAddr, timeout: Duration) -> io::Result<(Bounded, SocketAddr)> {
    let deadline = Instant::now() + timeout;
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok((Bounded { stream, deadline }, local))
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there; check --server and --transport".into(),
        io::ErrorKind::UnexpectedEof => "the server closed it".into(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "it took too long; check --server".into(),
        _ => error.to_string(),
    }
}
