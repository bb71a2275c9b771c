// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registrations with a password: a request that is challenged, and its answer.

use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};

use crate::proxies::generator::{Generator, Outcome};
use crate::proxies::message::{Message, between};
use crate::proxies::process::Proxy;
use crate::proxies::{DOMAIN, USERS, WINDOW};

/// Everybody's password, which is also in the script.
pub const PASSWORD: &str = "password-of-all";

/// CPU of a registration's two requests, microseconds.
pub struct Cost {
    /// The one without credentials.
    pub challenge: f64,
    /// The one with them.
    pub answer: f64,
}

/// Registers `count` users, each with two requests.
pub fn register(proxy: &mut Proxy, count: usize, source: u8) -> Result<Cost, String> {
    let fail = |name: &str, e: String| format!("{name}: {e}");
    let mut first: Vec<Message> = (0..count).map(|i| Message::register(i % USERS, "", "")).collect();
    let mut nonces = vec![String::new(); count];
    let mut generator = Generator::new(proxy.port, source)?;
    let mut heard = |number: usize, reply: &[u8]| {
        nonces[number] = nonce_of(reply);
    };
    let before = proxy.cpu()?;
    let outcome = generator.saturate(&mut first, count, WINDOW, &mut heard)?;
    let challenge = (proxy.cpu()? - before) / count as f64;
    outcome.expect(401, count).map_err(|e| fail(proxy.name, e))?;
    let mut second: Vec<Message> =
        nonces.iter().enumerate().map(|(i, nonce)| second_request(i % USERS, nonce)).collect();
    let before = proxy.cpu()?;
    let outcome: Outcome = generator.saturate(&mut second, count, WINDOW, &mut |_, _| {})?;
    let answer = (proxy.cpu()? - before) / count as f64;
    outcome.expect(200, count).map_err(|e| fail(proxy.name, e))?;
    Ok(Cost { challenge, answer })
}

/// The first requests of so many users.
pub fn first_requests(users: usize) -> Vec<Message> {
    (0..users).map(|user| Message::register(user, "", "")).collect()
}

/// The nonce of a challenge.
pub fn nonce_of(reply: &[u8]) -> String {
    between(reply, "nonce=\"", &['"']).unwrap_or_default().to_owned()
}

/// The answer of a user to a challenge.
pub fn second_request(user: usize, nonce: &str) -> Message {
    Message::register(user, &answer(user, nonce), "")
}

fn answer(user: usize, nonce: &str) -> String {
    let username = format!("u{user}");
    let uri = format!("sip:{DOMAIN}");
    let answer = DigestInput {
        algorithm: DigestAlgorithm::Md5,
        username: &username,
        realm: DOMAIN,
        nonce,
        opaque: None,
        method: "REGISTER",
        uri: &uri,
        auth: None,
    };
    format!("Authorization: {}\r\n", answer.credentials(&ha1(DigestAlgorithm::Md5, &username, DOMAIN, PASSWORD)))
}
