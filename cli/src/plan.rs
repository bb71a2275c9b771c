// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of one run: checks the options and the state file, puts them together, and makes the phone's requests from
//! them.

use std::net::SocketAddr;

use sipoauth_core::oauth::grant::CONTENT_TYPE;
use sipoauth_core::sip::digest_string::{DigestError, DigestParts, digest_string, digest_string_with_uri};
use sipoauth_core::sip::uri::Aor;

use crate::credential::Credential;
use crate::evidence::Evidence;
use crate::message::{SipRequest, is_token};
use crate::options::{PopStar, RegisterOptions};
use crate::phone_state::PhoneState;

use crate::transport::{Server, Transport};

/// What differs from one request of a run to the next.
pub struct PlanStep<'a> {
    /// The CSeq number.
    pub cseq: u32,
    /// How often this request has been tried, this time included.
    pub attempt: u32,
    /// The Date.
    pub date: Option<&'a str>,
}

/// A request that is ready.
pub struct Outgoing {
    /// The request.
    pub request: SipRequest,
    /// The digest-string that a proof in the request covers. Empty when the evidence needs none.
    pub digest_string: Vec<u8>,
    /// What must not be printed.
    pub secrets: Vec<String>,
}

/// Everything about the requests of one run.
pub struct Plan {
    /// The proxy.
    pub server: Server,
    /// How it is reached.
    pub transport: Transport,
    /// The address-of-record as typed.
    pub aor: String,
    /// The method.
    pub method: String,
    /// +sip.instance.
    pub instance: String,
    /// reg-id, when there are several flows.
    pub reg_id: Option<u32>,
    /// Seconds asked for.
    pub expires: u32,
    /// Authorization or Proxy-Authorization, when no challenge says which.
    pub credential_header: &'static str,
    to: String,
    request_uri: String,
    user: String,
    contact: Option<String>,
    pop_star: PopStar,
    pop_request_uri: bool,
    body: Option<(String, String)>,
    call_id: String,
    from_tag: String,
}

impl Plan {
    /// Checks the options and the state file.
    pub fn new(options: &RegisterOptions, state: Option<&PhoneState>, credential: &Credential) -> Result<Plan, String> {
        let known = state.filter(|_| options.continues());
        let aor = options.aor.clone().or_else(|| known.map(|s| s.aor.clone()));
        let aor = aor.ok_or("--aor is missing; for example --aor sip:alice@example.test")?;
        let parsed = Aor::parse(&aor).filter(|_| is_uri(&aor));
        let parsed = parsed.ok_or_else(|| format!("--aor {aor:?} is not a SIP URI such as sip:alice@example.test"))?;
        let transport = options.transport.or_else(|| known.map(|s| s.transport)).unwrap_or(Transport::Udp);
        let server = options.server.clone().or_else(|| known.map(|s| s.server.clone()));
        let server = server.ok_or("--server is missing; for example --server 192.0.2.1:5060")?;
        let server = Server::parse(&server, transport)
            .ok_or_else(|| format!("--server {server:?} is not HOST:PORT, such as proxy.example.test:5060"))?;

        let method = options.method.clone();
        if !is_token(&method) || ["INVITE", "ACK", "CANCEL"].contains(&method.as_str()) {
            return Err(format!("--method {method:?} cannot be sent; take REGISTER, OPTIONS, MESSAGE or the like"));
        }
        let register = method == "REGISTER";
        let form = credential.takes_the_body();
        if !register && form {
            return Err(
                "what the phone shows is in the body, so it needs a REGISTER; leave --method out, or with --pop use \
                        --pop-in header"
                    .into(),
            );
        }
        if form && options.body.is_some() {
            return Err(
                "--body cannot be combined with a code, a grant or a proof, which are in the body themselves".into()
            );
        }
        let authority = parsed.as_str().split_once('@').map_or("", |(_, authority)| authority);
        let scheme = if aor.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:")) { "sips" } else { "sip" };
        let (to, request_uri) = match (&options.to, register) {
            (None, true) => (aor.clone(), format!("{scheme}:{authority}")),
            (Some(to), false) if is_uri(to) => (to.clone(), to.clone()),
            (Some(to), false) => return Err(format!("--to {to:?} is not a SIP URI such as sip:bob@example.test")),
            (None, false) => return Err(format!("--to is missing: where does the {method} go?")),
            (Some(_), true) => {
                return Err("--to is for requests other than REGISTER; a phone registers its --aor".into());
            }
        };
        for (name, value) in
            [("--contact", &options.contact), ("--instance", &options.instance), ("--date", &options.date)]
        {
            let wrong = |text: &str| text.is_empty() || text.chars().any(|c| c.is_control() || "<>\"".contains(c));
            if value.as_deref().is_some_and(wrong) {
                return Err(format!("{name} has a character that cannot stand in a header, or is empty"));
            }
        }
        if options.content_type.chars().any(char::is_control) {
            return Err("--content-type has a character that cannot stand in a header".into());
        }
        let kept = || state.filter(|s| is_uri_text(&s.instance)).map(|s| s.instance.clone());
        Ok(Plan {
            server,
            transport,
            user: parsed.user().to_owned(),
            aor,
            method,
            instance: match options.instance.clone().or_else(kept) {
                Some(instance) => instance,
                None => random_uuid()?,
            },
            reg_id: options.reg_id.or_else(|| state.and_then(|s| s.reg_id)),
            expires: options.expires,
            to,
            request_uri,
            contact: options.contact.clone(),
            pop_star: options.pop_star,
            pop_request_uri: options.pop_request_uri,
            body: options.body.clone().map(|body| (options.content_type.clone(), body)),
            credential_header: if options.proxy_authorization { "Proxy-Authorization" } else { "Authorization" },
            call_id: random_hex(16)?,
            from_tag: random_hex(8)?,
        })
    }

