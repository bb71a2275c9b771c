// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a token comes from: the command line, standard input, or a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

const MAX_TOKEN: u64 = 256 * 1024;

/// One token.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct TokenInput {
    /// The token; - reads it from standard input
    #[arg(value_name = "TOKEN", allow_hyphen_values = true)]
    token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenInput {
    /// The token, without the scheme "Bearer" that a header field puts before it.
    pub fn read(&self) -> Result<Zeroizing<String>, String> {
        let mut text = Zeroizing::new(String::new());
        let mut read = |from: &mut dyn Read, name: &str| {
            let failed = |e: io::Error| format!("{name}: the token cannot be read: {e}");
            from.take(MAX_TOKEN + 1).read_to_string(&mut text).map_err(failed)
        };
        match (&self.token, &self.token_file) {
            (Some(token), _) if token != "-" => text.push_str(token),
            (Some(_), _) => drop(read(&mut io::stdin(), "standard input")?),
            (None, Some(path)) => {
                let name = path.display().to_string();
                let mut file = File::open(path).map_err(|e| format!("{name}: the token cannot be read: {e}"))?;
                read(&mut file, &name)?;
            }
            (None, None) => return Err("give a token, - or --token-file FILE".into()),
        }
        let token = text.trim();
        let token = match token.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => token[7..].trim(),
            _ => token,
        };
        if token.is_empty() {
            return Err("there is no token".into());
        }
        if token.len() as u64 > MAX_TOKEN {
            return Err(format!("that is longer than any token: more than {MAX_TOKEN} octets"));
        }
        if token.contains(char::is_whitespace) {
            return Err("there is more than one token, or a blank in it; give one".into());
        }
        Ok(Zeroizing::new(token.to_owned()))
    }
}
