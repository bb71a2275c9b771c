// SPDX-License-Identifier: MIT OR Apache-2.0
//! One accepted REFER: which subscriptions it may have, and how far the course of events is. It gets the time from its
//! caller.

use std::time::{Duration, Instant};

use super::course::Course;
use super::send_options::SubscriptionKind;
use super::sipfrag::Status;
use crate::plan::random_hex;

/// An accepted REFER.
pub struct Referral {
    /// The user part of the URI for its events. Who knows it may subscribe, so nobody can guess it (RFC 7614 section 8).
    pub key: String,
    /// How its sender wants to hear of it.
    pub kind: SubscriptionKind,
    /// How many have subscribed.
    pub subscribed: usize,
    start: Instant,
    step: Duration,
    course: Course,
}

impl Referral {
    /// A REFER that is accepted now.
    pub fn accept(kind: SubscriptionKind, course: &Course, step: Duration, now: Instant) -> Result<Referral, String> {
        Ok(Referral { key: random_hex(16)?, kind, subscribed: 0, start: now, step, course: course.clone() })
    }

    /// The status of the referred request.
    pub fn status(&self, now: Instant) -> Status {
        self.course.status(now.saturating_duration_since(self.start), self.step)
    }

    /// When the status changes next.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let next = self.course.next_change(now.saturating_duration_since(self.start), self.step)?;
        Some(self.start + next)
    }

    /// When the status is final.
    pub fn end(&self) -> Instant {
        self.start + self.course.end(self.step)
    }
}
