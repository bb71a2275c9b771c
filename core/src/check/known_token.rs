// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all processes remember of a verified token, in a record of fixed size.
//!
//! The token itself is not in it: whoever looks for the record has the token at hand. The record saves the check of the
//! signature as long as policy and keys are those by which it was verified. If a request was accepted with the token,
//! the record also says what is shown of it. A request like that one is then accepted at a glance, and only its time is
//! judged, because nothing else can have changed.

use std::ops::Range;

use super::verified_token::{TokenFacts, VerifiedToken};
use crate::rules::claims::NO_END;
use crate::text::fingerprint::nibble;

/// Words of a record.
pub const WORDS: usize = 27;
/// Words before the texts.
const HEAD: usize = 6;
/// Room for the texts, in octets.
const ROOM: usize = (WORDS - HEAD) * 8;

/// The methods that a record can name. A method is written in exactly this way, or its requests are never accepted at
/// a glance.
const METHODS: [&[u8]; 14] = [
    b"REGISTER",
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"OPTIONS",
    b"MESSAGE",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"INFO",
    b"UPDATE",
    b"PRACK",
    b"REFER",
];
/// The bit of REGISTER.
const REGISTER: u16 = 1;
/// Beside the methods: the token can be the whole of Bearer credentials.
const STANDS_ALONE: u16 = 1 << 15;

/// Number of texts: From, then what is shown, then the services.
const TEXTS: usize = 8;

/// By what a token was verified. With another policy or other keys it must be verified again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedBy {
    /// The number of the policy.
    pub policy: u32,
    /// Index of the provider in that policy.
    pub provider: u16,
    /// A hash of the provider's fetched keys; 0 if its keys are configured or its tokens need none.
    pub keys: u64,
}

/// The parts of a request that decide about it besides its token, if nothing else in the request does.
#[derive(Clone, Copy)]
pub struct RequestKey<'a> {
    /// The method.
    pub method: &'a [u8],
    /// addr-spec of From.
    pub from: &'a [u8],
    /// addr-spec of To.
    pub to: &'a [u8],
}

impl RequestKey<'_> {
    /// The bit of the method; 0 for a request that is never accepted at a glance. Whoever registers another address
    /// than that in From is looked at each time.
    #[inline]
    fn method(&self) -> u16 {
        let bit = METHODS.iter().position(|method| *method == self.method).map_or(0, |index| 1 << index);
        if bit == REGISTER && self.from != self.to { 0 } else { bit }
    }
}

/// A request that was accepted with a token.
#[derive(Clone, Copy)]
pub struct Accepted<'a> {
    /// The request.
    pub asking: RequestKey<'a>,
    /// Which of the token's addresses it uses.
    pub aor: usize,
    /// The services that the token gives, separated by a comma.
    pub services: &'a str,
    /// The issuer that the provider is configured with.
    pub issuer: &'a str,
    /// Unix seconds within which the token's times are good, and its server need not be asked.
    pub span: Range32,
    /// When it was accepted, Unix seconds.
    pub at: i64,
}

/// Unix seconds in 32 bits, from the first until before the second. The greatest number has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range32(u32, u32);

impl From<Range<i64>> for Range32 {
    fn from(span: Range<i64>) -> Range32 {
        Range32(short(span.start), short(span.end))
    }
}

/// Unix seconds as 32 bits hold them, as close as possible.
fn short(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

/// What is remembered of a token.
#[derive(Clone, Copy)]
pub struct KnownToken {
    by: VerifiedBy,
    /// The methods of accepted requests, and whether the token stands alone.
    flags: u16,
    expires_at: u32,
    span: Range32,
    /// When the sender of an accepted request was noted last, Unix seconds.
    noted_at: u32,
    fingerprint: [u8; 8],
    /// Where each text ends.
    ends: [u8; TEXTS],
    texts: [u8; ROOM],
}

/// What a token says stays out of logs.
impl std::fmt::Debug for KnownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownToken").field("by", &self.by).finish_non_exhaustive()
    }
}

