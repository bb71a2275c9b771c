// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which requests the accepting side takes, and what the others get (RFC 3515 section 2.4.2, RFC 6665 section 4.2.1, RFC
//! 7614 sections 4.3 and 4.5).

use super::send_options::SubscriptionKind;
use super::{events_at, sipfrag};
use crate::header;
use crate::plan::is_uri_text;
use crate::received_request::ReceivedRequest;

/// Option tags that may stand in Require of a REFER. There is no call that a Target-Dialog could name, so that field has
/// no effect.
const KNOWN: [&str; 3] = ["explicitsub", "nosub", "tdialog"];
/// For Supported.
pub const SUPPORTED: &str = "explicitsub, nosub, tdialog";

/// The answer to a request that is not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status code and reason phrase.
    pub status: &'static str,
    /// Its header fields.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal without header fields of its own.
    pub fn new(status: &'static str) -> Refusal {
        Refusal { status, headers: Vec::new() }
    }
}

/// How the sender of a REFER wants to hear what becomes of it.
pub fn refer(request: &ReceivedRequest) -> Result<SubscriptionKind, Refusal> {
    if request.tag("To").is_some() {
        return Err(Refusal::new("481 There Is No Such Call"));
    }
    let required = request.list("Require");
    lacking(&required, &KNOWN)?;
    let has = |kind: SubscriptionKind| {
        kind.tag().is_some_and(|tag| required.iter().any(|known| known.eq_ignore_ascii_case(tag)))
    };
    let kind = match (has(SubscriptionKind::Explicit), has(SubscriptionKind::None)) {
        (true, true) => return Err(Refusal::new("400 explicitsub And nosub Exclude Each Other")),
        (true, false) => SubscriptionKind::Explicit,
        (false, true) => SubscriptionKind::None,
        (false, false) => SubscriptionKind::Implicit,
    };
    let targets = request.list("Refer-To");
    let [target] = &targets[..] else {
        return Err(Refusal::new(if targets.is_empty() { "400 No Refer-To" } else { "400 More Than One Refer-To" }));
    };
    let uri = String::from_utf8_lossy(header::addr_spec(target.as_bytes())).into_owned();
    if !uri.contains(':') || !is_uri_text(&uri) {
        return Err(Refusal::new("400 Refer-To Has No URI"));
    }
    if request.contact().is_none() {
        return Err(Refusal::new("400 No Contact"));
    }
    Ok(kind)
}

/// What a SUBSCRIBE asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// The id of Event.
    pub event_id: Option<String>,
    /// Expires.
    pub expires: Option<u32>,
}

/// Reads a SUBSCRIBE to a URI or a dialog that is known.
pub fn subscribe(request: &ReceivedRequest) -> Result<Asked, Refusal> {
    lacking(&request.list("Require"), &[])?;
    let event = request.header("Event").unwrap_or_default();
    let package = event.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !package.eq_ignore_ascii_case(b"refer") {
        return Err(Refusal { status: "489 Bad Event", headers: vec![("Allow-Events", "refer".into())] });
    }
    let accepts = request.list("Accept");
    let takes = |kind: &String| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        ["message/sipfrag", "message/*", "*/*"].iter().any(|known| known.eq_ignore_ascii_case(kind))
    };
    if request.header("Accept").is_some() && !accepts.iter().any(takes) {
        return Err(Refusal { status: "406 Not Acceptable", headers: vec![("Accept", sipfrag::CONTENT_TYPE.into())] });
    }
    let expires = match request.header("Expires") {
        None => None,
        Some(value) => {
            let seconds = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            Some(seconds.ok_or_else(|| Refusal::new("400 Expires Is Not A Number"))?)
        }
    };
    if request.contact().is_none() {
        return Err(Refusal::new("400 No Contact"));
    }
    let event_id = header::param(event, "id").map(|id| String::from_utf8_lossy(id).into_owned());
    Ok(Asked { event_id: event_id.filter(|id| !id.chars().any(char::is_control)), expires })
}

