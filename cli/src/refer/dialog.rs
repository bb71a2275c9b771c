// SPDX-License-Identifier: MIT OR Apache-2.0
//! A dialog, from its first request on: who talks with whom, and where requests go (RFC 3261 section 12). What the peer
//! has sent goes into requests without control characters, so that it cannot add header fields.

use std::net::SocketAddr;

use crate::header;
use crate::message::{Response, SipRequest};
use crate::plan::{is_uri, random_hex};
use crate::received_request::ReceivedRequest;
use crate::transport::Transport;

/// One side's view of a dialog.
pub struct Dialog {
    /// The Call-ID.
    pub call_id: String,
    /// The own tag.
    pub local_tag: String,
    /// The peer's tag, once it is known.
    pub remote_tag: Option<String>,
    /// The user part of the Contact.
    pub user: String,
    /// From and To of own requests.
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
}

impl Dialog {
    /// A dialog that a request from here will open.
    pub fn opened(from: &str, to: &str, user: &str) -> Result<Dialog, String> {
        let local_tag = random_hex(8)?;
        Ok(Dialog {
            call_id: random_hex(16)?,
            local: format!("<{from}>;tag={local_tag}"),
            local_tag,
            remote_tag: None,
            user: user.to_owned(),
            remote: format!("<{to}>"),
            target: to.to_owned(),
            routes: Vec::new(),
            cseq: 0,
        })
    }

    /// The dialog that a received request opens. None if the request has no Contact to which requests could go.
    pub fn accepted(request: &ReceivedRequest, local_tag: &str, user: &str) -> Option<Dialog> {
        Some(Dialog {
            call_id: safe(request.header("Call-ID")?),
            local_tag: local_tag.to_owned(),
            remote_tag: request.tag("From"),
            user: user.to_owned(),
            local: format!("{};tag={local_tag}", safe(request.header("To")?)),
            remote: safe(request.header("From")?),
            target: request.contact()?,
            routes: request.list("Record-Route").iter().map(|route| safe(route.as_bytes())).collect(),
            cseq: 0,
        })
    }

    /// The next request within the dialog, without what belongs to its method.
    pub fn request(&mut self, method: &str, local: SocketAddr, transport: Transport) -> Result<SipRequest, String> {
        self.cseq += 1;
        let branch = random_hex(8)?;
        let mut headers = vec![
            ("Via", format!("SIP/2.0/{} {local};branch=z9hG4bK{branch};rport", transport.name())),
            ("Max-Forwards", "70".to_owned()),
        ];
        headers.extend(self.routes.iter().map(|route| ("Route", route.clone())));
        headers.extend([
            ("From", self.local.clone()),
            ("To", self.remote.clone()),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{} {method}", self.cseq)),
            ("Contact", contact(&self.user, local, transport, is_secure(&self.target))),
            ("User-Agent", concat!("sipoauth/", env!("CARGO_PKG_VERSION")).to_owned()),
        ]);
        Ok(SipRequest { method: method.to_owned(), uri: self.target.clone(), headers, body: Vec::new() })
    }

    /// Does the peer send this request within the dialog? Until its tag is known, any tag counts.
    pub fn has(&self, request: &ReceivedRequest) -> bool {
        let from = request.tag("From");
        request.text("Call-ID") == self.call_id
            && request.tag("To").as_ref() == Some(&self.local_tag)
            && (self.remote_tag.is_none() || self.remote_tag == from)
    }

    /// Learns the peer from a request of the peer's, which may come before the answer (RFC 6665 section 4.4.1).
    pub fn learn_from_request(&mut self, request: &ReceivedRequest) {
        let routes = request.list("Record-Route");
        self.learn(request.tag("From"), request.header("From"), routes);
        if let Some(contact) = request.contact() {
            self.target = contact;
        }
    }

    /// Learns the peer from the answer to the first request.
    pub fn learn_from_answer(&mut self, answer: &Response) {
        let tag = answer.to_tag().map(safe);
        let routes = answer.all("Record-Route").flat_map(header::list).map(safe);
        let mut routes: Vec<String> = routes.collect();
        routes.reverse();
        self.learn(tag, answer.header("To"), routes);
        let contact = answer.header("Contact").map(header::addr_spec).map(safe);
        if let Some(contact) = contact.filter(|contact| is_uri(contact)) {
            self.target = contact;
        }
    }

