// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth sessions`: lists and ends the sessions of users who signed in with a code. It works directly on the
//! store of the configuration, so it also works while no proxy runs.

use std::io::{self, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sipoauth::process::context::Context;
use sipoauth::store::session_admin::ListedSession;
use sipoauth_core::records::session::{Session, id_text};
use sipoauth_core::records::session_end::SessionEnd;

use crate::output::{Output, moment, now};
use crate::store::{Common, OfAddress, address, open, say, waiting};

const EXAMPLES: &str = "\
Examples:
  sudo -u kamailio sipoauth sessions list
  sudo -u kamailio sipoauth sessions revoke alice@example.com
  sipoauth sessions list --set store=/srv/sipoauth --set store_key_file=/srv/key      no configuration is read

The proxies see at once that a session has ended: the phone's next request is challenged, and its bindings in usrloc are
removed within a second. Run it as the proxy's user: the store's files must go on belonging to it.

Exit codes: 0 done; 1 wrong options or configuration, or the store cannot be used; 3 there is no such session.";

/// Looks at sessions and ends them.
#[derive(Subcommand)]
pub enum SessionsCommand {
    /// All sessions
    #[command(after_help = EXAMPLES)]
    List(Common),
    /// The sessions of one address-of-record
    #[command(after_help = EXAMPLES)]
    Show(OfAddress),
    /// Ends the sessions of one address-of-record, or one of them
    #[command(after_help = EXAMPLES)]
    Revoke(RevokeOptions),
    /// Ends all sessions
    #[command(after_help = EXAMPLES)]
    RevokeAll(RevokeAllOptions),
}

/// Sessions to end.
#[derive(Args)]
pub struct RevokeOptions {
    /// The address-of-record, for example alice@example.com
    #[arg(value_name = "URI", value_parser = address)]
    aor: String,
    /// Only the session with this id
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// All sessions to end.
#[derive(Args)]
pub struct RevokeAllOptions {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl SessionsCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        let common = match self {
            SessionsCommand::List(common) => common,
            SessionsCommand::Show(options) => &options.common,
            SessionsCommand::Revoke(options) => &options.common,
            SessionsCommand::RevokeAll(options) => &options.common,
        };
        let output = Output { json: common.json };
        let done = open(common).and_then(|context| self.act(&context, output));
        done.unwrap_or_else(|sentence| output.error(&sentence))
    }

    fn act(&self, context: &Context, output: Output) -> Result<u8, String> {
        match self {
            SessionsCommand::List(_) => Ok(listed(output, &list(context)?)),
            SessionsCommand::Show(options) => {
                let found = waiting(|| context.admin().list_sessions(&options.aor, "")).map_err(|e| say(&e))?.sessions;
                listed(output, &found);
                Ok(if found.is_empty() { crate::outcome::REFUSED } else { 0 })
            }
            SessionsCommand::Revoke(options) => {
                let ended =
                    waiting(|| context.admin().revoke_sessions(&options.aor, options.id.as_deref().unwrap_or("")))
                        .map_err(|e| say(&e))?;
                told(output, &ended);
                Ok(if ended.is_empty() { crate::outcome::REFUSED } else { 0 })
            }
            SessionsCommand::RevokeAll(options) => {
                if !options.yes && !confirmed(list(context)?.len())? {
                    return Err("nothing was ended".into());
                }
                told(output, &waiting(|| context.admin().revoke_all_sessions()).map_err(|e| say(&e))?);
                Ok(0)
            }
        }
    }
}

fn list(context: &Context) -> Result<Vec<ListedSession>, String> {
    let mut all = Vec::new();
    let mut from = String::new();
    loop {
        let page = waiting(|| context.admin().list_sessions("", &from)).map_err(|e| say(&e))?;
        all.extend(page.sessions);
        match page.next {
            Some(next) => from = next,
            None => return Ok(all),
        }
    }
}

fn listed(output: Output, sessions: &[ListedSession]) -> u8 {
    let now = now();
    for ListedSession { aor, session } in sessions {
        output.line(aor);
        output.field("session", &id_text(&session.id));
        output.field("provider", &session.provider);
        output.field("subject", &session.subject);
        output.field("client", &session.client_id);
        output.field("scope", &session.scope);
        output.field("instance", &session.instance);
        output.field("since", &moment(session.created_at, now));
        output.field("tokens until", &moment(session.valid_until, now));
        output
            .field("renewed", if session.renewable { "in the background" } else { "no, the user must sign in again" });
        output.field("ends", &moment(session.ends_at, now));
    }
    output.line(&format!("{} session(s)", sessions.len()));
    output.value(&sessions.iter().map(|listed| object(&listed.aor, &listed.session)).collect());
    0
}

pub fn told(output: Output, ended: &[SessionEnd]) {
    for SessionEnd { aor, session, .. } in ended {
        output.line(&format!("ended {} of {aor}", id_text(&session.id)));
    }
    output.line(&format!("{} session(s) ended", ended.len()));
    output.value(&ended.iter().map(|end| object(&end.aor, &end.session)).collect());
}

fn object(aor: &str, session: &Session) -> Value {
    json!({
        "aor": aor,
        "id": id_text(&session.id),
        "provider": session.provider,
        "issuer": session.issuer,
        "subject": session.subject,
        "client_id": session.client_id,
        "scope": session.scope,
        "instance": session.instance,
        "created_at": session.created_at,
        "valid_until": session.valid_until,
        "ends_at": session.ends_at,
        "renewable": session.renewable,
    })
}

fn confirmed(count: usize) -> Result<bool, String> {
    if !io::stdin().is_terminal() {
        return Err(format!("this would end {count} session(s); write --yes to do it without a terminal"));
    }
    let _ = write!(io::stderr(), "End {count} session(s)? Every phone must then sign in again. Type yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|e| e.to_string())?;
    Ok(answer.trim() == "yes")
}