impl KnownToken {
    /// For a token with which no request has been accepted yet. `stands_alone` is that of
    /// [`stands_alone`](crate::sip::credentials::stands_alone).
    pub fn new(token: &VerifiedToken, by: VerifiedBy, stands_alone: bool) -> KnownToken {
        let mut fingerprint = [0; 8];
        for (octet, digits) in fingerprint.iter_mut().zip(token.fingerprint.as_bytes().chunks_exact(2)) {
            *octet = nibble(digits[0]).unwrap_or(0) << 4 | nibble(digits[1]).unwrap_or(0);
        }
        KnownToken {
            by,
            flags: if stands_alone { STANDS_ALONE } else { 0 },
            expires_at: 0,
            span: Range32(0, 0),
            noted_at: 0,
            fingerprint,
            ends: [0; TEXTS],
            texts: [0; ROOM],
        }
    }

    /// Notes an accepted request. Requests like those that were noted before stay accepted if nothing but the method
    /// differs. False when the request, or what is shown of the token, does not fit in; then nothing is accepted at a
    /// glance.
    pub fn accept(&mut self, token: &VerifiedToken, request: &Accepted<'_>) -> bool {
        let method = request.asking.method();
        let shown = token.shown(Some(request.aor));
        let endless = shown.expires_at == NO_END;
        let before = (self.ends, self.texts, self.span);
        let is_written = self.write(request, &shown);
        let fits = is_written
            && method != 0
            && token.display.is_plain()
            && self.flags & STANDS_ALONE != 0
            && (endless || shown.expires_at < u32::MAX.into() && request.span.1 < u32::MAX);
        let same = before == (self.ends, self.texts, request.span);
        let methods = if same { self.flags | method } else { self.flags & STANDS_ALONE | method };
        self.flags = if fits { methods } else { self.flags & STANDS_ALONE };
        self.expires_at = if endless { u32::MAX } else { short(shown.expires_at) };
        self.span = request.span;
        self.noted_at = short(request.at);
        fits
    }

    /// Writes the texts; false if there is no room for them.
    fn write(&mut self, request: &Accepted<'_>, shown: &TokenFacts<'_>) -> bool {
        // Most phones write an address as it is compared.
        let from = if request.asking.from == shown.aor.as_bytes() { &[] } else { request.asking.from };
        let TokenFacts { aor, subject, client_id, scope, kid, .. } = shown;
        let issuer = if shown.issuer == request.issuer { "" } else { shown.issuer };
        let texts = [from, aor.as_bytes(), issuer.as_bytes(), subject.as_bytes(), client_id.as_bytes()];
        let texts = texts.into_iter().chain([scope.as_bytes(), kid.as_bytes(), request.services.as_bytes()]);
        (self.ends, self.texts) = ([0; TEXTS], [0; ROOM]);
        let mut begin = 0;
        for (text, end) in texts.zip(&mut self.ends) {
            let Some(place) = self.texts.get_mut(begin..begin + text.len()) else {
                return false;
            };
            place.copy_from_slice(text);
            begin += text.len();
            *end = begin as u8;
        }
        true
    }

    /// Notes that the sender of a request was noted at this time, in Unix seconds.
    pub fn note_sender(&mut self, now: i64) {
        self.noted_at = short(now);
    }

    /// When the sender of an accepted request was noted last, Unix seconds.
    pub fn noted_at(&self) -> i64 {
        self.noted_at.into()
    }

    /// By what it was verified.
    pub fn by(&self) -> VerifiedBy {
        self.by
    }

    /// Index of its provider.
    pub fn provider(&self) -> usize {
        self.by.provider.into()
    }

    /// Whether the token can be the whole of Bearer credentials.
    pub fn stands_alone(&self) -> bool {
        self.flags & STANDS_ALONE != 0
    }

    /// True when such a request was accepted, and the times are good at `now`, in Unix seconds.
    #[inline]
    pub fn accepts(&self, asking: &RequestKey<'_>, now: i64) -> bool {
        let Range32(begin, end) = self.span;
        let from = if self.ends[0] == 0 { self.octets(1) } else { self.octets(0) };
        self.flags & asking.method() != 0
            && *from == *asking.from
            && (i64::from(begin) <= now && (now < end.into() || end == u32::MAX))
    }

    /// `exp`, Unix seconds, once a request was accepted.
    pub fn expires_at(&self) -> i64 {
        if self.expires_at == u32::MAX { NO_END } else { self.expires_at.into() }
    }

    /// The token's name in logs, as octets.
    pub fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    #[inline]
    fn octets(&self, index: usize) -> &[u8] {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        self.texts.get(begin.into()..self.ends[index].into()).unwrap_or_default()
    }

