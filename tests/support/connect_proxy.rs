// SPDX-License-Identifier: MIT OR Apache-2.0

//! An HTTP proxy that knows CONNECT only, and takes every host name for this machine: to names that no resolver knows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct ConnectProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// `credentials` is the value of Proxy-Authorization that it wants.
    pub fn start(credentials: Option<String>) -> ConnectProxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, credentials) = (Arc::clone(&seen), credentials.clone());
                thread::spawn(move || serve(client, &seen, credentials.as_deref()));
            }
        });
        ConnectProxy { port, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where connections were asked for, HOST:PORT.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic while held").clone()
    }
}

fn serve(mut client: TcpStream, seen: &Mutex<Vec<String>>, credentials: Option<&str>) {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut octet) {
            Ok(1) if head.len() < 8192 => head.push(octet[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or("");
    seen.lock().expect("no panic while held").push(target.to_owned());
    let field = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
    if credentials.is_some() && field != credentials {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let port = target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}
