// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about the accounts of the Key-Derivation scheme: list, show, set, remove. No answer shows a key or a salt, and
//! no password is copied.

use super::{Call, Fault, Full, Outcome};
use crate::process::context::Context;
use crate::store::accounts::ListedAccount;
use crate::store::sessions::SessionError;
use sipoauth_core::keys::pbkdf2::Kdf;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::sip::uri::Aor;

/// Why an account was not written.
#[derive(Debug)]
pub enum PutError {
    /// The address, the verifier or the password cannot be taken.
    Input(&'static str),
    /// The store, or that there is none.
    Store(SessionError),
}

impl From<SessionError> for PutError {
    fn from(error: SessionError) -> PutError {
        PutError::Store(error)
    }
}

impl std::fmt::Display for PutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PutError::Input(sentence) => f.write_str(sentence),
            PutError::Store(SessionError::NotConfigured) => {
                f.write_str("accounts are kept where sessions are: 'store' is not configured")
            }
            PutError::Store(SessionError::Malformed) => f.write_str("this is not a SIP address"),
            PutError::Store(SessionError::NotThere) => f.write_str("there is no such account"),
            PutError::Store(SessionError::Store(error)) => error.fmt(f),
        }
    }
}

/// Writes an account, also over an earlier one. Either the line of a verifier is given or a password, from which the key
/// is derived; that is slow by design.
pub fn put(context: &Context, aor: &str, line: &str, password: &[u8]) -> Result<(), PutError> {
    let aor = Aor::parse(aor).ok_or(PutError::Input("this is not a SIP address"))?;
    let verifier = match (line.is_empty(), password.is_empty()) {
        (false, true) => Verifier::parse(line).map_err(PutError::Input)?,
        (true, false) => context.admin().derive_verifier(password)?,
        _ => return Err(PutError::Input("either a verifier or a password is needed")),
    };
    Ok(context.admin().put_account(&aor, &verifier)?)
}

fn fault(error: SessionError) -> Fault {
    Fault::of_store("Accounts", "store", &error)
}

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_accounts("", &call.text(0)).map_err(fault)?;
    add(call, &page.accounts)?;
    call.next(page.next)
}

pub(super) fn show(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_accounts(&call.address()?, "").map_err(fault)?;
    if page.accounts.is_empty() {
        return Err(Fault::new(404, "This address has no account").into());
    }
    Ok(add(call, &page.accounts)?)
}

fn add(call: &mut Call<'_>, accounts: &[ListedAccount]) -> Result<(), Full> {
    for ListedAccount { aor, parameters } in accounts {
        let kdf = match parameters.kdf() {
            Kdf::Sha256 => "sha256",
            Kdf::Sha512 => "sha512",
        };
        let stands_out = if call.admin().is_conspicuous(parameters) { "yes" } else { "no" };
        call.host.item()?;
        call.host.text(c"aor", aor)?;
        call.host.text(c"kdf", kdf)?;
        call.host.number(c"iterations", parameters.iterations().into())?;
        call.host.number(c"key_size", parameters.key_size().into())?;
        call.host.text(c"stands_out", stands_out)?;
    }
    Ok(())
}

/// ADDRESS VERIFIER, or ADDRESS password PASSWORD.
pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let aor = call.address()?;
    let written = match call.argument(1) {
        b"password" => put(call.context, &aor, "", password(call)?),
        _ => put(call.context, &aor, call.utf8(1, "verifier", 400)?, b""),
    };
    written.map_err(|error| {
        let code = if matches!(error, PutError::Store(SessionError::Store(_))) { 503 } else { 400 };
        Fault::new(code, error.to_string())
    })?;
    Ok(call.host.line("written")?)
}

/// The third argument. A host leaves a number out, because kamcmd turns a password of digits into a number and loses
/// zeros.
fn password<'a>(call: &Call<'a>) -> Result<&'a [u8], Fault> {
    if call.host.handles_sip() {
        let sentence = "Deriving a key takes long and this process serves SIP requests: use kamcmd, or the tool: sipoauth \
                        accounts set";
        return Err(Fault::new(403, sentence));
    }
    match call.argument(2) {
        b"" => {
            let sentence = "A password is needed. One that looks like a number must be a text: s:0123 for kamcmd, \
                            \"0123\" in JSON";
            Err(Fault::new(400, sentence))
        }
        password => Ok(password),
    }
}

pub(super) fn remove(call: &mut Call<'_>) -> Outcome {
    let aor = Aor::parse(&call.address()?).ok_or_else(|| fault(SessionError::Malformed))?;
    let removed = call.admin().remove_account(&aor).map_err(fault)?;
    call.host.item()?;
    Ok(call.host.number(c"removed", removed.into())?)
}
