// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth completions`: what a shell completes when somebody types this tool's name.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::Cli;

#[derive(Args)]
pub struct CompletionsOptions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes them to standard output.
pub fn run(options: &CompletionsOptions) -> u8 {
    generate(options.shell, &mut Cli::command(), "sipoauth", &mut io::stdout());
    0
}
