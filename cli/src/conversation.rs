// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of one run and their answers. Each is shown when it is sent or received.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;

use crate::evidence::Evidence;
use crate::message::{Response, SipRequest};
use crate::options::RegisterOptions;
use crate::plan::{Outgoing, Plan, PlanStep};
use crate::report::{Ending, Report};
use crate::tls;
use crate::transport::{SipConnection, Transport, TransportEvent};

/// RFC 3261 section 18.1.1: a larger request should not go over UDP.
pub const UDP_LIMIT: usize = 1300;
const MAX_RETRIES: u32 = 3;
/// In seconds. The tool does not wait for a longer Retry-After, because the user sits in front of a terminal.
const MAX_WAIT: u32 = 300;

/// A phone's talk with its proxy.
pub struct Conversation<'a> {
    /// What the phone sends.
    pub plan: &'a Plan,
    /// Where requests and answers are shown.
    pub report: &'a mut Report,
    /// What the report shows at the end.
    pub ending: Ending,
    options: &'a RegisterOptions,
    tls: Option<Arc<ClientConfig>>,
    connection: SipConnection,
    cseq: u32,
}

/// A request and its final answer.
pub struct RequestAndReply {
    /// The answer.
    pub response: Response,
    /// The digest-string that a proof in the request covers.
    pub digest_string: Vec<u8>,
    request: SipRequest,
    octets: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// Connects to the proxy.
    pub fn open(options: &'a RegisterOptions, plan: &'a Plan, report: &'a mut Report) -> Result<Self, String> {
        let tls = match plan.transport {
            Transport::Tls => Some(tls::settings(options.ca_file.as_deref())?),
            Transport::Udp | Transport::Tcp => None,
        };
        let connection = SipConnection::open(&plan.server, plan.transport, tls.as_ref(), options.timeout)?;
        Ok(Conversation { plan, report, ending: Ending::default(), options, tls, connection, cseq: 0 })
    }

    /// Sends a request with this evidence. With `--retry` it tries again after a 503.
    pub fn send(&mut self, evidence: &Evidence<'_>) -> Result<RequestAndReply, String> {
        let mut attempt = 1;
        loop {
            self.cseq += 1;
            let now = || httpdate::fmt_http_date(SystemTime::now());
            let date = self.options.date.clone().or_else(|| evidence.needs_digest_string().then(now));
            let step = PlanStep { cseq: self.cseq, attempt, date: date.as_deref() };
            let Outgoing { request, digest_string, secrets } =
                self.plan.request(self.connection.local(), &step, evidence)?;
            secrets.iter().for_each(|secret| self.report.redactor.hide_all(secret));
            let octets = request.to_octets();
            if self.plan.transport == Transport::Udp && octets.len() > UDP_LIMIT {
                let length = octets.len();
                self.report.note(&format!("{length} octets may get lost over UDP; --transport tcp is safer"));
            }
            let response = self.exchange(&request, &octets)?;
            let wait = response.number("Retry-After").filter(|seconds| *seconds <= MAX_WAIT);
            match wait {
                Some(seconds) if self.options.retry && response.status == 503 && attempt <= MAX_RETRIES => {
                    self.report.note(&format!("waiting {seconds} s, as Retry-After says"));
                    std::thread::sleep(Duration::from_secs(seconds.into()));
                    attempt += 1;
                    self.reconnect()?;
                }
                _ => return Ok(RequestAndReply { response, digest_string, request, octets }),
            }
        }
    }

    /// Sends the same octets once more.
    pub fn repeat(&mut self, sent: &RequestAndReply) -> Result<Response, String> {
        self.exchange(&sent.request, &sent.octets)
    }

    /// The Contact's URI.
    pub fn contact_uri(&self) -> String {
        self.plan.contact_uri(self.connection.local())
    }

    /// Opens a TCP or TLS connection again, because the peer may close it during a pause.
    fn reconnect(&mut self) -> Result<(), String> {
        let plan = self.plan;
        if plan.transport != Transport::Udp {
            self.connection =
                SipConnection::open(&plan.server, plan.transport, self.tls.as_ref(), self.options.timeout)?;
        }
        Ok(())
    }

    /// Sends one request and shows everything that happens until its answer.
    fn exchange(&mut self, request: &SipRequest, octets: &[u8]) -> Result<Response, String> {
        let Conversation { plan, report, ending, connection, .. } = self;
        report.sent(&format!("{} over {}", plan.server, plan.transport.name()), octets);
        let response = connection.exchange(request, octets, self.options.timeout, &mut |event| match event {
            TransportEvent::SentAgain => {
                ending.sent_again += 1;
                report.note("→ no answer yet, sent again");
            }
            TransportEvent::Provisional(response) => report.received(response),
            TransportEvent::Ignored(why) => report.note(&format!("← something that does not count: {why}")),
        })?;
        // The report hides the server's proof, because it allows guesses of the password.
        let proofs =
            response.challenges().into_iter().filter_map(|challenge| challenge.param("pop").map(str::to_owned));
        proofs.for_each(|proof| report.redactor.hide_all(&proof));
        report.received(&response);
        Ok(response)
    }
}
