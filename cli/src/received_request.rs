// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request that came in, and the answers to it (RFC 3261 section 8.2.6). A message without the parts that every answer
//! copies is not a request here.

use std::net::{IpAddr, SocketAddr};

use crate::header;
use crate::message::{Headers, is_token, split};

/// A request as it was received.
#[derive(Debug)]
pub struct ReceivedRequest {
    /// The method.
    pub method: String,
    /// The Request-URI.
    pub uri: String,
    /// Header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The number of its CSeq.
    pub cseq: u32,
}

impl ReceivedRequest {
    /// Reads one whole message.
    pub fn parse(octets: &[u8]) -> Result<ReceivedRequest, &'static str> {
        let (start, headers, body) = split(octets)?;
        let start = std::str::from_utf8(start).map_err(|_| "its first line is not UTF-8")?;
        let words: Vec<&str> = start.split(' ').collect();
        let [method, uri, "SIP/2.0"] = words[..] else {
            return Err("its first line is that of neither a request nor a response");
        };
        if !is_token(method) || uri.is_empty() {
            return Err("its first line has no method or no URI");
        }
        let mut request =
            ReceivedRequest { method: method.to_owned(), uri: uri.to_owned(), headers, body: body.to_vec(), cseq: 0 };
        let cseq = String::from_utf8_lossy(request.header("CSeq").ok_or("it has no CSeq")?).into_owned();
        let mut words = cseq.split_ascii_whitespace();
        request.cseq = words.next().and_then(|number| number.parse().ok()).ok_or("its CSeq has no number")?;
        if words.next() != Some(&request.method) {
            return Err("its CSeq is of another method");
        }
        let from_tag = request.header("From").and_then(header::tag);
        let copied = ["Via", "To", "Call-ID"].iter().all(|name| request.header(name).is_some());
        if from_tag.is_none() || !copied {
            return Err("it lacks Via, To, Call-ID or the tag of From");
        }
        Ok(request)
    }

    /// Every value of a header field, not cut at commas.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of a header field as text; empty when there is none.
    pub fn text(&self, name: &str) -> String {
        self.header(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    /// The values of a header field that is a list, cut at commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.all(name).flat_map(header::list).filter(|value| !value.is_empty());
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The tag of From or To.
    pub fn tag(&self, name: &str) -> Option<String> {
        self.header(name).and_then(header::tag).map(|tag| String::from_utf8_lossy(tag).into_owned())
    }

    /// The URI of the Contact.
    pub fn contact(&self) -> Option<String> {
        let uri = header::addr_spec(self.header("Contact")?);
        Some(String::from_utf8_lossy(uri).into_owned()).filter(|uri| crate::plan::is_uri(uri))
    }

    /// What is the same in all copies of one request, and in no other (RFC 3261 section 17.2.3).
    pub fn copy_key(&self) -> String {
        let via = self.header("Via").map(header::list).unwrap_or_default();
        let branch = via.first().and_then(|via| header::param(via, "branch")).unwrap_or_default();
        let (branch, from) = (String::from_utf8_lossy(branch), self.tag("From").unwrap_or_default());
        format!("{branch} {from} {} {} {}", self.text("Call-ID"), self.cseq, self.method)
    }

    /// An answer for the sender, who was seen at this address. `to_tag` is added if To has no tag yet.
    pub fn answer(&self, status: &str, to_tag: &str, more: &[(&str, String)], seen_at: SocketAddr) -> Vec<u8> {
        let mut octets = format!("SIP/2.0 {status}\r\n").into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            octets.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        for (number, via) in self.all("Via").flat_map(header::list).enumerate() {
            line("Via", &if number == 0 { received_from(via, seen_at) } else { via.to_vec() });
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let value = self.header(name).unwrap_or_default();
            let added = name == "To" && header::tag(value).is_none() && !to_tag.is_empty();
            line(name, &[value, if added { format!(";tag={to_tag}") } else { String::new() }.as_bytes()].concat());
        }
        more.iter().for_each(|(name, value)| line(name, value.as_bytes()));
        line("Content-Length", b"0");
        [&octets[..], b"\r\n"].concat()
    }

    /// Where the answer to a datagram goes: back to its source if Via has rport (RFC 3581), else to the port that Via names
    /// (RFC 3261 section 18.2.2).
    pub fn answer_address(&self, seen_at: SocketAddr) -> SocketAddr {
        let via = self.header("Via").map(header::list).unwrap_or_default();
        let via = via.first().copied().unwrap_or_default();
        if header::param(via, "rport").is_some() {
            return seen_at;
        }
        let sent_by = via.split(|b| *b == b';').next().unwrap_or_default();
        let sent_by = String::from_utf8_lossy(sent_by).into_owned();
        let port = sent_by.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port = port.and_then(|(_, port)| port.trim().parse().ok());
        SocketAddr::new(seen_at.ip(), port.unwrap_or(5060))
    }
}

/// The topmost Via with the address that the request came from (RFC 3581 section 4).
fn received_from(via: &[u8], seen_at: SocketAddr) -> Vec<u8> {
    let address = match seen_at.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let text = String::from_utf8_lossy(via);
    let rport = text.split(';').position(|part| part.trim().eq_ignore_ascii_case("rport"));
    let parts = text.split(';').enumerate().map(|(at, part)| match rport {
        Some(asked) if asked == at => format!("rport={}", seen_at.port()),
        _ => part.to_owned(),
    });
    let mut via = parts.collect::<Vec<_>>().join(";");
    via.push_str(&format!(";received={address}"));
    via.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Response;
    use proptest::prelude::*;

    const NOTIFY: &str = "NOTIFY sip:a@h:1 SIP/2.0\r\nv: SIP/2.0/UDP p:7;branch=z9hG4bKp;rport, SIP/2.0/TCP u;branch=z\r\n\
        f: <sip:b@x>;tag=b1\r\nt: <sip:a@x>;tag=a1\r\ni: id\r\nCSeq: 3 NOTIFY\r\no: refer;id=2\r\nm: <sip:b@u>\r\nl: 2\r\n\r\nhi";

    fn source() -> SocketAddr {
        "192.0.2.1:7000".parse().unwrap()
    }

    #[test]
    fn reads_a_request_and_answers_it() {
        let notify = ReceivedRequest::parse(NOTIFY.as_bytes()).unwrap();
        assert_eq!((notify.method.as_str(), notify.cseq, &notify.body[..]), ("NOTIFY", 3, &b"hi"[..]));
        assert_eq!((notify.text("Event"), notify.contact()), ("refer;id=2".to_owned(), Some("sip:b@u".to_owned())));
        let answer = notify.answer("200 OK", "new", &[("Supported", "nosub".to_owned())], source());
        let answer = Response::parse(&answer).unwrap();
        let vias: Vec<_> = answer.all("Via").map(String::from_utf8_lossy).collect();
        assert_eq!(vias, ["SIP/2.0/UDP p:7;branch=z9hG4bKp;rport=7000;received=192.0.2.1", "SIP/2.0/TCP u;branch=z"]);
        assert_eq!(answer.to_tag(), Some(&b"a1"[..]));
        assert_eq!((answer.header("CSeq"), answer.header("Supported")), (Some(&b"3 NOTIFY"[..]), Some(&b"nosub"[..])));
        let first = NOTIFY.replace(";tag=a1", "");
        let answer = ReceivedRequest::parse(first.as_bytes()).unwrap().answer("481 No", "new", &[], source());
        assert_eq!(Response::parse(&answer).unwrap().to_tag(), Some(&b"new"[..]));
    }

    #[test]
    fn answers_go_where_via_says() {
        for (from, to, port) in
            [(";rport", ";rport", 7000), (";rport", "", 7), ("p:7;branch=z9hG4bKp;rport", "p;branch=z9hG4bKp", 5060)]
        {
            let request = ReceivedRequest::parse(NOTIFY.replacen(from, to, 1).as_bytes()).unwrap();
            assert_eq!(request.answer_address(source()).port(), port, "{from}");
        }
        let request =
            ReceivedRequest::parse(NOTIFY.replacen("p:7;branch=z9hG4bKp;rport", "[::1]", 1).as_bytes()).unwrap();
        assert_eq!(request.answer_address(source()).port(), 5060);
    }

    #[test]
    fn copies_have_one_key() {
        let key = |text: &str| ReceivedRequest::parse(text.as_bytes()).unwrap().copy_key();
        assert_eq!(key(NOTIFY), key(&NOTIFY.replace("hi", "ho")));
        for (from, to) in [("z9hG4bKp", "z9hG4bKq"), ("b1", "b2"), ("CSeq: 3", "CSeq: 4"), ("i: id", "i: ie")] {
            assert_ne!(key(NOTIFY), key(&NOTIFY.replace(from, to)), "{from}");
        }
    }

    #[test]
    fn refuses_what_is_no_request() {
        for (from, to) in [
            ("NOTIFY sip", "SIP/2.0 sip"),
            ("SIP/2.0\r\nv", "SIP/3.0\r\nv"),
            ("NOTIFY sip:a@h:1 ", "NOTIFY  "),
            ("3 NOTIFY", "3 REFER"),
            ("3 NOTIFY", "x NOTIFY"),
            (";tag=b1", ""),
            ("t: ", "x: "),
            ("i: ", "x: "),
            ("v: ", "x: "),
            ("l: 2", "l: 3"),
        ] {
            let text = NOTIFY.replacen(from, to, 1);
            assert!(ReceivedRequest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(head in "(NOTIFY sip:a SIP/2.0\r\n)?[ -~\r\n:;]{0,120}") {
            let text = format!("{head}\r\n\r\n");
            if let Ok(request) = ReceivedRequest::parse(text.as_bytes()) {
                let _ = (request.answer("200 OK", "t", &[], source()), request.answer_address(source()));
            }
        }
    }
}
