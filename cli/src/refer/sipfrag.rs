// SPDX-License-Identifier: MIT OR Apache-2.0
//! A body of message/sipfrag as REFER uses it: a status line that tells how the referred request fares (RFC 3515 section
//! 2.4.5).

/// The type with the version that RFC 3420 gives it.
pub const CONTENT_TYPE: &str = "message/sipfrag;version=2.0";

/// A status code and its reason phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 100 to 699.
    pub code: u16,
    /// The reason phrase.
    pub reason: String,
}

impl Status {
    /// Reads a code and a reason phrase, such as "180 Ringing".
    pub fn parse(text: &str) -> Option<Status> {
        let (code, reason) = text.split_at_checked(3)?;
        let digits = code.bytes().all(|b| b.is_ascii_digit());
        let code = code.parse().ok().filter(|code| digits && (100..700).contains(code))?;
        let reason = if reason.is_empty() { "" } else { reason.strip_prefix(' ')? };
        Some(Status { code, reason: reason.to_owned() })
    }

    /// Reads the status line that a body begins with.
    pub fn of_body(body: &[u8]) -> Option<Status> {
        let line = body.split(|b| *b == b'\n').next()?;
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
        Status::parse(line.strip_prefix("SIP/2.0 ")?)
    }

    /// Has the request ended?
    pub fn is_final(&self) -> bool {
        self.code >= 200
    }

    /// Has the request ended well?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The body that tells it.
    pub fn to_body(&self) -> Vec<u8> {
        format!("{self}\r\n").into_bytes()
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SIP/2.0 {} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes() {
        let status = Status::parse("180 Ringing now").unwrap();
        assert_eq!(Status::of_body(&status.to_body()), Some(status));
        assert_eq!(Status::of_body(b"SIP/2.0 200 OK\nVia: x\n").map(|status| status.code), Some(200));
        assert_eq!(Status::of_body(b"SIP/2.0 200").map(|status| status.is_success()), Some(true));
    }

    #[test]
    fn refuses_other_first_lines() {
        for body in [
            "",
            "SIP/2.0",
            "SIP/2.0 20",
            "SIP/2.0 99 X",
            "SIP/2.0 +20 X",
            "SIP/2.0 700 X",
            "SIP/2.0 2000",
            "INVITE sip:a SIP/2.0",
        ] {
            assert_eq!(Status::of_body(body.as_bytes()), None, "{body}");
        }
        assert_eq!(Status::of_body(b"SIP/2.0 200 \xff\r\n"), None);
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,8}") {
            let _ = (Status::of_body(&body), Status::of_body(&[b"SIP/2.0 ", &body[..]].concat()), Status::parse(&text));
        }
    }
}
