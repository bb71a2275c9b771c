// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth refer accept`: takes REFERs as a phone does, but calls nobody. It is its own event server and tells
//! subscribers a course of events that is made up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::accept_options::{AcceptOptions, ListenTransport};
use super::admission::{self, Asked, Refusal, SUPPORTED};
use super::dialog::{Dialog, contact};
use super::endpoint::{Endpoint, Event};
use super::referral::Referral;
use super::send_options::SubscriptionKind;
use super::watcher::Watcher;
use super::wire::{ListenerWire, UdpWire};
use super::{RULE_BROKEN, sipfrag};
use crate::failure::ToolFailure;
use crate::plan::random_hex;
use crate::received_request::ReceivedRequest;
use crate::report::Report;
use crate::retransmission::TIMER_F;

/// Seconds of a subscription, if SUBSCRIBE does not ask for less.
const LIFETIME: u32 = 3600;
/// With --once it stays a moment, because an answer may get lost and another subscriber may come.
const LINGER: Duration = Duration::from_secs(1);
/// The tool is for tests. It keeps no more than this, whoever sends what.
const MAX_KEPT: usize = 64;
/// How often it looks at the clock when nothing else is to do.
const IDLE: Duration = Duration::from_secs(1);

/// Runs the command and returns the exit code.
pub fn run(options: &AcceptOptions) -> u8 {
    let report = Report::new(false, false, options.show_secrets);
    accept(options, &report).unwrap_or_else(|failure| {
        report.failed(&failure);
        failure.exit
    })
}

fn accept(options: &AcceptOptions, report: &Report) -> Result<u8, ToolFailure> {
    let (endpoint, bound) = listen(options)?;
    report.note(&format!("listening at {bound} over {}", endpoint.transport().name()));
    Ok(serve(options, report, endpoint)?)
}

/// Listens, and says at which address.
pub fn listen(options: &AcceptOptions) -> Result<(Endpoint, SocketAddr), String> {
    let address = options.address()?;
    let failed = |e: std::io::Error| format!("nothing can listen at {address}: {e}; choose another --listen");
    match options.transport {
        ListenTransport::Udp => {
            let wire = UdpWire::listen(address).map_err(failed)?;
            let bound = wire.bound();
            Ok((Endpoint::new(Box::new(wire)), bound))
        }
        ListenTransport::Tcp => {
            let wire = ListenerWire::listen(address).map_err(failed)?;
            let bound = wire.bound();
            Ok((Endpoint::new(Box::new(wire)), bound))
        }
    }
}

/// Takes REFERs until the end, and returns the exit code.
pub fn serve(options: &AcceptOptions, report: &Report, endpoint: Endpoint) -> Result<u8, String> {
    let mut acceptor =
        Acceptor { options, report, endpoint, referrals: Vec::new(), watchers: Vec::new(), accepted: 0, unheard: 0 };
    acceptor.serve()?;
    let Acceptor { accepted, unheard, .. } = acceptor;
    report.note(&format!("REFERs accepted: {accepted}; NOTIFYs that were not taken: {unheard}"));
    Ok(if options.once && (accepted == 0 || unheard > 0) { RULE_BROKEN } else { 0 })
}

/// The side that takes REFER.
struct Acceptor<'a> {
    options: &'a AcceptOptions,
    report: &'a Report,
    endpoint: Endpoint,
    referrals: Vec<Referral>,
    watchers: Vec<Watcher>,
    accepted: usize,
    /// NOTIFYs that nobody took.
    unheard: usize,
}

/// What goes into an answer besides what is copied.
struct Reply {
    status: &'static str,
    to_tag: String,
    headers: Vec<(&'static str, String)>,
}

impl Acceptor<'_> {
    fn serve(&mut self) -> Result<(), String> {
        let deadline = self.options.wait.map(|wait| Instant::now() + wait);
        let mut done_at = None;
        loop {
            let now = Instant::now();
            self.notify(now)?;
            self.forget(now);
            done_at = if self.is_done(now) { done_at.or(Some(now)) } else { None };
            let leave_at = done_at.map(|at| at + LINGER);
            let ends: Vec<Instant> = [deadline, leave_at].into_iter().flatten().collect();
            if ends.iter().any(|end| *end <= now) {
                return Ok(());
            }
            let due = self.watchers.iter().filter_map(|watcher| {
                let referral = self.referrals.iter().find(|referral| referral.key == watcher.referral)?;
                watcher.due(referral, now)
            });
            let until = due.chain(ends).chain([now + IDLE]).min().unwrap_or(now);
            if let Some(event) = self.endpoint.next(until)? {
                self.take(event)?;
            }
        }
    }

