// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a referred request has come: the status of the last response to it (RFC 3515 section 2.4.5).

/// How long the last state is kept, in milliseconds: 64 s at least (RFC 7614 section 4.7).
pub const RETENTION: i64 = 64_000;

/// A status, 100 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// Nothing is known yet.
    pub const TRYING: Status = Status(100);
    /// The time for the request is over.
    pub const TIMEOUT: Status = Status(408);
    /// The operator, or nobody, has followed the request any further.
    pub const UNAVAILABLE: Status = Status(503);

    /// A status by its number.
    pub fn new(code: u16) -> Option<Status> {
        (100..700).contains(&code).then_some(Status(code))
    }

    /// Reads `180`, `180 Ringing` or `SIP/2.0 180 Ringing`. The phrase does not count.
    pub fn parse(text: &str) -> Option<Status> {
        let text = text.trim_ascii();
        let digits = match text.get(..8) {
            Some(version) if version.eq_ignore_ascii_case("SIP/2.0 ") => &text[8..],
            _ => text,
        };
        let (code, _) = digits.split_once(' ').unwrap_or((digits, ""));
        let is_code = code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_digit());
        Status::new(code.parse().ok().filter(|_| is_code)?)
    }

    /// Reads a body of type message/sipfrag, which must begin with the status line of a response.
    pub fn of_sipfrag(body: &[u8]) -> Option<Status> {
        let line = body.split(|octet| matches!(octet, b'\r' | b'\n')).next()?;
        let line = std::str::from_utf8(line).ok()?;
        line.get(..8).filter(|version| version.eq_ignore_ascii_case("SIP/2.0 "))?;
        Status::parse(line)
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// True when nothing follows: the referred request has had its final response.
    pub fn is_final(self) -> bool {
        self.0 >= 200
    }

    /// The status line, as the body of a NOTIFY has it, with CRLF. Its phrase is the usual one, so nobody can write
    /// anything else into a NOTIFY.
    pub fn line(self) -> String {
        format!("SIP/2.0 {} {}\r\n", self.0, self.phrase())
    }

    /// The usual phrase.
    pub fn phrase(self) -> &'static str {
        match self.0 {
            100 => "Trying",
            180 => "Ringing",
            181 => "Call Is Being Forwarded",
            182 => "Queued",
            183 => "Session Progress",
            199 => "Early Dialog Terminated",
            101..=199 => "Progress",
            202 => "Accepted",
            200..=299 => "OK",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            305 => "Use Proxy",
            380 => "Alternative Service",
            303..=399 => "Redirection",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            410 => "Gone",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Long",
            415 => "Unsupported Media Type",
            416 => "Unsupported URI Scheme",
            420 => "Bad Extension",
            421 => "Extension Required",
            423 => "Interval Too Brief",
            480 => "Temporarily Unavailable",
            481 => "Call/Transaction Does Not Exist",
            482 => "Loop Detected",
            483 => "Too Many Hops",
            484 => "Address Incomplete",
            485 => "Ambiguous",
            486 => "Busy Here",
            487 => "Request Terminated",
            488 => "Not Acceptable Here",
            491 => "Request Pending",
            493 => "Undecipherable",
            409..=499 => "Client Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Server Time-out",
            505 => "Version Not Supported",
            513 => "Message Too Large",
            500 => "Server Internal Error",
            506..=599 => "Server Error",
            600 => "Busy Everywhere",
            603 => "Decline",
            604 => "Does Not Exist Anywhere",
            606 => "Not Acceptable",
            _ => "Global Failure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_three_forms() {
        for text in ["180", " 180 Ringing", "SIP/2.0 180 Ringing", "sip/2.0 180"] {
            assert_eq!(Status::parse(text), Status::new(180), "{text}");
        }
        for text in
            ["", "099", "700", "18", "1800", "SIP/3.0 180 Ringing", "180Ringing", "+80", "INVITE sip:a@b SIP/2.0"]
        {
            assert_eq!(Status::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_sipfrag_begins_with_a_status_line() {
        assert_eq!(Status::of_sipfrag(b"SIP/2.0 486 Busy Here\r\nWarning: 399 x y\r\n"), Status::new(486));
        assert_eq!(Status::of_sipfrag(b"SIP/2.0 200 OK"), Status::new(200));
        for body in [&b""[..], b"200 OK\r\n", b"\r\nSIP/2.0 200 OK\r\n", b"BYE sip:a@b SIP/2.0\r\n"] {
            assert_eq!(Status::of_sipfrag(body), None);
        }
    }

    #[test]
    fn a_line_has_the_usual_phrase() {
        assert_eq!(Status::TRYING.line(), "SIP/2.0 100 Trying\r\n");
        assert_eq!(Status::parse("SIP/2.0 486 x\r\nEvil: y").unwrap().line(), "SIP/2.0 486 Busy Here\r\n");
        assert!((100..700).all(|code| !Status::new(code).unwrap().phrase().is_empty()));
    }
}
