// SPDX-License-Identifier: MIT OR Apache-2.0
//! What comes to the side that sends REFER: answers, NOTIFYs, their copies, and what does not belong here. All of it is
//! shown, and requests are answered.

use std::net::SocketAddr;
use std::time::Instant;

use super::endpoint::{Event, RequestId};
use super::send::{Referrer, wrong};
use super::send_options::SubscriptionKind;
use crate::message::Response;
use crate::received_request::ReceivedRequest;

/// What a step of the run has brought.
pub enum Step {
    /// An own request got its final answer, or none within these seconds.
    Ended(RequestId, Result<Response, f64>),
    /// Something else.
    Other,
    /// The time has come, and nothing else.
    TimeUp,
}

impl Referrer<'_> {
    /// Waits for one event, and shows and answers what comes.
    pub fn step(&mut self, until: Instant) -> Result<Step, String> {
        let Some(event) = self.endpoint.next(until)? else { return Ok(Step::TimeUp) };
        match event {
            Event::Answered(id, response) => {
                self.report.received(&response);
                return Ok(Step::Ended(id, Ok(response)));
            }
            Event::Unanswered(id, seconds) => return Ok(Step::Ended(id, Err(seconds))),
            Event::Provisional(response) => self.report.received(&response),
            Event::SentAgain => {
                self.sent_again += 1;
                self.report.note("→ no answer yet, sent again");
            }
            Event::Repeated(request) => {
                self.report.note(&format!("← a copy of {} {}, answered again", request.method, request.cseq));
            }
            Event::Ignored(why) => self.report.note(&format!("← something that does not count: {why}")),
            Event::Request(request, from) => self.request(&request, from)?,
        }
        Ok(Step::Other)
    }

    fn request(&mut self, request: &ReceivedRequest, from: SocketAddr) -> Result<(), String> {
        self.report.received_request(&from.to_string(), request);
        if from != self.peer {
            self.report.note(&format!("  note: it comes from {from}, past {}", self.server));
        }
        let status = match request.method.as_str() {
            "NOTIFY" => self.notify(request),
            "OPTIONS" => "200 OK",
            _ => "405 Method Not Allowed",
        };
        let allow = [("Allow", "NOTIFY, OPTIONS".to_owned())];
        let more = if request.method == "NOTIFY" { &[][..] } else { &allow[..] };
        self.report.note(&format!("→ {status}"));
        let octets = request.answer(status, &self.refer.1, more, from);
        self.endpoint.answer(request, from, octets)
    }

    /// Takes a NOTIFY and returns the status to answer it with.
    fn notify(&mut self, request: &ReceivedRequest) -> &'static str {
        let (call_id, tag) = &self.refer;
        let Some(one) = self.subscriptions.iter_mut().find(|one| one.dialog.has(request)) else {
            let of_refer = request.text("Call-ID") == *call_id && request.tag("To").as_ref() == Some(tag);
            if of_refer && self.options.subscription != SubscriptionKind::Implicit {
                let rule = "a NOTIFY came within the dialog of the REFER, which must not subscribe (RFC 7614 sections 4.3 and 5.3)";
                self.breaks(rule.to_owned());
            } else {
                self.report.note("  note: this NOTIFY belongs to no subscription");
            }
            return "481 Subscription Does Not Exist";
        };
        let notes = &mut one.notifications;
        let (told, broken, remarks) = (notes.told.len(), notes.broken.len(), notes.remarks.len());
        let status = notes.take(request, Instant::now());
        if let Some(new) = notes.told.get(told) {
            one.dialog.learn_from_request(request);
            let line = new.status.as_ref().map_or("no status line".to_owned(), ToString::to_string);
            let (number, count) = (one.number, told + 1);
            self.report.note(&format!(
                "  NOTIFY {count} of subscription {number}: {line}; Subscription-State: {}; CSeq {}",
                new.state, new.cseq
            ));
        }
        notes.broken[broken..].iter().for_each(|rule| wrong(self.report, rule));
        notes.remarks[remarks..].iter().for_each(|remark| self.report.note(&format!("  note: {remark}")));
        status
    }
}
