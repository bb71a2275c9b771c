// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `sipoauth register`, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sipoauth::proto::shared_key::KeyOrder;

use crate::transport::Transport;

const EXIT_CODES: &str = "\
Without --token, --code or --pop the proxy is asked without a credential, which shows its challenge.

Exit codes: 0 accepted (2xx); 1 wrong options, a file or the network; 2 sign-in needed (401, 407, 302);
3 refused (any other answer); 4 not now (503). With --repeat the last answer decides.";

/// Everything that can be asked of the phone.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(group = clap::ArgGroup::new("credential").args(["token", "token_file", "code", "pop"]).multiple(false))]
pub struct RegisterOptions {
    /// The proxy; default port 5060, with TLS 5061. --pop takes it from the state file when it is not given
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// How to reach the proxy [default: udp, or what the state file says]
    #[arg(long, value_enum)]
    pub transport: Option<Transport>,
    /// The address-of-record, for example sip:alice@example.test
    #[arg(long, value_name = "URI")]
    pub aor: Option<String>,

    /// An access token; - reads it from standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
    /// A file with an access token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// An authorization code, also a short one typed on a keypad; - reads it from standard input
    #[arg(long, value_name = "CODE", allow_hyphen_values = true)]
    pub code: Option<String>,
    /// The PKCE verifier that belongs to the code
    #[arg(long, value_name = "TEXT", requires = "code", allow_hyphen_values = true)]
    pub code_verifier: Option<String>,
    /// The redirect URI with which the code was asked for
    #[arg(long, value_name = "URI", requires = "code")]
    pub redirect_uri: Option<String>,
    /// Prove possession of the shared key in the state file
    #[arg(long, requires = "state")]
    pub pop: bool,
    /// Where the proof travels [default: body of a REGISTER, header of anything else]
    #[arg(long, value_enum, requires = "pop")]
    pub pop_in: Option<PopPlace>,
    /// What the digest-string takes as message-body when the proof travels in the body
    #[arg(long, value_enum, requires = "pop", default_value = "without-pop")]
    pub pop_body: PopBody,
    /// Send Proxy-Authorization instead of Authorization
    #[arg(long)]
    pub proxy_authorization: bool,

    /// The phone's memory: instance and shared key, readable by its owner only
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Order of the parts of the shared key
    #[arg(long, value_enum, default_value = "draft")]
    pub key_order: Order,

    /// The request's method
    #[arg(long, default_value = "REGISTER")]
    pub method: String,
    /// Where a request other than REGISTER goes
    #[arg(long, value_name = "URI")]
    pub to: Option<String>,
    /// The request's body
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub body: Option<String>,
    /// The body's type
    #[arg(long, value_name = "TYPE", requires = "body", default_value = "text/plain")]
    pub content_type: String,
    /// +sip.instance of the Contact [default: a random one, kept in the state file]
    #[arg(long, value_name = "URN")]
    pub instance: Option<String>,
    /// Seconds to be registered; 0 unregisters
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub expires: u32,
    /// The Contact [default: the AoR's user at the local address]
    #[arg(long, value_name = "URI")]
    pub contact: Option<String>,
    /// The Date header, to play a phone with a wrong clock
    #[arg(long, value_name = "DATE")]
    pub date: Option<String>,

    /// Certification authorities for TLS, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Seconds to wait for an answer, at most 32 (64*T1)
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
    /// Send the same request again, octet for octet, after its answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub repeat: u16,
    /// On 503 wait as long as Retry-After says and try again, at most 3 times
    #[arg(long)]
    pub retry: bool,

    /// Print tokens, codes, keys and proofs in full
    #[arg(long)]
    pub show_secrets: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Print the result only
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
}

/// Where a proof travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PopPlace {
    /// In the form body of a REGISTER.
    Body,
    /// In a Bearer credential.
    Header,
}

/// What stands for the message-body in the digest-string of a proof that is itself in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PopBody {
    /// The body without the pop parameter.
    WithoutPop,
    /// Nothing.
    Empty,
}

/// The spelling of [`KeyOrder`] on the command line and in the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// from-tag, to-tag, call-id.
    Draft,
    /// call-id|from-tag|to-tag.
    Slides,
}

impl From<Order> for KeyOrder {
    fn from(order: Order) -> KeyOrder {
        match order {
            Order::Draft => KeyOrder::Draft,
            Order::Slides => KeyOrder::Slides,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.1..=3600.0).contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.1 to 3600, for example 10".into())
}
