// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth accounts`: manages the users of the Key-Derivation scheme, directly in the store of the configuration or
//! as lines for the operator's own database.

mod entries;
mod load;
mod password;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sipoauth::process::context::Context;
use sipoauth::store::accounts::{ListedAccount, derive_verifier};
use sipoauth_core::config::new_accounts::NewAccounts;
use sipoauth_core::config::settings::Settings;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::sip::uri::Aor;

use crate::configuration::ConfigurationOptions;
use crate::output::{Output, Progress};
use crate::store::{Common, OfAddress, address, open, say, waiting};

const EXAMPLES: &str = "\
Examples:
  sudo -u kamailio sipoauth accounts set alice@example.com                  # asks for the password
  sudo -u kamailio sipoauth accounts set alice@example.com --password-file p
  sudo -u kamailio sipoauth accounts load users.txt                         # lines: alice@example.com $pbkdf2-sha256$...
  sudo -u kamailio sipoauth accounts load users.txt --passwords --dry-run   # lines: alice@example.com her password
  sipoauth accounts derive < password                                       # a line for a database of your own

The store has the key that is derived from a password, never the password. kd_kdf and kd_iterations say how
it is derived. The proxies see a change at once. Run it as the proxy's user: the store's files must go on belonging to it.

Exit codes: 0 done; 1 wrong options, a bad line, or the store cannot be used; 3 there is no such account.";

/// Looks at accounts and changes them.
#[derive(Subcommand)]
pub enum AccountsCommand {
    /// Writes the account of an address-of-record, also over an earlier one
    #[command(after_help = EXAMPLES)]
    Set(SetOptions),
    /// Shows the account of an address-of-record: never its key
    #[command(after_help = EXAMPLES)]
    Show(OfAddress),
    /// All accounts
    #[command(after_help = EXAMPLES)]
    List(Common),
    /// Removes the account of an address-of-record
    #[command(after_help = EXAMPLES)]
    Remove(OfAddress),
    /// Writes the accounts of a file
    #[command(after_help = EXAMPLES)]
    Load(load::LoadOptions),
    /// Derives a key and prints the verifier, a line for a database of your own
    #[command(after_help = EXAMPLES)]
    Derive(DeriveOptions),
}

/// An account to write.
#[derive(Args)]
pub struct SetOptions {
    /// A file with the password, instead of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,
    /// A verifier instead of a password, as 'derive' prints it
    #[arg(long, value_name = "LINE", conflicts_with = "password_file")]
    verifier: Option<String>,
    #[command(flatten)]
    of: OfAddress,
}

/// A verifier to print.
#[derive(Args)]
pub struct DeriveOptions {
    /// A file with the password, instead of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    configuration: ConfigurationOptions,
}

impl AccountsCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        let common = match self {
            AccountsCommand::List(common) => common,
            AccountsCommand::Show(of) | AccountsCommand::Remove(of) => &of.common,
            AccountsCommand::Set(options) => &options.of.common,
            AccountsCommand::Load(options) => &options.common,
            AccountsCommand::Derive(options) => {
                return derive(options).unwrap_or_else(|sentence| Output { json: false }.error(&sentence));
            }
        };
        let output = Output { json: common.json };
        self.act(common, output).unwrap_or_else(|sentence| output.error(&sentence))
    }

    fn act(&self, common: &Common, output: Output) -> Result<u8, String> {
        match self {
            AccountsCommand::List(_) => {
                let context = open(common)?;
                show(output, &context, &list(&context)?);
                Ok(0)
            }
            AccountsCommand::Show(of) => {
                let context = open(common)?;
                let found = waiting(|| context.admin().list_accounts(&of.aor, "")).map_err(|e| say(&e))?.accounts;
                show(output, &context, &found);
                Ok(if found.is_empty() { crate::outcome::REFUSED } else { 0 })
            }
            AccountsCommand::Remove(of) => {
                let context = open(common)?;
                let removed = waiting(|| context.admin().remove_account(&parsed(&of.aor)?).map_err(|e| say(&e)))?;
                output.line(if removed { "removed" } else { "there is no such account" });
                output.value(&json!({ "removed": removed }));
                Ok(if removed { 0 } else { crate::outcome::REFUSED })
            }
            AccountsCommand::Set(options) => set(options, &open(common)?, output),
            AccountsCommand::Load(options) => load::run(options, output),
            AccountsCommand::Derive(_) => unreachable!("it has no store"),
        }
    }
}

