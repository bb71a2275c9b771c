// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page sipoauth(1), made from the same tables as the tool's help.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;

/// The heading of the options that most commands have. The page explains them once.
const COMMON: &str = "Configuration";

#[test]
fn the_reference_as_manual_page() {
    let mut tool = Cli::command().disable_help_subcommand(true);
    tool.build();
    let mut page = Roff::new();
    page.control("TH", ["sipoauth", "1", "", concat!("sipoauth ", env!("CARGO_PKG_VERSION")), ""]);
    page.control("SH", ["NAME"]).text([roman("sipoauth - the operator's tool of sipoauth, OAuth sign-in for SIP")]);
    page.control("SH", ["SYNOPSIS"]).text([bold("sipoauth"), roman(" COMMAND [OPTIONS]")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "The tool reads the proxy's configuration with the proxy's own code, looks at tokens, keys and sessions as the \
         proxy does, and plays the phone towards a proxy.",
    )]);
    let mut text = format!(".\\\" Made by 'make reference'.\n{}", page.render());
    let commands = leaves(&tool);
    let common = commands.iter().find(|command| command.get_arguments().any(is_common)).expect("most have them");
    text.push_str(&section("CONFIGURATION"));
    text.push_str(&options(common, is_common));
    text.push_str(&section("COMMANDS"));
    commands.iter().for_each(|command| text.push_str(&described(command)));
    let mut end = Roff::new();
    end.control("SH", ["SEE ALSO"]);
    end.text([
        bold("sipoauth.toml"),
        roman("(5), "),
        bold("auth_oauth"),
        roman("(7), "),
        bold("kamailio"),
        roman("(8), "),
        bold("opensips"),
        roman("(8)"),
    ]);
    text.push_str(&without_head(&end.render()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man/sipoauth.1");
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        fs::write(&path, &text).expect("writable");
    }
    let found = fs::read_to_string(&path).expect("part of the project");
    assert!(found == text, "{} is not what the help says: run 'make reference'", path.display());
}

fn is_common(argument: &clap::Arg) -> bool {
    argument.get_help_heading() == Some(COMMON)
}

/// The commands that have no subcommands.
fn leaves(command: &Command) -> Vec<&Command> {
    if command.has_subcommands() { command.get_subcommands().flat_map(leaves).collect() } else { vec![command] }
}

fn section(title: &str) -> String {
    let mut section = Roff::new();
    section.control("SH", [title]);
    without_head(&section.render())
}

/// What a command does, its options and its examples.
fn described(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let mut head = Roff::new();
    head.control("SS", [usage.trim_start_matches("Usage: ")]);
    let common =
        if command.get_arguments().any(is_common) { " It also takes the options of CONFIGURATION." } else { "" };
    head.text([roman(format!("{}.{common}", command.get_about().expect("each has a text")))]);
    let mut examples = Roff::new();
    if let Some(after) = command.get_after_help() {
        examples.control("PP", []).control("EX", []);
        for line in after.to_string().lines() {
            examples.text([roman(line)]);
        }
        examples.control("EE", []);
    }
    let is_own = |argument: &clap::Arg| !is_common(argument) && argument.get_id() != "help";
    [without_head(&head.render()), options(command, is_own), without_head(&examples.render())].concat()
}

/// The options that `are` selects, without the title of their section.
fn options(command: &Command, are: impl Fn(&clap::Arg) -> bool) -> String {
    let shown = command.clone().mut_args(|argument| {
        let is_hidden = argument.is_hide_set() || !are(&argument);
        argument.hide(is_hidden).help_heading(None)
    });
    let mut text = Vec::new();
    Man::new(shown).render_options_section(&mut text).expect("memory");
    without_head(&String::from_utf8(text).expect("UTF-8")).replacen(".SH OPTIONS\n", "", 1)
}

/// Removes the preamble that each rendered text begins with. A page needs it only once.
fn without_head(text: &str) -> String {
    text.replacen(&Roff::new().render(), "", 1)
}
