// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth refer send`: sends a REFER, follows what becomes of it, and looks at whether the other side keeps the rules.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::arrivals::Step;
use super::dialog::{Dialog, is_secure};
use super::endpoint::{Endpoint, RequestId};
use super::events_at;
use super::send_options::{SendOptions, SubscriptionKind};
use super::subscription::{Subscription, Task};
use super::verdict::{Findings, Verdict};
use super::wire::{StreamWire, UdpWire};
use crate::conversation::UDP_LIMIT;
use crate::credential::given_token;
use crate::failure::ToolFailure;
use crate::message::{Response, SipRequest};
use crate::report::Report;
use crate::tls;
use crate::transport::{Server, SipConnection, Transport, unanswered};

/// After the last NOTIFY the tool stays a moment, because its answer may get lost and one NOTIFY too many may come.
const LINGER: Duration = Duration::from_secs(1);

/// Runs the command and returns the exit code.
pub fn run(options: &SendOptions) -> u8 {
    let mut report = Report::new(options.json, options.quiet, options.show_secrets);
    match refer(options, &mut report) {
        Ok((verdict, object)) => {
            report.result(&verdict.sentence, object);
            verdict.exit
        }
        Err(failure) => {
            report.failed(&failure);
            failure.exit
        }
    }
}

/// Does all but printing the result, which it returns as a sentence and as JSON.
pub fn refer(options: &SendOptions, report: &mut Report) -> Result<(Verdict, Value), ToolFailure> {
    let (server, user) = options.check()?;
    let token = given_token(options.token.as_deref(), options.token_file.as_deref(), &mut report.redactor)?;
    let mut referrer = Referrer::connect(options, report, server, user, token)?;
    let answer = referrer.refer()?;
    let events_at = referrer.accepted(&answer)?;
    if answer.status < 300 {
        referrer.follow()?;
    }
    let findings = Findings {
        kind: options.subscription,
        answer: &answer,
        events_at: events_at.as_deref(),
        subscriptions: &referrer.subscriptions,
        broken: &referrer.broken,
        sent_again: referrer.sent_again,
    };
    let verdict = findings.verdict();
    let object = findings.object(&verdict);
    Ok((verdict, object))
}

/// The side that sends REFER.
pub struct Referrer<'a> {
    /// What is asked of it.
    pub options: &'a SendOptions,
    /// Where messages and findings are shown.
    pub report: &'a mut Report,
    /// Its transactions.
    pub endpoint: Endpoint,
    /// The server as typed.
    pub server: Server,
    /// The server's address.
    pub peer: SocketAddr,
    /// Call-ID and own tag of the REFER.
    pub refer: (String, String),
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// The rules that were broken outside of them.
    pub broken: Vec<String>,
    /// The number of retransmissions over UDP.
    pub sent_again: u32,
    user: String,
    token: Option<String>,
}

