// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the parameters of auth_oauth from a configuration of Kamailio or OpenSIPS, with the values that the proxy would
//! pass to the module. Tools use it to read the same configuration as the proxy. It understands only what affects the
//! parameters; `kamailio -c` and `opensips -C` check the rest.

mod characters;
mod defines;
mod directives;
mod flatten;
mod included;
mod kind;
mod lexer;
mod location;

use std::collections::BTreeSet;
use std::path::Path;

use flatten::flatten;
use lexer::{LINE_MARK, Lexer, Token};
use location::Location;
use sipoauth_core::config::ConfigError;

const MODULE: &str = "auth_oauth";

/// A proxy whose configuration can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Kamailio.
    Kamailio,
    /// OpenSIPS.
    OpenSips,
}

impl Proxy {
    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Proxy::Kamailio => "Kamailio",
            Proxy::OpenSips => "OpenSIPS",
        }
    }

    /// The tool's option for a configuration of it.
    pub fn option(self) -> &'static str {
        match self {
            Proxy::Kamailio => "--kamailio",
            Proxy::OpenSips => "--opensips",
        }
    }

    /// The user that its packages run it as.
    pub fn user(self) -> &'static str {
        match self {
            Proxy::Kamailio => "kamailio",
            Proxy::OpenSips => "opensips",
        }
    }

    /// Parameters of its module that the library has no setting for.
    pub fn module_only(self) -> &'static [&'static str] {
        match self {
            Proxy::Kamailio => &["event_callback", "location_table", "proxy_accepts_authorization"],
            Proxy::OpenSips => &["location_table", "proxy_accepts_authorization"],
        }
    }
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Whose configuration it is.
    pub proxy: Proxy,
    /// The parameters in order.
    pub parameters: Vec<Parameter>,
    /// How registrar and usrloc treat addresses, as settings. In the proxy the module asks these modules itself.
    pub location: Vec<(&'static str, &'static str)>,
    /// One sentence for each place that the proxy may read differently.
    pub notes: Vec<String>,
}

/// Reads files for a [`Script`]. This is a trait because tests and fuzzers have no file system.
pub trait IncludedFiles {
    /// The octets of a file.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
    /// A variable of the environment.
    fn environment(&self, name: &str) -> Option<String>;
}

/// Reads `path` and what it includes. `named` is the proxy that the operator names; without it the file itself must show
/// whose it is. `defines` are Kamailio's options `-A NAME` and `-A NAME=VALUE`.
pub fn read(
    path: &Path,
    named: Option<Proxy>,
    defines: &[String],
    files: &dyn IncludedFiles,
) -> Result<Script, ConfigError> {
    let name = path.display().to_string();
    let text = files.read(path).map_err(|e| ConfigError(format!("{name}: cannot be read: {e}")))?;
    let text = included::limited(&name, text)?;
    let proxy = kind::of(path, &text, named, files)?;
    let mut lexer = match proxy {
        Proxy::Kamailio => Lexer::kamailio(name, text, files),
        Proxy::OpenSips => Lexer::opensips(flatten(name, text, files)?, files),
    };
    if let (Proxy::OpenSips, Some(define)) = (proxy, defines.first()) {
        return Err(ConfigError(format!("-A {define}: OpenSIPS has no definitions; leave -A out")));
    }
    for define in defines {
        lexer.define_option(define)?;
    }
    let mut reader = Reader::new(lexer, proxy);
    while let Some(token) = reader.lexer.next()? {
        if let Token::Id(word) = token {
            reader.statement(&word)?;
        }
    }
    reader.finish(path)
}

/// Is a module among the `modules` of a modparam? Their names are the alternatives of a regular expression that ignores
/// case.
fn names(modules: &str, module: &str) -> bool {
    modules.split('|').any(|name| name.eq_ignore_ascii_case(module))
}

/// The name of the module in a file.
fn module_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".so")
}

/// Collects what the statements say.
struct Reader<'f> {
    lexer: Lexer<'f>,
    script: Script,
    loaded: BTreeSet<String>,
    location: Location,
}

