// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `sipoauth refer send`, as they are typed, and what is made of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sipoauth_core::sip::uri::Aor;

use crate::header;
use crate::message::is_token;
use crate::options::seconds;
use crate::plan::{is_uri, is_uri_text};
use crate::transport::{Server, Transport};

const EXIT_CODES: &str = "\
Examples:
  sipoauth refer send --server 192.0.2.1 --from sip:alice@example.test --to sip:bob@example.test \\
    --refer-to sip:carol@example.test --token-file token
  sipoauth refer send … --subscription none       no NOTIFY may come
  sipoauth refer send … --subscription implicit   the NOTIFYs come in the dialog of the REFER, as in RFC 3515
  sipoauth refer send … --refer-to 'sip:carol@example.test?Replaces=…' --target-dialog 'ID;local-tag=a;remote-tag=b'

SUBSCRIBEs go to --server, too. An answer of 202 counts as 200 (RFC 7647).

Exit codes: 0 the referred request succeeded (with --subscription none: the REFER was accepted and no NOTIFY came; with
--unsubscribe-after: the subscription ended); 1 wrong options, a file or the network; 2 sign-in needed (401, 407, 302);
3 REFER or SUBSCRIBE refused (any other answer); 4 not now (503); 6 the referred request failed, or its end was not told;
7 the other side broke a rule, or something that must come did not come in time. The higher code counts.";

/// What to send, and how to follow it.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct SendOptions {
    /// The proxy, or the other side itself; default port 5060, with TLS 5061
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// How to reach it
    #[arg(long, value_enum, default_value = "udp")]
    pub transport: Transport,
    /// Who refers, for example sip:alice@example.test
    #[arg(long, value_name = "URI")]
    pub from: String,
    /// Who is asked to send a request
    #[arg(long, value_name = "URI")]
    pub to: String,
    /// Where that request shall go
    #[arg(long, value_name = "URI")]
    pub refer_to: String,
    /// How the sender wants to hear what becomes of it
    #[arg(long, value_enum, default_value = "explicit")]
    pub subscription: SubscriptionKind,

    /// An access token; - reads it from standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
    /// A file with an access token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Send Proxy-Authorization instead of Authorization
    #[arg(long)]
    pub proxy_authorization: bool,

    /// The call that the REFER is about (RFC 4538), as the other side sees its tags; adds Require: tdialog
    #[arg(long, value_name = "CALLID;local-tag=TAG;remote-tag=TAG")]
    pub target_dialog: Option<String>,
    /// An option tag for Supported; may be given several times
    #[arg(long, value_name = "TAG")]
    pub supported: Vec<String>,
    /// One more option tag for Require; may be given several times
    #[arg(long, value_name = "TAG")]
    pub require: Vec<String>,
    /// Seconds to ask for in each SUBSCRIBE
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub expires: u32,
    /// The number of subscriptions, each in a dialog of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub subscribers: u8,
    /// Refresh each subscription after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub refresh_after: Option<Duration>,
    /// End each subscription with Expires: 0 after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub unsubscribe_after: Option<Duration>,
    /// Seconds to wait for the last NOTIFY; with --subscription none how long no NOTIFY may come [default: 64, with none 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<Duration>,

    /// Certification authorities for TLS, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Seconds to wait for an answer, at most 32 (64*T1)
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
    /// Print tokens and bodies in full
    #[arg(long)]
    pub show_secrets: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Print the result only
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
}

/// How the sender of a REFER hears what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SubscriptionKind {
    /// It subscribes at the URI of Refer-Events-At (RFC 7614).
    Explicit,
    /// It does not want to hear of it (RFC 7614).
    None,
    /// The REFER itself subscribes (RFC 3515).
    Implicit,
}

impl SubscriptionKind {
    /// The option tag that REFER requires.
    pub fn tag(self) -> Option<&'static str> {
        match self {
            SubscriptionKind::Explicit => Some("explicitsub"),
            SubscriptionKind::None => Some("nosub"),
            SubscriptionKind::Implicit => None,
        }
    }
}