impl<'a> Referrer<'a> {
    fn connect(
        options: &'a SendOptions,
        report: &'a mut Report,
        server: Server,
        user: String,
        token: Option<String>,
    ) -> Result<Referrer<'a>, String> {
        let (endpoint, peer) = if options.transport == Transport::Udp {
            let (wire, peer) = UdpWire::towards(&server)?;
            (Endpoint::new(Box::new(wire)), peer)
        } else {
            let secured = options.transport == Transport::Tls;
            let tls = secured.then(|| tls::settings(options.ca_file.as_deref())).transpose()?;
            let connection = SipConnection::open(&server, options.transport, tls.as_ref(), options.timeout)?;
            let peer = connection.remote();
            (Endpoint::new(Box::new(StreamWire::new(connection, options.transport, options.timeout))), peer)
        };
        Ok(Referrer {
            options,
            report,
            endpoint,
            server,
            peer,
            user,
            token,
            refer: Default::default(),
            subscriptions: Vec::new(),
            broken: Vec::new(),
            sent_again: 0,
        })
    }

    /// Sends REFER and returns its final answer.
    fn refer(&mut self) -> Result<Response, String> {
        let options = self.options;
        let mut dialog = Dialog::opened(&options.from, &options.to, &self.user)?;
        let mut request = dialog.request("REFER", self.local(), options.transport)?;
        request.headers.push(("Refer-To", format!("<{}>", options.refer_to)));
        let required = options.required();
        if !required.is_empty() {
            request.headers.push(("Require", required.join(", ")));
        }
        if !options.supported.is_empty() {
            request.headers.push(("Supported", options.supported.join(", ")));
        }
        request.headers.extend(options.target_dialog.clone().map(|dialog| ("Target-Dialog", dialog)));
        self.refer = (dialog.call_id.clone(), dialog.local_tag.clone());
        let sent = self.send(request)?;
        if options.subscription == SubscriptionKind::Implicit {
            // Its first NOTIFY may come before the answer.
            self.subscriptions.push(Subscription::new(1, dialog, options, Instant::now()));
        }
        loop {
            match self.step(Instant::now() + options.timeout)? {
                Step::Ended(id, Ok(answer)) if id == sent => return Ok(answer),
                Step::Ended(id, Err(seconds)) if id == sent => return Err(unanswered(&self.server, seconds)),
                _ => {}
            }
        }
    }

    /// Looks at the answer to REFER and subscribes. Returns the URI of Refer-Events-At.
    fn accepted(&mut self, answer: &Response) -> Result<Option<String>, String> {
        if answer.status >= 300 {
            return Ok(None);
        }
        if answer.status != 200 {
            let status = answer.status;
            self.report.note(&format!("  note: {status} counts as 200; nobody may send it (RFC 7647 section 5)"));
        }
        match self.options.subscription {
            SubscriptionKind::Explicit => match events_at::uri_of(answer) {
                Ok(uri) => {
                    if is_secure(&uri) && self.options.transport != Transport::Tls {
                        self.report.note("  note: the URI is sips, which asks for --transport tls");
                    }
                    for number in 1..=self.options.subscribers.into() {
                        self.subscribe(number, &uri)?;
                    }
                    Ok(Some(uri))
                }
                Err(rule) => {
                    self.breaks(rule);
                    Ok(None)
                }
            },
            SubscriptionKind::None => Ok(None),
            SubscriptionKind::Implicit => {
                self.subscriptions.iter_mut().for_each(|one| one.dialog.learn_from_answer(answer));
                Ok(None)
            }
        }
    }

    /// Subscribes in a new dialog.
    fn subscribe(&mut self, number: usize, uri: &str) -> Result<(), String> {
        let dialog = Dialog::opened(&self.options.from, uri, &self.user)?;
        let mut subscription = Subscription::new(number, dialog, self.options, Instant::now());
        let request = self.subscribe_request(&mut subscription, self.options.expires)?;
        subscription.waits_for = Some(self.send(request)?);
        self.subscriptions.push(subscription);
        Ok(())
    }

    fn subscribe_request(&self, subscription: &mut Subscription, expires: u32) -> Result<SipRequest, String> {
        let mut request = subscription.dialog.request("SUBSCRIBE", self.local(), self.options.transport)?;
        let id = subscription.notifications.event_id.as_ref().map(|id| format!(";id={id}")).unwrap_or_default();
        request.headers.extend([
            ("Event", format!("refer{id}")),
            ("Accept", "message/sipfrag".to_owned()),
            ("Expires", expires.to_string()),
        ]);
        Ok(request)
    }

    /// Waits for the end of every subscription; without one, for the end of the time.
    fn follow(&mut self) -> Result<(), String> {
        let wait = self.options.patience();
        let deadline = Instant::now() + wait;
        let wants_nothing = self.options.subscription == SubscriptionKind::None;
        while wants_nothing || self.subscriptions.iter().any(|one| !one.is_over()) {
            let tasks = self.subscriptions.iter().enumerate().filter_map(|(at, one)| Some((one.due(wait)?, at)));
            let next = tasks.min_by_key(|((when, _), _)| *when);
            let until = next.map_or(deadline, |((when, _), _)| when.min(deadline));
            match self.step(until)? {
                Step::Ended(id, answer) => self.ended(id, answer),
                Step::TimeUp if Instant::now() >= deadline => break,
                Step::TimeUp => {
                    if let Some(((_, task), at)) = next {
                        self.perform(task, at)?;
                    }
                }
                Step::Other => {}
            }
        }
        if !wants_nothing && self.subscriptions.iter().all(Subscription::is_over) {
            self.linger();
        }
        for one in &mut self.subscriptions {
            let before = one.notifications.broken.len();
            if one.refused.is_none() {
                one.notifications.end();
            }
            one.notifications.broken[before..].iter().for_each(|rule| wrong(self.report, rule));
        }
        Ok(())
    }

    /// Stays a moment. A connection that the other side closes now is not a failure.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        while matches!(self.step(until), Ok(Step::Ended(..) | Step::Other)) {}
    }

    /// Takes the end of a SUBSCRIBE.
    fn ended(&mut self, id: RequestId, answer: Result<Response, f64>) {
        let expires = self.options.expires;
        let Some(one) = self.subscriptions.iter_mut().find(|one| one.waits_for == Some(id)) else { return };
        let before = one.notifications.broken.len();
        match answer {
            Ok(answer) => one.answered(answer, if one.notifications.leaving { 0 } else { expires }),
            Err(seconds) => {
                one.waits_for = None;
                one.give_up();
                one.notifications.broken.push(format!("SUBSCRIBE got no answer within {seconds:.1} s"));
            }
        }
        one.notifications.broken[before..].iter().for_each(|rule| wrong(self.report, rule));
    }

    fn perform(&mut self, task: Task, at: usize) -> Result<(), String> {
        if task == Task::GiveUp {
            self.subscriptions[at].give_up();
            return Ok(());
        }
        let mut one = self.subscriptions.swap_remove(at);
        let expires = if task == Task::Leave { 0 } else { self.options.expires };
        let request = self.subscribe_request(&mut one, expires)?;
        one.asked_again(task, self.send(request)?);
        self.subscriptions.push(one);
        self.subscriptions.sort_by_key(|one| one.number);
        Ok(())
    }

    /// Adds the token, shows the request and sends it.
    fn send(&mut self, mut request: SipRequest) -> Result<RequestId, String> {
        let name = if self.options.proxy_authorization { "Proxy-Authorization" } else { "Authorization" };
        request.headers.extend(self.token.as_ref().map(|token| (name, format!("Bearer {token}"))));
        let octets = request.to_octets();
        if self.options.transport == Transport::Udp && octets.len() > UDP_LIMIT {
            let length = octets.len();
            self.report.note(&format!("{length} octets may get lost over UDP; --transport tcp is safer"));
        }
        self.report.sent(&format!("{} over {}", self.server, self.options.transport.name()), &octets);
        self.endpoint.send(request, self.peer, self.options.timeout)
    }

    /// Notes a rule that was broken outside of a subscription.
    pub fn breaks(&mut self, rule: String) {
        wrong(self.report, &rule);
        self.broken.push(rule);
    }

    fn local(&self) -> SocketAddr {
        self.endpoint.local(self.peer)
    }
}

/// Shows a rule that was broken.
pub fn wrong(report: &Report, rule: &str) {
    report.note(&format!("  wrong: {rule}"));
}
