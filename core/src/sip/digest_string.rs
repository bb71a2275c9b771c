// SPDX-License-Identifier: MIT OR Apache-2.0
//! The digest-string of RFC 4474 section 9: what a proof of possession covers.
//!
//! `addr-spec "|" addr-spec "|" callid "|" 1*DIGIT SP Method "|" SIP-date "|" [addr-spec] "|" message-body`
//!
//! For a Contact of `*`, RFC 4474 has the same empty text as for no Contact at all. This library has `*`, so that
//! a proof for one is not a proof for the other. A caller that wants the RFC's text gives an empty Contact.
//!
//! Only the body may have a '|', which no grammar of RFC 3261 allows in the other parts. So each digest-string
//! belongs to one request only, because nobody can move the end of one part to the beginning of the next.

use super::sip_date;
use crate::reason::Reason;

const SEPARATOR: u8 = b'|';
/// Number of separators before the body.
const SEPARATORS: usize = 6;

/// The parts of a message that the digest-string covers. All are raw octets of the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestParts<'a> {
    /// addr-spec of From: the URI between the angle brackets, without header parameters.
    pub from: &'a [u8],
    /// addr-spec of To.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The CSeq header value: number and method in any spacing.
    pub cseq: &'a [u8],
    /// The Date header value.
    pub date: &'a [u8],
    /// addr-spec of the Contact, `*` as it stands, or empty when there is none.
    pub contact: &'a [u8],
    /// The message body, exactly as received.
    pub body: &'a [u8],
}

/// Builds the digest-string. Errors name the part that cannot be made canonical.
pub fn digest_string(parts: &DigestParts<'_>) -> Result<Vec<u8>, DigestError> {
    write(parts, None, None).map(|(text, _)| text)
}

/// Like [`digest_string`], but with the Request-URI, which RFC 4474 leaves out. This is an addition of this
/// library, for phones and proxies that agree on it. The Request-URI, with the octets of the request line, stands
/// behind the method and one space:
///
/// `addr-spec "|" addr-spec "|" callid "|" 1*DIGIT SP Method SP Request-URI "|" SIP-date "|" [addr-spec] "|" message-body`
///
/// Methods have no space, so a digest-string with a Request-URI never equals one without. An error names the
/// Request-URI when it is empty or has a space, a control character or a '|'.
pub fn digest_string_with_uri(parts: &DigestParts<'_>, uri: &[u8]) -> Result<Vec<u8>, DigestError> {
    write(parts, None, Some(uri)).map(|(text, _)| text)
}

/// The digest-string of a request with this method, and its Date as Unix seconds (None when the Date is not a time
/// since 1970). The digest-string has the method of CSeq, so this must be the request's own method (RFC 3261
/// section 8.1.1.5), letter by letter, because methods are case-sensitive (section 7.1). Otherwise a proof for one
/// method would serve another. With a `uri`, the digest-string is that of [`digest_string_with_uri`].
pub fn digest_of_request(
    parts: &DigestParts<'_>,
    method: &[u8],
    uri: Option<&[u8]>,
) -> Result<(Vec<u8>, Option<i64>), DigestError> {
    write(parts, Some(method), uri)
}

fn write(
    parts: &DigestParts<'_>,
    sent_with: Option<&[u8]>,
    uri: Option<&[u8]>,
) -> Result<(Vec<u8>, Option<i64>), DigestError> {
    let (number, method) = split_cseq(parts.cseq).ok_or(DigestError::Cseq)?;
    if sent_with.is_some_and(|sent_with| sent_with != method) {
        return Err(DigestError::Cseq);
    }
    let date = sip_date::read(parts.date).ok_or(DigestError::Date)?;
    for (value, error) in
        [(parts.from, DigestError::From), (parts.to, DigestError::To), (parts.call_id, DigestError::CallId)]
    {
        if value.is_empty() {
            return Err(error);
        }
    }
    let (space, uri) = match uri {
        None => (&b""[..], &b""[..]),
        Some(uri) if is_request_uri(uri) => (&b" "[..], uri),
        Some(_) => return Err(DigestError::RequestUri),
    };
    let mut out = Vec::with_capacity(
        uri.len()
            + parts.from.len()
            + parts.to.len()
            + parts.call_id.len()
            + parts.contact.len()
            + parts.body.len()
            + 64,
    );
    for part in [
        parts.from,
        b"|",
        parts.to,
        b"|",
        parts.call_id,
        b"|",
        number,
        b" ",
        method,
        space,
        uri,
        b"|",
        &date.text,
        b"|",
        parts.contact,
        b"|",
    ] {
        out.extend_from_slice(part);
    }
    // The separators are counted in one pass over what was copied anyway. If their number is wrong, `divided`
    // looks for the part that has one.
    if separators(&out) != SEPARATORS {
        return Err(divided(parts));
    }
    out.extend_from_slice(parts.body);
    Ok((out, date.seconds))
}

