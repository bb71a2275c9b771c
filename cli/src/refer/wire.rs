// SPDX-License-Identifier: MIT OR Apache-2.0
//! What messages travel over: a socket for datagrams with anybody, a connection to a server, or a listener with the
//! connections that others open. It knows octets and addresses only.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::message::{MAX_LEN, frame};
use crate::transport::{Server, SipConnection, Transport};

/// A peer that does not read may not hold the others up for longer.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// The tool is for tests. A stranger may not make it open more connections than this.
const MAX_CONNECTIONS: usize = 64;
const MAX_WAITING: usize = 256;

/// A way to send and receive messages.
pub trait Wire: Send {
    /// Sends a message to an address. Over a stream, there must be a connection already.
    fn send(&mut self, to: SocketAddr, octets: &[u8]) -> Result<(), String>;

    /// The next message and where it comes from, or None if none arrives before `until`.
    fn receive(&mut self, until: Instant) -> Result<Option<(SocketAddr, Vec<u8>)>, String>;

    /// The own address as this peer sees it, for Via and Contact.
    fn local(&self, peer: SocketAddr) -> SocketAddr;

    /// The transport.
    fn transport(&self) -> Transport;
}

/// Datagrams. The socket is not connected, because a NOTIFY may come past the server if that does not record the route.
pub struct UdpWire {
    socket: UdpSocket,
    local: SocketAddr,
}

impl UdpWire {
    /// A socket for a server, and the server's address.
    pub fn towards(server: &Server) -> Result<(UdpWire, SocketAddr), String> {
        let mut last: io::Error = io::ErrorKind::AddrNotAvailable.into();
        for address in server.addresses()? {
            let opened = source_for(address).and_then(|ip| UdpSocket::bind((ip, 0)));
            match opened.and_then(|socket| socket.local_addr().map(|local| UdpWire { socket, local })) {
                Ok(wire) => return Ok((wire, address)),
                Err(error) => last = error,
            }
        }
        Err(format!("{server} cannot be reached over UDP: {last}"))
    }

    /// A socket at an address of its own.
    pub fn listen(address: SocketAddr) -> io::Result<UdpWire> {
        let socket = UdpSocket::bind(address)?;
        let local = socket.local_addr()?;
        Ok(UdpWire { socket, local })
    }

    /// The address that it is bound to.
    pub fn bound(&self) -> SocketAddr {
        self.local
    }
}

impl Wire for UdpWire {
    fn send(&mut self, to: SocketAddr, octets: &[u8]) -> Result<(), String> {
        self.socket.send_to(octets, to).map(drop).map_err(|e| format!("nothing can be sent to {to}: {e}"))
    }

    fn receive(&mut self, until: Instant) -> Result<Option<(SocketAddr, Vec<u8>)>, String> {
        let mut part = vec![0; MAX_LEN];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let received = self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.recv_from(&mut part));
            match received {
                // Empty lines keep a NAT open.
                Ok((count, _)) if part[..count].trim_ascii().is_empty() => {}
                Ok((count, from)) => {
                    part.truncate(count);
                    return Ok(Some((from, part)));
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused) => {
                }
                Err(error) => return Err(format!("the socket does not receive: {error}")),
            }
        }
    }

    fn local(&self, peer: SocketAddr) -> SocketAddr {
        let ip = if self.local.ip().is_unspecified() { source_for(peer).ok() } else { None };
        SocketAddr::new(ip.unwrap_or(self.local.ip()), self.local.port())
    }

    fn transport(&self) -> Transport {
        Transport::Udp
    }
}

/// The address that this machine uses towards a peer. Nothing is sent to find it out.
fn source_for(peer: SocketAddr) -> io::Result<std::net::IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(peer)?;
    Ok(probe.local_addr()?.ip())
}

/// The connection to a server, over which requests come as well.
pub struct StreamWire {
    connection: SipConnection,
    transport: Transport,
    timeout: Duration,
}

impl StreamWire {
    /// Takes an open connection.
    pub fn new(connection: SipConnection, transport: Transport, timeout: Duration) -> StreamWire {
        StreamWire { connection, transport, timeout }
    }
}

impl Wire for StreamWire {
    fn send(&mut self, _to: SocketAddr, octets: &[u8]) -> Result<(), String> {
        self.connection.send(octets, Instant::now() + self.timeout)
    }

    fn receive(&mut self, until: Instant) -> Result<Option<(SocketAddr, Vec<u8>)>, String> {
        let received = self.connection.receive(until)?;
        Ok(received.map(|octets| (self.connection.remote(), octets)))
    }

    fn local(&self, _peer: SocketAddr) -> SocketAddr {
        self.connection.local()
    }

    fn transport(&self) -> Transport {
        self.transport
    }
}

type Streams = Arc<Mutex<HashMap<SocketAddr, TcpStream>>>;
type Received = (SocketAddr, Vec<u8>);

/// A TCP listener. A thread per connection reads, so that one slow peer does not stop the others.
pub struct ListenerWire {
    local: SocketAddr,
    streams: Streams,
    received: Receiver<Received>,
}

impl ListenerWire {
    /// Listens at an address.
    pub fn listen(address: SocketAddr) -> io::Result<ListenerWire> {
        let listener = TcpListener::bind(address)?;
        let local = listener.local_addr()?;
        let streams = Streams::default();
        let (sender, received) = sync_channel(MAX_WAITING);
        let shared = Arc::clone(&streams);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                admit(stream, &shared, &sender);
            }
        });
        Ok(ListenerWire { local, streams, received })
    }

    /// The address that it is bound to.
    pub fn bound(&self) -> SocketAddr {
        self.local
    }
}

impl Wire for ListenerWire {
    fn send(&mut self, to: SocketAddr, octets: &[u8]) -> Result<(), String> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = streams.get(&to).ok_or_else(|| format!("the connection of {to} is closed"))?;
        stream.write_all(octets).map_err(|e| format!("nothing can be sent to {to}: {e}"))
    }

    fn receive(&mut self, until: Instant) -> Result<Option<Received>, String> {
        match self.received.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(received) => Ok(Some(received)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the listener has ended".into()),
        }
    }

    fn local(&self, peer: SocketAddr) -> SocketAddr {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = streams.get(&peer).and_then(|stream| stream.local_addr().ok());
        SocketAddr::new(seen.unwrap_or(self.local).ip(), self.local.port())
    }

    fn transport(&self) -> Transport {
        Transport::Tcp
    }
}

/// Takes a connection, if there is room for one more, and starts to read from it.
fn admit(stream: TcpStream, streams: &Streams, sender: &SyncSender<Received>) {
    let Ok(peer) = stream.peer_addr() else { return };
    let ready = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(WRITE_LIMIT)));
    let (Ok(()), Ok(reader)) = (ready, stream.try_clone()) else { return };
    {
        let mut open = streams.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_CONNECTIONS {
            return;
        }
        open.insert(peer, stream);
    }
    let (streams, sender) = (Arc::clone(streams), sender.clone());
    std::thread::spawn(move || {
        read(reader, peer, &sender);
        streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    });
}

/// Hands on each whole message, until the stream ends or cannot be split into messages.
fn read(mut stream: TcpStream, peer: SocketAddr, sender: &SyncSender<Received>) {
    let (mut buffer, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut part) {
        buffer.extend_from_slice(&part[..count]);
        loop {
            let blank = buffer.iter().take_while(|b| b"\r\n".contains(b)).count();
            buffer.drain(..blank);
            match frame(&buffer) {
                Ok(Some(length)) => {
                    if sender.send((peer, buffer.drain(..length).collect())).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
