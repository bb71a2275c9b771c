// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth reason`: what a reason code of the log, of $oauth(reason) or of the statistics means.

use clap::Args;
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

use crate::output::Output;
use crate::token::outcome_text;

const EXAMPLES: &str = "\
Examples:
  sipoauth reason audience_mismatch
  sipoauth reason            all of them";

/// Which reason.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ReasonOptions {
    /// The code or its number; without it all are listed
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command and returns the exit code.
pub fn run(options: &ReasonOptions) -> u8 {
    let output = Output { json: options.json };
    let Some(code) = options.code.as_deref().map(|code| code.trim().trim_start_matches("reason_")) else {
        for reason in Reason::ALL {
            output.line(&format!("{:>3}  {:<26} {}", reason.number(), reason.code(), reason.text()));
        }
        output.value(&Reason::ALL.iter().map(|reason| object(*reason)).collect());
        return 0;
    };
    let named = Reason::ALL.iter().find(|reason| reason.code() == code).copied();
    let Some(reason) = named.or_else(|| Reason::from_number(code.parse().ok()?)) else {
        let near = Reason::ALL.iter().map(|r| (strsim::damerau_levenshtein(code, r.code()), r.code())).min();
        let hint = near.filter(|(distance, _)| *distance <= 4).map(|(_, near)| format!(", did you mean '{near}'?"));
        return output.error(&format!(
            "'{code}' is not a reason{}",
            hint.unwrap_or_else(|| "; sipoauth reason lists all".into())
        ));
    };
    output.line(&format!("{} ({})", reason.code(), reason.number()));
    output.line(&format!("  {}", reason.text()));
    output.field("answer", outcome_text(reason));
    output.field("OAuth error", reason.oauth_error());
    output.value(&object(reason));
    0
}

fn object(reason: Reason) -> Value {
    json!({
        "code": reason.code(),
        "number": reason.number(),
        "text": reason.text(),
        "answer": outcome_text(reason),
        "oauth_error": reason.oauth_error(),
    })
}
