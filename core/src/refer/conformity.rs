// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a proxy changes in messages that pass, so that they are as RFC 7614 and RFC 7647 want them: Refer-Events-At is in
//! a 2xx to a REFER with explicitsub and nowhere else, and nobody sees a 202. And what it takes out of a REFER that goes to
//! a phone of before these documents.

use super::reference::{EXPLICIT, NONE};
use crate::sip::digest_string::split_cseq;
use crate::sip::message::{MessageView, NameAddr, names};

/// A change: these octets of the message go, and the text takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where they begin.
    pub at: usize,
    /// How many they are.
    pub length: usize,
    /// What takes their place.
    pub text: &'static str,
}

/// The changes of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformity {
    /// The new status of a response; None: it stays.
    pub status: Option<u16>,
    /// The changes, in order. The digits of the status are not among them.
    pub edits: Vec<Edit>,
}

/// Changes of a request: Refer-Events-At means nothing there.
pub fn of_request(message: &MessageView<'_>) -> Conformity {
    Conformity { status: None, edits: remove_all(message) }
}

/// Takes explicitsub and nosub out of Require, for a phone that would answer 420.
pub fn without_tags(message: &MessageView<'_>) -> Vec<Edit> {
    let is_tag = |token: &[u8]| [EXPLICIT, NONE].iter().any(|tag| token.eq_ignore_ascii_case(tag.as_bytes()));
    let mut edits = Vec::new();
    for field in message.named(names::REQUIRE) {
        // places within the value, which ends the field but for white space
        let tokens = tokens(field.value);
        let kept: Vec<_> = tokens.iter().filter(|(begin, end)| !is_tag(&field.value[*begin..*end])).collect();
        let delete = |begin: usize, end: usize| Edit { at: field.value_at + begin, length: end - begin, text: "" };
        match (kept.len() == tokens.len(), kept.last()) {
            (true, _) => {}
            (false, None) => edits.push(Edit { at: field.place.0, length: field.place.1, text: "" }),
            (false, Some(last)) => {
                let mut end = 0;
                for (begin, after) in &kept {
                    let next = tokens.iter().map(|token| token.0).find(|begin| *begin >= end);
                    if let Some(next) = next.filter(|next| next < begin) {
                        edits.push(delete(next, *begin));
                    }
                    end = *after;
                }
                if tokens.last().is_some_and(|token| token.1 > last.1) {
                    edits.push(delete(last.1, field.value.len()));
                }
            }
        }
    }
    edits
}

/// Where the tokens of a list begin and end.
fn tokens(value: &[u8]) -> Vec<(usize, usize)> {
    let mut at = 0;
    let place = |part: &[u8]| {
        let begin = at + part.len() - part.trim_ascii_start().len();
        at += part.len() + 1;
        (begin, begin + part.trim_ascii().len())
    };
    value.split(|octet| *octet == b',').map(place).filter(|(begin, end)| begin < end).collect()
}

/// Changes of a response. `request` is the REFER that it answers, if it is known.
pub fn of_response(message: &MessageView<'_>, request: Option<&MessageView<'_>>) -> Conformity {
    let mut conformity = Conformity::default();
    let method = message.only(names::CSEQ).and_then(|value| split_cseq(value.as_bytes()));
    let code = status_of(message.first_line());
    let is_accepted = method.is_some_and(|(_, method)| method == b"REFER") && matches!(code, 200..300);
    if is_accepted && code == 202 {
        conformity.status = Some(200);
        // without a phrase there is nothing to replace
        if let Some(length) = message.first_line().len().checked_sub(PHRASE) {
            conformity.edits.push(Edit { at: PHRASE, length, text: "OK" });
        }
    }
    let asked = request.is_none_or(|request| request.lists(names::REQUIRE, EXPLICIT));
    if !is_accepted || !asked || !has_events_uri(message) {
        conformity.edits.extend(remove_all(message));
    }
    conformity
}

/// True for exactly one Refer-Events-At whose URI is sip or sips and stands in angle brackets (RFC 7614 section 4.8).
pub fn has_events_uri(message: &MessageView<'_>) -> bool {
    let mut values = message.values(names::REFER_EVENTS_AT);
    let only = values.next().flatten().and_then(NameAddr::parse);
    // a display name is not allowed either
    let is_bare = message.only(names::REFER_EVENTS_AT).is_some_and(|value| value.starts_with('<'));
    values.next().is_none() && is_bare && only.is_some_and(|address| address.bracketed && address.is_sip())
}

fn remove_all(message: &MessageView<'_>) -> Vec<Edit> {
    let fields = message.named(names::REFER_EVENTS_AT);
    fields.map(|field| Edit { at: field.place.0, length: field.place.1, text: "" }).collect()
}

/// Where the phrase of a status line begins.
const PHRASE: usize = "SIP/2.0 202 ".len();