    /// Only the first message with the peer's tag sets the route.
    fn learn(&mut self, tag: Option<String>, peer: Option<&[u8]>, routes: Vec<String>) {
        if self.remote_tag.is_none() && tag.is_some() {
            self.remote_tag = tag;
            self.remote = peer.map(safe).unwrap_or_default();
            self.routes = routes.iter().map(|route| safe(route.as_bytes())).collect();
        }
    }
}

/// The value of a Contact at this address. What goes to a sips URI needs one of its own (RFC 3261 section 8.1.1.8).
pub fn contact(user: &str, local: SocketAddr, transport: Transport, secure: bool) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    match secure {
        true => format!("<sips:{user}{at}{local};transport=tcp>"),
        false => format!("<sip:{user}{at}{local};transport={}>", transport.name().to_ascii_lowercase()),
    }
}

/// Is it a sips URI?
pub fn is_secure(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

fn safe(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> SocketAddr {
        "192.0.2.9:5070".parse().unwrap()
    }

    fn notify(dialog: &Dialog, more: &str) -> ReceivedRequest {
        let text = format!(
            "NOTIFY sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKp\r\nFrom: <sip:b@x>;tag=b1\r\n\
             To: <sip:a@x>;tag={}\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\n{more}\r\n",
            dialog.local_tag, dialog.call_id
        );
        ReceivedRequest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_peer_is_learned_once() {
        let mut dialog = Dialog::opened("sip:a@x", "sip:b@x", "a").unwrap();
        let first = dialog.request("SUBSCRIBE", local(), Transport::Tcp).unwrap();
        assert_eq!(
            (first.uri.as_str(), first.header("To"), first.header("CSeq")),
            ("sip:b@x", "<sip:b@x>", "1 SUBSCRIBE")
        );
        assert_eq!(first.header("Contact"), "<sip:a@192.0.2.9:5070;transport=tcp>");
        let request = notify(&dialog, "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContact: <sip:b@h2>\r\n");
        assert!(dialog.has(&request));
        dialog.learn_from_request(&request);
        let answer =
            b"SIP/2.0 200 OK\r\nTo: <sip:b@x>;tag=other\r\nRecord-Route: <sip:p9>\r\nContact: <sip:b@h3>\r\n\r\n";
        dialog.learn_from_answer(&Response::parse(answer).unwrap());
        let second = dialog.request("SUBSCRIBE", local(), Transport::Tcp).unwrap();
        assert_eq!(
            (second.uri.as_str(), second.header("To"), second.header("Route")),
            ("sip:b@h3", "<sip:b@x>;tag=b1", "<sip:p1;lr>")
        );
        assert!(dialog.has(&request));
        let octets = String::from_utf8(second.to_octets()).unwrap();
        assert!(octets.contains("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"), "{octets}");
    }

    #[test]
    fn an_answer_gives_the_route_from_its_end() {
        let mut dialog = Dialog::opened("sip:a@x", "sip:b@x", "a").unwrap();
        let answer = b"SIP/2.0 200 OK\r\nTo: <sip:b@x>;tag=b1\r\nRecord-Route: <sip:p2;lr>, <sip:p1;lr>\r\n\r\n";
        dialog.learn_from_answer(&Response::parse(answer).unwrap());
        let request = dialog.request("SUBSCRIBE", local(), Transport::Udp).unwrap();
        assert_eq!((request.header("Route"), request.uri.as_str()), ("<sip:p1;lr>", "sip:b@x"));
    }

    #[test]
    fn the_other_side_has_the_same_dialog() {
        let ours = Dialog::opened("sip:a@x", "sip:b@x", "a").unwrap();
        let mut theirs = Dialog::accepted(&notify(&ours, "Contact: <sip:b@h2>\r\n"), "t1", "event").unwrap();
        let request = theirs.request("NOTIFY", local(), Transport::Udp).unwrap();
        assert_eq!((request.uri.as_str(), request.header("To")), ("sip:b@h2", "<sip:b@x>;tag=b1"));
        assert!(request.header("From").ends_with(";tag=t1"));
        assert!(Dialog::accepted(&notify(&ours, ""), "t1", "event").is_none());
        assert!(Dialog::accepted(&notify(&ours, "Contact: *\r\n"), "t1", "event").is_none());
    }

    #[test]
    fn an_ipv6_contact_has_brackets() {
        let address = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(contact("", address, Transport::Udp, false), "<sip:[2001:db8::1]:5060;transport=udp>");
        assert_eq!(
            contact("a", address, Transport::Tls, is_secure("SIPS:b@x")),
            "<sips:a@[2001:db8::1]:5060;transport=tcp>"
        );
    }
}
