// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the parameters of auth_oauth from a Kamailio configuration, with the values that Kamailio would pass to the
//! module. Tools use it to read the same configuration as the proxy. It understands only what affects the parameters;
//! `kamailio -c` checks the rest.

mod characters;
mod defines;
mod directives;
mod lexer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lexer::{Lexer, Token};
use sipoauth_core::config::ConfigError;

const MODULE: &str = "auth_oauth";
/// Parameters of the module that the library has no setting for.
pub const MODULE_ONLY: [&str; 3] = ["event_callback", "location_table", "proxy_accepts_authorization"];

/// A module, a parameter of it that is 0 by default, and the setting that is "yes" while the parameter is 0.
const LOCATION: [(&str, &str, &str); 2] =
    [("registrar", "case_sensitive", "location_folds_case"), ("usrloc", "use_domain", "location_ignores_domain")];

/// Largest file in octets.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

/// One `modparam` of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub key: String,
    /// Its value. A number is in decimal, however the file writes it.
    pub value: String,
    /// Its place, as `FILE:LINE`.
    pub place: String,
}

/// What a configuration says about the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The parameters in order.
    pub parameters: Vec<Parameter>,
    /// How registrar and usrloc treat addresses, as settings. In the proxy the module asks these modules itself.
    pub location: Vec<(&'static str, &'static str)>,
    /// One sentence for each place that Kamailio may read differently.
    pub notes: Vec<String>,
}

/// Reads files for a [`Script`]. This is a trait because tests and fuzzers have no file system.
pub trait IncludedFiles {
    /// The octets of a file.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
    /// A variable of the environment.
    fn environment(&self, name: &str) -> Option<String>;
}

/// Reads `path` and what it includes. `defines` are Kamailio's options `-A NAME` and `-A NAME=VALUE`.
pub fn read(path: &Path, defines: &[String], files: &dyn IncludedFiles) -> Result<Script, ConfigError> {
    let mut lexer = Lexer::open(path, files)?;
    for define in defines {
        lexer.define_option(define)?;
    }
    let mut script = Script::default();
    let mut loaded = BTreeSet::new();
    let mut numbers: BTreeMap<(&'static str, &'static str), bool> = BTreeMap::new();
    // Without its prefix a domain is the same as another one.
    let mut has_prefix = false;
    while let Some(token) = lexer.next()? {
        match token {
            Token::Id(word) if word == "loadmodule" || word == "loadmodulex" => {
                let place = lexer.place();
                // Both loadmodule "x.so" and loadmodule("x.so") are possible.
                let name = match lexer.next()? {
                    Some(Token::Mark(b'(')) => lexer.next()?,
                    other => other,
                };
                let Some(Token::Text(name)) = name else {
                    return Err(ConfigError(format!("{place}: {word}: write {word} \"NAME.so\"")));
                };
                let name = name.rsplit('/').next().unwrap_or(&name).trim_end_matches(".so").to_owned();
                // Kamailio defines a name for each module, which #!ifdef can test.
                lexer.define_module(&name);
                loaded.insert(name);
            }
            Token::Id(word) if word == "modparam" || word == "modparamx" => {
                let place = lexer.place();
                let (modules, key, value) = arguments(&mut lexer, &word, &place)?;
                for (module, name, _) in LOCATION {
                    if key == name && modules.split('|').any(|named| named == module) {
                        numbers.insert((module, name), value.parse().is_ok_and(|number: i64| number != 0));
                    }
                }
                if key == "realm_prefix" && modules.split('|').any(|named| named == "registrar") {
                    has_prefix = !value.is_empty();
                }
                if !modules.split('|').any(|name| name == MODULE) {
                    if modules.contains(['.', '*', '+', '?', '[', '(', '^', '$']) {
                        lexer.note(
                            "a modparam for modules that a regular expression names is not followed by this tool",
                        );
                    }
                    continue;
                }
                if !loaded.contains(MODULE) {
                    return Err(ConfigError(format!(
                        "{place}: modparam of {MODULE} before the module is loaded; write loadmodule \"{MODULE}.so\" above"
                    )));
                }
                let value = if word == "modparamx" { lexer.evaluate(&value) } else { value };
                script.parameters.push(Parameter { key, value, place });
            }
            _ => {}
        }
    }
    if !loaded.contains(MODULE) {
        return Err(ConfigError(format!(
            "{}: does not load {MODULE}.so; is this the proxy's configuration? Options that the proxy is started with belong here too (-A NAME)",
            path.display()
        )));
    }
    for (module, name, setting) in LOCATION.into_iter().filter(|(module, ..)| loaded.contains(*module)) {
        let is_set = numbers.get(&(module, name)).copied().unwrap_or(false) && !(has_prefix && name == "use_domain");
        script.location.push((setting, if is_set { "no" } else { "yes" }));
    }
    script.notes = lexer.notes();
    Ok(script)
}

/// Reads `("module", "name", value)`.
fn arguments(lexer: &mut Lexer<'_>, word: &str, place: &str) -> Result<(String, String, String), ConfigError> {
    let mut next = || lexer.next();
    let mut tokens = [next()?, next()?, next()?, next()?, next()?, next()?, next()?];
    if let (Some(Token::Mark(b'-')), Some(Token::Number(value))) = (&tokens[5], &tokens[6]) {
        (tokens[5], tokens[6]) = (Some(Token::Number(format!("-{value}"))), next()?);
    }
    match tokens {
        [
            Some(Token::Mark(b'(')),
            Some(Token::Text(module)),
            Some(Token::Mark(b',')),
            Some(Token::Text(key)),
            Some(Token::Mark(b',')),
            Some(Token::Text(value) | Token::Number(value) | Token::Variable(value)),
            Some(Token::Mark(b')')),
        ] => Ok((module, key, value)),
        tokens => {
            // A bare word in place of a text is usually a name that is not defined, so the error shows it. In place of
            // a secret it may be the secret itself.
            let secret = matches!(&tokens[3], Some(Token::Text(key)) if key == "store_key");
            let word_in_place = tokens.iter().flatten().find_map(|token| match token {
                Token::Id(name) if !secret => Some(name.clone()),
                _ => None,
            });
            Err(ConfigError(match word_in_place {
                Some(name) => format!(
                    "{place}: {word}: '{name}' is neither a text in quotes nor defined; write \"…\", or #!define {name}, or start with -A {name}=VALUE"
                ),
                None => format!("{place}: {word}: cannot be read; write {word}(\"MODULE\", \"NAME\", VALUE)"),
            }))
        }
    }
}

#[cfg(test)]
mod tests;