/// The status of a response; 0 for a line that is none.
fn status_of(line: &[u8]) -> u16 {
    let code = line.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.get(..3));
    let code = code.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    code.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conform(text: &str, request: Option<&str>) -> String {
        let request = request.map(|request| MessageView::new(request.as_bytes()).unwrap());
        let message = MessageView::new(text.as_bytes()).unwrap();
        let is_request = text.starts_with("REFER");
        let conformity = if is_request { of_request(&message) } else { of_response(&message, request.as_ref()) };
        let mut text = text.to_owned();
        for edit in conformity.edits.iter().rev() {
            text.replace_range(edit.at..edit.at + edit.length, edit.text);
        }
        if let Some(status) = conformity.status {
            text.replace_range(8..11, &status.to_string());
        }
        text
    }

    const EXPLICIT_REFER: &str = "REFER sip:b@x SIP/2.0\r\nRequire: explicitsub\r\n\r\n";
    const AT: &str = "Refer-Events-At: <sips:v@x;gr>;p=1\r\n";

    fn answer(status: &str, method: &str, fields: &str) -> String {
        format!("SIP/2.0 {status}\r\nCSeq: 1 {method}\r\n{fields}Content-Length: 0\r\n\r\n")
    }

    #[test]
    fn the_uri_stays_in_the_answer_to_which_it_belongs() {
        let good = answer("200 OK", "REFER", AT);
        assert_eq!(conform(&good, Some(EXPLICIT_REFER)), good);
        assert_eq!(conform(&good, None), good, "the request is not known");
    }

    #[test]
    fn it_goes_everywhere_else_and_nothing_else_changes() {
        let without = |status, method| answer(status, method, "");
        let refer = "REFER sip:b@x SIP/2.0\r\nRequire: nosub\r\n\r\n";
        assert_eq!(conform(&answer("200 OK", "REFER", AT), Some(refer)), without("200 OK", "REFER"));
        assert_eq!(conform(&answer("200 OK", "INVITE", AT), None), without("200 OK", "INVITE"));
        assert_eq!(conform(&answer("403 No", "REFER", AT), Some(EXPLICIT_REFER)), without("403 No", "REFER"));
        assert_eq!(conform(&answer("100 Trying", "REFER", AT), None), without("100 Trying", "REFER"));
        let request = EXPLICIT_REFER.replace("\r\n\r\n", &format!("\r\n{AT}\r\n"));
        assert_eq!(conform(&request, None), EXPLICIT_REFER);
    }

    #[test]
    fn one_that_is_malformed_goes_too() {
        for field in [
            "Refer-Events-At: sip:v@x\r\n",
            "Refer-Events-At: <tel:1>\r\n",
            "Refer-Events-At: \"x\" <sip:v@x>\r\n",
            "Refer-Events-At: <sip:v@x>, <sip:w@x>\r\n",
            "Refer-Events-At: <sip:v@x>\r\nREFER-EVENTS-AT : <sip:w@x>\r\n",
            "Refer-Events-At:\r\n",
        ] {
            let text = answer("200 OK", "REFER", field);
            assert_eq!(conform(&text, Some(EXPLICIT_REFER)), answer("200 OK", "REFER", ""), "{field}");
        }
    }

    #[test]
    fn tags_are_taken_out_and_other_options_stay() {
        let without = |value: &str| {
            let mut text = format!("REFER sip:b@x SIP/2.0\r\nRequire: {value}\r\nTo: x\r\n\r\n");
            let edits = without_tags(&MessageView::new(text.as_bytes()).unwrap());
            for edit in edits.iter().rev() {
                text.replace_range(edit.at..edit.at + edit.length, edit.text);
            }
            text.split("\r\nTo").next().unwrap().split_once("\r\n").map(|(_, rest)| rest.to_owned())
        };
        for (value, left) in [
            ("explicitsub", None),
            ("nosub , explicitsub", None),
            ("timer", Some("Require: timer")),
            ("ExplicitSub, timer", Some("Require: timer")),
            ("timer,explicitsub", Some("Require: timer")),
            ("a, nosub, b,explicitsub ,c", Some("Require: a, b,c")),
            ("nosub, a,\r\n\tnosub, nosub", Some("Require: a")),
        ] {
            assert_eq!(without(value).as_deref(), left, "{value}");
        }
    }

    #[test]
    fn a_202_to_a_refer_becomes_a_200() {
        assert_eq!(conform(&answer("202 Accepted", "REFER", ""), None), answer("200 OK", "REFER", ""));
        assert_eq!(conform(&answer("202 ", "REFER", AT), Some(EXPLICIT_REFER)), answer("200 ", "REFER", AT));
        let other = answer("202 Accepted", "MESSAGE", "");
        assert_eq!(conform(&other, None), other);
    }
}
