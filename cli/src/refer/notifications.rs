// SPDX-License-Identifier: MIT OR Apache-2.0
//! The NOTIFYs of one subscription as the subscriber sees them, and the rules that they must follow (RFC 3515 section
//! 2.4, RFC 6665 section 4.1.3). It gets the time from its caller.

use std::time::{Duration, Instant};

use super::sipfrag::Status;
use crate::header;
use crate::received_request::ReceivedRequest;

/// RFC 3515 section 3.10 allows one NOTIFY a second. A network may bring two of them closer together.
const PACE: Duration = Duration::from_millis(900);

/// What one NOTIFY tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The status line of its body.
    pub status: Option<Status>,
    /// Its Subscription-State.
    pub state: String,
    /// The number of its CSeq.
    pub cseq: u32,
}

/// All NOTIFYs of one subscription.
#[derive(Default)]
pub struct Notifications {
    /// What came, in order.
    pub told: Vec<Told>,
    /// Which rules were broken.
    pub broken: Vec<String>,
    /// What is allowed, but worth a look.
    pub remarks: Vec<String>,
    /// Has the subscriber asked for the end? The last NOTIFY may then lack a body and have another reason.
    pub leaving: bool,
    /// Is the subscription over?
    pub ended: bool,
    /// The id of Event, which later SUBSCRIBEs must have as well (RFC 3515 section 2.4.6).
    pub event_id: Option<String>,
    cseq: Option<u32>,
    last_at: Option<Instant>,
}

