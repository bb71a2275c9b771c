// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth devices`: lists the phones that users have added at the sign-in page, and signs them out. It works directly on the
//! store of the configuration.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sipoauth::process::context::Context;
use sipoauth::store::phones::{ListedPhone, Phone};
use sipoauth_core::records::session::id_text;

use crate::output::{Output, moment, now};
use crate::sessions::told;
use crate::store::{Common, OfAddress, address, open, say, waiting};

const EXAMPLES: &str = "\
Examples:
  sudo -u kamailio sipoauth devices list
  sudo -u kamailio sipoauth devices revoke alice@example.com alice-k3f9

Every proxy refuses the phone's next request and removes its bindings within a second or two. Without a device the user's
sign-in at the page ends, too, with all phones that were added there.
Run it as the proxy's user: the store's files must go on belonging to it.

Exit codes: 0 done; 1 wrong options or configuration, or the store cannot be used; 3 there is no such phone.";

/// Looks at phones that were added at the sign-in page, and signs them out.
#[derive(Subcommand)]
pub enum DevicesCommand {
    /// All of them
    #[command(after_help = EXAMPLES)]
    List(Common),
    /// Those of one address-of-record
    #[command(after_help = EXAMPLES)]
    Show(OfAddress),
    /// Signs out one phone of an address-of-record, or all
    #[command(after_help = EXAMPLES)]
    Revoke(RevokeOptions),
}

/// Phones to sign out.
#[derive(Args)]
pub struct RevokeOptions {
    /// The address-of-record, for example alice@example.com
    #[arg(value_name = "URI", value_parser = address)]
    aor: String,
    /// Only the phone with this id or user name
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl DevicesCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        let common = match self {
            DevicesCommand::List(common) => common,
            DevicesCommand::Show(options) => &options.common,
            DevicesCommand::Revoke(options) => &options.common,
        };
        let output = Output { json: common.json };
        let done = open(common).and_then(|context| self.act(&context, output));
        done.unwrap_or_else(|sentence| output.error(&sentence))
    }

    fn act(&self, context: &Context, output: Output) -> Result<u8, String> {
        let found = |count: usize| if count == 0 { crate::outcome::REFUSED } else { 0 };
        match self {
            DevicesCommand::List(_) => {
                listed(output, &list(context)?);
                Ok(0)
            }
            DevicesCommand::Show(options) => {
                let page = waiting(|| context.admin().list_devices(&options.aor, "")).map_err(|e| say(&e))?;
                listed(output, &page.phones);
                Ok(found(page.phones.len()))
            }
            DevicesCommand::Revoke(options) => {
                let device = options.device.as_deref().unwrap_or("");
                let ended = waiting(|| context.admin().revoke_devices(&options.aor, device)).map_err(|e| say(&e))?;
                told(output, &ended);
                Ok(found(ended.len()))
            }
        }
    }
}

fn list(context: &Context) -> Result<Vec<ListedPhone>, String> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let page = waiting(|| context.admin().list_devices("", &from)).map_err(|e| say(&e))?;
        all.extend(page.phones);
        match page.next {
            Some(next) => from = next,
            None => return Ok(all),
        }
    }
}

fn listed(output: Output, phones: &[ListedPhone]) {
    let now = now();
    for ListedPhone { aor, phone: Phone { session, last_use } } in phones {
        output.line(aor);
        output.field("phone", &session.name);
        output.field("id", &id_text(&session.id));
        output.field("user name", &session.device);
        output.field("provider", &session.provider);
        output.field("added", &moment(session.created_at, now));
        // After a refused refresh its user must sign in at the page again.
        let until = if session.valid_until > 0 { moment(session.valid_until, now) } else { "ended".to_owned() };
        output.field("good until", &until);
        output
            .field("renewed", if session.renewable { "in the background" } else { "no, the user must sign in again" });
        let registered = last_use.as_ref().map(|seen| format!("{} from {}", moment(seen.at, now), seen.source));
        output.field("registered", registered.as_deref().unwrap_or("never"));
        output.field("User-Agent", last_use.as_ref().map_or("", |seen| &seen.user_agent));
    }
    output.line(&format!("{} phone(s)", phones.len()));
    output.value(&phones.iter().map(object).collect());
}

fn object(listed: &ListedPhone) -> Value {
    let ListedPhone { aor, phone: Phone { session, last_use } } = listed;
    json!({
        "aor": aor,
        "id": id_text(&session.id),
        "name": session.name,
        "username": session.device,
        "provider": session.provider,
        "created_at": session.created_at,
        "valid_until": session.valid_until,
        "renewable": session.renewable,
        "registered_at": last_use.as_ref().map(|seen| seen.at),
        "source": last_use.as_ref().map(|seen| &seen.source),
        "user_agent": last_use.as_ref().map(|seen| &seen.user_agent),
    })
}