/// Refuses option tags that are not among the known ones.
fn lacking(required: &[String], known: &[&str]) -> Result<(), Refusal> {
    let is_known = |tag: &str| known.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<String> = required.iter().filter(|tag| !is_known(tag)).map(|tag| printable(tag)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal { status: "420 Bad Extension", headers: vec![("Unsupported", unknown.join(", "))] })
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The header field that names the URI of events.
pub fn events_at(uri: &str) -> (&'static str, String) {
    (events_at::NAME, format!("<{uri}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &str) -> ReceivedRequest {
        let text = format!(
            "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKp\r\nFrom: <sip:a@x>;tag=a1\r\n\
             To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{headers}\r\n"
        );
        ReceivedRequest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_refer_says_how_it_wants_to_hear() {
        let usual = "Refer-To: <sip:c@x?Replaces=1%3B2>\r\nContact: <sip:a@h>\r\n";
        for (more, kind) in [
            ("Require: explicitsub\r\n", SubscriptionKind::Explicit),
            ("Require: tdialog, EXPLICITSUB\r\n", SubscriptionKind::Explicit),
            ("Require: tdialog\r\nRequire: nosub\r\n", SubscriptionKind::None),
            ("Supported: explicitsub\r\n", SubscriptionKind::Implicit),
        ] {
            assert_eq!(refer(&request("REFER", &format!("{usual}{more}"))), Ok(kind), "{more}");
        }
    }

    #[test]
    fn a_wrong_refer_is_refused() {
        let contact = "Contact: <sip:a@h>\r\n";
        for (headers, status) in [
            (contact.to_owned(), "400 No Refer-To"),
            (format!("{contact}r: <sip:c@x>, <sip:d@x>\r\n"), "400 More Than One Refer-To"),
            (format!("{contact}Refer-To: <sip:c@x>\r\nRefer-To: <sip:d@x>\r\n"), "400 More Than One Refer-To"),
            (format!("{contact}Refer-To: <carol>\r\n"), "400 Refer-To Has No URI"),
            ("Refer-To: <sip:c@x>\r\n".to_owned(), "400 No Contact"),
            (format!("{contact}Refer-To: <sip:c@x>\r\nRequire: x, nosub, y\r\n"), "420 Bad Extension"),
            (
                format!("{contact}Refer-To: <sip:c@x>\r\nRequire: nosub, explicitsub\r\n"),
                "400 explicitsub And nosub Exclude Each Other",
            ),
        ] {
            let refusal = refer(&request("REFER", &headers)).unwrap_err();
            assert_eq!(refusal.status, status, "{headers}");
            if status.starts_with("420") {
                assert_eq!(refusal.headers, [("Unsupported", "x, y".to_owned())]);
            }
        }
    }

    #[test]
    fn a_subscribe_is_for_event_refer() {
        let usual = "Contact: <sip:a@h>\r\nAccept: message/sipfrag;version=2.0\r\n";
        let asked = subscribe(&request("SUBSCRIBE", &format!("{usual}o: refer;id=9\r\nExpires: 60\r\n")));
        assert_eq!(asked, Ok(Asked { event_id: Some("9".into()), expires: Some(60) }));
        for (headers, status) in [
            (usual.to_owned(), "489 Bad Event"),
            (format!("{usual}Event: presence\r\n"), "489 Bad Event"),
            (format!("{usual}Event: refer\r\nRequire: explicitsub\r\n"), "420 Bad Extension"),
            (format!("{usual}Event: refer\r\nExpires: soon\r\n"), "400 Expires Is Not A Number"),
            ("Contact: <sip:a@h>\r\nEvent: refer\r\nAccept: text/plain\r\n".to_owned(), "406 Not Acceptable"),
            ("Event: refer\r\n".to_owned(), "400 No Contact"),
        ] {
            assert_eq!(subscribe(&request("SUBSCRIBE", &headers)).unwrap_err().status, status, "{headers}");
        }
    }
}
