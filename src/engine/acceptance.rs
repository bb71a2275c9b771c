// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request that was accepted with a token: the same request with the same token is accepted again, as long as policy
//! and keys stay as they were (a cache is emptied when they change) and the time is within the token's bounds.

use std::ops::Range;

/// Most octets of what is remembered of a request: it bounds the memory of a full cache.
const MAX_ASKED: usize = 256;

/// What of a request decides beside its token, where nothing else does.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The method.
    pub method: &'a [u8],
    /// addr-spec of From.
    pub from: &'a [u8],
    /// addr-spec of To.
    pub to: &'a [u8],
}

/// What was accepted, and what that gave.
#[derive(Debug)]
pub struct Acceptance {
    /// Method, From and To, one after the other.
    asked: Box<[u8]>,
    method_end: usize,
    from_end: usize,
    /// Unix seconds within which the token's times are good.
    span: Range<i64>,
    /// Which of the token's addresses the request uses.
    pub aor: usize,
    /// The services that it gives.
    pub services: Box<str>,
}

impl Acceptance {
    /// None when the request is too long to be remembered.
    pub fn new(asking: &Asking<'_>, span: Range<i64>, aor: usize, services: &str) -> Option<Acceptance> {
        let asked = [asking.method, asking.from, asking.to].concat();
        let (method_end, from_end) = (asking.method.len(), asking.method.len() + asking.from.len());
        let (asked, services) = (asked.into_boxed_slice(), services.into());
        (asked.len() <= MAX_ASKED).then_some(Acceptance { asked, method_end, from_end, span, aor, services })
    }

    /// True when it was the same that was accepted, octet by octet.
    pub fn is_of(&self, asking: &Asking<'_>) -> bool {
        let (before_to, to) = self.asked.split_at(self.from_end);
        let (method, from) = before_to.split_at(self.method_end);
        *to == *asking.to && *from == *asking.from && *method == *asking.method
    }

    /// True when the token's times are good, in Unix seconds.
    pub fn holds(&self, now: i64) -> bool {
        self.span.contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking<'a>(method: &'a str, from: &'a str, to: &'a str) -> Asking<'a> {
        Asking { method: method.as_bytes(), from: from.as_bytes(), to: to.as_bytes() }
    }

    #[test]
    fn only_the_same_request_within_the_same_time() {
        let acceptance = Acceptance::new(&asking("INVITE", "sip:a@x", "sip:b@x"), 10..20, 3, "pstn").unwrap();
        assert!(acceptance.is_of(&asking("INVITE", "sip:a@x", "sip:b@x")));
        for (method, from, to) in [
            ("INVIT", "Esip:a@x", "sip:b@x"),
            ("INVITE", "sip:a@xsip:", "b@x"),
            ("INVITE", "sip:a@x", "sip:b@"),
            ("INVITE", "sip:a@x", "sip:b@xx"),
            ("invite", "sip:a@x", "sip:b@x"),
            ("", "", ""),
        ] {
            assert!(!acceptance.is_of(&asking(method, from, to)), "{method} {from} {to}");
        }
        assert_eq!([9, 10, 19, 20].map(|now| acceptance.holds(now)), [false, true, true, false]);
        assert!(Acceptance::new(&asking("REGISTER", &"x".repeat(300), ""), 0..1, 0, "").is_none());
    }
}