fn set(options: &SetOptions, context: &Context, output: Output) -> Result<u8, String> {
    let aor = parsed(&options.of.aor)?;
    let verifier = match &options.verifier {
        Some(line) => Verifier::parse(line.trim())?,
        None => {
            let password = password::read(options.password_file.as_deref())?;
            let _progress = Progress::new("deriving the key");
            context.admin().derive_verifier(password.as_bytes()).map_err(|e| say(&e))?
        }
    };
    let new = context.policy().map_err(|e| e.0)?.policy.new_accounts;
    if !new.look_like(&verifier.parameters) {
        output.remark(OTHER_PARAMETERS);
    }
    waiting(|| context.admin().put_account(&aor, &verifier)).map_err(|e| say(&e))?;
    output.line(&format!("written: {}", aor.as_str()));
    output.value(&json!({ "written": aor.as_str() }));
    Ok(0)
}

const OTHER_PARAMETERS: &str = "the account has other parameters than kd_kdf and kd_iterations (and 16 \
                                octets of salt) say: it can be told from users who do not exist";

fn derive(options: &DeriveOptions) -> Result<u8, String> {
    let new = if options.configuration.is_there() {
        options.configuration.read()?.policy.new_accounts
    } else {
        NewAccounts::new(&Settings::default())
    };
    let password = password::read(options.password_file.as_deref())?;
    let verifier = derive_verifier(&new, password.as_bytes()).map_err(|e| e.to_string())?;
    Output { json: false }.line(&verifier.to_text());
    Ok(0)
}

fn list(context: &Context) -> Result<Vec<ListedAccount>, String> {
    let mut all = Vec::new();
    let mut from = String::new();
    loop {
        let page = waiting(|| context.admin().list_accounts("", &from)).map_err(|e| say(&e))?;
        all.extend(page.accounts);
        match page.next {
            Some(next) => from = next,
            None => return Ok(all),
        }
    }
}

fn show(output: Output, context: &Context, accounts: &[ListedAccount]) {
    let stands_out = |account: &&ListedAccount| context.admin().is_conspicuous(&account.parameters);
    for account in accounts {
        let ListedAccount { aor, parameters } = account;
        let (kdf, iterations, bits) = (parameters.kdf().name(), parameters.iterations(), parameters.key_size());
        let mark = if stands_out(&account) { ", stands out" } else { "" };
        output.line(&format!("{aor}  {kdf}, {iterations} iterations, {bits} bits{mark}"));
    }
    output.line(&format!("{} account(s)", accounts.len()));
    let count = accounts.iter().filter(stands_out).count();
    if count > 0 {
        output.remark(&format!("{count} account(s) stand out: {OTHER_PARAMETERS}; write them again with 'set'"));
    }
    output.value(&accounts.iter().map(|account| object(account, stands_out(&account))).collect());
}

fn object(account: &ListedAccount, stands_out: bool) -> Value {
    let ListedAccount { aor, parameters } = account;
    json!({
        "aor": aor,
        "kdf": parameters.kdf().short_name(),
        "iterations": parameters.iterations(),
        "key_size": parameters.key_size(),
        "stands_out": stands_out,
    })
}

/// An address in its canonical form.
fn parsed(text: &str) -> Result<Aor, String> {
    let aor = address(text)?;
    Aor::parse(&aor).ok_or_else(|| format!("{text}: is not an address-of-record; write for example alice@example.com"))
}
