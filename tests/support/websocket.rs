// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client side of RFC 6455 with the `sip` subprotocol (RFC 7118), as far as
//! one SIP message per frame needs it.

use super::patience::{self, PATIENCE};
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Fixed values do: the peer is our own server on loopback.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x08];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub struct WebSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl WebSocket {
    pub fn connect(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        // In one piece: OpenSIPS waits a tenth of a second for the rest.
        let upgrade = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Origin: http://127.0.0.1\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: sip\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes())?;
        let mut socket = Self { stream, buffer: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = socket.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = socket.buffer.drain(..end + 4).collect();
                let accepted = head.starts_with(b"HTTP/1.1 101");
                let refusal = String::from_utf8_lossy(&head).into_owned();
                return if accepted { Ok(socket) } else { Err(io::Error::other(refusal)) };
            }
            socket.fill(deadline)?;
        }
    }

    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("connected").port()
    }

    /// One message as one masked text frame.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_frame(TEXT, payload)
    }

    /// The next message; answers pings on the way.
    pub fn receive(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.take_frame() {
                Some((TEXT | BINARY, payload)) => return Ok(payload),
                Some((PING, payload)) => self.send_frame(PONG, &payload)?,
                Some((CLOSE, _)) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Some(_) => {}
                None => self.fill(deadline)?,
            }
        }
    }

    fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask));
        self.stream.write_all(&frame)
    }

    /// A whole frame from the buffer. Servers do not mask.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let opcode = self.buffer.first()? & 0x0f;
        let (start, length) = match self.buffer.get(1)? & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let end = start + usize::try_from(length).ok()?;
        self.buffer.get(..end)?;
        let frame: Vec<u8> = self.buffer.drain(..end).collect();
        Some((opcode, frame[start..].to_vec()))
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        let mut part = [0; 4096];
        match patience::read(&self.stream, &mut part, deadline)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&part[..count]);
                Ok(())
            }
        }
    }
}