    /// Is it a registration, not another request with the same credentials?
    pub fn registers(&self) -> bool {
        self.method == "REGISTER"
    }

    /// Makes the request with this evidence.
    pub fn request(&self, local: SocketAddr, step: &PlanStep<'_>, evidence: &Evidence<'_>) -> Result<Outgoing, String> {
        let branch = random_hex(8)?;
        let cseq = format!("{} {}", step.cseq, self.method);
        let mut headers = vec![
            ("Via", format!("SIP/2.0/{} {local};branch=z9hG4bK{branch};rport", self.transport.name())),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<{}>;tag={}", self.aor, self.from_tag)),
            ("To", format!("<{}>", self.to)),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", cseq.clone()),
        ];
        headers.extend(step.date.map(|date| ("Date", date.to_owned())));
        let contact = self.contact_uri(local);
        if contact == "*" {
            headers.push(("Contact", contact.clone()));
        } else if !contact.is_empty() {
            let flow = self.reg_id.filter(|_| self.registers()).map(|id| format!(";reg-id={id}")).unwrap_or_default();
            headers.push(("Contact", format!("<{contact}>{flow};+sip.instance=\"<{}>\"", self.instance)));
        }
        if self.registers() {
            headers.push(("Expires", self.expires.to_string()));
            headers.extend(self.reg_id.map(|_| ("Supported", "path, outbound".to_owned())));
        }
        headers.push(("User-Agent", concat!("sipoauth/", env!("CARGO_PKG_VERSION")).to_owned()));

        let (kind, body) = match &evidence.form {
            Some(form) => (CONTENT_TYPE.to_owned(), form.clone()),
            None => self.body.clone().unwrap_or_default(),
        };
        let parts = DigestParts {
            from: self.aor.as_bytes(),
            to: self.to.as_bytes(),
            call_id: self.call_id.as_bytes(),
            cseq: cseq.as_bytes(),
            date: step.date.unwrap_or_default().as_bytes(),
            contact: match self.pop_star {
                PopStar::Empty if contact == "*" => b"",
                _ => contact.as_bytes(),
            },
            body: evidence.covered(&body).as_bytes(),
        };
        let digest_string = match evidence.needs_digest_string() {
            true if self.pop_request_uri => digest_string_with_uri(&parts, self.request_uri.as_bytes()),
            true => digest_string(&parts),
            false => Ok(Vec::new()),
        };
        let digest_string = digest_string.map_err(|e| {
            let check = if e == DigestError::Date { "; check --date" } else { ", which has no '|'" };
            format!("no proof can be made, because {} is not as RFC 3261 writes it{check}", e.header())
        })?;
        let written = evidence.write(&self.method, &self.request_uri, &digest_string, step.attempt)?;
        headers.extend(written.credentials.map(|value| (evidence.header, value)));
        if !kind.is_empty() {
            headers.push(("Content-Type", kind));
        }
        let body = body + &written.parameter;
        let request =
            SipRequest { method: self.method.clone(), uri: self.request_uri.clone(), headers, body: body.into_bytes() };
        Ok(Outgoing { request, digest_string, secrets: written.secrets })
    }

    /// The Contact's URI; RFC 3428 section 4 forbids a MESSAGE to have one.
    pub fn contact_uri(&self, local: SocketAddr) -> String {
        match (&self.contact, self.method.as_str()) {
            (Some(contact), _) => contact.clone(),
            (None, "MESSAGE") => String::new(),
            (None, _) => format!("sip:{}@{local};transport={}", self.user, self.transport.name().to_ascii_lowercase()),
        }
    }
}

/// Is it a SIP or telephone URI that can stand between angle brackets?
pub fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    is_uri_text(text) && ["sip", "sips", "tel"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Can the text stand between angle brackets?
pub fn is_uri_text(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' ' || "<>\"".contains(c))
}

/// Random octets as hex.
pub fn random_hex(octets: usize) -> Result<String, String> {
    let mut random = vec![0; octets];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the system gives no random numbers")?;
    Ok(random.iter().map(|b| format!("{b:02x}")).collect())
}

/// A version 4 UUID as a URN (RFC 9562 section 5.4).
fn random_uuid() -> Result<String, String> {
    let hex = random_hex(16)?;
    let variant = ["8", "9", "a", "b"][usize::from(hex.as_bytes()[16] % 4)];
    Ok(format!("urn:uuid:{}-{}-4{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]))
}
