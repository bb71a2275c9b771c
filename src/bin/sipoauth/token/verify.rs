// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth token verify`: the proxy's verdict.

use sipoauth::config::policy::Policy;
use sipoauth::engine::explain::{Use, UsingRequest};
use zeroize::Zeroizing;

use super::JudgeOptions;
use super::verdict::{exit_code, judge, print, to_json};
use crate::output::{Output, now};

/// Runs the command and returns the exit code.
pub fn run(options: &JudgeOptions) -> u8 {
    let output = Output { json: options.json };
    let (policy, token) = match read(options) {
        Ok(read) => read,
        Err(sentence) => return output.error(&sentence),
    };
    let verdict = judge(&policy, &token, used(options), false, now());
    print(output, &policy, &verdict);
    output.value(&to_json(&policy, &verdict));
    exit_code(verdict.answer.reason())
}

/// The configuration and the token.
pub fn read(options: &JudgeOptions) -> Result<(Policy, Zeroizing<String>), String> {
    let configuration = options.configuration.read()?;
    for note in &configuration.written.notes {
        Output { json: options.json }.remark(note);
    }
    Ok((configuration.policy, options.input.read()?))
}

/// How the token is used.
pub fn used(options: &JudgeOptions) -> Use<'_> {
    let sent = options.method.as_deref().zip(options.from.as_deref());
    let request = sent.map(|(method, from)| UsingRequest { method, from, to: options.to.as_deref().unwrap_or(from) });
    Use { transport: &options.transport, request }
}
