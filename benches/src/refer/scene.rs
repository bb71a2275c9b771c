// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is sent: a state begins, two subscribers come, and the state changes twice. The same story for each server, with the
//! messages that it understands.

use std::net::SocketAddr;

use crate::proxies::{DOMAIN, USERS, address};

/// Subscribers of each state.
pub const SUBSCRIBERS: usize = 2;
/// States that are told: the first, one in between, the end.
pub const STATES: usize = 3;
/// The requests of one story: what begins it, the SUBSCRIBEs, the changes.
const BEGIN: u64 = 0;
const CHANGE: u64 = BEGIN + SUBSCRIBERS as u64;

/// What a server is asked to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A REFER with explicitsub, whose state the script tells.
    Refer,
    /// Kamailio's presence with presence_dialoginfo: the state of a call, in XML.
    Dialog,
    /// Kamailio's presence with presence_mwi: lines of text, which nobody parses.
    Summary,
}

/// What a request of a story does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Begins it.
    Begin,
    /// Subscribes.
    Subscribe(usize),
    /// Tells another state: 1 or 2.
    Change(usize),
}

impl Act {
    /// Names the request, by the number of its story.
    pub fn branch(self, number: u64) -> u64 {
        let act = match self {
            Act::Begin => BEGIN,
            Act::Subscribe(seat) => BEGIN + 1 + seat as u64,
            Act::Change(state) => CHANGE + state as u64,
        };
        number << 3 | act
    }

    /// The story and the act of such a name.
    pub fn of_branch(branch: u64) -> (u64, Act) {
        let act = match branch & 7 {
            BEGIN => Act::Begin,
            seat if seat <= CHANGE => Act::Subscribe((seat - BEGIN - 1) as usize),
            change => Act::Change((change - CHANGE) as usize),
        };
        (branch >> 3, act)
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Where this phone is.
    pub local: SocketAddr,
    /// The server's port.
    pub port: u16,
}

impl Story {
    /// What is found in the NOTIFY requests, by state. The last one says that the time is over.
    pub fn marks(self) -> &'static [&'static str] {
        match self {
            Story::Refer => &["SIP/2.0 100 ", "SIP/2.0 180 ", "SIP/2.0 200 ", "SIP/2.0 408 "],
            Story::Dialog => &[">trying<", ">early<", ">confirmed<"],
            Story::Summary => &["Message: 1/0", "Message: 2/0", "Message: 3/0"],
        }
    }

    /// How the subscription stands in the NOTIFY of a state.
    pub fn subscription_state(self, state: usize) -> &'static str {
        if self == Story::Refer && state >= STATES - 1 { "terminated;reason=noresource" } else { "active;expires=" }
    }

    /// What is watched, where it does not say so itself.
    pub fn target(self, number: u64) -> String {
        format!("sip:s{number}@{DOMAIN}")
    }

    /// A request. `target` is what is watched, `tag` the entity-tag of a publication.
    pub fn request(self, act: Act, number: u64, line: Line, target: &str, tag: &str) -> String {
        let Line { local, port } = line;
        let own = address(number as usize % USERS);
        match (self, act) {
            (Story::Refer, Act::Begin) => {
                let uri = format!("sip:transfer@127.0.0.1:{port}");
                let fields = format!(
                    "Contact: <sip:phone@{local}>\r\nRequire: explicitsub\r\nRefer-To: <sip:carol@{DOMAIN}>\r\n"
                );
                written(&Request { method: "REFER", uri: &uri, from: &own, act, number, local, fields, body: "" })
            }
            (Story::Refer, Act::Change(state)) => {
                let status = if state == 1 { "180 Ringing" } else { "200 OK" };
                let fields = format!("X-Status: {status}\r\n");
                written(&Request { method: "MESSAGE", uri: target, from: &own, act, number, local, fields, body: "" })
            }
            (_, Act::Subscribe(_)) => {
                let (event, content_type) = self.package();
                let expires = if self == Story::Refer { "" } else { "Expires: 3600\r\n" };
                let fields =
                    format!("Contact: <sip:phone@{local}>\r\nEvent: {event}\r\nAccept: {content_type}\r\n{expires}");
                written(&Request { method: "SUBSCRIBE", uri: target, from: &own, act, number, local, fields, body: "" })
            }
            (_, Act::Begin | Act::Change(_)) => {
                let state = if let Act::Change(state) = act { state } else { 0 };
                let (event, content_type) = self.package();
                let changes = if tag.is_empty() { String::new() } else { format!("SIP-If-Match: {tag}\r\n") };
                let fields = format!("Event: {event}\r\nExpires: 3600\r\n{changes}Content-Type: {content_type}\r\n");
                let body = self.published(state, target);
                let (method, from) = ("PUBLISH", target);
                written(&Request { method, uri: target, from, act, number, local, fields, body: &body })
            }
        }
    }

    fn package(self) -> (&'static str, &'static str) {
        match self {
            Story::Refer => ("refer", "message/sipfrag"),
            Story::Dialog => ("dialog", "application/dialog-info+xml"),
            Story::Summary => ("message-summary", "application/simple-message-summary"),
        }
    }

    fn published(self, state: usize, target: &str) -> String {
        if self == Story::Summary {
            return format!("Messages-Waiting: yes\r\nMessage-Account: {target}\r\nVoice-Message: {}/0\r\n", state + 1);
        }
        let name = ["trying", "early", "confirmed"][state];
        format!(
            "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" \
             state=\"full\" entity=\"{target}\">\r\n<dialog id=\"1\" direction=\"initiator\">\r\n<state>{name}</state>\r\n\
             </dialog>\r\n</dialog-info>\r\n"
        )
    }
}

struct Request<'a> {
    method: &'a str,
    uri: &'a str,
    from: &'a str,
    act: Act,
    number: u64,
    local: SocketAddr,
    fields: String,
    body: &'a str,
}

fn written(request: &Request<'_>) -> String {
    let Request { method, uri, from, act, number, local, fields, body } = request;
    let branch = act.branch(*number);
    let to = uri.trim_end_matches(";gr");
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch:016x}\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=f{branch:x}\r\nTo: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{fields}\
         Content-Length: {length}\r\n\r\n{body}",
        call_id = call_id(branch),
        length = body.len()
    )
}

fn call_id(branch: u64) -> String {
    format!("{branch:016x}@bench")
}

/// The story and the seat of a NOTIFY with this Call-ID.
pub fn seat_of(call_id: &str) -> Option<(u64, usize)> {
    let branch = u64::from_str_radix(call_id.strip_suffix("@bench")?, 16).ok()?;
    match Act::of_branch(branch) {
        (number, Act::Subscribe(seat)) => Some((number, seat)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_names_story_and_act() {
        for act in [Act::Begin, Act::Subscribe(0), Act::Subscribe(1), Act::Change(1), Act::Change(2)] {
            assert_eq!(Act::of_branch(act.branch(77)), (77, act));
        }
        assert_eq!(seat_of(&call_id(Act::Subscribe(1).branch(9))), Some((9, 1)));
        assert_eq!(seat_of(&call_id(Act::Change(1).branch(9))), None);
    }

    #[test]
    fn what_is_published_has_the_mark_of_its_state() {
        for story in [Story::Dialog, Story::Summary] {
            for (state, mark) in story.marks().iter().enumerate() {
                assert!(story.published(state, "sip:a@b").contains(mark), "{mark}");
            }
        }
    }
}
