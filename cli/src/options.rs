// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `sipoauth register`, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sipoauth_core::keys::master_key::Ha1Form;
use sipoauth_core::keys::shared_key::KeyOrder;

use crate::transport::Transport;

const EXIT_CODES: &str = "\
Without a credential the proxy is asked all the same, which shows its challenge. Which proof --pop sends depends on the
key in the state file. A password is read from a file or standard input, so that it is not in a list of processes.

Exit codes: 0 accepted (2xx); 1 wrong options, a file, the network, or an answer that does not hold what it must;
2 sign-in needed (401, 407, 302); 3 refused (any other answer, or a password that is not accepted); 4 not now (503);
5 the proxy did not prove that it knows the password (--key-derivation). With --repeat the last answer decides.";

/// Everything that can be asked of the phone.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
#[command(group = clap::ArgGroup::new("credential").multiple(false).args([
    "token", "token_file", "code", "pop", "authorize", "grant", "refresh", "key_derivation",
]))]
#[command(group = clap::ArgGroup::new("form_proof").args(["pop", "with_pop", "refresh"]).multiple(true))]
#[command(group = clap::ArgGroup::new("code_source").args(["code", "authorize"]))]
#[command(group = clap::ArgGroup::new("password_use").args(["authorize", "grant", "key_derivation"]))]
#[command(group = clap::ArgGroup::new("password_source").args(["password", "password_file"]).requires("password_use"))]
pub struct RegisterOptions {
    /// The proxy; default port 5060, with TLS 5061. --pop, --token-pop and --refresh take it from the state file when it
    /// is not given
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
    #[arg(long, value_name = "URI", requires = "code_source")]
    pub redirect_uri: Option<String>,
    /// Prove possession of the key in the state file
    #[arg(long, requires = "state")]
    pub pop: bool,
    /// Sign in at this address with Digest, and register with the code that comes of it; the master-key is kept
    #[arg(long, value_name = "URL", requires = "password_source")]
    pub authorize: Option<String>,
    /// Register with Digest and get tokens from the proxy; they and the master-key are kept
    #[arg(long, value_enum, requires = "password_source")]
    pub grant: Option<GrantOption>,
    /// Prove possession of the master-key in the request that answers the proxy's Digest challenge
    #[arg(long, requires = "grant")]
    pub with_pop: bool,
    /// Get new tokens from the proxy for those in the state file
    #[arg(long, requires = "state")]
    pub refresh: bool,
    /// Send the access token and a proof of possession of the key, both from the state file; --token or --token-file
    /// names another token, to play a thief
    #[arg(long, requires = "state", conflicts_with_all = ["code", "pop", "authorize", "grant", "refresh", "key_derivation"])]
    pub token_pop: bool,
    /// Derive the key from the password as the proxy says, and check first that the proxy has the same key
    #[arg(long, requires = "password_source")]
    pub key_derivation: bool,
    /// A file with the password; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The password itself: for tests, as others on this machine can see it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "password_file")]
    pub password: Option<String>,
    /// The user whose password it is [default: the AoR's user part]
    #[arg(long, value_name = "NAME", requires = "password_use")]
    pub username: Option<String>,
    /// How H(A1) enters the master-key
    #[arg(long, value_enum, default_value = "hex")]
    pub ha1_form: HashForm,
    /// Where the proof travels [default: body of a REGISTER, header of anything else]
    #[arg(long, value_enum, requires = "pop")]
    pub pop_in: Option<PopPlace>,
    /// What the digest-string takes as message-body when the proof travels in the body
    #[arg(long, value_enum, requires = "form_proof", default_value = "without-pop")]
    pub pop_body: PopBody,
    /// What the digest-string takes as Contact when --contact is *, as the proxy's setting dialect says (empty_star)
    #[arg(long, value_enum, default_value = "star")]
    pub pop_star: PopStar,
    /// The proof covers the Request-URI, too, as the proxy's setting dialect = request_uri asks for
    #[arg(long)]
    pub pop_request_uri: bool,
    /// Send Proxy-Authorization instead of Authorization
    #[arg(long)]
    pub proxy_authorization: bool,

    /// The phone's memory: instance, key and tokens, readable by its owner only. One file per proxy
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
    /// Number of this flow of the instance (RFC 5626) [default: what the state file says, else none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub reg_id: Option<u32>,
    /// Seconds to be registered; 0 unregisters
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub expires: u32,
    /// The Contact [default: the AoR's user at the local address]
    #[arg(long, value_name = "URI")]
    pub contact: Option<String>,
    /// The Date header, to play a phone with a wrong clock
    #[arg(long, value_name = "DATE")]
    pub date: Option<String>,

    /// Certification authorities for TLS and https, PEM [default: the system's]
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

impl RegisterOptions {
    /// Does the run go on with what the state file holds?
    pub fn continues(&self) -> bool {
        self.pop || self.refresh || self.token_pop
    }
}

/// A grant that the phone asks the proxy for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GrantOption {
    /// Tokens for a user whom the proxy authenticates with Digest.
    Password,
}

/// The spelling of [`Ha1Form`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HashForm {
    /// Lower-case hex text.
    Hex,
    /// Raw octets.
    Raw,
}

impl From<HashForm> for Ha1Form {
    fn from(form: HashForm) -> Ha1Form {
        match form {
            HashForm::Hex => Ha1Form::Hex,
            HashForm::Raw => Ha1Form::Raw,
        }
    }
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

/// What stands for a Contact of `*` in the digest-string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PopStar {
    /// The `*` itself.
    Star,
    /// Nothing, as RFC 4474 section 9 has it.
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

/// A time on the command line.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.1..=3600.0).contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.1 to 3600, for example 10".into())
}
