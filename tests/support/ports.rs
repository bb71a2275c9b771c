// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ports that no other test, thread or process of the harness gets.
//!
//! Taken from below the range that the system hands out by itself. A socket on
//! 127.0.0.2 reserves the number between processes until this process ends. The number after
//! each one is nobody else's: some programs take that, too, as baresip does for TLS.

use super::patience;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;
const PAIRS: u32 = 9_500;
/// The kernel's lists of sockets: a local port is the hexadecimal number after the second column's colon.
const SOCKETS: [&str; 4] = ["/proc/net/tcp", "/proc/net/udp", "/proc/net/tcp6", "/proc/net/udp6"];

/// A port that is free for UDP and TCP on 127.0.0.1.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let start = std::process::id().wrapping_mul(127);
    for _ in 0..PAIRS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + 2 * (start.wrapping_add(step) % PAIRS);
        let port = u16::try_from(port).expect("the range is below 65536");
        if is_in_use(port) || is_in_use(port + 1) {
            continue;
        }
        let Ok(reservation) = UdpSocket::bind(("127.0.0.2", port)) else {
            continue;
        };
        RESERVED.lock().expect("no panic while held").push(reservation);
        return port;
    }
    panic!("no free port on loopback");
}

/// Asked of the kernel's lists. A socket of our own, bound to try it, would live on for a moment in every program
/// that another thread is just starting.
fn is_in_use(port: u16) -> bool {
    let end = format!(":{port:04X}");
    let holds =
        |list: String| list.lines().filter_map(|line| line.split_whitespace().nth(1)).any(|a| a.ends_with(&end));
    SOCKETS.iter().any(|path| fs::read_to_string(path).is_ok_and(holds))
}

/// True when somebody listens for streams at this port on 127.0.0.1. Nobody is connected to for it.
pub fn is_listening(port: u16) -> bool {
    const LISTENS: &str = "0A";
    let address = format!("0100007F:{port:04X}");
    let is_it = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&address) && columns.nth(1) == Some(LISTENS)
    };
    fs::read_to_string(SOCKETS[0]).is_ok_and(|list| list.lines().any(is_it))
}

/// Listens again on a port of ours: a program that was just being started may still hold the socket before.
pub fn listen_again(port: u16) -> TcpListener {
    let mut result = Err(io::Error::from(ErrorKind::AddrInUse));
    patience::until(patience::PATIENCE, || {
        result = TcpListener::bind(("127.0.0.1", port));
        !matches!(&result, Err(error) if error.kind() == ErrorKind::AddrInUse)
    });
    result.expect("a port of our own")
}
