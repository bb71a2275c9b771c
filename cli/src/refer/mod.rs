// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth refer`: plays both sides of REFER, with the subscriptions that one asks for (RFC 7614), with the implicit one
//! (RFC 3515), and with none.

mod accept;
mod accept_options;
mod admission;
mod arrivals;
mod course;
mod dialog;
mod endpoint;
mod events_at;
mod notifications;
mod referral;
mod send;
mod send_options;
mod sipfrag;
mod subscription;
#[cfg(test)]
mod tests;
mod verdict;
mod watcher;
mod wire;

use clap::Subcommand;

/// The referred request failed, or nobody told how it ended.
const REFERRED_FAILED: u8 = 6;
/// A rule was broken, or something that must come did not come in time.
const RULE_BROKEN: u8 = 7;

/// Plays both sides of REFER.
#[derive(Subcommand)]
pub enum ReferCommand {
    /// Sends a REFER, subscribes to what becomes of it, and says which rules the other side breaks
    Send(Box<send_options::SendOptions>),
    /// Accepts REFERs and tells subscribers a course of events that is made up; nobody is called
    Accept(accept_options::AcceptOptions),
}

impl ReferCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        match self {
            ReferCommand::Send(options) => send::run(options),
            ReferCommand::Accept(options) => accept::run(options),
        }
    }
}