/// True when the Request-URI is not empty and has no octet that would end it.
fn is_request_uri(uri: &[u8]) -> bool {
    !uri.is_empty() && uri.iter().all(|octet| *octet > b' ' && *octet != 0x7F && *octet != SEPARATOR)
}

/// Counts in a u8, in chunks that are no longer than a u8 can count. So the compiler can count many octets at a
/// time, which takes a twelfth of the time.
fn separators(text: &[u8]) -> usize {
    let of_chunk = |chunk: &[u8]| chunk.iter().fold(0u8, |count, octet| count + u8::from(*octet == SEPARATOR));
    text.chunks(u8::MAX.into()).map(|chunk| usize::from(of_chunk(chunk))).sum()
}

/// The part that has a separator.
#[cold]
fn divided(parts: &DigestParts<'_>) -> DigestError {
    let all = [
        (parts.from, DigestError::From),
        (parts.to, DigestError::To),
        (parts.call_id, DigestError::CallId),
        (parts.cseq, DigestError::Cseq),
        (parts.contact, DigestError::Contact),
    ];
    all.iter().find(|(part, _)| part.contains(&SEPARATOR)).map_or(DigestError::Date, |(_, error)| *error)
}

/// The part of a message because of which a digest-string cannot be built. Each variant also means that the part
/// has a '|'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// From is missing.
    From,
    /// To is missing.
    To,
    /// Call-ID is missing.
    CallId,
    /// CSeq is not a number and a method, or the method is not the request's.
    Cseq,
    /// Date is missing or not an RFC 3261 SIP-date.
    Date,
    /// There are several Contacts, or one that cannot be read.
    Contact,
    /// The proof has to cover the Request-URI, but the Request-URI is missing or malformed.
    RequestUri,
}

impl DigestError {
    /// The header field's name, or that of the Request-URI.
    pub fn header(self) -> &'static str {
        match self {
            DigestError::From => "From",
            DigestError::To => "To",
            DigestError::CallId => "Call-ID",
            DigestError::Cseq => "CSeq",
            DigestError::Date => "Date",
            DigestError::Contact => "Contact",
            DigestError::RequestUri => "Request-URI",
        }
    }

    /// Every part that cannot be read makes the request malformed.
    pub fn reason(self) -> Reason {
        Reason::PopMalformed
    }
}