impl Notifications {
    /// Takes a NOTIFY of this subscription and returns the status to answer it with.
    pub fn take(&mut self, notify: &ReceivedRequest, now: Instant) -> &'static str {
        let number = self.told.len() + 1;
        if self.ended {
            self.broken.push("a NOTIFY came after the one that said terminated (RFC 6665 section 4.1.3)".into());
            return "481 Subscription Does Not Exist";
        }
        if let Some(last) = self.cseq.filter(|last| notify.cseq <= *last) {
            let cseq = notify.cseq;
            self.broken
                .push(format!("CSeq of a NOTIFY is {cseq} after {last}; it must rise (RFC 3261 section 12.2.1.1)"));
            return "500 CSeq Does Not Rise";
        }
        let event = notify.header("Event").unwrap_or_default();
        let package = event.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if !package.eq_ignore_ascii_case(b"refer") {
            let event = String::from_utf8_lossy(event);
            self.broken.push(format!("NOTIFY {number} is of event {event:?}, not of refer (RFC 3515 section 2.4.4)"));
            return "489 Bad Event";
        }
        self.event_id = header::param(event, "id").map(|id| String::from_utf8_lossy(id).into_owned());
        self.cseq = Some(notify.cseq);
        let state = notify.text("Subscription-State");
        let word = state.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !["active", "pending", "terminated"].contains(&word.as_str()) {
            self.broken.push(format!(
                "NOTIFY {number} has Subscription-State {state:?}, which is none (RFC 6665 section 4.2.2)"
            ));
            return "400 Bad Subscription-State";
        }
        self.ended = word == "terminated";
        self.look_at_time(number, now);
        if notify.contact().is_none() {
            self.remarks.push(format!("NOTIFY {number} has no Contact with a SIP URI"));
        }
        let status = self.status_of(notify, number);
        self.look_at_state(number, &state, status.as_ref());
        self.told.push(Told { status, state, cseq: notify.cseq });
        "200 OK"
    }

    /// Notes that a SUBSCRIBE went out, which brings a NOTIFY at once.
    pub fn asked_again(&mut self) {
        self.last_at = None;
    }

    /// Notes what is missing when the run ends.
    pub fn end(&mut self) {
        if self.told.is_empty() {
            self.broken.push("no NOTIFY came; the first must come at once (RFC 6665 section 4.2.1.2)".into());
        } else if !self.ended {
            self.broken.push("the last NOTIFY, with terminated, did not come in time (RFC 3515 section 2.4.7)".into());
        }
    }

    /// The last status that was told.
    pub fn last_status(&self) -> Option<&Status> {
        self.told.iter().rev().find_map(|told| told.status.as_ref())
    }

    fn look_at_time(&mut self, number: usize, now: Instant) {
        if !self.ended && self.last_at.is_some_and(|last| now.saturating_duration_since(last) < PACE) {
            self.remarks
                .push(format!("NOTIFY {number} came less than a second after the one before (RFC 3515 section 3.10)"));
        }
        self.last_at = Some(now);
    }

    fn status_of(&mut self, notify: &ReceivedRequest, number: usize) -> Option<Status> {
        if notify.body.is_empty() && self.ended && self.leaving {
            return None;
        }
        let kind = notify.text("Content-Type");
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("message/sipfrag") {
            self.broken.push(format!(
                "NOTIFY {number} has Content-Type {kind:?}, not message/sipfrag (RFC 3515 section 2.4.5)"
            ));
            return None;
        }
        let status = Status::of_body(&notify.body);
        if status.is_none() {
            self.broken.push(format!(
                "the body of NOTIFY {number} does not begin with a status line (RFC 3515 section 2.4.5)"
            ));
        }
        status
    }

    fn look_at_state(&mut self, number: usize, state: &str, status: Option<&Status>) {
        let is_final = status.is_some_and(Status::is_final);
        if !self.ended {
            if header::param(state.as_bytes(), "expires").is_none() {
                self.remarks
                    .push(format!("Subscription-State of NOTIFY {number} has no expires (RFC 6665 section 4.2.2)"));
            }
            if is_final {
                self.remarks.push(format!("NOTIFY {number} has a final status, yet the subscription goes on"));
            }
            return;
        }
        let reason = header::param(state.as_bytes(), "reason").unwrap_or_default();
        let reason = String::from_utf8_lossy(reason);
        if reason != "noresource" && !self.leaving {
            self.broken.push(format!(
                "the last NOTIFY has Subscription-State {state:?}; it must be terminated;reason=noresource (RFC 3515 section 2.4.7)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &str = "active;expires=60";
    const LAST: &str = "terminated;reason=noresource";

    fn notify(cseq: u32, state: &str, body: &str) -> ReceivedRequest {
        let text = format!(
            "NOTIFY sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKp\r\nFrom: <sip:b@x>;tag=b1\r\n\
             To: <sip:a@x>;tag=a1\r\nCall-ID: c\r\nCSeq: {cseq} NOTIFY\r\nEvent: refer;id=7\r\nContact: <sip:b@h>\r\n\
             Subscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n\r\n{body}"
        );
        ReceivedRequest::parse(text.as_bytes()).unwrap()
    }

    fn after(notifies: &[ReceivedRequest]) -> (Notifications, &'static str) {
        let (mut all, mut now, mut answer) = (Notifications::default(), Instant::now(), "");
        for notify in notifies {
            now += Duration::from_secs(1);
            answer = all.take(notify, now);
        }
        (all, answer)
    }

    #[test]
    fn good_notifies_break_nothing() {
        let all = [notify(1, ACTIVE, "SIP/2.0 100 Trying\r\n"), notify(5, LAST, "SIP/2.0 200 OK\r\n")];
        let (mut all, answer) = after(&all);
        all.end();
        assert_eq!(
            (answer, all.broken.len(), all.remarks.len()),
            ("200 OK", 0, 0),
            "{:?}{:?}",
            all.broken,
            all.remarks
        );
        assert_eq!(all.event_id.as_deref(), Some("7"));
        assert!(all.ended && all.last_status().unwrap().is_success());
        assert_eq!((all.told[1].cseq, all.told[1].state.as_str()), (5, LAST));
    }

    #[test]
    fn each_rule_has_its_sentence() {
        let trying = || notify(2, ACTIVE, "SIP/2.0 100 Trying\r\n");
        let with = |from: &str, to: &str| {
            let mut changed = trying();
            for (name, value) in &mut changed.headers {
                if name == from {
                    *value = to.as_bytes().to_vec();
                }
            }
            changed
        };
        let table: [(Vec<ReceivedRequest>, &str, &str); 9] = [
            (vec![trying(), notify(2, LAST, "SIP/2.0 200 OK")], "500 CSeq Does Not Rise", "2 after 2"),
            (vec![trying(), notify(1, LAST, "SIP/2.0 200 OK")], "500 CSeq Does Not Rise", "1 after 2"),
            (vec![with("Event", "presence")], "489 Bad Event", "presence"),
            (vec![with("Subscription-State", "gone")], "400 Bad Subscription-State", "gone"),
            (vec![with("Content-Type", "text/plain")], "200 OK", "text/plain"),
            (vec![notify(1, ACTIVE, "hello")], "200 OK", "status line"),
            (vec![notify(1, ACTIVE, "")], "200 OK", "status line"),
            (vec![notify(1, "terminated;reason=timeout", "SIP/2.0 200 OK")], "200 OK", "noresource"),
            (
                vec![notify(1, LAST, "SIP/2.0 200 OK"), notify(2, LAST, "SIP/2.0 200 OK")],
                "481 Subscription Does Not Exist",
                "after the one",
            ),
        ];
        for (notifies, status, why) in table {
            let (all, answer) = after(&notifies);
            assert_eq!(answer, status, "{why}");
            assert!(matches!(&all.broken[..], [one] if one.contains(why)), "{why}: {:?}", all.broken);
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_named() {
        let (mut none, _) = after(&[]);
        none.end();
        assert!(none.broken[0].contains("no NOTIFY came"), "{:?}", none.broken);
        let (mut one, _) = after(&[notify(1, ACTIVE, "SIP/2.0 100 Trying")]);
        one.end();
        assert!(one.broken[0].contains("the last NOTIFY"), "{:?}", one.broken);
    }

    #[test]
    fn who_leaves_gets_another_reason() {
        let mut all = Notifications { leaving: true, ..Notifications::default() };
        assert_eq!(all.take(&notify(1, "terminated;reason=timeout", ""), Instant::now()), "200 OK");
        all.end();
        assert!(all.broken.is_empty() && all.ended, "{:?}", all.broken);
    }

    #[test]
    fn remarks_are_no_broken_rules() {
        let mut all = Notifications::default();
        let now = Instant::now();
        all.take(&notify(1, "active", "SIP/2.0 100 Trying"), now);
        all.take(&notify(2, ACTIVE, "SIP/2.0 200 OK"), now);
        assert!(all.broken.is_empty(), "{:?}", all.broken);
        let told = all.remarks.join("; ");
        assert!(
            told.contains("no expires") && told.contains("less than a second") && told.contains("final status"),
            "{told}"
        );
    }
}