    /// With --once: has the first REFER come to its end, and was that told?
    fn is_done(&self, now: Instant) -> bool {
        if !self.options.once || self.accepted == 0 {
            return false;
        }
        self.referrals.iter().all(|referral| {
            let was_told = referral.kind != SubscriptionKind::Explicit || referral.subscribed > 0;
            now >= referral.end() && was_told && self.watchers.is_empty()
        })
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Answered(id, response) => {
                self.report.received(&response);
                let Some(watcher) = self.watchers.iter_mut().find(|watcher| watcher.waits_for == Some(id)) else {
                    return Ok(());
                };
                watcher.waits_for = None;
                if response.status >= 300 {
                    watcher.ended = true;
                    self.unheard += 1;
                    self.report.note(&format!("  wrong: NOTIFY got {}; its subscription ends", response.status_line()));
                }
            }
            Event::Unanswered(id, seconds) => {
                if let Some(watcher) = self.watchers.iter_mut().find(|watcher| watcher.waits_for == Some(id)) {
                    (watcher.waits_for, watcher.ended) = (None, true);
                    self.unheard += 1;
                    self.report
                        .note(&format!("  wrong: NOTIFY got no answer within {seconds:.1} s; its subscription ends"));
                }
            }
            Event::Provisional(response) => self.report.received(&response),
            Event::SentAgain => self.report.note("→ no answer yet, sent again"),
            Event::Repeated(request) => {
                self.report.note(&format!("← a copy of {} {}, answered again", request.method, request.cseq));
            }
            Event::Ignored(why) => self.report.note(&format!("← something that does not count: {why}")),
            Event::Request(request, from) => self.request(&request, from)?,
        }
        Ok(())
    }

    fn request(&mut self, request: &ReceivedRequest, from: SocketAddr) -> Result<(), String> {
        self.report.received_request(&from.to_string(), request);
        let reply = match request.method.as_str() {
            "REFER" => self.refer(request, from)?,
            "SUBSCRIBE" => self.subscribe(request, from)?,
            method => {
                let status = if method == "OPTIONS" { "200 OK" } else { "405 Method Not Allowed" };
                let headers = vec![
                    ("Allow", "REFER, SUBSCRIBE, OPTIONS".to_owned()),
                    ("Allow-Events", "refer".to_owned()),
                    ("Supported", SUPPORTED.to_owned()),
                ];
                Ok(Reply { status, to_tag: random_hex(8)?, headers })
            }
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(Refusal { status, headers }) => Reply { status, to_tag: random_hex(8)?, headers },
        };
        let octets = request.answer(reply.status, &reply.to_tag, &reply.headers, from);
        self.report.sent(&format!("{from} over {}", self.endpoint.transport().name()), &octets);
        if let Err(why) = self.endpoint.answer(request, from, octets) {
            self.report.note(&format!("  wrong: {why}"));
        }
        Ok(())
    }

    /// Accepts a REFER with 200, never with 202 (RFC 7647 section 5).
    fn refer(&mut self, request: &ReceivedRequest, from: SocketAddr) -> Result<Result<Reply, Refusal>, String> {
        let kind = match admission::refer(request) {
            Ok(kind) => kind,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.referrals.len() >= MAX_KEPT || self.watchers.len() >= MAX_KEPT {
            return Ok(Err(Refusal::new("503 Too Many REFERs")));
        }
        let now = Instant::now();
        let mut referral = Referral::accept(kind, &self.options.status, self.options.step(), now)?;
        let (to_tag, user) = (random_hex(8)?, referral.key.clone());
        let mut headers = vec![self.contact(&user, from), ("Supported", SUPPORTED.to_owned())];
        match kind {
            SubscriptionKind::Explicit => {
                let local = contact(&user, self.endpoint.local(from), self.endpoint.transport(), false);
                headers.push(admission::events_at(local.trim_matches(['<', '>'])));
            }
            SubscriptionKind::None => {}
            SubscriptionKind::Implicit => {
                let Some(dialog) = Dialog::accepted(request, &to_tag, &user) else {
                    return Ok(Err(Refusal::new("400 No Contact")));
                };
                headers.extend(record_route(request));
                let expires_at = referral.end() + self.options.hold;
                self.watchers.push(Watcher::new(dialog, &user, from, request.cseq, expires_at));
                referral.subscribed += 1;
            }
        }
        self.referrals.push(referral);
        self.accepted += 1;
        Ok(Ok(Reply { status: "200 OK", to_tag, headers }))
    }

    fn subscribe(&mut self, request: &ReceivedRequest, from: SocketAddr) -> Result<Result<Reply, Refusal>, String> {
        if request.tag("To").is_some() {
            return Ok(self.subscribe_again(request, from));
        }
        let user =
            request.uri.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user.to_owned());
        let explicit = |referral: &&mut Referral| referral.kind == SubscriptionKind::Explicit;
        let known = self.referrals.iter_mut().filter(explicit).find(|referral| Some(&referral.key) == user.as_ref());
        let Some(referral) = known else { return Ok(Err(Refusal::new("404 Not Found"))) };
        let asked = match admission::subscribe(request) {
            Ok(asked) => asked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let to_tag = random_hex(8)?;
        let dialog = Dialog::accepted(request, &to_tag, &referral.key);
        let Some(dialog) = dialog.filter(|_| self.watchers.len() < MAX_KEPT) else {
            return Ok(Err(Refusal::new("503 Too Many Subscriptions")));
        };
        let (expires, expires_at) = granted(&asked);
        let mut watcher = Watcher::new(dialog, &referral.key, from, request.cseq, expires_at);
        watcher.event_id = asked.event_id;
        let key = referral.key.clone();
        referral.subscribed += 1;
        self.watchers.push(watcher);
        let mut headers = vec![self.contact(&key, from), ("Expires", expires.to_string())];
        headers.extend(record_route(request));
        Ok(Ok(Reply { status: "200 OK", to_tag, headers }))
    }

    /// Refreshes or ends a subscription.
    fn subscribe_again(&mut self, request: &ReceivedRequest, from: SocketAddr) -> Result<Reply, Refusal> {
        let of_dialog = |watcher: &&mut Watcher| !watcher.ended && watcher.dialog.has(request);
        let watcher = self.watchers.iter_mut().find(of_dialog);
        let watcher = watcher.ok_or_else(|| Refusal::new("481 Subscription Does Not Exist"))?;
        if request.cseq <= watcher.remote_cseq {
            return Err(Refusal::new("500 CSeq Does Not Rise"));
        }
        let asked = admission::subscribe(request)?;
        if asked.event_id != watcher.event_id {
            return Err(Refusal::new("481 Subscription Does Not Exist"));
        }
        let (expires, expires_at) = granted(&asked);
        watcher.remote_cseq = request.cseq;
        watcher.peer = from;
        watcher.dialog.learn_from_request(request);
        watcher.extend(expires_at);
        let user = watcher.dialog.user.clone();
        let headers = vec![self.contact(&user, from), ("Expires", expires.to_string())];
        Ok(Reply { status: "200 OK", to_tag: String::new(), headers })
    }

    /// Sends the NOTIFYs that are due.
    fn notify(&mut self, now: Instant) -> Result<(), String> {
        for watcher in &mut self.watchers {
            let referral = self.referrals.iter().find(|referral| referral.key == watcher.referral);
            let Some(notice) = referral.and_then(|referral| watcher.notice(referral, now)) else { continue };
            let (local, transport) = (self.endpoint.local(watcher.peer), self.endpoint.transport());
            let mut request = watcher.dialog.request("NOTIFY", local, transport)?;
            let id = watcher.event_id.as_ref().map(|id| format!(";id={id}")).unwrap_or_default();
            request.headers.extend([
                ("Event", format!("refer{id}")),
                ("Subscription-State", notice.state),
                ("Content-Type", sipfrag::CONTENT_TYPE.to_owned()),
            ]);
            request.body = notice.status.to_body();
            self.report.sent(&format!("{} over {}", watcher.peer, transport.name()), &request.to_octets());
            match self.endpoint.send(request, watcher.peer, TIMER_F) {
                Ok(id) => watcher.waits_for = Some(id),
                Err(why) => {
                    watcher.ended = true;
                    self.unheard += 1;
                    self.report.note(&format!("  wrong: {why}"));
                }
            }
        }
        Ok(())
    }

    /// Drops subscriptions that have ended, and referrals whose last status was kept long enough.
    fn forget(&mut self, now: Instant) {
        self.watchers.retain(|watcher| !watcher.is_gone());
        let (watchers, hold) = (&self.watchers, self.options.hold);
        self.referrals.retain(|referral| {
            now < referral.end() + hold || watchers.iter().any(|watcher| watcher.referral == referral.key)
        });
    }

    fn contact(&self, user: &str, peer: SocketAddr) -> (&'static str, String) {
        ("Contact", contact(user, self.endpoint.local(peer), self.endpoint.transport(), false))
    }
}

/// The seconds that a SUBSCRIBE gets, and when they are over. It never gets more than it asks for.
fn granted(asked: &Asked) -> (u32, Instant) {
    let seconds = asked.expires.unwrap_or(LIFETIME).min(LIFETIME);
    (seconds, Instant::now() + Duration::from_secs(seconds.into()))
}

/// An answer that opens a dialog has the Record-Route of its request (RFC 3261 section 12.1.1).
fn record_route(request: &ReceivedRequest) -> Vec<(&'static str, String)> {
    let clean = |route: String| route.chars().filter(|c| !c.is_control()).collect::<String>();
    request.list("Record-Route").into_iter().map(|route| ("Record-Route", clean(route))).collect()
}
