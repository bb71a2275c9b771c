// SPDX-License-Identifier: MIT OR Apache-2.0
//! A SUBSCRIBE for the events of a REFER (RFC 6665 section 4.2.1, RFC 7614 section 4.5).

use super::dialog::call_id;
use super::reason::{ReferReason, Refusal};
use super::reference::{is_token, judge_options, to_tag};
use crate::sip::digest_string::split_cseq;
use crate::sip::message::{MessageView, NameAddr, names, parameter, user_of};

/// What a SUBSCRIBE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The user of its Request-URI, which names the state.
    pub user: &'a str,
    /// The parameter id of Event; empty when there is none.
    pub event_id: &'a str,
    /// Expires in seconds. 0 ends the subscription, or asks once.
    pub expires: Option<u32>,
    /// The tag of the event server. None: it creates a dialog.
    pub to_tag: Option<&'a str>,
    /// The subscriber's tag.
    pub from_tag: &'a str,
    /// Call-ID.
    pub call_id: &'a str,
    /// The number of CSeq.
    pub cseq: u32,
}

impl<'a> Subscription<'a> {
    /// Reads it.
    pub fn read(message: &MessageView<'a>) -> Result<Subscription<'a>, Refusal> {
        let event_id = event_id(message)?;
        judge_options(message, &[])?;
        if !accepts_sipfrag(message) {
            return Err(ReferReason::NotAcceptable.into());
        }
        let from = message.only(names::FROM).and_then(NameAddr::parse).ok_or(ReferReason::Malformed)?;
        Ok(Subscription {
            user: user_of(message.request_uri().ok_or(ReferReason::Malformed)?),
            event_id,
            expires: expires(message)?,
            to_tag: to_tag(message)?,
            from_tag: from.parameter("tag").filter(|tag| is_token(tag)).ok_or(ReferReason::Malformed)?,
            call_id: call_id(message)?,
            cseq: cseq(message)?,
        })
    }
}

/// Longest parameter id of Event, in octets.
const MAX_ID: usize = 64;

/// The number of CSeq.
pub fn cseq(message: &MessageView<'_>) -> Result<u32, ReferReason> {
    let value = message.only(names::CSEQ).ok_or(ReferReason::Malformed)?;
    let (number, _) = split_cseq(value.as_bytes()).ok_or(ReferReason::Malformed)?;
    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
    number.filter(|number| *number <= i32::MAX as u32).ok_or(ReferReason::Malformed)
}

/// The parameter id of `Event: refer`.
pub fn event_id<'a>(message: &MessageView<'a>) -> Result<&'a str, ReferReason> {
    let value = message.only(names::EVENT).ok_or(ReferReason::Event)?;
    let (package, parameters) = value.find(';').map_or((value, ""), |at| value.split_at(at));
    if !package.trim_ascii().eq_ignore_ascii_case("refer") {
        return Err(ReferReason::Event);
    }
    let id = parameter(parameters, "id").unwrap_or_default();
    if id.is_empty() || is_token(id) && id.len() <= MAX_ID { Ok(id) } else { Err(ReferReason::Malformed) }
}

/// Expires as seconds, at most those of a day. None when there is none.
pub fn expires(message: &MessageView<'_>) -> Result<Option<u32>, ReferReason> {
    if message.named(names::EXPIRES).next().is_none() {
        return Ok(None);
    }
    let value = message.only(names::EXPIRES).ok_or(ReferReason::Malformed)?;
    if value.is_empty() || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(ReferReason::Malformed);
    }
    Ok(Some(value.parse().unwrap_or(86_400).min(86_400)))
}

/// Without Accept the package's own type is accepted.
fn accepts_sipfrag(message: &MessageView<'_>) -> bool {
    if message.named(names::ACCEPT).next().is_none() {
        return true;
    }
    message.values(names::ACCEPT).flatten().any(|range| {
        let name = range.split(';').next().unwrap_or_default().trim_ascii();
        ["message/sipfrag", "message/*", "*/*"].iter().any(|own| name.eq_ignore_ascii_case(own))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<String, ReferReason> {
        let text = format!(
            "SUBSCRIBE sip:abc@h;gr SIP/2.0\r\nf: <sip:a@x>;tag=1\r\nTo: <sip:abc@h>;tag=2\r\ni: c1\r\nCSeq: 007 SUBSCRIBE\r\n{fields}\r\n"
        );
        let message = MessageView::new(text.as_bytes()).unwrap();
        let read = Subscription::read(&message).map_err(|refusal| refusal.reason)?;
        let Subscription { user, event_id, expires, to_tag, from_tag, call_id, cseq } = read;
        Ok(format!("{user} {event_id} {expires:?} {to_tag:?} {from_tag} {call_id} {cseq}"))
    }

    #[test]
    fn a_subscription_names_its_state_and_its_dialog() {
        assert_eq!(read("Event: refer\r\n").unwrap(), "abc  None Some(\"2\") 1 c1 7");
        assert_eq!(
            read("o: Refer ; id=93\r\nExpires: 99999999999\r\n").unwrap(),
            "abc 93 Some(86400) Some(\"2\") 1 c1 7"
        );
    }

    #[test]
    fn another_event_or_type_is_refused() {
        for event in ["", "Event: presence\r\n", "Event: refer.winfo\r\n", "Event: refer\r\no: refer\r\n"] {
            assert_eq!(read(event), Err(ReferReason::Event), "{event}");
        }
        for (accept, is_accepted) in [
            ("Accept: application/pidf+xml\r\n", false),
            ("Accept:\r\n", false),
            ("Accept: application/sdp, message/sipfrag;version=2.0\r\n", true),
            ("Accept: */*\r\n", true),
        ] {
            let read = read(&format!("Event: refer\r\n{accept}"));
            assert_eq!(read.err(), (!is_accepted).then_some(ReferReason::NotAcceptable), "{accept}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_malformed() {
        for fields in [
            "Expires: soon\r\n",
            "Expires: -1\r\n",
            "Expires: 1\r\nExpires: 2\r\n",
            "From: <sip:a@x>\r\n",
            "CSeq: 8 SUBSCRIBE\r\n",
        ] {
            assert_eq!(read(&format!("Event: refer\r\n{fields}")), Err(ReferReason::Malformed), "{fields}");
        }
        assert_eq!(read("Event: refer;id=\"x\"\r\n"), Err(ReferReason::Malformed));
        assert_eq!(read(&format!("Event: refer;id={}\r\n", "x".repeat(65))), Err(ReferReason::Malformed));
        assert_eq!(read("Event: refer\r\nRequire: eventlist\r\n"), Err(ReferReason::TagUnknown));
    }
}
