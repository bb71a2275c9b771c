// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ports that no other test, thread or process of the harness gets.
//!
//! Taken from below the range that the system hands out by itself. A socket on
//! 127.0.0.2 reserves the number between processes until this process ends.

use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;
const COUNT: u32 = 19_000;

/// A port that is free for UDP and TCP on 127.0.0.1.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let start = std::process::id().wrapping_mul(127);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("the range is below 65536");
        let Ok(reservation) = UdpSocket::bind(("127.0.0.2", port)) else {
            continue;
        };
        let free = UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free {
            RESERVED.lock().expect("no panic while held").push(reservation);
            return port;
        }
    }
    panic!("no free port on loopback");
}