impl<'f> Reader<'f> {
    fn new(lexer: Lexer<'f>, proxy: Proxy) -> Reader<'f> {
        let script = Script { proxy, parameters: Vec::new(), location: Vec::new(), notes: Vec::new() };
        Reader { lexer, script, loaded: BTreeSet::new(), location: Location::new(proxy) }
    }

    /// Reads the rest of a statement that counts.
    fn statement(&mut self, word: &str) -> Result<(), ConfigError> {
        let is_kamailio = self.lexer.is_of(Proxy::Kamailio);
        match word {
            "loadmodule" => self.load(word),
            "loadmodulex" if is_kamailio => self.load(word),
            "modparam" => self.set(word),
            "modparamx" if is_kamailio => self.set(word),
            _ => Ok(()),
        }
    }

    fn load(&mut self, word: &str) -> Result<(), ConfigError> {
        let place = self.lexer.place();
        // In Kamailio both loadmodule "x.so" and loadmodule("x.so") are possible.
        let file = match self.lexer.next()? {
            Some(Token::Mark(b'(')) if self.lexer.is_of(Proxy::Kamailio) => self.lexer.next()?,
            other => other,
        };
        let Some(Token::Text(file)) = file else {
            return Err(ConfigError(format!("{place}: {word}: write {word} \"NAME.so\"")));
        };
        let module = module_name(&file);
        // Kamailio defines a name for each module, which #!ifdef can test.
        self.lexer.define_module(module);
        self.loaded.insert(module.to_owned());
        Ok(())
    }

    fn set(&mut self, word: &str) -> Result<(), ConfigError> {
        let place = self.lexer.place();
        let (modules, key, value) = arguments(&mut self.lexer, word, &place)?;
        self.location.modparam(&modules, &key, &value);
        if !names(&modules, MODULE) {
            if modules.contains(['.', '*', '+', '?', '[', '(', '^', '$']) {
                self.lexer.note("a modparam for modules that a regular expression names is not followed by this tool");
            }
            return Ok(());
        }
        if !self.loaded.contains(MODULE) {
            return Err(ConfigError(format!(
                "{place}: modparam of {MODULE} before the module is loaded; write loadmodule \"{MODULE}.so\" above"
            )));
        }
        if self.script.proxy == Proxy::OpenSips && value.contains(LINE_MARK) {
            return Err(ConfigError(format!(
                "{place}: modparam: {key}: OpenSIPS puts '{LINE_MARK}' into a text whose line ends with a backslash; close the text there, and open another one in the next line"
            )));
        }
        let value = if word == "modparamx" { self.lexer.evaluate(&value) } else { value };
        self.script.parameters.push(Parameter { key, value, place });
        Ok(())
    }

    fn finish(self, path: &Path) -> Result<Script, ConfigError> {
        let Reader { lexer, mut script, loaded, location } = self;
        let path = path.display();
        if !loaded.contains(MODULE) {
            let options = match script.proxy {
                Proxy::Kamailio => " Options that the proxy is started with belong here too (-A NAME)",
                Proxy::OpenSips => "",
            };
            return Err(ConfigError(format!(
                "{path}: does not load {MODULE}.so; is this the proxy's configuration?{options}"
            )));
        }
        script.location = location.settings(&loaded);
        script.notes = lexer.notes();
        script.notes.extend(location.doubt(&loaded).map(|sentence| format!("{path}: {sentence}")));
        Ok(script)
    }
}

/// Reads `("module", "name", value)`.
fn arguments(lexer: &mut Lexer<'_>, word: &str, place: &str) -> Result<(String, String, String), ConfigError> {
    let mut next = || lexer.next();
    let mut tokens = [next()?, next()?, next()?, next()?, next()?, next()?, next()?];
    let is_opensips = lexer.is_of(Proxy::OpenSips);
    if let (Some(Token::Mark(sign)), Some(Token::Number(value))) = (&tokens[5], &tokens[6])
        && (*sign == b'-' || *sign == b'+' && is_opensips)
    {
        let signed = if *sign == b'-' { format!("-{value}") } else { value.clone() };
        (tokens[5], tokens[6]) = (Some(Token::Number(signed)), lexer.next()?);
    }
    // OpenSIPS joins texts whatever their quotes are, and whatever comments stand between them.
    while is_opensips && let (Some(Token::Text(value)), Some(Token::Text(more))) = (&tokens[5], &tokens[6]) {
        (tokens[5], tokens[6]) = (Some(Token::Text(format!("{value}{more}"))), lexer.next()?);
    }
    let refused = is_opensips && matches!(tokens[5], Some(Token::Variable(_)));
    match tokens {
        [
            Some(Token::Mark(b'(')),
            Some(Token::Text(module)),
            Some(Token::Mark(b',')),
            Some(Token::Text(key)),
            Some(Token::Mark(b',')),
            Some(Token::Text(value) | Token::Number(value) | Token::Variable(value)),
            Some(Token::Mark(b')')),
        ] if !refused => Ok((module, key, value)),
        tokens => Err(ConfigError(format!("{place}: {word}: {}", unreadable(&tokens, word, is_opensips)))),
    }
}

/// Says why arguments cannot be read.
fn unreadable(tokens: &[Option<Token>], word: &str, is_opensips: bool) -> String {
    // A bare word in place of a text is usually a name that is not defined, so the error shows it. In place of a secret
    // it may be the secret itself.
    let secret = matches!(&tokens[3], Some(Token::Text(key)) if key == "store_key");
    let bare = tokens.iter().flatten().find_map(|token| match token {
        Token::Id(name) if !secret => Some(name),
        _ => None,
    });
    match bare {
        Some(name) if is_opensips => format!(
            "'{name}' is neither a text in quotes nor a number; write \"…\", or give this tool what the preprocessor of OpenSIPS (-p) prints"
        ),
        Some(name) => format!(
            "'{name}' is neither a text in quotes nor defined; write \"…\", or #!define {name}, or start with -A {name}=VALUE"
        ),
        None => format!("cannot be read; write {word}(\"MODULE\", \"NAME\", VALUE)"),
    }
}

#[cfg(test)]
mod opensips_tests;
#[cfg(test)]
mod tests;
