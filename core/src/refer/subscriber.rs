// SPDX-License-Identifier: MIT OR Apache-2.0
//! One subscriber of a REFER's state: what it is told, and when (RFC 3515 section 2.4 and 3.10, RFC 6665 section 4.2.2).

use super::dialog::NotifyDialog;
use super::progress::Status;

/// The least time between two NOTIFY requests, in milliseconds. The last one does not wait (RFC 3515 section 3.10).
pub const PACE: i64 = 1000;

/// How a subscription stands, as Subscription-State says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on for this many seconds.
    Active(u32),
    /// The referred request has ended: there is nothing more to tell.
    NoResource,
    /// It was not refreshed, was ended by its subscriber, or asked once.
    Timeout,
}

/// What a NOTIFY tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// CSeq.
    pub cseq: u32,
    /// The status of the referred request.
    pub status: Status,
    /// How the subscription stands.
    pub state: State,
}

impl Notice {
    /// The header lines of the NOTIFY beside those of its dialog, each with CRLF.
    pub fn header_lines(&self, contact: &str, event_id: &str) -> String {
        let id = if event_id.is_empty() { String::new() } else { format!(";id={event_id}") };
        let state = match self.state {
            State::Active(seconds) => format!("active;expires={seconds}"),
            State::NoResource => "terminated;reason=noresource".to_owned(),
            State::Timeout => "terminated;reason=timeout".to_owned(),
        };
        format!(
            "Event: refer{id}\r\nSubscription-State: {state}\r\nContact: <{contact}>\r\nMax-Forwards: 70\r\nContent-Type: message/sipfrag;version=2.0\r\n"
        )
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time in Unix milliseconds.
    Wait(i64),
    /// A NOTIFY, and look again.
    Notify(Notice),
    /// The subscription is over.
    Over,
}

/// A subscriber.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The dialog of its NOTIFY requests.
    pub dialog: NotifyDialog,
    /// The parameter id of Event.
    pub event_id: Box<str>,
    /// Names the socket from which they leave, for the host.
    pub socket: u64,
    cseq: u32,
    told: Option<Status>,
    told_at: i64,
    owes: bool,
    over: bool,
}

impl Subscriber {
    /// A subscriber who was not told anything yet. CSeq goes on after `cseq`.
    pub fn new(dialog: NotifyDialog, event_id: &str, socket: u64, cseq: u32) -> Subscriber {
        let (told, told_at) = (None, i64::MIN);
        Subscriber { dialog, event_id: event_id.into(), socket, cseq, told, told_at, owes: false, over: false }
    }

    /// The subscriber has refreshed its subscription, perhaps from elsewhere: it is told again (RFC 6665 section
    /// 4.2.1.2).
    pub fn refresh(&mut self, dialog: NotifyDialog, socket: u64) {
        (self.dialog, self.socket, self.owes) = (dialog, socket, true);
    }

    /// When it was told something last, in Unix milliseconds.
    pub fn told_at(&self) -> i64 {
        self.told_at
    }

    /// True when its NOTIFY requests go in this dialog.
    pub fn is_dialog(&self, dialog: &NotifyDialog) -> bool {
        let (own, other) = (self.dialog.view(), dialog.view());
        (own.call_id, own.local_tag, own.remote_tag) == (other.call_id, other.local_tag, other.remote_tag)
    }

    /// What is to be done at a time in Unix milliseconds. The subscription ends at `until`.
    pub fn step(&mut self, status: Status, until: i64, now: i64) -> Step {
        let is_new = self.owes || self.told != Some(status);
        let may_speak_at = self.told_at.saturating_add(PACE);
        let state = match () {
            () if self.over => return Step::Over,
            () if status.is_final() => State::NoResource,
            () if now >= until => State::Timeout,
            () if is_new && now >= may_speak_at => State::Active(seconds(until - now)),
            () if is_new => return Step::Wait(may_speak_at.min(until)),
            () => return Step::Wait(until),
        };
        self.cseq = self.cseq.wrapping_add(1) & i32::MAX.cast_unsigned();
        (self.told, self.told_at, self.owes) = (Some(status), now, false);
        self.over = !matches!(state, State::Active(_));
        Step::Notify(Notice { cseq: self.cseq, status, state })
    }
}

/// Milliseconds in whole seconds, at least 1.
fn seconds(millis: i64) -> u32 {
    u32::try_from(millis / 1000).unwrap_or(u32::MAX).max(1)
}

