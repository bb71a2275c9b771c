// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth register`: the phone's side of a sign-in, from the credential to the saved key and tokens.

use std::time::SystemTime;

use sipoauth_core::keys::master_key::Ha1Form;

use crate::authorize::Authorization;
use crate::conversation::Conversation;
use crate::credential::Credential;
use crate::failure::ToolFailure;
use crate::flow::{self, FlowEnd};
use crate::options::RegisterOptions;
use crate::outcome::{SentRequest, judge};
use crate::phone_state::PhoneState;
use crate::plan::Plan;
use crate::report::{Ending, Report};

/// Runs the command and returns the exit code.
pub fn run(options: &RegisterOptions) -> u8 {
    let mut report = Report::new(options.json, options.quiet, options.show_secrets);
    register(options, &mut report).unwrap_or_else(|failure| {
        report.failed(&failure);
        failure.exit
    })
}

fn register(options: &RegisterOptions, report: &mut Report) -> Result<u8, ToolFailure> {
    let known = options.state.as_deref().map(PhoneState::load).transpose()?.flatten();
    let mut credential = Credential::read(options, known.as_ref(), &mut report.redactor)?;
    let plan = Plan::new(options, known.as_ref(), &credential)?;
    let mut state = remember(&plan, known, &credential)?;
    if let Some(path) = &options.state {
        // A code works only once. So this finds out whether the key can be saved before the code is used.
        state.save(path)?;
    }
    if let Credential::Authorize { url, login } = &credential {
        let (redirect_uri, form) = (options.redirect_uri.as_deref(), Ha1Form::from(options.ha1_form));
        let sign_in = Authorization { url, aor: &plan.aor, redirect_uri, login, form };
        credential = Credential::Code(sign_in.code(options.ca_file.as_deref(), options.timeout, report)?);
    }
    let mut talk = Conversation::open(options, &plan, report)?;
    let mut done = flow::run(&mut talk, &credential, options, &state)?;
    keep(&mut done, &mut state, options, &mut talk)?;

    let contact = talk.contact_uri();
    let asked =
        SentRequest { register: plan.registers(), contact: &contact, expires: plan.expires, refusal: done.refusal };
    let outcome = judge(&done.exchanged.response, &asked, SystemTime::now());
    let mut exit = outcome.exit;
    for _ in 0..options.repeat {
        let again = talk.repeat(&done.exchanged)?;
        exit = judge(&again, &asked, SystemTime::now()).exit;
        talk.ending.repeats.push((again.status_line(), again.to_tag() == done.exchanged.response.to_tag()));
    }
    let ending = Ending { exit, ..talk.ending };
    report.end(&done.exchanged.response, &outcome, &ending);
    Ok(exit)
}

/// Saves a new key and new tokens, and notes what the report says about them.
fn keep(
    done: &mut FlowEnd,
    state: &mut PhoneState,
    options: &RegisterOptions,
    talk: &mut Conversation<'_>,
) -> Result<(), String> {
    let mut what = Vec::new();
    if let Some(key) = done.key.take() {
        talk.report.redactor.hide_all(key.text());
        talk.ending.key_fingerprint = key.fingerprint.clone();
        talk.ending.key = Some(key.text().to_owned());
        (state.shared_key, state.tokens) = (Some(key), None);
        what.push("shared key");
    } else if options.continues() {
        talk.ending.key_fingerprint = state.shared_key.as_ref().and_then(|key| key.fingerprint.clone());
    }
    if let Some(tokens) = done.tokens.take() {
        talk.ending.tokens = Some(tokens.summary());
        state.tokens = Some(tokens);
        what.push("tokens");
    }
    if let Some(path) = options.state.as_ref().filter(|_| !what.is_empty()) {
        state.save(path)?;
        talk.ending.saved = Some(format!("{} saved to {}", what.join(" and "), path.display()));
    }
    Ok(())
}

/// The next content of the state file. Keys and tokens belong to one address-of-record, so another one drops them.
fn remember(plan: &Plan, known: Option<PhoneState>, credential: &Credential) -> Result<PhoneState, String> {
    let mut state = PhoneState::new(plan.aor.clone(), plan.server.to_string(), plan.transport, plan.instance.clone());
    state.reg_id = plan.reg_id;
    if let Some(known) = known {
        if known.aor == state.aor {
            (state.shared_key, state.tokens) = (known.shared_key, known.tokens);
        } else if known.shared_key.is_some() && !credential.signs_in() {
            return Err(format!("the state file is of {}; name another one for {}", known.aor, state.aor));
        }
    }
    Ok(state)
}
