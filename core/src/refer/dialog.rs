// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dialog in which a subscriber gets NOTIFY requests: that of its SUBSCRIBE, or of its REFER (RFC 3261 section
//! 12.1.1). It is one text, because there may be very many of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::reason::ReferReason;
use super::reference::is_token;
use crate::sip::message::{MessageView, NameAddr, names};

/// Longest text of all parts together, in octets.
const MAX_LEN: usize = 4000;
const PARTS: usize = 9;

/// The parts of a dialog, as the notifier sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialogView<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// The notifier's tag.
    pub local_tag: &'a str,
    /// The subscriber's tag.
    pub remote_tag: &'a str,
    /// The notifier's URI.
    pub local_uri: &'a str,
    /// The subscriber's URI.
    pub remote_uri: &'a str,
    /// Where the subscriber takes requests: its Contact.
    pub target: &'a str,
    /// The route set: values of Record-Route in their order, separated by commas.
    pub routes: &'a str,
    /// Where requests are sent whatever the target and the route set say; empty: where these lead.
    pub destination: &'a str,
    /// The notifier's Contact.
    pub contact: &'a str,
}

/// The same, to keep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NotifyDialog {
    text: Box<str>,
    ends: [u16; PARTS],
}

/// Where a request came from, and what the notifier answers with.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The tag that the notifier gives the dialog.
    pub tag: &'a str,
    /// Its Contact.
    pub contact: &'a str,
    /// `sip:IP:PORT;transport=...` of the connection or datagram by which the request came.
    pub source: &'a str,
}

impl NotifyDialog {
    /// The dialog that a SUBSCRIBE or REFER creates, or in which it came.
    pub fn new(message: &MessageView<'_>, side: &Side<'_>) -> Result<NotifyDialog, ReferReason> {
        let only = |name| message.only(name).and_then(NameAddr::parse).ok_or(ReferReason::Malformed);
        let (from, to) = (only(names::FROM)?, only(names::TO)?);
        let mut contacts = message.values(names::CONTACT);
        let contact = contacts.next().flatten().and_then(NameAddr::parse).filter(NameAddr::is_sip);
        let contact = contact.filter(|_| contacts.next().is_none()).ok_or(ReferReason::Contact)?;
        let routes: Option<Vec<&str>> = message.values(names::RECORD_ROUTE).collect();
        let routes = routes.ok_or(ReferReason::Malformed)?;
        if routes.iter().any(|route| NameAddr::parse(route).is_none()) {
            return Err(ReferReason::Malformed);
        }
        // a field may be folded, a Route must not break the request
        let routes = routes.join(",").replace(['\r', '\n'], " ");
        // Behind an address translator, or on a WebSocket, the Contact leads nowhere. Where proxies are between, they
        // know the way. But nobody may make the notifier ask the DNS, which would keep it waiting, so a name is never
        // the next hop: requests then go to whoever has sent this one.
        let comes_directly = routes.is_empty() && message.values(names::VIA).take(2).count() == 1;
        let leads_by_itself = if routes.is_empty() {
            is_literal(contact.uri)
        } else {
            // the first value, if it is nothing but a URI in angle brackets
            let first = routes.strip_prefix('<').and_then(|rest| rest.split_once('>'));
            first.is_some_and(|(uri, rest)| is_literal(uri) && (rest.is_empty() || rest.starts_with([',', ';'])))
        };
        let goes_back = comes_directly || !leads_by_itself;
        let view = DialogView {
            call_id: call_id(message)?,
            local_tag: side.tag,
            remote_tag: from.parameter("tag").filter(|tag| is_token(tag)).ok_or(ReferReason::Malformed)?,
            local_uri: to.uri,
            remote_uri: from.uri,
            target: contact.uri,
            routes: &routes,
            destination: if goes_back { side.source } else { "" },
            contact: side.contact,
        };
        NotifyDialog::pack(&view).ok_or(ReferReason::Malformed)
    }

