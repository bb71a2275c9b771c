// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operator's tool: plays the phone towards a proxy, so that a sign-in can be tried and seen without one.
#![forbid(unsafe_code)]

mod header;
mod message;
mod options;
mod outcome;
mod phone_state;
mod plan;
mod redact;
mod register;
mod report;
mod tls;
mod transport;

use std::process::ExitCode;

use clap::Parser;

/// Wrong options, a file that cannot be read, a server that does not answer.
pub const EXIT_ERROR: u8 = 1;

/// OAuth sign-in for SIP: the operator's tool.
#[derive(Parser)]
#[command(name = "sipoauth", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Plays the phone: sends a REGISTER (or another request) and shows what the proxy answers
    Register(Box<options::RegisterOptions>),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap would leave with 2, which means "sign-in needed" here. A closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() { EXIT_ERROR.into() } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Register(options) => register::run(&options).into(),
    }
}
