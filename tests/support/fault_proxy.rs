// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stands between a client and a server on loopback and does them wrong, as told; what it does can be changed at any
//! time. Every change ends the connections that are open, as a server does that is started again.

use super::patience::{self, PATIENCE};
use super::ports;
use super::scripted_server::read_request;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);
const BACKLOG: i32 = 128;

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// They go through.
    Pass,
    /// The server's answer comes at so many octets in a second.
    SlowDrip(u32),
    /// The server's answer ends after so many octets.
    Truncate(usize),
    /// Accepted and read, never answered.
    Hang,
    /// Never accepted: connecting takes for ever.
    Blackhole,
    /// Nobody listens.
    Refuse,
    /// Reset when the request arrives.
    Reset,
    /// Answered with this status.
    Status(u16),
    /// Answered with octets that are not HTTP.
    Garbage,
}

struct Shared {
    upstream: u16,
    port: u16,
    /// With the number of the change that brought it.
    mode: Mutex<(Mode, u64)>,
    /// The last change that has come into force.
    in_force: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
    stop: AtomicBool,
}

pub struct FaultProxy {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// In front of this port on loopback; everything passes at first.
    pub fn start(upstream: u16) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            port: ports::free(),
            mode: Mutex::new((Mode::Pass, 0)),
            in_force: AtomicU64::new(0),
            open: Mutex::default(),
            accepted: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let listener = listen(shared.port);
        let own = Arc::clone(&shared);
        Self { thread: Some(thread::spawn(move || run(&own, listener))), shared }
    }

    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Relaxed)
    }

    pub fn set(&self, mode: Mode) {
        let number = {
            let mut current = self.shared.mode.lock().expect("no panic while held");
            *current = (mode, current.1 + 1);
            current.1
        };
        self.shared.end_connections();
        let seen = patience::until(PATIENCE, || self.shared.in_force.load(Relaxed) >= number);
        assert!(seen, "the fault proxy does not do as it is told");
        // Those accepted in between.
        self.shared.end_connections();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.shared.end_connections();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn mode(&self) -> (Mode, u64) {
        *self.mode.lock().expect("no panic while held")
    }

    fn keep(&self, stream: &TcpStream) {
        let copy = stream.try_clone().expect("a descriptor is left");
        self.open.lock().expect("no panic while held").push(copy);
    }

    fn end_connections(&self) {
        for stream in self.open.lock().expect("no panic while held").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = ports::listen_again(port);
    listener.set_nonblocking(true).expect("a socket");
    listener
}

fn set_backlog(listener: &TcpListener, length: i32) {
    // SAFETY: the descriptor is open as long as `listener` lives.
    let result = unsafe { libc::listen(listener.as_raw_fd(), length) };
    assert_eq!(result, 0, "listen: {}", io::Error::last_os_error());
}

fn run(shared: &Arc<Shared>, listener: TcpListener) {
    let mut listener = Some(listener);
    // Connections that nobody accepts: they keep the queue full.
    let mut plug: Vec<TcpStream> = Vec::new();
    while !shared.stop.load(Relaxed) {
        let (mode, number) = shared.mode();
        turn(shared, mode, &mut listener, &mut plug);
        shared.in_force.store(number, Relaxed);
    }
}

/// Does once what this mode asks for.
fn turn(shared: &Arc<Shared>, mode: Mode, listener: &mut Option<TcpListener>, plug: &mut Vec<TcpStream>) {
    if mode == Mode::Refuse {
        *listener = None;
        plug.clear();
        return thread::sleep(POLL);
    }
    let listening = listener.get_or_insert_with(|| listen(shared.port));
    if mode == Mode::Blackhole {
        if plug.is_empty() {
            set_backlog(listening, 0);
            let address = ([127, 0, 0, 1], shared.port).into();
            plug.extend((0..3).flat_map(|_| TcpStream::connect_timeout(&address, POLL * 4)));
        }
        return thread::sleep(POLL);
    }
    if !plug.is_empty() {
        plug.clear();
        while listening.accept().is_ok() {}
        set_backlog(listening, BACKLOG);
    }
    match listening.accept() {
        Ok((stream, _)) => {
            shared.accepted.fetch_add(1, Relaxed);
            shared.keep(&stream);
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let _ = serve(&shared, mode, stream);
            });
        }
        Err(_) => thread::sleep(POLL),
    }
}

fn serve(shared: &Arc<Shared>, mode: Mode, mut client: TcpStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    match mode {
        // To the end of the connection, however long the other side waits for an answer.
        Mode::Hang => drop(io::copy(&mut client, &mut io::sink())),
        // Octets left unread when the socket closes make a reset.
        Mode::Reset => drop(patience::peek(&client, &mut [0], Instant::now() + PATIENCE)),
        Mode::Status(status) => {
            read_request(&client);
            let head = format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(head.as_bytes())?;
        }
        Mode::Garbage => {
            read_request(&client);
            client.write_all(&[0x16, 0x03, 0x00, 0xff, 0xfe, 0x00, b'\n', 0x80, 0x81])?;
        }
        Mode::Pass | Mode::SlowDrip(_) | Mode::Truncate(_) => relay(shared, mode, &mut client)?,
        Mode::Refuse | Mode::Blackhole => {}
    }
    client.shutdown(Shutdown::Both)
}

fn relay(shared: &Shared, mode: Mode, client: &mut TcpStream) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", shared.upstream))?;
    shared.keep(&server);
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let requests = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let answers = match mode {
        Mode::SlowDrip(rate) => BufReader::new(&server).bytes().try_for_each(|octet| {
            client.write_all(&[octet?])?;
            thread::sleep(Duration::from_secs(1) / rate);
            Ok(())
        }),
        Mode::Truncate(length) => io::copy(&mut (&mut server).take(length as u64), client).map(drop),
        _ => io::copy(&mut server, client).map(drop),
    };
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = requests.join();
    answers
}
