// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines that Kamailio's preprocessor acts on: definitions, conditions, substitutions, included files.

use super::characters::{is_blank, is_word};
use super::defines::{Mode, parts};
use super::included::{self, MAX_FILES};
use super::lexer::{Lexer, Token};
use sipoauth_core::config::ConfigError;

/// Deepest nesting of included files, and of conditions, as in Kamailio.
const MAX_DEPTH: usize = 10;
const MAX_CONDITIONS: usize = 512;

impl Lexer<'_> {
    /// Acts on a line that begins with `#!` or `!!`. Returns false when it is not a directive.
    pub(super) fn directive(&mut self) -> Result<bool, ConfigError> {
        let file = self.file();
        let mut name = Vec::new();
        while let Some(octet) = file.peek(2 + name.len()).filter(|octet| is_word(*octet)) {
            name.push(octet);
        }
        let after = file.peek(2 + name.len());
        let separated = after.is_some_and(is_blank);
        let mode = match name.as_slice() {
            b"trydefine" | b"trydef" => Mode::Try,
            b"redefine" | b"redef" => Mode::Redefine,
            _ => Mode::Define,
        };
        match name.as_slice() {
            b"define" | b"def" | b"trydefine" | b"trydef" | b"redefine" | b"redef" if separated => {
                self.file().skip(2 + name.len());
                self.define(mode)?;
            }
            b"ifdef" | b"ifndef" if separated => {
                self.file().skip(2 + name.len());
                self.condition(name == b"ifdef")?;
            }
            b"else" | b"endif" if self.ends_condition(&name) => {}
            b"subst" | b"substdef" | b"substdefs" => {
                self.file().skip(2 + name.len());
                self.substitution(&name)?;
            }
            b"defenv" | b"defenvs" | b"trydefenv" | b"trydefenvs" => {
                self.file().skip(2 + name.len());
                self.environment(name.ends_with(b"s"), name.starts_with(b"try"))?;
            }
            b"include_file" | b"import_file" => {
                self.file().skip(2 + name.len());
                self.include(name == b"include_file")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn define(&mut self, mode: Mode) -> Result<(), ConfigError> {
        let file = self.file();
        file.take_while(is_blank);
        let name = file.word();
        if name.is_empty() || name[0].is_ascii_digit() || file.peek(name.len()) == Some(b'-') {
            return self.fail("#!define needs a name of letters, digits and '_'");
        }
        file.skip(name.len());
        file.take_while(is_blank);
        let mut value = Vec::new();
        while let Some(octet) = file.next().filter(|octet| *octet != b'\n') {
            match octet {
                b'\\' if file.peek(0) == Some(b'\n') => {
                    file.next();
                }
                octet => value.push(octet),
            }
        }
        self.defines.define(&name, value, mode).or_else(|e| self.fail(&e))
    }

    fn condition(&mut self, defined: bool) -> Result<(), ConfigError> {
        let file = self.file();
        file.take_while(is_blank);
        let name = file.word();
        file.skip(name.len());
        file.take_while(is_blank);
        if name.is_empty() || !matches!(file.next(), None | Some(b'\n')) {
            return self.fail("#!ifdef needs one name of letters, digits and '_', and nothing behind it");
        }
        if self.conditions.len() >= MAX_CONDITIONS {
            return self.fail("too many nested #!ifdef");
        }
        self.conditions.push(self.defines.get(&name).is_some() == defined);
        Ok(())
    }

    /// `#!else` and `#!endif` stand alone on their line.
    fn ends_condition(&mut self, name: &[u8]) -> bool {
        let file = self.file();
        let mut ahead = 2 + name.len();
        while file.peek(ahead).is_some_and(is_blank) {
            ahead += 1;
        }
        if !matches!(file.peek(ahead), None | Some(b'\n')) {
            return false;
        }
        file.skip(ahead + 1);
        if name == b"endif" {
            self.conditions.pop();
        } else if let Some(last) = self.conditions.last_mut() {
            *last = !*last;
        }
        true
    }

    /// Skips the text that a condition excludes. In that text, directives count anywhere in a line.
    pub(super) fn skip_condition(&mut self) -> Result<(), ConfigError> {
        while self.conditions.contains(&false) {
            let Some(file) = self.stack.last_mut() else { return Ok(()) };
            self.line = file.line;
            if matches!(file.peek(0), Some(b'#' | b'!')) && file.peek(1) == Some(b'!') {
                let mut name = Vec::new();
                while let Some(octet) = file.peek(2 + name.len()).filter(|octet| is_word(*octet)) {
                    name.push(octet);
                }
                let separated = file.peek(2 + name.len()).is_some_and(is_blank);
                match name.as_slice() {
                    b"ifdef" | b"ifndef" if separated => {
                        file.skip(2 + name.len());
                        self.condition(name == b"ifdef")?;
                        continue;
                    }
                    b"else" | b"endif" if self.ends_condition(&name) => continue,
                    _ => {}
                }
            }
            if self.file().next().is_none() {
                if self.stack.len() == 1 {
                    return self.end_of_all();
                }
                self.stack.pop();
            }
        }
        Ok(())
    }

    pub(super) fn end_of_all(&mut self) -> Result<(), ConfigError> {
        match self.conditions.is_empty() {
            true => Ok(()),
            false => self.fail("an #!ifdef has no #!endif"),
        }
    }

    fn substitution(&mut self, name: &[u8]) -> Result<(), ConfigError> {
        let rule = match self.next()? {
            Some(Token::Text(rule)) => rule,
            _ => return self.fail("#!subst needs a text: \"/PATTERN/REPLACEMENT/\""),
        };
        let (pattern, value, flags) =
            parts(&rule).or_else(|e| self.fail(&format!("#!{}: {e}", String::from_utf8_lossy(name))))?;
        let value = self.evaluate(value);
        let followed = self.defines.substitute(pattern, &value, flags).or_else(|e| self.fail(&e))?;
        if !followed {
            self.note("a #!subst with a regular expression is not followed by this tool");
        }
        if name == b"subst" {
            return Ok(());
        }
        let value = if name == b"substdefs" { quoted_value(&value) } else { value };
        self.defines.define(pattern.as_bytes(), value.into_bytes(), Mode::Define).or_else(|e| self.fail(&e))
    }

    fn environment(&mut self, quote: bool, may_lack: bool) -> Result<(), ConfigError> {
        let file = self.file();
        file.take_while(is_blank);
        let text = String::from_utf8_lossy(&file.take_while(|o| !is_blank(o) && o != b'\n')).into_owned();
        let (name, variable) = text.split_once('=').unwrap_or((&text, &text));
        let value = match self.files.environment(variable) {
            Some(value) => value,
            None if may_lack => return Ok(()),
            None => {
                return self.fail(&format!("#!defenv: {variable} is not in the environment; set it as for the proxy"));
            }
        };
        let value = if quote { quoted_value(&value) } else { value };
        self.defines.define(name.as_bytes(), value.into_bytes(), Mode::Define).or_else(|e| self.fail(&e))
    }

    /// Replaces `$env(NAME)` and `$def(NAME)` by their values.
    pub fn evaluate(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let inside = |name: &str| rest.strip_prefix(name)?.split_once(')');
            if let Some((name, after)) = inside("$env(") {
                out.push_str(&self.files.environment(name).unwrap_or_default());
                rest = after;
            } else if let Some((name, after)) = inside("$def(") {
                out.push_str(
                    &self.defines.get(name.as_bytes()).map(|v| String::from_utf8_lossy(v)).unwrap_or_default(),
                );
                rest = after;
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out + rest
    }

    pub(super) fn include(&mut self, needed: bool) -> Result<(), ConfigError> {
        let file = self.file();
        file.take_while(is_blank);
        let text = file.take_while(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
        let text = String::from_utf8_lossy(&text).into_owned();
        let Some(name) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).filter(|t| !t.is_empty()) else {
            return self.fail("the name of an included file stands in quotes and has no blanks: include_file \"FILE\"");
        };
        let name = name.replace("\\\"", "\"").replace("\\\\", "\\");
        if self.stack.len() > MAX_DEPTH || self.opened > MAX_FILES {
            return self.fail(&format!("too many included files at {name}; does a file include itself?"));
        }
        let files = self.files;
        match included::read(&name, &self.file().name, files) {
            Ok((path, text)) => self.push_file(path, text),
            Err(sentence) if needed => self.fail(&sentence),
            Err(_) => Ok(()),
        }
    }
}

/// Kamailio adds the quotes and nothing else.
fn quoted_value(value: &str) -> String {
    format!("\"{value}\"")
}