impl SendOptions {
    /// Checks what goes into header fields, and returns the server and the sender's user part.
    pub fn check(&self) -> Result<(Server, String), String> {
        let server = Server::parse(&self.server, self.transport)
            .ok_or_else(|| format!("--server {:?} is not HOST:PORT, such as proxy.example.test:5060", self.server))?;
        let from = Aor::parse(&self.from).filter(|_| is_uri(&self.from));
        let from =
            from.ok_or_else(|| format!("--from {:?} is not a SIP URI such as sip:alice@example.test", self.from))?;
        if !is_uri(&self.to) {
            return Err(format!("--to {:?} is not a SIP URI such as sip:bob@example.test", self.to));
        }
        let scheme = self.refer_to.split_once(':').map(|(scheme, rest)| is_token(scheme) && !rest.is_empty());
        if scheme != Some(true) || !is_uri_text(&self.refer_to) {
            return Err(format!("--refer-to {:?} is not a URI such as sip:carol@example.test", self.refer_to));
        }
        if let Some(dialog) = &self.target_dialog {
            let has = |name| header::param(dialog.as_bytes(), name).is_some_and(|tag| !tag.is_empty());
            let wrong = dialog.starts_with(';') || dialog.chars().any(|c| c.is_control() || c == ',');
            if wrong || !has("local-tag") || !has("remote-tag") {
                return Err(format!("--target-dialog {dialog:?} is not CALLID;local-tag=TAG;remote-tag=TAG"));
            }
        }
        if let Some(tag) = self.supported.iter().chain(&self.require).find(|tag| !is_token(tag)) {
            return Err(format!("{tag:?} is not an option tag such as replaces"));
        }
        if self.subscribers > 1 && self.subscription != SubscriptionKind::Explicit {
            return Err("--subscribers is for --subscription explicit; the others have one subscription or none".into());
        }
        let follows = self.refresh_after.is_some() || self.unsubscribe_after.is_some();
        if follows && self.subscription == SubscriptionKind::None {
            return Err("without a subscription there is nothing to refresh or to end".into());
        }
        Ok((server, from.user().to_owned()))
    }

    /// The option tags of Require.
    pub fn required(&self) -> Vec<&str> {
        let dialog = self.target_dialog.as_ref().map(|_| "tdialog");
        self.subscription.tag().into_iter().chain(dialog).chain(self.require.iter().map(String::as_str)).collect()
    }

    /// How long to wait for the end, or for nothing.
    pub fn patience(&self) -> Duration {
        let default = if self.subscription == SubscriptionKind::None { 5 } else { 64 };
        self.wait.unwrap_or(Duration::from_secs(default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        options: SendOptions,
    }

    fn typed(more: &[&str]) -> Result<SendOptions, String> {
        let usual = ["refer", "--server", "h", "--from", "sip:a@x", "--to", "sip:b@x", "--refer-to", "sip:c@x"];
        let typed = Typed::try_parse_from([&usual[..], more].concat()).map_err(|error| error.to_string())?;
        typed.options.check().map(|_| typed.options)
    }

    #[test]
    fn the_defaults_subscribe_explicitly() {
        let options = typed(&[]).unwrap();
        assert_eq!((options.subscription, options.required()), (SubscriptionKind::Explicit, vec!["explicitsub"]));
        assert_eq!((options.expires, options.subscribers, options.patience().as_secs()), (300, 1, 64));
        let options = typed(&["--subscription", "none", "--target-dialog", "id;local-tag=a;remote-tag=b"]).unwrap();
        assert_eq!((options.required(), options.patience().as_secs()), (vec!["nosub", "tdialog"], 5));
        let options =
            typed(&["--subscription", "implicit", "--require", "x", "--require", "y", "--wait", "2"]).unwrap();
        assert_eq!((options.required(), options.patience().as_secs()), (vec!["x", "y"], 2));
    }

    #[test]
    fn wrong_options_are_named() {
        for (arguments, why) in [
            (&["--target-dialog", "id"][..], "--target-dialog"),
            (&["--target-dialog", "id;local-tag=a;remote-tag="], "--target-dialog"),
            (&["--target-dialog", "id;local-tag=a;remote-tag=b, id2"], "--target-dialog"),
            (&["--target-dialog", ";local-tag=a;remote-tag=b"], "--target-dialog"),
            (&["--supported", "a b"], "option tag"),
            (&["--require", "a,b"], "option tag"),
            (&["--subscribers", "5"], "--subscribers"),
            (&["--subscribers", "0"], "--subscribers"),
            (&["--subscribers", "2", "--subscription", "none"], "--subscribers"),
            (&["--refresh-after", "2", "--subscription", "none"], "nothing to refresh"),
            (&["--unsubscribe-after", "2", "--subscription", "none"], "nothing to refresh"),
            (&["--expires", "0"], "--expires"),
            (&["--token", "x", "--token-file", "y"], "--token"),
        ] {
            let error = typed(arguments).err().unwrap();
            assert!(error.contains(why), "{arguments:?}: {error}");
        }
        for (name, value) in [
            ("--server", "h:x"),
            ("--from", "alice"),
            ("--to", "sip:b@x>\r\nX: y"),
            ("--refer-to", "carol"),
            ("--refer-to", "sip:c@x\r\nX: y"),
        ] {
            let mut usual =
                vec!["refer", "--server", "h", "--from", "sip:a@x", "--to", "sip:b@x", "--refer-to", "sip:c@x"];
            let at = usual.iter().position(|known| *known == name).unwrap();
            usual[at + 1] = value;
            let options = Typed::try_parse_from(usual).ok().unwrap().options;
            assert!(options.check().is_err_and(|error| error.contains(name)), "{name} {value}");
        }
        assert!(typed(&["--refer-to", "https://example.test/x"]).is_err_and(|error| error.contains("cannot be used")));
    }
}
