// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth register`: the phone's side of a sign-in, from the credential to the shared key.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sipoauth::proto::fingerprint::token_fingerprint;
use sipoauth::proto::shared_key::shared_key;
use zeroize::Zeroizing;

use crate::header::tag;
use crate::message::{Request, Response};
use crate::options::{Order, PopPlace, RegisterOptions};
use crate::outcome::{Asked, judge};
use crate::phone_state::{PhoneState, SharedKey};
use crate::plan::{Credential, Plan};
use crate::redact::LONG;
use crate::report::{Ending, Report};
use crate::tls;
use crate::transport::{Connection, Event, Transport};

/// RFC 3261 section 18.1.1: a larger request should not go over UDP.
const UDP_LIMIT: usize = 1300;
const MAX_RETRIES: u32 = 3;
/// Nobody waits longer in front of a terminal.
const MAX_WAIT: u32 = 300;
const MAX_SECRET: u64 = 64 * 1024;

/// Runs the command and returns the exit code.
pub fn run(options: &RegisterOptions) -> u8 {
    let mut report = Report::new(options.json, options.quiet, options.show_secrets);
    register(options, &mut report).unwrap_or_else(|sentence| {
        report.error(&sentence);
        crate::EXIT_ERROR
    })
}

fn register(options: &RegisterOptions, report: &mut Report) -> Result<u8, String> {
    let known = options.state.as_deref().map(PhoneState::load).transpose()?.flatten();
    let credential = credential(options, known.as_ref(), report)?;
    let plan = Plan::new(options, known.as_ref(), credential)?;
    let mut state = remember(&plan, known, options)?;
    let tls = match plan.transport {
        Transport::Tls => Some(tls::settings(options.ca_file.as_deref())?),
        Transport::Udp | Transport::Tcp => None,
    };
    if let Some(path) = &options.state {
        // A code works once. Whether its key can be kept is found out before the code is spent.
        state.save(path)?;
    }
    let open = || Connection::open(&plan.server, plan.transport, tls.as_ref(), options.timeout);
    let mut connection = open()?;
    let mut ending = Ending::default();
    let mut cseq = 1;
    let (request, octets, response) = loop {
        let date = options.date.clone().or_else(|| {
            matches!(plan.credential, Credential::Pop { .. }).then(|| httpdate::fmt_http_date(SystemTime::now()))
        });
        let (request, proof) = plan.request(connection.local(), cseq, date.as_deref())?;
        proof.iter().for_each(|proof| report.redactor.hide_all(proof));
        let octets = request.to_octets();
        if plan.transport == Transport::Udp && octets.len() > UDP_LIMIT {
            report.note(&format!("{} octets may get lost over UDP; --transport tcp is safer", octets.len()));
        }
        let response = exchange(&mut connection, &plan, (&request, &octets), options.timeout, report, &mut ending)?;
        let wait = response.number("Retry-After").filter(|seconds| *seconds <= MAX_WAIT);
        match wait {
            Some(seconds) if options.retry && response.status == 503 && cseq <= MAX_RETRIES => {
                report.note(&format!("waiting {seconds} s, as Retry-After says"));
                std::thread::sleep(Duration::from_secs(seconds.into()));
                cseq += 1;
                if plan.transport != Transport::Udp {
                    connection = open()?;
                }
            }
            _ => break (request, octets, response),
        }
    };

    if let (Credential::Code { code, .. }, 200..=299) = (&plan.credential, response.status) {
        let key = derive(&response, code, options.key_order)?;
        report.redactor.hide_all(key.text());
        ending.key_fingerprint = key.fingerprint.clone();
        ending.key = Some(key.text().to_owned());
        state.shared_key = Some(key);
        if let Some(path) = &options.state {
            state.save(path)?;
            ending.saved = Some(format!("shared key saved to {}", path.display()));
        }
    } else if options.pop {
        ending.key_fingerprint = state.shared_key.as_ref().and_then(|key| key.fingerprint.clone());
    }

    let contact = plan.contact_uri(connection.local());
    let asked = Asked { register: plan.registers(), contact: &contact, expires: plan.expires };
    let outcome = judge(&response, &asked, SystemTime::now());
    ending.exit = outcome.exit;
    for _ in 0..options.repeat {
        let again = exchange(&mut connection, &plan, (&request, &octets), options.timeout, report, &mut ending)?;
        ending.exit = judge(&again, &asked, SystemTime::now()).exit;
        ending.repeats.push((again.status_line(), to_tag(&again) == to_tag(&response)));
    }
    report.end(&response, &outcome, &ending);
    Ok(ending.exit)
}

/// Sends one request and shows everything that happens until its answer.
fn exchange(
    connection: &mut Connection,
    plan: &Plan,
    (request, octets): (&Request, &[u8]),
    timeout: Duration,
    report: &Report,
    ending: &mut Ending,
) -> Result<Response, String> {
    report.sent(&format!("{} over {}", plan.server, plan.transport.name()), octets);
    let response = connection.exchange(request, octets, timeout, &mut |event| match event {
        Event::SentAgain => {
            ending.sent_again += 1;
            report.note("→ no answer yet, sent again");
        }
        Event::Provisional(response) => report.received(response),
        Event::Ignored(why) => report.note(&format!("← something that does not count: {why}")),
    })?;
    report.received(&response);
    Ok(response)
}

