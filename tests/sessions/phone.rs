// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone: the messages it sends, and the key that it derives from the answer.

use crate::support::token::now;
use sipoauth_core::check::{Message, Request};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::{Key, KeyOrder, shared_key};
use sipoauth_core::sip::digest_string::{DigestParts, digest_string, digest_string_with_uri};
use sipoauth_core::sip::sip_date;

pub const ALICE: &str = "sip:alice@example.test";
pub const BOB: &str = "sip:bob@example.test";

/// A SIP request, as far as the library looks at it.
#[derive(Clone, Debug)]
pub struct Sip {
    pub method: String,
    /// The Request-URI.
    pub uri: String,
    pub from: String,
    pub to: String,
    pub from_tag: String,
    pub call_id: String,
    pub cseq: String,
    pub date: String,
    pub contact: String,
    pub instance: String,
    pub branch: String,
    pub transport: &'static str,
    pub source: (String, u16),
    /// Bodies of its Via header fields as they arrive.
    pub vias: Vec<String>,
    pub content_type: String,
    pub body: Vec<u8>,
    pub credentials: Vec<String>,
    /// The To tag of the answer, as the proxy predicts it.
    pub reply_to_tag: String,
    pub contacts: u32,
    /// `reg-id` of the Contact; 0: none.
    pub reg_id: u32,
    /// The host's number of the connection; 0: none.
    pub connection: u64,
    /// The whole message, where the host gives it.
    pub octets: Vec<u8>,
    /// Its proofs cover the Request-URI.
    pub covers_uri: bool,
}

impl Sip {
    /// A REGISTER without body or credentials; `name` makes it differ from others.
    pub fn register(aor: &str, name: &str) -> Sip {
        Sip {
            method: "REGISTER".into(),
            uri: "sip:example.test".into(),
            from: aor.into(),
            to: aor.into(),
            from_tag: format!("from-{name}"),
            call_id: format!("call-{name}@192.0.2.1"),
            cseq: "1 REGISTER".into(),
            date: sip_date::from_unix_seconds(now()).expect("a time of this era"),
            contact: "sip:phone@192.0.2.1:5060;transport=tls".into(),
            instance: String::new(),
            branch: format!("z9hG4bK-{name}"),
            transport: "tls",
            source: ("192.0.2.1".into(), 5060),
            vias: Vec::new(),
            content_type: "application/x-www-form-urlencoded".into(),
            body: Vec::new(),
            credentials: Vec::new(),
            contacts: 1,
            reg_id: 0,
            connection: 0,
            octets: Vec::new(),
            covers_uri: false,
            reply_to_tag: format!("to-{name}"),
        }
    }

    /// A REGISTER with a code.
    pub fn with_code(aor: &str, name: &str, code: &str) -> Sip {
        Sip::register(aor, name).body(&format!("grant_type=authorization_code&code={code}"))
    }

    /// Another method of this user, towards somebody else.
    pub fn of_method(method: &str, from: &str, name: &str) -> Sip {
        Sip {
            method: method.into(),
            uri: BOB.into(),
            to: BOB.into(),
            cseq: format!("7 {method}"),
            ..Sip::register(from, name)
        }
    }

    pub fn body(mut self, body: &str) -> Sip {
        self.body = body.as_bytes().to_vec();
        self
    }

    pub fn instance(mut self, instance: &str) -> Sip {
        self.instance = format!("<urn:uuid:{instance}>");
        self
    }

    pub fn over(mut self, transport: &'static str) -> Sip {
        self.transport = transport;
        self
    }

    pub fn on(mut self, connection: u64) -> Sip {
        self.connection = connection;
        self
    }

    pub fn dated(mut self, seconds: i64) -> Sip {
        self.date = sip_date::from_unix_seconds(seconds).expect("a time of this era");
        self
    }

    /// The key that the phone derives when this was answered with this To tag.
    pub fn key(&self, code: &str, to_tag: &str) -> Key {
        let [from_tag, call_id] = [&self.from_tag, &self.call_id].map(|text| text.as_bytes());
        shared_key(KeyOrder::Draft, code.as_bytes(), from_tag, to_tag.as_bytes(), call_id)
    }

    /// What a proof covers, with this in the place of the body.
    pub fn digest(&self, body: &[u8]) -> Vec<u8> {
        let parts = DigestParts {
            from: self.from.as_bytes(),
            to: self.to.as_bytes(),
            call_id: self.call_id.as_bytes(),
            cseq: self.cseq.as_bytes(),
            date: self.date.as_bytes(),
            contact: self.contact.as_bytes(),
            body,
        };
        let made =
            if self.covers_uri { digest_string_with_uri(&parts, self.uri.as_bytes()) } else { digest_string(&parts) };
        // The library refuses to make this digest-string, so a careless phone makes it here.
        made.unwrap_or_else(|_| self.careless_digest(&parts))
    }

    /// The parts one after the other, whatever is in them.
    fn careless_digest(&self, parts: &DigestParts<'_>) -> Vec<u8> {
        let all = [parts.from, parts.to, parts.call_id, parts.cseq, parts.date, parts.contact, parts.body];
        all.join(&b'|')
    }

    /// The proof in the body; what is there already comes after the grant_type.
    pub fn prove_in_body(mut self, key: &Key) -> Sip {
        let covered = b"grant_type=proof-of-possession".to_vec();
        let pop = pop_to_text(&make_pop(&**key, &self.digest(&covered)));
        self.body = [covered, b"&pop=".to_vec(), pop.into_bytes()].concat();
        self
    }

    /// The proof in the header; the whole body is covered.
    pub fn prove_in_header(mut self, key: &Key) -> Sip {
        let pop = pop_to_text(&make_pop(&**key, &self.digest(&self.body)));
        self.credentials = vec![format!("Bearer pop=\"{pop}\"")];
        self
    }

    /// What the proxy hands to the library.
    pub fn read<R>(&self, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let credentials: Vec<&str> = self.credentials.iter().map(String::as_str).collect();
        let vias: Vec<&str> = self.vias.iter().map(String::as_str).collect();
        look(&Request {
            method: &self.method,
            uri: self.uri.as_bytes(),
            octets: &self.octets,
            from: &self.from,
            to: &self.to,
            realm: "example.test",
            credentials: &credentials,
            transport: self.transport,
            source: (&self.source.0, self.source.1),
            vias: &vias,
            connection: self.connection,
            message: Message {
                content_type: &self.content_type,
                body: &self.body,
                from_tag: self.from_tag.as_bytes(),
                call_id: self.call_id.as_bytes(),
                cseq: self.cseq.as_bytes(),
                date: self.date.as_bytes(),
                contact: self.contact.as_bytes(),
                instance: &self.instance,
                branch: self.branch.as_bytes(),
                reply_to_tag: self.reply_to_tag.as_bytes(),
                contacts: self.contacts,
                reg_id: self.reg_id,
                user_agent: "",
            },
            ..Request::default()
        })
    }
}
