// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting, in one place: for octets of a socket, and for anything else.
//!
//! A wait ends when what it waits for is there, or when it is certain that it never comes. A signal, a time-out that
//! came a moment early, and the ICMP message about an earlier datagram are neither. Nobody else in the tests calls
//! `set_read_timeout`, which makes `recv`, `read` and `peek` of a socket end early; a test of the kit sees to it.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

/// Nothing on loopback takes this long, also on a machine with much else to do, unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a test listens to find that nothing comes. Too short a time cannot make it fail.
pub const SILENCE: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_millis(10);

/// Goes on until this holds; false when it did not in time.
pub fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// The next datagram.
pub fn receive(socket: &UdpSocket, limit: Duration) -> io::Result<Vec<u8>> {
    receive_from(socket, limit).map(|(octets, _)| octets)
}

/// The next datagram and who sent it.
pub fn receive_from(socket: &UdpSocket, limit: Duration) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 65536];
    let (length, from) = receive_into(socket, &mut buffer, limit)?;
    buffer.truncate(length);
    Ok((buffer, from))
}

/// The same into a buffer that the caller keeps.
pub fn receive_into(socket: &UdpSocket, buffer: &mut [u8], limit: Duration) -> io::Result<(usize, SocketAddr)> {
    let set = |left| socket.set_read_timeout(Some(left));
    wait(Instant::now() + limit, set, || socket.recv_from(buffer))
}

/// The next datagram of a local socket.
pub fn receive_local(socket: &UnixDatagram, limit: Duration) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 65536];
    let set = |left| socket.set_read_timeout(Some(left));
    let length = wait(Instant::now() + limit, set, || socket.recv(&mut buffer))?;
    buffer.truncate(length);
    Ok(buffer)
}

/// What a stream has next, at most as much as fits; 0 at its end.
pub fn read(stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    wait(deadline, |left| stream.set_read_timeout(Some(left)), || (&*stream).read(buffer))
}

/// The same, and it stays there.
pub fn peek(stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    wait(deadline, |left| stream.set_read_timeout(Some(left)), || stream.peek(buffer))
}

/// Sends a datagram. The error that an earlier one has left belongs to that one.
pub fn send(socket: &UdpSocket, octets: &[u8]) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..3 {
        match socket.send(octets) {
            Ok(_) => return Ok(()),
            Err(error) if passes(&error) => last = Err(error),
            Err(error) => return Err(error),
        }
    }
    // Nobody listens there now; a datagram that is lost looks the same.
    last.or_else(|error| if error.kind() == ErrorKind::ConnectionRefused { Ok(()) } else { Err(error) })
}

/// Tries until something comes, or the deadline, or an error that counts.
fn wait<T>(
    deadline: Instant,
    set_timeout: impl Fn(Duration) -> io::Result<()>,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        // At the deadline one look is left: what is there already counts.
        let left = deadline.saturating_duration_since(Instant::now());
        set_timeout(left.max(Duration::from_millis(1)))?;
        match attempt() {
            Err(error) if !passes(&error) => return Err(error),
            Err(_) if left.is_zero() => return Err(ErrorKind::TimedOut.into()),
            Err(_) => {}
            got => return got,
        }
    }
}

/// Says nothing about what is waited for.
fn passes(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    // On a UDP socket this error is about an earlier datagram. On a stream it occurs only while connecting.
    matches!(error.kind(), Interrupted | WouldBlock | TimedOut | ConnectionRefused)
}
