// SPDX-License-Identifier: MIT OR Apache-2.0
//! A PUBLISH by which the user agent that acts on a REFER tells the event server how far it has come (RFC 7614 section
//! 3.1, RFC 3903).

use super::progress::Status;
use super::reason::{ReferReason, Refusal};
use super::reference::judge_options;
use super::subscription::{event_id, expires};
use crate::sip::message::{MessageView, names, user_of};

/// What a PUBLISH says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The user of its Request-URI.
    pub user: &'a str,
    /// The entity-tag of the publication that this one changes or refreshes.
    pub changes: Option<&'a str>,
    /// The new status. None: only the time is refreshed.
    pub status: Option<Status>,
    /// Expires in seconds.
    pub expires: Option<u32>,
}

impl<'a> Publication<'a> {
    /// Reads it; `body` ends where Content-Length says.
    pub fn read(message: &MessageView<'a>, body: &[u8]) -> Result<Publication<'a>, Refusal> {
        event_id(message)?;
        judge_options(message, &[])?;
        let user = user_of(message.request_uri().ok_or(ReferReason::Malformed)?);
        let changes = match message.named(names::SIP_IF_MATCH).next() {
            None => None,
            Some(_) => Some(message.only(names::SIP_IF_MATCH).ok_or(ReferReason::Malformed)?),
        };
        let status = match (body, changes) {
            ([], Some(_)) => None,
            ([], None) => return Err(ReferReason::StatusLine.into()),
            (body, _) => Some(status_of(message, body)?),
        };
        Ok(Publication { user, changes, status, expires: expires(message)? })
    }
}

fn status_of(message: &MessageView<'_>, body: &[u8]) -> Result<Status, ReferReason> {
    let content_type = message.only(names::CONTENT_TYPE).unwrap_or_default();
    let name = content_type.split(';').next().unwrap_or_default().trim_ascii();
    if !name.eq_ignore_ascii_case("message/sipfrag") {
        return Err(ReferReason::BodyType);
    }
    Status::of_sipfrag(body).ok_or(ReferReason::StatusLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str, body: &str) -> Result<(Option<u16>, bool), ReferReason> {
        let text = format!("PUBLISH sip:abc@h SIP/2.0\r\nEvent: refer\r\n{fields}\r\n");
        let message = MessageView::new(text.as_bytes()).unwrap();
        let read = Publication::read(&message, body.as_bytes()).map_err(|refusal| refusal.reason)?;
        Ok((read.status.map(Status::code), read.changes.is_some()))
    }

    const SIPFRAG: &str = "Content-Type: Message/Sipfrag;version=2.0\r\n";

    #[test]
    fn a_publication_has_a_status_or_refreshes_one() {
        assert_eq!(read(SIPFRAG, "SIP/2.0 180 Ringing\r\n"), Ok((Some(180), false)));
        assert_eq!(read(&format!("{SIPFRAG}SIP-If-Match: x1\r\n"), "SIP/2.0 200 OK"), Ok((Some(200), true)));
        assert_eq!(read("SIP-If-Match: x1\r\n", ""), Ok((None, true)));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        assert_eq!(read(SIPFRAG, ""), Err(ReferReason::StatusLine));
        assert_eq!(read(SIPFRAG, "180 Ringing"), Err(ReferReason::StatusLine));
        assert_eq!(read("", "SIP/2.0 180 Ringing"), Err(ReferReason::BodyType));
        assert_eq!(read("Content-Type: application/sdp\r\n", "v=0"), Err(ReferReason::BodyType));
        assert_eq!(read("o: presence\r\n", ""), Err(ReferReason::Event));
    }
}
