// SPDX-License-Identifier: MIT OR Apache-2.0
//! One subscription as the notifier has it: when the next NOTIFY goes out, and what it says. It gets the time from its
//! caller.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::endpoint::RequestId;
use super::referral::Referral;
use super::sipfrag::Status;

/// NOTIFYs come at most once a second (RFC 3515 section 3.10), but for the first and the last one.
const PACE: Duration = Duration::from_secs(1);

/// A subscription.
pub struct Watcher {
    /// Its dialog.
    pub dialog: Dialog,
    /// The key of its referral.
    pub referral: String,
    /// Where it came from, and where the NOTIFYs go.
    pub peer: SocketAddr,
    /// The id of Event.
    pub event_id: Option<String>,
    /// The NOTIFY that waits for an answer. The next one does not overtake it.
    pub waits_for: Option<RequestId>,
    /// Is the last NOTIFY sent?
    pub ended: bool,
    /// The CSeq of the last request of the peer's.
    pub remote_cseq: u32,
    expires_at: Instant,
    told: Option<Status>,
    told_at: Option<Instant>,
    owes: bool,
}

/// What a NOTIFY says.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// The status of the referred request.
    pub status: Status,
    /// Subscription-State.
    pub state: String,
}

impl Watcher {
    /// A subscription that begins now.
    pub fn new(dialog: Dialog, referral: &str, peer: SocketAddr, remote_cseq: u32, expires_at: Instant) -> Watcher {
        Watcher {
            dialog,
            referral: referral.to_owned(),
            peer,
            event_id: None,
            waits_for: None,
            ended: false,
            remote_cseq,
            expires_at,
            told: None,
            told_at: None,
            owes: true,
        }
    }

    /// Goes on until this moment; if that is now, it ends. A NOTIFY follows at once (RFC 6665 section 4.2.1.2).
    pub fn extend(&mut self, expires_at: Instant) {
        self.expires_at = expires_at;
        self.owes = true;
    }

    /// Is there nothing left to send or to wait for?
    pub fn is_gone(&self) -> bool {
        self.ended && self.waits_for.is_none()
    }

    /// The NOTIFY that is to be sent now.
    pub fn notice(&mut self, referral: &Referral, now: Instant) -> Option<Notice> {
        if self.due(referral, now).is_none_or(|due| due > now) {
            return None;
        }
        let status = referral.status(now);
        let left = self.expires_at.saturating_duration_since(now);
        let state = match () {
            () if status.is_final() => "terminated;reason=noresource".to_owned(),
            () if left.is_zero() => "terminated;reason=timeout".to_owned(),
            () => format!("active;expires={}", left.as_secs_f64().ceil()),
        };
        self.ended = status.is_final() || left.is_zero();
        (self.told, self.told_at, self.owes) = (Some(status.clone()), Some(now), false);
        Some(Notice { status, state })
    }

    /// When there is a NOTIFY to send.
    pub fn due(&self, referral: &Referral, now: Instant) -> Option<Instant> {
        if self.ended || self.waits_for.is_some() {
            return None;
        }
        if self.owes {
            return Some(now);
        }
        let change = match self.told == Some(referral.status(now)) {
            true => referral.next_change(now),
            false => Some(now),
        };
        let paced = change.map(|change| self.told_at.map_or(change, |at| change.max(at + PACE)));
        [Some(self.expires_at), Some(referral.end()), paced].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refer::course::Course;
    use crate::refer::send_options::SubscriptionKind;

    /// The NOTIFYs of the first seconds, each with its time in milliseconds. Each is answered at once.
    fn notices(statuses: &str, step: u64, lifetime: u64) -> Vec<(u128, u16, String)> {
        let start = Instant::now();
        let (course, step) = (Course::parse(statuses).unwrap(), Duration::from_millis(step));
        let referral = Referral::accept(SubscriptionKind::Explicit, &course, step, start).unwrap();
        let dialog = Dialog::opened("sip:b@x", "sip:a@x", "b").unwrap();
        let expires_at = start + Duration::from_millis(lifetime);
        let mut watcher = Watcher::new(dialog, &referral.key, "192.0.2.1:5060".parse().unwrap(), 1, expires_at);
        let (mut now, mut all) = (start, Vec::new());
        while let Some(due) = watcher.due(&referral, now) {
            now = due;
            let Notice { status, state } = watcher.notice(&referral, now).unwrap();
            all.push(((now - start).as_millis(), status.code, state));
        }
        all
    }

    #[test]
    fn one_notify_a_second_and_the_last_at_once() {
        let all = notices("180 Ringing,182 Queued,183 Progress,200 OK", 300, 60_000);
        let all: Vec<_> = all.iter().map(|(at, code, state)| (*at, *code, state.as_str())).collect();
        assert_eq!(
            all,
            [
                (0, 100, "active;expires=60"),
                (1000, 183, "active;expires=59"),
                (1200, 200, "terminated;reason=noresource")
            ]
        );
    }

    #[test]
    fn what_is_over_is_told_once() {
        assert_eq!(notices("486 Busy Here", 0, 60_000), [(0, 486, "terminated;reason=noresource".to_owned())]);
        assert_eq!(notices("200 OK", 5000, 0), [(0, 100, "terminated;reason=timeout".to_owned())]);
        let all = notices("200 OK", 5000, 2000);
        assert_eq!(all[1], (2000, 100, "terminated;reason=timeout".to_owned()));
    }

    #[test]
    fn a_refresh_brings_a_notify_and_an_open_one_holds_the_next_back() {
        let now = Instant::now();
        let referral = Referral::accept(
            SubscriptionKind::Explicit,
            &Course::parse("200 OK").unwrap(),
            Duration::from_secs(9),
            now,
        );
        let referral = referral.unwrap();
        let dialog = Dialog::opened("sip:b@x", "sip:a@x", "b").unwrap();
        let minute = now + Duration::from_secs(60);
        let mut watcher = Watcher::new(dialog, &referral.key, "192.0.2.1:5060".parse().unwrap(), 1, minute);
        assert!(watcher.notice(&referral, now).is_some() && watcher.notice(&referral, now).is_none());
        watcher.extend(minute);
        watcher.waits_for = Some(1);
        assert!(watcher.notice(&referral, now).is_none());
        watcher.waits_for = None;
        assert!(watcher.notice(&referral, now).is_some());
        watcher.extend(now);
        assert_eq!(watcher.notice(&referral, now).unwrap().state, "terminated;reason=timeout");
        assert!(watcher.is_gone());
    }
}