    /// What is shown of the token and of the request that was accepted with it, but for the fingerprint, which has
    /// another form here. The issuer is the one that its provider is configured with, unless the token has another one.
    pub fn shown<'a>(&'a self, issuer: &'a str) -> TokenFacts<'a> {
        let all = std::str::from_utf8(&self.texts).unwrap_or_default();
        let text = |index: usize| all.get(self.ends[index - 1].into()..self.ends[index].into()).unwrap_or_default();
        TokenFacts {
            aor: text(1),
            issuer: if self.ends[1] == self.ends[2] { issuer } else { text(2) },
            subject: text(3),
            client_id: text(4),
            scope: text(5),
            kid: text(6),
            fingerprint: "",
            services: text(7),
            expires_at: self.expires_at(),
        }
    }

    /// As shared memory holds it.
    pub fn to_words(&self) -> [u64; WORDS] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut words = [0; WORDS];
        words[0] = pair(self.by.policy, u32::from(self.by.provider) | u32::from(self.flags) << 16);
        words[1] = self.by.keys;
        words[2] = pair(self.expires_at, self.noted_at);
        words[3] = pair(self.span.0, self.span.1);
        words[4] = u64::from_le_bytes(self.fingerprint);
        words[5] = u64::from_le_bytes(self.ends);
        for (word, octets) in words[HEAD..].iter_mut().zip(self.texts.as_chunks().0) {
            *word = u64::from_le_bytes(*octets);
        }
        words
    }

    /// What [`KnownToken::to_words`] has made.
    #[inline]
    pub fn from_words(words: &[u64; WORDS]) -> KnownToken {
        let high = |word: u64| (word >> 32) as u32;
        let mut texts = [0; ROOM];
        for (octets, word) in texts.as_chunks_mut().0.iter_mut().zip(&words[HEAD..]) {
            *octets = word.to_le_bytes();
        }
        KnownToken {
            by: VerifiedBy { policy: words[0] as u32, provider: high(words[0]) as u16, keys: words[1] },
            flags: (words[0] >> 48) as u16,
            expires_at: words[2] as u32,
            noted_at: high(words[2]),
            span: Range32(words[3] as u32, high(words[3])),
            fingerprint: words[4].to_le_bytes(),
            ends: words[5].to_le_bytes(),
            texts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::verified_token::tests::blank;
    use super::*;
    use crate::rules::claims::Claims;
    use crate::sip::uri::Aor;

    const BY: VerifiedBy = VerifiedBy { policy: 7, provider: 5, keys: u64::MAX };

    fn asking<'a>(method: &'a str, from: &'a str, to: &'a str) -> RequestKey<'a> {
        RequestKey { method: method.as_bytes(), from: from.as_bytes(), to: to.as_bytes() }
    }

    fn token(scope: &str, expires_at: i64) -> VerifiedToken {
        let claims = Claims {
            issuer: "https://as".into(),
            subject: Some("sub".into()),
            clients: vec!["phone".into(), "other".into()],
            scope: scope.into(),
            expires_at,
            ..Claims::default()
        };
        VerifiedToken {
            provider: 5,
            kid: "k".into(),
            fingerprint: "00ff00aa12345678".into(),
            claims,
            aors: vec![Aor::parse("sip:z@x").unwrap(), Aor::parse("sip:a@x").unwrap()],
            ..blank("t.secret")
        }
    }

    fn request<'a>(asking: RequestKey<'a>, span: Range<i64>) -> Accepted<'a> {
        Accepted { asking, aor: 1, services: "pstn,fax", issuer: "https://other", span: span.into(), at: 12 }
    }

    /// As it comes back from shared memory.
    fn known(token: &VerifiedToken, requests: &[Accepted<'_>]) -> KnownToken {
        let mut known = KnownToken::new(token, BY, true);
        for request in requests {
            known.accept(token, request);
        }
        KnownToken::from_words(&known.to_words())
    }

    #[test]
    fn shows_what_the_token_shows() {
        let token = token("a b", 99);
        for from in ["sip:a@x", "SIP:a@X"] {
            let known = known(&token, &[request(asking("INVITE", from, "sip:b@x"), 10..20)]);
            let shown = TokenFacts { fingerprint: "", services: "pstn,fax", ..token.shown(Some(1)) };
            assert_eq!(known.shown("https://other"), shown);
            let usual = Accepted { issuer: "https://as", ..request(asking("INVITE", from, "sip:b@x"), 10..20) };
            assert_eq!(self::known(&token, &[usual]).shown("https://as"), shown);
            assert_eq!((known.by(), known.provider()), (BY, 5));
            assert_eq!(known.fingerprint(), [0, 0xff, 0, 0xaa, 0x12, 0x34, 0x56, 0x78]);
            assert_eq!((known.expires_at(), known.noted_at(), known.stands_alone()), (99, 12, true));
            assert!(!format!("{known:?}").contains("sub"));
        }
    }

    #[test]
    fn only_such_a_request_within_the_same_time() {
        let token = token("", 99);
        let registers = known(&token, &[request(asking("REGISTER", "sip:a@x", "sip:a@x"), 10..20)]);
        let calls = known(&token, &[request(asking("INVITE", "SIP:a@x", "sip:b@x"), 10..20)]);
        assert!(registers.accepts(&asking("REGISTER", "sip:a@x", "sip:a@x"), 15));
        assert!(calls.accepts(&asking("INVITE", "SIP:a@x", "sip:c@x"), 15), "whomever he calls");
        for (method, from, to) in [
            ("REGISTER", "sip:a@x", "sip:b@x"),
            ("REGISTER", "sip:b@x", "sip:a@x"),
            ("REGISTER", "SIP:a@x", "SIP:a@x"),
            ("register", "sip:a@x", "sip:a@x"),
            ("REGISTE", "Rsip:a@x", "sip:a@x"),
            ("INVITE", "sip:a@x", "sip:a@x"),
            ("INVITE", "", ""),
            ("", "", ""),
        ] {
            for known in [&registers, &calls] {
                assert!(!known.accepts(&asking(method, from, to), 15), "{method} {from} {to}");
            }
        }
        let same = asking("REGISTER", "sip:a@x", "sip:a@x");
        assert_eq!([9, 10, 19, 20].map(|now| registers.accepts(&same, now)), [false, true, true, false]);
        let mut later = registers;
        later.note_sender(77);
        assert_eq!((later.noted_at(), later.accepts(&same, 19)), (77, true));
    }

    #[test]
    fn methods_add_up_as_long_as_all_else_is_the_same() {
        let token = token("", NO_END);
        let [register, invite] = ["REGISTER", "INVITE"].map(|method| asking(method, "sip:a@x", "sip:a@x"));
        let both = known(&token, &[request(register, 10..i64::MAX), request(invite, 10..i64::MAX)]);
        assert!(both.accepts(&register, i64::MAX - 1) && both.accepts(&invite, 15));
        assert_eq!(both.expires_at(), NO_END);
        let elsewhere = asking("INVITE", "SIP:a@x", "sip:a@x");
        for other in [request(elsewhere, 10..20), request(invite, 10..21)] {
            let changed = known(&token, &[request(register, 10..20), other]);
            assert!(!changed.accepts(&register, 15) && changed.accepts(&other.asking, 15));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_accepted_at_a_glance() {
        let register = asking("REGISTER", "sip:a@x", "sip:a@x");
        let all = "https://as".len() + "sip:a@x".len() + "subphonek".len() + "pstn,fax".len();
        for (scope, expires_at, fits) in [
            ("s".repeat(ROOM - all), 99, true),
            ("s".repeat(ROOM - all + 1), 99, false),
            ("s".repeat(400), 99, false),
            (String::new(), i64::from(u32::MAX) - 1, true),
            (String::new(), i64::from(u32::MAX), false),
            ("a\u{202e}b".into(), 99, false),
        ] {
            let mut token = token(&scope, expires_at);
            token.display = super::super::verified_token::Display::new(&token.claims);
            // A request that was accepted before with other claims of its server must not stay.
            let mut kept = KnownToken::new(&token, BY, true);
            assert_eq!(kept.accept(&token, &request(register, 10..20)), fits, "{scope}");
            assert_eq!(kept.accepts(&register, 15), fits, "{scope} {expires_at}");
        }
        let (good, mut kept) = (token("", 99), KnownToken::new(&token("", 99), BY, true));
        assert!(kept.accept(&good, &request(register, 10..20)));
        for other in [asking("FOO", "sip:a@x", "sip:a@x"), asking("REGISTER", "sip:a@x", "sip:b@x")] {
            assert!(!{ kept }.accept(&good, &request(other, 10..20)));
        }
        assert!(!KnownToken::new(&good, BY, false).accept(&good, &request(register, 10..20)));
    }
}
