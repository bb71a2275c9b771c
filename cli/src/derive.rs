// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth derive`: computes the shared key and the proof that a phone must compute as well, for phone developers.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use sipoauth_core::keys::pop::{make_pop, pop_from_text, pop_to_text, verify_pop};
use sipoauth_core::keys::shared_key::shared_key;
use sipoauth_core::sip::digest_string::{DigestParts, digest_string, digest_string_with_uri};
use zeroize::Zeroizing;

use crate::options::Order;
use crate::output::Output;

const MAX_INPUT: u64 = 64 * 1024;

const KEY_EXAMPLES: &str = "\
Example, with the tags and the Call-ID of the 200 OK:
  sipoauth derive key --code - --from-tag a1 --to-tag b2 --call-id c3@phone";

const POP_EXAMPLES: &str = "\
Example, with the values as they stand in the request (addr-spec: the URI between '<' and '>'):
  sipoauth derive pop --key - --from sip:alice@example.com --to sip:alice@example.com --call-id c3@phone \\
    --cseq '2 REGISTER' --date 'Sat, 13 Nov 2010 23:29:00 GMT' --contact sip:alice@192.0.2.1

When the proof travels in the body, the body is what is left of it without the pop parameter (unless the proxy has dialect = empty_body).
With --compare the exit code tells whether a proof is right: 0 it is, 3 it is not.";

/// Derives a key or a proof.
#[derive(Subcommand)]
pub enum DeriveCommand {
    /// The shared key of a registration with a code
    #[command(after_help = KEY_EXAMPLES)]
    Key(SharedKeyOptions),
    /// The digest-string of a request and its proof of possession
    #[command(after_help = POP_EXAMPLES)]
    Pop(PopOptions),
}

/// What the shared key is made from.
#[derive(Args)]
pub struct SharedKeyOptions {
    /// The authorization code; - reads it from standard input
    #[arg(long, allow_hyphen_values = true)]
    code: String,
    /// Tag of From
    #[arg(long, value_name = "TAG", allow_hyphen_values = true)]
    from_tag: String,
    /// Tag of To
    #[arg(long, value_name = "TAG", allow_hyphen_values = true)]
    to_tag: String,
    /// Call-ID
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    call_id: String,
    /// Order of the parts
    #[arg(long, value_enum, default_value = "draft")]
    key_order: Order,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a proof is made from.
#[derive(Args)]
pub struct PopOptions {
    /// The shared key as 'derive key' prints it (base64url, also base64 or hex); - reads it from standard input
    #[arg(long, allow_hyphen_values = true)]
    key: String,
    /// addr-spec of From
    #[arg(long, value_name = "URI")]
    from: String,
    /// addr-spec of To
    #[arg(long, value_name = "URI")]
    to: String,
    /// Call-ID
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    call_id: String,
    /// CSeq: number and method
    #[arg(long, value_name = "TEXT")]
    cseq: String,
    /// Date
    #[arg(long, value_name = "DATE")]
    date: String,
    /// addr-spec of the Contact, or * as it stands; leave it out when there is none, or for * with the setting dialect = empty_star
    #[arg(long, value_name = "URI", default_value = "")]
    contact: String,
    /// The Request-URI, where the proof covers it (setting dialect = request_uri)
    #[arg(long, value_name = "URI")]
    request_uri: Option<String>,
    /// A file with the body, octet for octet
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A proof to compare with
    #[arg(long, value_name = "POP", allow_hyphen_values = true)]
    compare: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl DeriveCommand {
    /// Runs the command and returns the exit code.
    pub fn run(&self) -> u8 {
        let (json, done) = match self {
            DeriveCommand::Key(options) => (options.json, key(options)),
            DeriveCommand::Pop(options) => (options.json, pop(options)),
        };
        done.unwrap_or_else(|sentence| Output { json }.error(&sentence))
    }
}

fn key(options: &SharedKeyOptions) -> Result<u8, String> {
    let code = secret(&options.code)?;
    let parts = [&options.from_tag, &options.to_tag, &options.call_id].map(|part| part.as_bytes());
    let key = shared_key(options.key_order.into(), code.as_bytes(), parts[0], parts[1], parts[2]);
    let text = Zeroizing::new(pop_to_text(&key));
    let output = Output { json: options.json };
    output.line(&text);
    output.value(&json!({"key": text.as_str()}));
    Ok(0)
}

fn pop(options: &PopOptions) -> Result<u8, String> {
    let key = Zeroizing::new(pop_from_text(&secret(&options.key)?).ok_or("--key: is not a key of 32 octets")?);
    let body = match &options.body_file {
        Some(path) => fs::read(path).map_err(|e| format!("{}: cannot be read: {e}", path.display()))?,
        None => Vec::new(),
    };
    let parts = DigestParts {
        from: options.from.as_bytes(),
        to: options.to.as_bytes(),
        call_id: options.call_id.as_bytes(),
        cseq: options.cseq.as_bytes(),
        date: options.date.as_bytes(),
        contact: options.contact.as_bytes(),
        body: &body,
    };
    let digest = match &options.request_uri {
        Some(uri) => digest_string_with_uri(&parts, uri.as_bytes()),
        None => digest_string(&parts),
    }
    .map_err(|error| format!("the digest-string cannot be made: {error:?} is missing, cannot be read, or has a '|'"))?;
    let text = pop_to_text(&make_pop(&*key, &digest));
    let fits = options.compare.as_deref().map(|received| verify_pop(&*key, &digest, received.trim()));
    let digest = String::from_utf8_lossy(&digest);
    let output = Output { json: options.json };
    output.field("digest-string", &digest);
    output.field("pop", &text);
    if let Some(fits) = fits {
        output.field("compared", if fits { "the same" } else { "another: key, digest-string or proof differ" });
    }
    output.value(&json!({"digest_string": digest, "pop": text, "fits": fits}));
    Ok(if fits == Some(false) { crate::outcome::REFUSED } else { 0 })
}

/// A secret from the command line, or from standard input without its line end.
fn secret(given: &str) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(given.to_owned());
    if given == "-" {
        text.clear();
        let read = io::stdin().take(MAX_INPUT).read_to_string(&mut text);
        read.map_err(|e| format!("standard input cannot be read: {e}"))?;
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
    }
    if text.is_empty() {
        return Err("the code or key is empty".into());
    }
    Ok(text)
}