/// Reads the credential from where it is, and makes sure that it is not printed.
fn credential(
    options: &RegisterOptions,
    state: Option<&PhoneState>,
    report: &mut Report,
) -> Result<Credential, String> {
    if let Some(token) = &options.token {
        return bearer(typed_or_read(token, "the token")?, report);
    }
    if let Some(file) = &options.token_file {
        return bearer(read_file(file)?, report);
    }
    if let Some(code) = &options.code {
        let code = typed_or_read(code, "the code")?;
        if code.is_empty() {
            return Err("the code is empty; take it from the sign-in page or the redirect".into());
        }
        report.redactor.hide(&code);
        options.code_verifier.iter().for_each(|verifier| report.redactor.hide(verifier));
        let (verifier, redirect_uri) = (options.code_verifier.clone(), options.redirect_uri.clone());
        return Ok(Credential::Code { code, verifier, redirect_uri });
    }
    if !options.pop {
        return Ok(Credential::None);
    }
    let file = options.state.as_deref().unwrap_or(Path::new("")).display();
    let state =
        state.ok_or_else(|| format!("there is no state file {file}; register with --code and --state first"))?;
    let key = state.shared_key.as_ref();
    let key = key.ok_or_else(|| format!("the state file {file} has no shared key; register with --code first"))?;
    report.redactor.hide_all(key.text());
    if options.aor.as_ref().is_some_and(|aor| *aor != state.aor) {
        return Err(format!("the key in {file} is of {}; leave --aor out or name that phone's state file", state.aor));
    }
    let default = if options.method == "REGISTER" { PopPlace::Body } else { PopPlace::Header };
    let key = key.octets().ok_or_else(|| format!("the state file {file} has a broken key; remove it"))?;
    Ok(Credential::Pop { key, place: options.pop_in.unwrap_or(default), body: options.pop_body })
}

/// A token must be what RFC 6750 allows; anything else would be another header.
fn bearer(token: String, report: &mut Report) -> Result<Credential, String> {
    let shape = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(shape) {
        return Err(
            "the token is empty or has a character that no Bearer token has; check for quotes and line ends".into()
        );
    }
    report.redactor.hide(&token);
    Ok(Credential::Token(token))
}

fn typed_or_read(text: &str, what: &str) -> Result<String, String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    read_text(io::stdin()).map_err(|e| format!("{what} cannot be read from standard input: {e}"))
}

fn read_file(path: &Path) -> Result<String, String> {
    let read = fs::File::open(path).and_then(read_text);
    read.map_err(|e| format!("--token-file {} cannot be read: {e}", path.display()))
}

fn read_text(source: impl Read) -> io::Result<String> {
    let mut text = Zeroizing::new(String::new());
    source.take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// The state file's next content. A key belongs to one address: with another one it is gone.
fn remember(plan: &Plan, known: Option<PhoneState>, options: &RegisterOptions) -> Result<PhoneState, String> {
    let mut state = PhoneState::new(plan.aor.clone(), plan.server.to_string(), plan.transport, plan.instance.clone());
    if let Some(known) = known {
        if known.aor != state.aor && known.shared_key.is_some() && options.code.is_none() {
            return Err(format!("the state file is of {}; name another one for {}", known.aor, state.aor));
        }
        state.shared_key = known.shared_key.filter(|_| known.aor == state.aor);
    }
    Ok(state)
}

/// The shared key of the 200 OK that completes the registration.
fn derive(response: &Response, code: &str, order: Order) -> Result<SharedKey, String> {
    let missing =
        |name| format!("registered, but the 200 OK has no {name}, so there is no shared key; look at the proxy");
    let from = response.header("From").and_then(tag).ok_or_else(|| missing("From tag"))?;
    let to = to_tag(response).ok_or_else(|| missing("To tag"))?;
    let call_id = response.header("Call-ID").ok_or_else(|| missing("Call-ID"))?;
    let mut key = SharedKey::new(&shared_key(order.into(), code.as_bytes(), from, to, call_id));
    let text = |octets| String::from_utf8_lossy(octets).into_owned();
    (key.from_tag, key.to_tag, key.call_id) = (text(from), text(to), text(call_id));
    key.order = match order {
        Order::Draft => "draft".into(),
        Order::Slides => "slides".into(),
    };
    key.since = httpdate::fmt_http_date(SystemTime::now());
    // Everything else that the key is made of is on the wire, so a fingerprint would give a short code away.
    key.fingerprint = (code.len() >= LONG).then(|| token_fingerprint(key.text()));
    Ok(key)
}

fn to_tag(response: &Response) -> Option<&[u8]> {
    response.header("To").and_then(tag)
}