/// True when a response to NOTIFY ends its subscription (RFC 6665 section 4.2.2; 408 stands for Timer F). Where a
/// request could not be sent, hosts say 477 or 503.
pub fn ends_subscription(code: u32) -> bool {
    matches!(code, 404 | 405 | 408 | 410 | 416 | 477 | 480..=485 | 489 | 501 | 503 | 604)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refer::dialog::Side;
    use crate::sip::message::MessageView;

    fn subscriber() -> Subscriber {
        let text = b"SUBSCRIBE sip:i@h SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:i@h>\r\nCall-ID: c\r\nContact: <sip:a@x>\r\n\r\n";
        let side = Side { tag: "2", contact: "sip:i@h;gr", source: "sip:1.2.3.4:5" };
        Subscriber::new(NotifyDialog::new(&MessageView::new(text).unwrap(), &side).unwrap(), "", 0, 0)
    }

    fn status(code: u16) -> Status {
        Status::new(code).unwrap()
    }

    fn told(step: Step) -> (u32, u16, State) {
        match step {
            Step::Notify(Notice { cseq, status, state }) => (cseq, status.code(), state),
            other => panic!("{other:?}"),
        }
    }

    const NOW: i64 = 1_000_000;
    const UNTIL: i64 = NOW + 60_000;

    #[test]
    fn the_first_notice_comes_at_once_the_next_a_second_later_and_the_last_never_waits() {
        let mut one = subscriber();
        assert_eq!(told(one.step(Status::TRYING, UNTIL, NOW)), (1, 100, State::Active(60)));
        assert_eq!(one.step(Status::TRYING, UNTIL, NOW), Step::Wait(UNTIL));
        assert_eq!(one.step(status(180), UNTIL, NOW + 10), Step::Wait(NOW + PACE));
        assert_eq!(one.step(status(183), UNTIL, NOW + 999), Step::Wait(NOW + PACE));
        assert_eq!(told(one.step(status(183), UNTIL, NOW + PACE)), (2, 183, State::Active(59)));
        assert_eq!(told(one.step(status(200), UNTIL, NOW + PACE + 1)), (3, 200, State::NoResource));
        assert_eq!(one.step(status(200), UNTIL, NOW + PACE + 1), Step::Over);
    }

    #[test]
    fn whoever_comes_after_the_end_is_told_it_once() {
        let mut one = subscriber();
        assert_eq!(told(one.step(status(486), UNTIL, NOW)), (1, 486, State::NoResource));
        assert_eq!(one.step(status(486), UNTIL, NOW), Step::Over);
    }

    #[test]
    fn a_subscription_ends_with_its_time_and_one_that_asks_once_has_none() {
        let mut one = subscriber();
        assert_eq!(told(one.step(Status::TRYING, NOW, NOW)), (1, 100, State::Timeout));
        assert_eq!(one.step(Status::TRYING, NOW, NOW), Step::Over);
        let mut one = subscriber();
        one.step(Status::TRYING, NOW + 500, NOW);
        assert_eq!(one.step(status(180), NOW + 500, NOW + 100), Step::Wait(NOW + 500));
        assert_eq!(told(one.step(status(180), NOW + 500, NOW + 500)), (2, 180, State::Timeout));
    }

    #[test]
    fn a_refresh_is_answered_with_the_state_but_not_more_than_once_a_second() {
        let mut one = subscriber();
        one.step(Status::TRYING, UNTIL, NOW);
        let dialog = one.dialog.clone();
        one.refresh(dialog.clone(), 7);
        one.refresh(dialog, 7);
        assert_eq!(one.step(Status::TRYING, UNTIL, NOW + 1), Step::Wait(NOW + PACE));
        assert_eq!(told(one.step(Status::TRYING, UNTIL, NOW + PACE)), (2, 100, State::Active(59)));
        assert_eq!(one.step(Status::TRYING, UNTIL, NOW + PACE), Step::Wait(UNTIL));
    }

    #[test]
    fn a_notice_has_the_fields_of_the_package() {
        let notice = Notice { cseq: 1, status: Status::TRYING, state: State::Active(59) };
        let lines = notice.header_lines("sip:i@h;gr", "9");
        assert!(lines.starts_with("Event: refer;id=9\r\nSubscription-State: active;expires=59\r\n"), "{lines}");
        assert!(lines.contains("Contact: <sip:i@h;gr>\r\n") && lines.ends_with("message/sipfrag;version=2.0\r\n"));
    }

    #[test]
    fn only_answers_that_say_so_end_a_subscription() {
        assert!([404, 408, 481, 489, 503].into_iter().all(ends_subscription));
        assert!(![200, 202, 302, 401, 407, 486, 500, 603].into_iter().any(ends_subscription));
    }
}
