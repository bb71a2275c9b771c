// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of an operator: their names and arguments, what they do, and the fields of their answers. A host brings
//! the arguments as texts and takes the answer piece by piece, in the form of its own interface. It need not know which
//! commands there are.
//!
//! No answer holds a secret. Commands wait for files and for the store, so a process that handles SIP should not run them.
#![forbid(unsafe_code)]

pub mod accounts;
mod devices;
pub mod provider_view;
mod proxy;
mod refers;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

pub use table::{Argument, COMMANDS, Command};

use std::borrow::Cow;
use std::ffi::CStr;

use crate::process::context::{Admin, Context};
use crate::store::sessions::SessionError;
use sipoauth_core::records::session_end::SessionEnd;

/// The answer has no more room: nothing else is added to it.
#[derive(Debug)]
pub struct Full;

/// What a command needs of its host. The answer is either lines or items, and an item has the fields that follow it.
pub trait Host {
    /// True when requests wait while this process does something else.
    fn handles_sip(&self) -> bool;
    /// Begins an item.
    fn item(&mut self) -> Result<(), Full>;
    /// Adds a text to the item.
    fn text(&mut self, name: &CStr, value: &str) -> Result<(), Full>;
    /// Adds a number to the item.
    fn number(&mut self, name: &CStr, value: u64) -> Result<(), Full>;
    /// Adds a line.
    fn line(&mut self, text: &str) -> Result<(), Full>;
    /// True when the host has a location table.
    fn has_bindings(&self) -> bool;
    /// Removes the bindings of a session that has ended. Returns how many there were.
    fn remove_bindings(&mut self, end: &SessionEnd) -> u64;
    /// Takes note of a session that the command has ended.
    fn ended(&mut self, end: &SessionEnd);
}

/// Why a command has failed. The codes are those of HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// 400, 403, 404, 500 or 503.
    pub code: u32,
    /// A sentence for the operator.
    pub sentence: String,
}

impl Fault {
    fn new(code: u32, sentence: impl Into<String>) -> Fault {
        Fault { code, sentence: sentence.into() }
    }

    /// A failure of the store, or of a search in it, for `what`. The sentence calls the store `store`.
    fn of_store(what: &str, store: &str, error: &SessionError) -> Fault {
        match error {
            SessionError::NotConfigured => Fault::new(404, format!("{what} are not configured (store)")),
            SessionError::Malformed => Fault::new(404, "This is not a SIP address"),
            SessionError::NotThere => Fault::new(404, format!("There are no such {}", what.to_lowercase())),
            SessionError::Store(_) => Fault::new(503, format!("The {store} cannot be reached")),
        }
    }
}

/// Why an answer goes no further.
enum End {
    Full,
    Fault(Fault),
}

impl From<Full> for End {
    fn from(_: Full) -> End {
        End::Full
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> End {
        End::Fault(fault)
    }
}

type Outcome = Result<(), End>;

/// A command that is being run.
struct Call<'a> {
    context: &'a Context,
    arguments: &'a [&'a [u8]],
    host: &'a mut dyn Host,
}

impl<'a> Call<'a> {
    fn admin(&self) -> Admin<'a> {
        self.context.admin()
    }

    /// An argument; one that is missing is empty.
    fn argument(&self, index: usize) -> &'a [u8] {
        self.arguments.get(index).copied().unwrap_or_default()
    }

    /// An argument as text, in which octets that are not UTF-8 match nothing.
    fn text(&self, index: usize) -> Cow<'a, str> {
        String::from_utf8_lossy(self.argument(index))
    }

    /// An argument that must be UTF-8; otherwise the fault has this code, and `name` for the argument.
    fn utf8(&self, index: usize, name: &str, code: u32) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.argument(index));
        text.map_err(|_| Fault::new(code, format!("{name}: is not UTF-8 text; write it as such")))
    }

    /// The first argument as a URI: alice@example.test stands for sip:alice@example.test.
    fn address(&self) -> Result<String, Fault> {
        let given = self.text(0);
        if given.is_empty() {
            return Err(Fault::new(400, "An address is needed, for example alice@example.com"));
        }
        let begins = |scheme: &str| {
            let beginning = given.as_bytes().get(..scheme.len());
            given.len() > scheme.len() && beginning.is_some_and(|b| b.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        Ok(if begins("sip:") || begins("sips:") { given.into_owned() } else { format!("sip:{given}") })
    }

    /// Adds a time in Unix seconds, 0 where there is none.
    fn time(&mut self, name: &CStr, seconds: i64) -> Result<(), Full> {
        self.host.number(name, seconds.try_into().unwrap_or(0))
    }

    /// Adds the place where a list goes on.
    fn next(&mut self, next: Option<String>) -> Outcome {
        if let Some(next) = next.filter(|next| !next.is_empty()) {
            self.host.item()?;
            self.host.text(c"next", &next)?;
        }
        Ok(())
    }
}

/// Runs a command. An answer that ends early, because the host has no more room, is no failure: what the command does
/// is done.
pub fn run(context: &Context, name: &str, arguments: &[&[u8]], host: &mut dyn Host) -> Result<(), Fault> {
    let found = COMMANDS.iter().find(|command| command.name.to_bytes() == name.as_bytes());
    let Some(command) = found else {
        return Err(Fault::new(404, "There is no such command"));
    };
    if arguments.len() > command.arguments.len() {
        let most = command.arguments.len();
        return Err(Fault::new(400, format!("There are too many arguments, at most {most} are possible")));
    }
    match (command.run)(&mut Call { context, arguments, host }) {
        Ok(()) | Err(End::Full) => Ok(()),
        Err(End::Fault(fault)) => Err(fault),
    }
}
