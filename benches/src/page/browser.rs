// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sign-ins over a connection that is kept, as a reverse proxy has it: each is one of another browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use sipoauth_core::text::form;

use crate::proxies::server::{CODE, NONCE};
use crate::proxies::{DOMAIN, PROVIDER};

/// An answer that takes longer is none.
const LOST: Duration = Duration::from_secs(20);
/// Longest body of an answer.
const MAX_BODY: usize = 256 * 1024;

/// The requests of a sign-in, in their order.
pub const STEPS: [&str; 4] = ["the start page", "sent to the server", "back with a code", "the page of phones"];

/// What the page has answered.
struct Answer {
    status: u16,
    location: String,
    /// Name and value of each cookie.
    cookies: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A connection to the page.
pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// To the page at this port.
    pub fn new(port: u16) -> Result<Connection, String> {
        let opened = || -> std::io::Result<Connection> {
            let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            writer.set_nodelay(true)?;
            writer.set_read_timeout(Some(LOST))?;
            Ok(Connection { reader: BufReader::new(writer.try_clone()?), writer })
        };
        opened().map_err(|e| format!("the page takes no connection: {e}"))
    }

    fn get(&mut self, path: &str, source: Ipv4Addr, cookies: &[(String, String)]) -> Result<Answer, String> {
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: phones.{DOMAIN}\r\nAccept: text/html\r\nAccept-Language: en\r\n\
             X-Forwarded-For: {source}\r\n{cookie}\r\n"
        );
        let answered = self.writer.write_all(request.as_bytes()).and_then(|()| self.read());
        answered.map_err(|e| format!("GET {}: {e}", path.split('?').next().unwrap_or(path)))
    }

    fn read(&mut self) -> std::io::Result<Answer> {
        let wrong = |what: &str| std::io::Error::other(format!("{what} in the answer"));
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| wrong("no status"))?;
        let (mut answer, mut length) =
            (Answer { status, location: String::new(), cookies: Vec::new(), body: Vec::new() }, 0);
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| wrong("a wrong length"))?,
                "location" => value.clone_into(&mut answer.location),
                "set-cookie" => {
                    let pair = value.split(';').next().and_then(|pair| pair.split_once('='));
                    answer.cookies.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
                }
                "connection" if value.eq_ignore_ascii_case("close") => return Err(wrong("the end of the connection")),
                "transfer-encoding" => return Err(wrong("no length")),
                _ => {}
            }
        }
        if length > MAX_BODY {
            return Err(wrong("too long a body"));
        }
        answer.body.resize(length, 0);
        self.reader.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// The whole sign-in of a user, from an address of its own. Returns milliseconds of each request.
    pub fn sign_in(&mut self, user: usize, source: Ipv4Addr) -> Result<[f64; STEPS.len()], String> {
        let mut times = [0.0; STEPS.len()];
        let mut cookies: Vec<(String, String)> = Vec::new();
        let mut path = "/".to_owned();
        for step in 0..STEPS.len() {
            let begun = Instant::now();
            let answer = self.get(&path, source, &cookies)?;
            times[step] = begun.elapsed().as_secs_f64() * 1000.0;
            let is_page = step == 0 || step == STEPS.len() - 1;
            if answer.status != if is_page { 200 } else { 303 } {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(format!("{}: {} {text}", STEPS[step], answer.status));
            }
            for (name, value) in answer.cookies {
                cookies.retain(|(known, _)| *known != name);
                if !value.is_empty() {
                    cookies.push((name, value));
                }
            }
            path = match step {
                0 => format!("/sign-in/{PROVIDER}"),
                1 => back(&answer.location, user).ok_or("the page sends nobody to the server")?,
                2 => answer.location,
                _ => match contains(&answer.body, &format!("u{user}@{DOMAIN}")) {
                    true => String::new(),
                    false => return Err(format!("{}: it is not that of user {user}", STEPS[step])),
                },
            };
        }
        Ok(times)
    }
}

/// Where the server sends the browser back to, at once.
fn back(location: &str, user: usize) -> Option<String> {
    let pairs = form::parse(location.split_once('?')?.1.as_bytes()).ok()?;
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_string());
    let (state, nonce) = (value("state")?, value("nonce")?);
    Some(format!("/signed-in/{PROVIDER}?code={CODE}{user}-{NONCE}{nonce}&state={state}"))
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_comes_back_with_a_code_of_its_sign_in() {
        let location = "http://127.0.0.1:1/authorize?client_id=c&state=s-_1&nonce=n-2&code_challenge=x";
        let wanted = format!("/signed-in/{PROVIDER}?code={CODE}7-{NONCE}n-2&state=s-_1");
        assert_eq!(back(location, 7), Some(wanted));
        assert_eq!(back("/", 7), None);
    }
}
