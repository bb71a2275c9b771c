// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth token`: what a token says, whether the proxy accepts it, and why not.

mod explain;
mod input;
mod introspection;
mod show;
mod verdict;
mod verify;

use clap::{Args, Subcommand};

pub use verdict::outcome_text;

/// Looks at a token.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Decodes a token without verifying it
    Show(show::ShowOptions),
    /// Checks a token as the proxy does, with the keys of its provider
    Verify(JudgeOptions),
    /// Shows every rule with the values that it compares, and all that is wrong
    Explain(JudgeOptions),
}

const EXAMPLES: &str = "\
Examples:
  sipoauth token verify --token-file token
  pbpaste | sipoauth token explain - --method REGISTER --from sip:alice@example.com --to sip:alice@example.com
  sipoauth token verify --token-file token --config auth_oauth.toml --json

A token on the command line can be seen by every user of this machine (ps): prefer a file or '-'.

Exit codes: 0 accepted; 1 wrong options, configuration or file; 3 refused; 4 cannot be decided now.";

/// The token, the configuration, and how the token is used.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct JudgeOptions {
    #[command(flatten)]
    input: input::TokenInput,
    /// From of the request in which the token is used: who may use it is judged, too
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// The method of that request [default: REGISTER]
    #[arg(long, requires = "from")]
    method: Option<String>,
    /// To of that request [default: From]
    #[arg(long, value_name = "URI", requires = "from")]
    to: Option<String>,
    /// How the token comes: one that is not encrypted may need a protected way
    #[arg(long, value_parser = ["udp", "tcp", "tls", "ws", "wss"], default_value = "tls")]
    transport: String,
    /// The phone's client certificate (PEM): a token may be bound to it (RFC 8705)
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<std::path::PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: crate::configuration::ConfigurationOptions,
}

impl TokenCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        match self {
            TokenCommand::Show(options) => show::run(options),
            TokenCommand::Verify(options) => verify::run(options),
            TokenCommand::Explain(options) => explain::run(options),
        }
    }
}
