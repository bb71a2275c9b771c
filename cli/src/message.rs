// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes SIP requests and reads SIP responses (RFC 3261 section 7). Anything that a server sends becomes either a
//! response or a sentence that says why it is not one.

use crate::header::{self, HeaderChallenge};

/// Largest message that is read, in octets.
pub const MAX_LEN: usize = 64 * 1024;

/// A request.
pub struct SipRequest {
    /// The method.
    pub method: String,
    /// The Request-URI.
    pub uri: String,
    /// Header fields in order, without Content-Length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl SipRequest {
    /// The message as it is sent.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for (name, value) in &self.headers {
            text.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [text.as_bytes(), &self.body].concat()
    }

    /// The value of a header field that this request has once.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Does the response answer this request (RFC 3261 section 17.1.3)? Call-ID and From tag are compared as well,
    /// because the shared key is derived from them.
    pub fn is_answered_by(&self, response: &Response) -> bool {
        let via = response.header("Via").map(header::list).unwrap_or_default();
        let branch = via.first().and_then(|via| header::param(via, "branch"));
        let cseq = response.header("CSeq").unwrap_or_default();
        let cseq: Vec<&[u8]> = cseq.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).collect();
        branch == header::param(self.header("Via").as_bytes(), "branch")
            && cseq.join(&b' ') == self.header("CSeq").as_bytes()
            && response.header("Call-ID") == Some(self.header("Call-ID").as_bytes())
            && response.header("From").and_then(header::tag) == header::tag(self.header("From").as_bytes())
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one whole message.
    pub fn parse(octets: &[u8]) -> Result<Response, &'static str> {
        let (start, headers, body) = split(octets)?;
        let rest = start.strip_prefix(b"SIP/2.0 ").ok_or("it does not begin with SIP/2.0")?;
        let (code, reason) = rest.split_at_checked(3).ok_or("it has no status code")?;
        let status = code.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')));
        let status = status.filter(|n| (100..700).contains(n)).ok_or("its status code is not one")?;
        if !reason.is_empty() && !reason.starts_with(b" ") {
            return Err("its status code is not one");
        }
        let reason = String::from_utf8_lossy(reason).trim().to_owned();
        Ok(Response { status, reason, headers, body: body.to_vec() })
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Every value of a header field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    }

    /// The number that a header field begins with, for example Retry-After.
    pub fn number(&self, name: &str) -> Option<u32> {
        let value = self.header(name)?;
        let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.header("To").and_then(header::tag)
    }

    /// All challenges, of any scheme.
    pub fn challenges(&self) -> Vec<HeaderChallenge> {
        ["WWW-Authenticate", "Proxy-Authenticate"].into_iter().flat_map(|name| self.challenges_in(name)).collect()
    }

    /// The header field for the credentials that the response asks for, and its challenges. None when it asks for none.
    pub fn asks(&self) -> Option<(&'static str, Vec<HeaderChallenge>)> {
        match self.status {
            401 => Some(("Authorization", self.challenges_in("WWW-Authenticate").collect())),
            407 => Some(("Proxy-Authorization", self.challenges_in("Proxy-Authenticate").collect())),
            _ => None,
        }
    }

    fn challenges_in(&self, name: &str) -> impl Iterator<Item = HeaderChallenge> {
        self.all(name).flat_map(header::challenges)
    }

    /// Status and reason phrase.
    pub fn status_line(&self) -> String {
        format!("{} {}", self.status, self.reason).trim_end().to_owned()
    }
}

/// The length of the first message in the octets that a stream has delivered so far; None until the message is
/// complete. Fails when the stream cannot be split into messages.
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(end) = end_of_head(buffer) else {
        return if buffer.len() >= MAX_LEN { Err("its header is larger than 64 KiB") } else { Ok(None) };
    };
    let (_, headers) = read_head(&buffer[..end - 4])?;
    let total = end.saturating_add(content_length(&headers)?.unwrap_or(0));
    if total > MAX_LEN {
        return Err("it is larger than 64 KiB");
    }
    Ok((buffer.len() >= total).then_some(total))
}

fn end_of_head(octets: &[u8]) -> Option<usize> {
    octets.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Header fields in order: long name where the compact form is known, and the raw value, unfolded.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A whole message: its start line, header fields and body. A body that is longer than Content-Length is cut, as RFC
/// 3261 section 18.3 asks.
pub fn split(octets: &[u8]) -> Result<(&[u8], Headers, &[u8]), &'static str> {
    let end = end_of_head(octets).ok_or("no empty line ends its header")?;
    let (start, headers) = read_head(&octets[..end - 4])?;
    let mut body = &octets[end..];
    if let Some(length) = content_length(&headers)? {
        body = body.get(..length).ok_or("its body is shorter than Content-Length says")?;
    }
    Ok((start, headers, body))
}

