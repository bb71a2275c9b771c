// SPDX-License-Identifier: MIT OR Apache-2.0

//! A TLS client in front of a test phone: what is sent to its port goes on over one TLS connection, made by OpenSSL with
//! a client certificate.

use super::certificates::Certificate;
use super::{kit, process};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::{Child, Stdio};
use std::thread;

/// One connection to a TLS port of a server on loopback; it ends with the phone's.
pub struct TlsTunnel {
    port: u16,
    client: Child,
}

impl TlsTunnel {
    /// Connects to this TLS port, with this certificate if there is one. It takes one phone.
    pub fn open(server: u16, certificate: Option<&Certificate>) -> TlsTunnel {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let mut command = process::command(kit::program("openssl"));
        command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{server}")]);
        if let Some(Certificate { certificate, key }) = certificate {
            command.arg("-cert").arg(certificate).arg("-key").arg(key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = process::spawn(command).expect("openssl is installed");
        let (mut to, mut from) = (client.stdin.take().expect("piped"), client.stdout.take().expect("piped"));
        thread::spawn(move || {
            let Ok((mut phone, _)) = listener.accept() else { return };
            let Ok(mut back) = phone.try_clone() else { return };
            thread::spawn(move || {
                let _ = copy(&mut from, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let _ = copy(&mut phone, &mut to);
        });
        TlsTunnel { port, client }
    }

    /// Where the phone connects.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsTunnel {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Piece by piece, as it comes: a pipe must not wait for more.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&piece[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
