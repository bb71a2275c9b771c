// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth token show`: shows header and claims as they are. It verifies nothing and says so.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Map, Value, json};
use sipoauth_core::jose::hashed_token::token_fingerprint;
use sipoauth_core::rules::claims::Claims;
use sipoauth_core::text::json::Json;

use super::input::TokenInput;
use crate::output::{Output, moment, now};

const EXAMPLES: &str = "\
Examples:
  sipoauth token show --token-file token
  pbpaste | sipoauth token show -

Nothing is verified: anybody can write such a token. sipoauth token verify checks it.
The fingerprint is the one of the proxy's log and of $oauth(fingerprint).";

/// Claims that are times (RFC 7519 section 4.1, OpenID Connect Core section 2).
const TIMES: [&str; 5] = ["exp", "nbf", "iat", "auth_time", "updated_at"];

/// What to show.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowOptions {
    #[command(flatten)]
    input: TokenInput,
    /// Print the signature and the whole token, too
    #[arg(long)]
    show_secrets: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command and returns the exit code.
pub fn run(options: &ShowOptions) -> u8 {
    let output = Output { json: options.json };
    let token = match options.input.read() {
        Ok(token) => token,
        Err(sentence) => return output.error(&sentence),
    };
    let parts: Vec<&str> = token.split('.').collect();
    let object =
        |part: &str| -> Option<Map<String, Value>> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = object(parts[0]).filter(|_| matches!(parts.len(), 3 | 5));
    let claims = if parts.len() == 3 { object(parts[1]) } else { None };
    let kind = kind(&parts, header.as_ref(), claims.as_ref());
    let fingerprint = token_fingerprint(&token);
    let now = now();
    output.line("NOT VERIFIED: anybody can write such a token. 'sipoauth token verify' checks it.");
    output.line("");
    output.field("kind", &kind);
    output.field("length", &format!("{} octets", token.len()));
    output.field("fingerprint", &fingerprint);
    for (title, members) in [("header", &header), ("claims", &claims)] {
        if let Some(members) = members {
            output.line(title);
            for (name, value) in members {
                output.field(name, &shown(name, value, now));
            }
        }
    }
    let times = claims.iter().flatten().filter(|(name, _)| TIMES.contains(&name.as_str()));
    let times: Map<String, Value> =
        times.filter_map(|(name, value)| Some((name.clone(), moment(value.as_i64()?, now).into()))).collect();
    let mut value = json!({
        "verified": false,
        "kind": kind,
        "length": token.len(),
        "fingerprint": fingerprint,
        "header": header,
        "claims": claims,
        "times": times,
    });
    if options.show_secrets {
        output.line("secrets");
        if parts.len() == 3 {
            output.field("signature", parts[2]);
            value["signature"] = parts[2].into();
        }
        // `Output` limits the length of a line, and a token may be longer.
        if !options.json {
            let _ = writeln!(io::stdout(), "  token              {}", token.as_str());
        }
        value["token"] = token.as_str().into();
    }
    output.value(&value);
    0
}

fn shown(name: &str, value: &Value, now: i64) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64().filter(|_| TIMES.contains(&name)) {
            Some(seconds) => format!("{seconds}, {}", time(name, seconds, now)),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn time(name: &str, seconds: i64, now: i64) -> String {
    let text = moment(seconds, now);
    match name {
        "exp" if seconds <= now => format!("EXPIRED {text}"),
        "exp" => format!("expires {text}"),
        _ => text,
    }
}

/// What the token looks like. This is a guess, because only the server knows what it has issued.
fn kind(parts: &[&str], header: Option<&Map<String, Value>>, claims: Option<&Map<String, Value>>) -> String {
    let kind = match (parts.len(), header, claims) {
        (5, Some(_), _) => "JWE: encrypted, only its header can be read here",
        (3, Some(header), Some(claims)) => return kind_of_jwt(header, claims),
        (3, ..) => "not a token that can be read: a part is not base64url or not JSON",
        _ => "opaque: only its server can say what it means",
    };
    kind.to_owned()
}

fn kind_of_jwt(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    let typ = header.get("typ").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase();
    let text = Value::Object(claims.clone()).to_string();
    let kind = match Json::parse(text.as_bytes()).as_ref().map(Claims::from_json) {
        Ok(Ok(mut read)) => {
            read.take_type(typ.strip_prefix("application/").unwrap_or(&typ));
            if read.is_id_token { "looks like an ID token" } else { "looks like an access token" }.to_owned()
        }
        Ok(Err(fault)) => {
            let what = fault.sentence("token").unwrap_or_else(|| fault.reason.text().to_owned());
            format!("not accepted anywhere: {what}")
        }
        Err(_) => "its claims are too many or nested too deeply".to_owned(),
    };
    format!("signed JWT, {kind}")
}