/// The start line and the header fields, folded lines joined by one space.
fn read_head(head: &[u8]) -> Result<(&[u8], Headers), &'static str> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = lines.next().unwrap_or_default();
    let mut headers: Headers = Vec::new();
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let (_, value) = headers.last_mut().ok_or("its first header field is folded")?;
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|b| *b == b':').ok_or("a header field has no colon")?;
        let name = std::str::from_utf8(line[..colon].trim_ascii()).ok().filter(|name| is_token(name));
        let name = long_name(name.ok_or("a header field's name is not one")?);
        headers.push((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()));
    }
    Ok((start, headers))
}

fn content_length(headers: &Headers) -> Result<Option<usize>, &'static str> {
    let Some((_, value)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Length")) else {
        return Ok(None);
    };
    let digits = value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()).flatten();
    digits.and_then(|text| text.parse().ok()).map(Some).ok_or("its Content-Length is not a number")
}

/// A token of RFC 3261 section 25.1.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

fn long_name(name: &str) -> &str {
    const COMPACT: [(&str, &str); 13] = [
        ("c", "Content-Type"),
        ("e", "Content-Encoding"),
        ("f", "From"),
        ("i", "Call-ID"),
        ("k", "Supported"),
        ("l", "Content-Length"),
        ("m", "Contact"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("s", "Subject"),
        ("t", "To"),
        ("u", "Allow-Events"),
        ("v", "Via"),
    ];
    COMPACT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map_or(name, |(_, long)| long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMPACT: &[u8] = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bKa;rport=1\r\nf: \"A \\\"; tag=no\"\r\n \
        <sip:a@x>;tag=f1\r\nt:<sip:a@x>\r\n\t;tag=t1\r\ni: id@h\r\nCSEQ: 2   REGISTER\r\nm: <sip:a@h>;expires=9\r\n\
        l: 2\r\n\r\nhi";

    fn request() -> SipRequest {
        let headers = vec![
            ("Via", "SIP/2.0/UDP h;branch=z9hG4bKa;rport".to_owned()),
            ("From", "<sip:a@x>;tag=f1".to_owned()),
            ("Call-ID", "id@h".to_owned()),
            ("CSeq", "2 REGISTER".to_owned()),
        ];
        SipRequest { method: "REGISTER".into(), uri: "sip:x".into(), headers, body: b"a=b".to_vec() }
    }

    #[test]
    fn writes_a_request() {
        let text = String::from_utf8(request().to_octets()).unwrap();
        assert!(text.starts_with("REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;"), "{text}");
        assert!(text.ends_with("CSeq: 2 REGISTER\r\nContent-Length: 3\r\n\r\na=b"), "{text}");
    }

    #[test]
    fn reads_folded_and_compact_header_fields() {
        let response = Response::parse(COMPACT).unwrap();
        assert_eq!((response.status, response.reason.as_str(), &response.body[..]), (200, "OK", &b"hi"[..]));
        assert_eq!(header::tag(response.header("From").unwrap()), Some(&b"f1"[..]));
        assert_eq!(header::tag(response.header("to").unwrap()), Some(&b"t1"[..]));
        assert_eq!(response.header("Call-ID"), Some(&b"id@h"[..]));
        assert!(response.header("Contact").is_some() && response.header("Subject").is_none());
        assert_eq!(frame(COMPACT), Ok(Some(COMPACT.len())));
        assert_eq!(frame(&COMPACT[..COMPACT.len() - 1]), Ok(None));
    }

    #[test]
    fn only_its_own_answer_counts() {
        let text = String::from_utf8(COMPACT.to_vec()).unwrap();
        assert!(request().is_answered_by(&Response::parse(COMPACT).unwrap()));
        for (from, to) in
            [("z9hG4bKa", "z9hG4bKb"), ("i: id@h", "i: ie@h"), ("2   REGISTER", "3 REGISTER"), ("tag=f1", "tag=f2")]
        {
            let other = text.replace(from, to);
            assert!(!request().is_answered_by(&Response::parse(other.as_bytes()).unwrap()), "{from}");
        }
    }

    #[test]
    fn refuses_what_is_no_response() {
        for text in [
            "",
            "SIP/2.0 200 OK\r\n",
            "OPTIONS sip:a SIP/2.0\r\n\r\n",
            "SIP/2.0 99 X\r\n\r\n",
            "SIP/2.0 2000 X\r\n\r\n",
            "SIP/2.0 20\r\n\r\n",
            "SIP/2.0 200 OK\r\nno colon\r\n\r\n",
            "SIP/2.0 200 OK\r\n folded: first\r\n\r\n",
            "SIP/2.0 200 OK\r\nl: 5\r\n\r\nabc",
            "SIP/2.0 200 OK\r\nl: -1\r\n\r\n",
            "SIP/2.0 200 OK\r\nl: 99999999999999999999999\r\n\r\n",
        ] {
            assert!(Response::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(frame(&vec![b'x'; MAX_LEN]).is_err());
        assert!(frame(b"SIP/2.0 200 OK\r\nl: 70000\r\n\r\n").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(head in "(SIP/2.0 [1-6]00 )?[ -~\r\n:]{0,80}", tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let octets = [head.as_bytes(), b"\r\n\r\n", &tail].concat();
            let _ = (Response::parse(&octets), frame(&octets), Response::parse(&tail));
        }
    }
}
