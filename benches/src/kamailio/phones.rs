// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones that have signed in with a code and prove from then on that they have the key.

use std::time::SystemTime;

use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::{KeyOrder, shared_key};
use sipoauth_core::sip::digest_string::{DigestParts, digest_string};
use sipoauth_core::sip::sip_date;

use crate::proxies::generator::Generator;
use crate::proxies::message::{Message, between, call_id, contact, cseq, from_tag, next_cseq};
use crate::proxies::process::Proxy;
use crate::proxies::server::CODE;
use crate::proxies::{WINDOW, address};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Phones that sign in from one address.
const PER_SOURCE: usize = 50_000;

/// The keys of all users' phones.
pub struct Phones {
    keys: Vec<[u8; 32]>,
}

impl Phones {
    /// Signs this many users in at a proxy.
    pub fn sign_in(proxy: &mut Proxy, count: usize, source: u8) -> Result<Phones, String> {
        let code = |user: usize| format!("{CODE}{user}-{:016x}", next_cseq());
        let codes: Vec<String> = (0..count).map(code).collect();
        let body = |code: &String| format!("grant_type=authorization_code&code={code}");
        let mut messages: Vec<Message> =
            codes.iter().enumerate().map(|(user, code)| Message::register(user, FORM, &body(code))).collect();
        let mut keys = vec![[0; 32]; count];
        let mut heard = |user: usize, reply: &[u8]| {
            // The tag in To is behind the one in From, which the reply repeats first.
            let to = reply.windows(5).position(|window| window == b"\r\nTo:").map_or(&[][..], |at| &reply[at..]);
            let tag = between(to, ";tag=", &[';', '\r']).unwrap_or_default();
            let (from, id) = (from_tag(user), call_id(user));
            let (code, tag) = (codes[user].as_bytes(), tag.as_bytes());
            keys[user] = *shared_key(KeyOrder::Draft, code, from.as_bytes(), tag, id.as_bytes());
        };
        // A source has a limit of codes for each minute.
        for (part, messages) in messages.chunks_mut(PER_SOURCE).enumerate() {
            let (first, count) = (part * PER_SOURCE, messages.len());
            let mut generator = Generator::new(proxy.port, source + part as u8)?;
            let outcome =
                generator.saturate(messages, count, WINDOW, &mut |number, reply| heard(first + number, reply))?;
            outcome.expect(200, count).map_err(|e| format!("signing in: {e}\n{}", proxy.tail()))?;
        }
        Ok(Phones { keys })
    }

    /// A REGISTER with a proof of each user.
    pub fn messages(&self) -> Result<Vec<Message>, String> {
        let date = sip_date_now()?;
        let message = |(user, key): (usize, &[u8; 32])| {
            let number = next_cseq();
            let (aor, id, contact, cseq) = (address(user), call_id(user), contact(user), cseq(number));
            let parts = DigestParts {
                from: aor.as_bytes(),
                to: aor.as_bytes(),
                call_id: id.as_bytes(),
                cseq: cseq.as_bytes(),
                date: date.as_bytes(),
                contact: contact.as_bytes(),
                body: PROOF.as_bytes(),
            };
            let text = digest_string(&parts).map_err(|e| format!("no digest-string: {} is wrong", e.header()))?;
            let body = format!("{PROOF}&pop={}", pop_to_text(&make_pop(key, &text)));
            Ok(Message::register(user, &format!("Date: {date}\r\n{FORM}"), &body).with_cseq(number))
        };
        self.keys.iter().enumerate().map(message).collect()
    }
}

/// The body without the proof, which the proof covers.
const PROOF: &str = "grant_type=proof-of-possession";

fn sip_date_now() -> Result<String, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|e| e.to_string())?;
    sip_date::from_unix_seconds(now.as_secs() as i64).ok_or_else(|| "no SIP-date for this time".to_owned())
}