/// Splits "0017  REGISTER" into ("17", "REGISTER"): no leading zeros, RFC 4474 section 9.
pub fn split_cseq(cseq: &[u8]) -> Option<(&[u8], &[u8])> {
    let cseq = cseq.trim_ascii();
    let digits = cseq.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, method) = cseq.split_at(digits);
    let trimmed = method.trim_ascii_start();
    if digits == 0 || trimmed.len() == method.len() || trimmed.is_empty() || trimmed.contains(&b' ') {
        return None;
    }
    let zeros = number.iter().take_while(|b| **b == b'0').count().min(digits - 1);
    Some((&number[zeros..], trimmed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts() -> DigestParts<'static> {
        DigestParts {
            from: b"sip:a@x",
            to: b"sip:b@y",
            call_id: b"id",
            cseq: b"007  INVITE",
            date: b"Thu,  1 feb 2002 3:02:03 gmt",
            contact: b"*",
            body: b"body\r\n",
        }
    }

    #[test]
    fn makes_cseq_and_date_canonical_and_keeps_the_contact() {
        let text = digest_string(&parts()).unwrap();
        assert_eq!(text, b"sip:a@x|sip:b@y|id|7 INVITE|Thu, 01 Feb 2002 03:02:03 GMT|*|body\r\n");
        let none = digest_string(&DigestParts { contact: b"", ..parts() }).unwrap();
        assert_eq!(none, b"sip:a@x|sip:b@y|id|7 INVITE|Thu, 01 Feb 2002 03:02:03 GMT||body\r\n");
    }

    #[test]
    fn zero_stays_one_digit() {
        assert_eq!(split_cseq(b"000 ACK"), Some((&b"0"[..], &b"ACK"[..])));
    }

    #[test]
    fn the_method_is_the_requests_own() {
        assert_eq!(digest_of_request(&parts(), b"INVITE", None).unwrap().0, digest_string(&parts()).unwrap());
        for method in [&b"REGISTER"[..], b"invite", b"INVITE ", b"INVIT", b""] {
            assert_eq!(digest_of_request(&parts(), method, None), Err(DigestError::Cseq), "{method:?}");
        }
        let tab = DigestParts { cseq: b"7 INVITE\tX", ..parts() };
        assert_eq!(digest_of_request(&tab, b"INVITE", None), Err(DigestError::Cseq));
    }

    #[test]
    fn the_request_uri_stands_behind_the_method() {
        let text = digest_string_with_uri(&parts(), b"sip:b@y;transport=tcp").unwrap();
        let wanted = b"sip:a@x|sip:b@y|id|7 INVITE sip:b@y;transport=tcp|Thu, 01 Feb 2002 03:02:03 GMT|*|body\r\n";
        assert_eq!(text, wanted);
        for uri in [&b""[..], b" ", b"sip:a b", b"sip:a|b", b"sip:a\tb", b"sip:a\r\n", b"sip:\x7f"] {
            assert_eq!(digest_string_with_uri(&parts(), uri), Err(DigestError::RequestUri), "{uri:?}");
        }
        // A method in CSeq with something like a Request-URI behind it is no method.
        let forged = DigestParts { cseq: b"7 INVITE sip:b@y;transport=tcp", ..parts() };
        assert_eq!(digest_string(&forged), Err(DigestError::Cseq));
    }

    #[test]
    fn only_the_body_has_separators() {
        for (parts, error) in [
            (DigestParts { from: b"sip:a@x|sip:b", ..parts() }, DigestError::From),
            (DigestParts { to: b"|sip:b@y", ..parts() }, DigestError::To),
            (DigestParts { call_id: b"id|", ..parts() }, DigestError::CallId),
            (DigestParts { cseq: b"7 INV|ITE", ..parts() }, DigestError::Cseq),
            (DigestParts { contact: b"|", ..parts() }, DigestError::Contact),
            (DigestParts { from: b"a|b", to: b"c|d", contact: b"e|f", ..parts() }, DigestError::From),
            (DigestParts { date: b"Thu, 01 Feb 2002 03:02:03 GMT|", ..parts() }, DigestError::Date),
        ] {
            assert_eq!(digest_string(&parts), Err(error), "{parts:?}");
        }
        assert!(digest_string(&DigestParts { body: b"|a||b|", ..parts() }).is_ok());
        let many = [b'|'; 600];
        assert_eq!(digest_string(&DigestParts { to: &many[..512], ..parts() }), Err(DigestError::To));
        assert_eq!([0, 255, 256, 600].map(|n| separators(&many[..n])), [0, 255, 256, 600]);
    }

    proptest! {
        #[test]
        fn each_text_is_that_of_one_request(
            a in proptest::array::uniform5("[ab|]{0,3}"), b in proptest::array::uniform5("[ab|]{0,3}"),
        ) {
            let digest = |[from, to, call_id, contact, body]: &[String; 5]| {
                let [from, to, call_id, contact, body] = [from, to, call_id, contact, body].map(|t| t.as_bytes());
                digest_string(&DigestParts { from, to, call_id, contact, body, ..parts() })
            };
            if let (Ok(one), Ok(other)) = (digest(&a), digest(&b)) {
                prop_assert_eq!(one == other, a == b);
            }
        }
    }

    #[test]
    fn names_the_missing_part() {
        for (parts, error) in [
            (DigestParts { from: b"", ..parts() }, DigestError::From),
            (DigestParts { call_id: b"", ..parts() }, DigestError::CallId),
            (DigestParts { cseq: b"INVITE", ..parts() }, DigestError::Cseq),
            (DigestParts { cseq: b"1INVITE", ..parts() }, DigestError::Cseq),
            (DigestParts { date: b"", ..parts() }, DigestError::Date),
            (DigestParts { date: b"Thu, 41 Feb 2002 13:02:03 GMT", ..parts() }, DigestError::Date),
            (DigestParts { date: b"Thu, 21 Feb 2002 13:02:03 CET", ..parts() }, DigestError::Date),
        ] {
            assert_eq!(digest_string(&parts), Err(error));
        }
    }
}
