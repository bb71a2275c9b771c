// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth token explain`: shows the result of every rule, and then the proxy's verdict.

use serde_json::json;
use sipoauth_core::check::explain::{Judged, explain};
use sipoauth_core::check::peer_certificate::PeerCertificate;

use super::JudgeOptions;
use super::verdict::{exit_code, judge, print, to_json};
use super::verify::{TokenInQuestion, read, used};
use crate::output::{Output, now};

/// Runs the command and returns the exit code.
pub fn run(options: &JudgeOptions) -> u8 {
    let output = Output { json: options.json };
    let TokenInQuestion { policy, token, certificate } = match read(options) {
        Ok(read) => read,
        Err(sentence) => return output.error(&sentence),
    };
    let now = now();
    let shown = || certificate.clone();
    let used = used(options, PeerCertificate::new(&shown));
    let verdict = judge(&policy, &token, used, true, now);
    let mut steps = explain(&policy, verdict.learned.knowledge(), &token, used, now);
    if let (Some(step), Some(problem)) =
        (steps.iter_mut().find(|step| step.rule == "introspection" && step.judged == Judged::Unknown), &verdict.problem)
    {
        step.detail.clone_from(problem);
    }
    for step in &steps {
        let (mark, reason) = match step.judged {
            Judged::Fulfilled => ("ok     ", String::new()),
            Judged::Failed(reason) => ("FAILED ", format!("  [{}]", reason.code())),
            Judged::Unknown => ("unknown", String::new()),
        };
        output.line(&format!("{mark}  {:<15}  {}{reason}", step.rule, step.detail));
    }
    output.line("");
    print(output, &policy, &verdict);
    let mut value = to_json(&policy, &verdict);
    let step = |step: &sipoauth_core::check::explain::ExplainedStep| {
        let (judged, reason) = match step.judged {
            Judged::Fulfilled => ("ok", None),
            Judged::Failed(reason) => ("failed", Some(reason.code())),
            Judged::Unknown => ("unknown", None),
        };
        json!({"rule": step.rule, "result": judged, "reason": reason, "detail": step.detail})
    };
    value["steps"] = steps.iter().map(step).collect();
    output.value(&value);
    exit_code(verdict.answer.reason())
}
