// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output for the operator: the exchange with arrows and one line of result, or one JSON object. All of it goes
//! through the redactor, and control characters from a server do not reach the terminal.

use std::io::{self, Write};

use serde_json::{Value, json};
use sipoauth_core::text::fingerprint::printable;

use crate::failure::ToolFailure;
use crate::message::{Headers, Response};
use crate::outcome::{REFUSED, RegisterOutcome, UNPROVEN};
use crate::received_request::ReceivedRequest;
use crate::redact::Redactor;

const MAX_LINE: usize = 4096;

/// What is known at the end besides the outcome.
#[derive(Default)]
pub struct Ending {
    /// How the state file changed. The report adds this to the outcome's sentence.
    pub saved: Option<String>,
    /// A short name for the shared key.
    pub key_fingerprint: Option<String>,
    /// The shared key, for --show-secrets.
    pub key: Option<String>,
    /// One line about new tokens.
    pub tokens: Option<String>,
    /// Status line of each repetition, and whether it came with the same To tag.
    pub repeats: Vec<(String, bool)>,
    /// The number of retransmissions over UDP.
    pub sent_again: u32,
    /// The exit code.
    pub exit: u8,
}

/// Prints the report.
pub struct Report {
    /// The secrets of this run.
    pub redactor: Redactor,
    json: bool,
    quiet: bool,
}

impl Report {
    /// A report in one of its forms.
    pub fn new(json: bool, quiet: bool, show_secrets: bool) -> Report {
        Report { redactor: Redactor::new(show_secrets), json, quiet }
    }

    /// Prints a request that goes out.
    pub fn sent(&self, to: &str, octets: &[u8]) {
        self.note(&format!("→ {to}"));
        for line in String::from_utf8_lossy(octets).trim_end().split("\r\n") {
            self.note(&format!("  {line}"));
        }
    }

    /// Prints an answer that came in.
    pub fn received(&self, response: &Response) {
        self.note(&format!("← {}", response.status_line()));
        self.message(&response.headers, &response.body);
    }

    /// Prints a request that came in.
    pub fn received_request(&self, from: &str, request: &ReceivedRequest) {
        self.note(&format!("← {} {} from {from}", request.method, request.uri));
        self.message(&request.headers, &request.body);
    }

    fn message(&self, headers: &Headers, body: &[u8]) {
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value);
            let is_secret =
                ["Authorization", "Proxy-Authorization"].iter().any(|field| field.eq_ignore_ascii_case(name));
            let scheme = value.split(' ').next().filter(|_| is_secret && !self.redactor.shows());
            self.note(&scheme.map_or(format!("  {name}: {value}"), |scheme| format!("  {name}: {scheme} …")));
        }
        if !body.is_empty() {
            self.note("");
            self.note(&format!("  {}", self.body(body)));
        }
    }

    /// A body can have tokens under unexpected names, so it is shown only on request.
    fn body(&self, body: &[u8]) -> String {
        if self.redactor.shows() {
            String::from_utf8_lossy(body).into_owned()
        } else {
            format!("({} octets of body; --show-secrets prints them)", body.len())
        }
    }

    /// Prints one more line for people.
    pub fn note(&self, line: &str) {
        if !self.json && !self.quiet {
            self.print(line);
        }
    }

    /// Prints the result.
    pub fn end(&self, response: &Response, outcome: &RegisterOutcome, ending: &Ending) {
        if self.json {
            return self.print_json(&self.object(response, outcome, ending));
        }
        self.note("");
        for challenge in &outcome.challenges {
            self.note(&format!("challenge: {}", challenge.scheme));
            for (name, value) in &challenge.params {
                self.note(&format!("  {name}: {value}"));
            }
        }
        if let Some(location) = &outcome.location {
            self.note(&format!("location: {location}"));
        }
        for (number, (status, same)) in (1..).zip(&ending.repeats) {
            let tag = if *same { "the same To tag" } else { "another To tag" };
            self.note(&format!("repetition {number}: {status}, {tag}"));
        }
        if let Some(fingerprint) = &ending.key_fingerprint {
            self.note(&format!("shared key: fingerprint {fingerprint}"));
        }
        if let Some(key) = ending.key.as_ref().filter(|_| self.redactor.shows()) {
            self.note(&format!("shared key: {key}"));
        }
        ending.tokens.iter().for_each(|tokens| self.note(tokens));
        let saved = ending.saved.as_ref().map(|saved| format!("; {saved}")).unwrap_or_default();
        self.print(&format!("{}{saved}", outcome.sentence));
    }

    /// Prints a sentence as the result, or this object with --json.
    pub fn result(&self, sentence: &str, object: Value) {
        if self.json { self.print_json(&self.cleaned(object)) } else { self.print(sentence) }
    }

    /// Prints the failure that ended the run before an outcome.
    pub fn failed(&self, failure: &ToolFailure) {
        let sentence = self.clean(&failure.sentence);
        if self.json {
            let result = match failure.exit {
                REFUSED => "refused",
                UNPROVEN => "unproven",
                _ => "error",
            };
            self.print_json(&json!({"result": result, "exit_code": failure.exit, "message": sentence}));
        }
        let _ = writeln!(io::stderr(), "sipoauth: {sentence}");
    }

    fn object(&self, response: &Response, outcome: &RegisterOutcome, ending: &Ending) -> Value {
        let text = |text: &str| Value::from(self.clean(text));
        let maybe = |value: &Option<String>| value.as_deref().map_or(Value::Null, text);
        let headers = response.headers.iter().map(|(name, value)| json!([name, text(&String::from_utf8_lossy(value))]));
        let challenges = outcome.challenges.iter().map(|challenge| {
            let params = challenge.params.iter().map(|(name, value)| (self.clean(name), text(value)));
            json!({"scheme": text(&challenge.scheme), "params": params.collect::<serde_json::Map<_, _>>()})
        });
        let repeats = ending.repeats.iter().map(|(status, same)| json!({"status": text(status), "same_to_tag": same}));
        let mut object = json!({
            "result": outcome.result,
            "exit_code": ending.exit,
            "message": text(&outcome.sentence),
            "status": response.status,
            "reason": text(&response.reason),
            "headers": headers.collect::<Vec<_>>(),
            "challenges": challenges.collect::<Vec<_>>(),
            "location": maybe(&outcome.location),
            "retry_after": outcome.retry_after,
            "expires": outcome.expires,
            "registered_until": maybe(&outcome.until),
            "saved": maybe(&ending.saved),
            "tokens": maybe(&ending.tokens),
            "key_fingerprint": maybe(&ending.key_fingerprint),
            "retransmissions": ending.sent_again,
            "repeats": repeats.collect::<Vec<_>>(),
        });
        if self.redactor.shows() {
            object["key"] = maybe(&ending.key);
            object["body"] = Value::from(String::from_utf8_lossy(&response.body));
        }
        object
    }

    /// The value with every text in it cleaned.
    fn cleaned(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.clean(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.cleaned(value)).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (name, self.cleaned(value))).collect(),
            other => other,
        }
    }

    fn clean(&self, text: &str) -> String {
        printable(&self.redactor.apply(text), MAX_LINE)
    }

    fn print(&self, line: &str) {
        // A reader that has gone, for example head, is not worth a complaint.
        let _ = writeln!(io::stdout(), "{}", self.clean(line).trim_end());
    }

    fn print_json(&self, object: &Value) {
        let _ = writeln!(io::stdout(), "{object}");
    }
}
