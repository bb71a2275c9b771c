// SPDX-License-Identifier: MIT OR Apache-2.0
//! One subscription to a REFER, as the subscriber has it: its dialog, what was asked, and what came of it.

use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::endpoint::RequestId;
use super::notifications::Notifications;
use super::send_options::SendOptions;
use crate::message::Response;
use crate::retransmission::TIMER_F;

/// What there is to do when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Send SUBSCRIBE again within the dialog.
    Refresh,
    /// Send SUBSCRIBE with Expires: 0.
    Leave,
    /// Give up, because the first NOTIFY did not come (timer N of RFC 6665 section 4.1.2.4).
    GiveUp,
}

/// A subscription.
pub struct Subscription {
    /// Its number, from 1.
    pub number: usize,
    /// Its dialog.
    pub dialog: Dialog,
    /// Its NOTIFYs.
    pub notifications: Notifications,
    /// The SUBSCRIBE that waits for an answer.
    pub waits_for: Option<RequestId>,
    /// The answer that refused it.
    pub refused: Option<Response>,
    start: Instant,
    refresh_at: Option<Instant>,
    leave_at: Option<Instant>,
    is_over: bool,
}

impl Subscription {
    /// A subscription that is asked for now.
    pub fn new(number: usize, dialog: Dialog, options: &SendOptions, now: Instant) -> Subscription {
        Subscription {
            number,
            dialog,
            notifications: Notifications::default(),
            waits_for: None,
            refused: None,
            start: now,
            refresh_at: options.refresh_after.map(|after| now + after),
            leave_at: options.unsubscribe_after.map(|after| now + after),
            is_over: false,
        }
    }

    /// Will nothing more come?
    pub fn is_over(&self) -> bool {
        self.waits_for.is_none() && (self.is_over || self.notifications.ended)
    }

    /// Ends it without a last NOTIFY.
    pub fn give_up(&mut self) {
        self.is_over = true;
    }

    /// When there is something to do. `wait` limits timer N, which is 32 s otherwise.
    pub fn due(&self, wait: Duration) -> Option<(Instant, Task)> {
        if self.is_over || self.notifications.ended {
            return None;
        }
        let first = self.notifications.told.is_empty().then(|| (self.start + wait.min(TIMER_F), Task::GiveUp));
        // A SUBSCRIBE within the dialog needs the peer's tag.
        let known = self.dialog.remote_tag.is_some() && self.waits_for.is_none();
        let refresh = self.refresh_at.filter(|_| known).map(|at| (at, Task::Refresh));
        let leave = self.leave_at.filter(|_| known).map(|at| (at, Task::Leave));
        [first, refresh, leave].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Notes that a SUBSCRIBE within the dialog was sent.
    pub fn asked_again(&mut self, task: Task, request: RequestId) {
        self.waits_for = Some(request);
        self.refresh_at = None;
        self.notifications.asked_again();
        if task == Task::Leave {
            self.leave_at = None;
            self.notifications.leaving = true;
        }
    }

    /// Takes the answer to a SUBSCRIBE for so many seconds.
    pub fn answered(&mut self, answer: Response, asked: u32) {
        self.waits_for = None;
        if answer.status >= 300 {
            self.is_over = true;
            self.refused = Some(answer);
            return;
        }
        self.dialog.learn_from_answer(&answer);
        let notes = &mut self.notifications;
        match answer.number("Expires") {
            Some(granted) if granted > asked => notes.broken.push(format!(
                "the answer to SUBSCRIBE has Expires: {granted}, but {asked} was asked for (RFC 6665 section 4.2.1.1)"
            )),
            Some(_) => {}
            None => notes.broken.push("the answer to SUBSCRIBE has no Expires (RFC 6665 section 4.2.1.1)".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        options: SendOptions,
    }

    fn subscription(more: &[&str], now: Instant) -> Subscription {
        let usual = ["refer", "--server", "h", "--from", "sip:a@x", "--to", "sip:b@x", "--refer-to", "sip:c@x"];
        let options = Typed::try_parse_from([&usual[..], more].concat()).unwrap().options;
        Subscription::new(1, Dialog::opened("sip:a@x", "sip:e@x", "a").unwrap(), &options, now)
    }

    fn answer(more: &str) -> Response {
        Response::parse(format!("SIP/2.0 200 OK\r\nTo: <sip:e@x>;tag=t\r\n{more}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn tasks_come_in_their_order() {
        let (now, wait) = (Instant::now(), Duration::from_secs(60));
        let mut one = subscription(&["--refresh-after", "2", "--unsubscribe-after", "3"], now);
        assert_eq!(one.due(wait), Some((now + TIMER_F, Task::GiveUp)));
        one.answered(answer("Expires: 300\r\n"), 300);
        assert_eq!(one.due(wait), Some((now + Duration::from_secs(2), Task::Refresh)));
        one.asked_again(Task::Refresh, 5);
        assert_eq!(one.due(Duration::from_secs(7)), Some((now + Duration::from_secs(7), Task::GiveUp)));
        one.answered(answer("Expires: 300\r\n"), 300);
        assert_eq!(one.due(wait), Some((now + Duration::from_secs(3), Task::Leave)));
        one.asked_again(Task::Leave, 6);
        assert!(one.notifications.leaving && one.notifications.broken.is_empty() && !one.is_over());
        one.answered(answer("Expires: 0\r\n"), 0);
        one.notifications.ended = true;
        assert!(one.is_over() && one.due(wait).is_none());
    }

    #[test]
    fn the_answer_must_say_how_long() {
        for (headers, why) in [("Expires: 301\r\n", "301"), ("", "no Expires")] {
            let mut one = subscription(&[], Instant::now());
            one.answered(answer(headers), 300);
            assert!(one.notifications.broken[0].contains(why), "{:?}", one.notifications.broken);
        }
        let mut one = subscription(&[], Instant::now());
        one.answered(Response::parse(b"SIP/2.0 404 Not Found\r\n\r\n").unwrap(), 300);
        assert!(one.is_over() && one.refused.is_some());
    }
}
