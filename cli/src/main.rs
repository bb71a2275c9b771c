// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operator's tool: checks a configuration and its servers, looks at tokens, keys and sessions as the proxy does,
//! and plays the phone towards a proxy, so that an operator can try a sign-in without a phone.
#![forbid(unsafe_code)]

mod accounts;
mod authorize;
mod check_config;
mod completions;
mod configuration;
mod conversation;
mod credential;
mod derive;
mod devices;
mod digest_answer;
mod evidence;
mod failure;
mod flow;
mod header;
mod jwks;
mod key_challenge;
mod keygen;
#[cfg(test)]
mod manual;
mod message;
mod options;
mod outcome;
mod output;
mod phone_state;
mod plan;
mod reason;
mod received_request;
mod redact;
mod refer;
mod register;
mod report;
mod retransmission;
mod secret;
mod sessions;
mod store;
mod tls;
mod token;
mod tokens;
mod transport;

use std::process::ExitCode;

use clap::Parser;

/// The exit code for wrong options, a file that cannot be read, or a server that does not answer.
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
    /// Checks the proxy's configuration and the servers that it names, and says what is wrong and the fix
    CheckConfig(check_config::CheckOptions),
    /// Looks at a token: what it says, whether the proxy accepts it, and why not
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Explains a reason code of the log
    Reason(reason::ReasonOptions),
    /// Shows the keys of the providers, and why one is not used
    Jwks(jwks::JwksOptions),
    /// Shows and ends the sessions of phones that signed in with a code
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Shows the phones that users have added at the sign-in page, and signs them out
    #[command(subcommand)]
    Devices(devices::DevicesCommand),
    /// Users with passwords (Key-Derivation): writes, shows and removes their accounts
    #[command(subcommand)]
    Accounts(accounts::AccountsCommand),
    /// Makes secrets and keys
    #[command(subcommand)]
    Keygen(keygen::KeygenCommand),
    /// Derives the shared key and the proof that a phone must come to
    #[command(subcommand)]
    Derive(derive::DeriveCommand),
    /// Plays the phone: sends a REGISTER (or another request) and shows what the proxy answers
    Register(Box<options::RegisterOptions>),
    /// Plays both sides of REFER (RFC 3515) with the subscriptions that one asks for (RFC 7614)
    #[command(subcommand)]
    Refer(refer::ReferCommand),
    /// Writes what a shell needs to complete this tool's commands and options
    Completions(completions::CompletionsOptions),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap would exit with 2, which means "sign-in needed" here. A closed pipe is not an error.
            let _ = error.print();
            return if error.use_stderr() { EXIT_ERROR.into() } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::CheckConfig(options) => check_config::run(&options).into(),
        Command::Token(command) => command.run().into(),
        Command::Reason(options) => reason::run(&options).into(),
        Command::Jwks(options) => jwks::run(&options).into(),
        Command::Sessions(command) => command.run().into(),
        Command::Devices(command) => command.run().into(),
        Command::Accounts(command) => command.run().into(),
        Command::Keygen(command) => command.run().into(),
        Command::Derive(command) => command.run().into(),
        Command::Register(options) => register::run(&options).into(),
        Command::Refer(command) => command.run().into(),
        Command::Completions(options) => completions::run(&options).into(),
    }
}