    fn pack(view: &DialogView<'_>) -> Option<NotifyDialog> {
        let DialogView { call_id, local_tag, remote_tag, local_uri, remote_uri, target, routes, destination, contact } =
            *view;
        let parts = [call_id, local_tag, remote_tag, local_uri, remote_uri, target, routes, destination, contact];
        let text = parts.concat();
        if text.len() > MAX_LEN || text.bytes().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return None;
        }
        let (mut ends, mut end) = ([0; PARTS], 0);
        for (place, part) in ends.iter_mut().zip(parts) {
            end += part.len();
            *place = end as u16;
        }
        Some(NotifyDialog { text: text.into(), ends })
    }

    /// The parts.
    pub fn view(&self) -> DialogView<'_> {
        let part = |index: usize| {
            let begin = index.checked_sub(1).map_or(0, |before| self.ends[before].into());
            self.text.get(begin..self.ends[index].into()).unwrap_or_default()
        };
        DialogView {
            call_id: part(0),
            local_tag: part(1),
            remote_tag: part(2),
            local_uri: part(3),
            remote_uri: part(4),
            target: part(5),
            routes: part(6),
            destination: part(7),
            contact: part(8),
        }
    }
}

/// True for a SIP URI whose host is an address, to which a request goes without a look-up, however a server reads it: parsers
/// disagree about a ';', '?' or ',' in a user, and about an '@' behind the host. So a URI that has one is none.
fn is_literal(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.+".contains(&octet));
    let (user, server) = rest.split_once('@').unwrap_or(("", rest));
    let (host_port, parameters) = server.find(';').map_or((server, ""), |at| server.split_at(at));
    let is_address = host_port.parse::<SocketAddr>().is_ok()
        || host_port.parse::<Ipv4Addr>().is_ok()
        || host_port
            .strip_prefix('[')
            .and_then(|v6| v6.strip_suffix(']'))
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
    let is_parameter = |octet: u8| octet.is_ascii_alphanumeric() || b";=-_.+~:[]/".contains(&octet);
    let lower = parameters.to_ascii_lowercase();
    ["sip", "sips"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        && is_plain(user)
        && is_address
        && parameters.bytes().all(is_parameter)
        && !lower.contains("maddr")
}

/// The Call-ID of a request.
pub fn call_id<'a>(message: &MessageView<'a>) -> Result<&'a str, ReferReason> {
    let id = message.only(names::CALL_ID).filter(|id| !id.is_empty());
    id.filter(|id| id.bytes().all(|octet| (b'!'..=b'~').contains(&octet))).ok_or(ReferReason::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: Side<'_> = Side { tag: "t2", contact: "sip:id@h;gr", source: "sip:10.0.0.1:4000;transport=ws" };

    fn subscribe(fields: &str) -> String {
        format!(
            "SUBSCRIBE sip:id@h;gr SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z1\r\nFrom: \"A\" <sip:a@x>;tag=t1\r\nTo: sip:id@h;gr\r\nCall-ID: c1@y\r\nContact: <sip:a@x.invalid;transport=ws>\r\n{fields}\r\n"
        )
    }

    fn dialog(fields: &str) -> Result<NotifyDialog, ReferReason> {
        NotifyDialog::new(&MessageView::new(subscribe(fields).as_bytes()).unwrap(), &SIDE)
    }

    #[test]
    fn without_proxies_between_requests_go_back_to_where_the_subscription_came_from() {
        let dialog = dialog("").unwrap();
        let view = DialogView {
            call_id: "c1@y",
            local_tag: "t2",
            remote_tag: "t1",
            local_uri: "sip:id@h",
            remote_uri: "sip:a@x",
            target: "sip:a@x.invalid;transport=ws",
            routes: "",
            destination: "sip:10.0.0.1:4000;transport=ws",
            contact: "sip:id@h;gr",
        };
        assert_eq!(dialog.view(), view);
    }

    #[test]
    fn with_proxies_between_they_follow_the_route_set() {
        let routed = dialog("Record-Route: <sip:192.0.2.1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n").unwrap();
        let routes = "<sip:192.0.2.1;lr>,<sip:p2;lr>,<sip:p3;lr>";
        assert_eq!((routed.view().routes, routed.view().destination), (routes, ""));
        let text = subscribe("v: SIP/2.0/UDP y;branch=z2\r\n").replace("a@x.invalid", "a@[2001:db8::1]:5070");
        let routed = NotifyDialog::new(&MessageView::new(text.as_bytes()).unwrap(), &SIDE).unwrap();
        assert_eq!(routed.view().destination, "");
    }

    #[test]
    fn nobody_makes_the_notifier_look_up_a_name() {
        for fields in [
            "Record-Route: <sip:p1.example.test;lr>\r\n",
            "Record-Route: <sip:192.0.2.1;maddr=p1.example.test;lr>\r\n",
            "Record-Route: <sip:p1@192.0.2.1.example.test;lr>\r\n",
            "Record-Route: \"a,b\" <sip:example.test;lr>\r\n",
            "Record-Route: <sip:1,2@example.test;lr>\r\n",
            "Record-Route: <sip:192.0.2.1;x@example.test;lr>\r\n",
            "Record-Route: <sip:192.0.2.1?x@example.test;lr>\r\n",
            "Record-Route: <sip:192.0.2.1;maddr=example.test;x=@f;lr>\r\n",
            "Record-Route: <sip:192.0.2.1;MADDR=example.test;lr>\r\n",
            "Record-Route: <sip:192.0.2.1:0x;lr>\r\n",
            "Record-Route: <sip:192.0.2.1> x, <sip:example.test;lr>\r\n",
            "v: SIP/2.0/UDP y;branch=z2\r\n",
        ] {
            let destination = dialog(fields).map(|dialog| dialog.view().destination.to_owned());
            assert!(destination.as_deref().is_ok_and(|text| text == SIDE.source) || destination.is_err(), "{fields}");
        }
        for contact in
            ["192.0.2.1;x@example.test", "a@192.0.2.1;maddr=example.test", "a?b@192.0.2.1", "a@192.0.2.1?x=y"]
        {
            let text = subscribe("v: SIP/2.0/UDP y;branch=z2\r\n").replace("a@x.invalid", contact);
            let dialog = NotifyDialog::new(&MessageView::new(text.as_bytes()).unwrap(), &SIDE).unwrap();
            assert_eq!(dialog.view().destination, SIDE.source, "{contact}");
        }
    }

    #[test]
    fn what_cannot_be_written_into_a_request_makes_no_dialog() {
        for (from, to, reason) in [
            ("Call-ID: c1@y", "Call-ID: c 1", ReferReason::Malformed),
            ("Call-ID: c1@y", "X: y", ReferReason::Malformed),
            (";tag=t1", "", ReferReason::Malformed),
            (";tag=t1", ";tag=<x>", ReferReason::Malformed),
            ("Contact: <", "Contact: <tel:1>, <", ReferReason::Contact),
            ("To: sip:id@h;gr", "To: x", ReferReason::Malformed),
        ] {
            let text = subscribe("").replace(from, to);
            let message = MessageView::new(text.as_bytes()).unwrap();
            assert_eq!(NotifyDialog::new(&message, &SIDE), Err(reason), "{to}");
        }
        let long = format!("Record-Route: <sip:{}>\r\n", "p".repeat(5000));
        assert_eq!(dialog(&long), Err(ReferReason::Malformed));
        assert_eq!(dialog("Record-Route: p1\r\n"), Err(ReferReason::Malformed));
        let folded = dialog("Record-Route: <sip:192.0.2.1;lr>,\r\n\t<sip:p2;lr>;\r\n x\r\n").unwrap();
        assert_eq!(folded.view().routes, "<sip:192.0.2.1;lr>,<sip:p2;lr>;   x");
    }
}
