// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits a configuration into words, texts and marks. It skips comments, expands definitions, resolves the escapes of
//! texts in quotes and joins texts that stand next to each other. Kamailio and OpenSIPS have one origin, so that their
//! words and texts differ little.

use super::characters::{Characters, is_blank, is_word};
use super::defines::{Defines, Mode};
use super::flatten::{Flattened, Origin};
use super::{IncludedFiles, MAX_FILE, Proxy, included};
use sipoauth_core::config::ConfigError;

/// At most this many definitions are expanded, because a name may be defined as itself.
const MAX_EXPANSIONS: usize = 100_000;
const MAX_NOTES: usize = 20;
/// OpenSIPS puts this mark and a number before each line. It removes the marks from texts of several lines, but not
/// behind a backslash.
pub(super) const LINE_MARK: &str = "__OSSPP_LINE__";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Id(String),
    Text(String),
    Number(String),
    /// `$name(…)` or `$(…)` as written.
    Variable(String),
    Mark(u8),
}

pub(super) struct Lexer<'f> {
    pub(super) files: &'f dyn IncludedFiles,
    /// Whose file it is. None reads what both have in common, and no other files.
    proxy: Option<Proxy>,
    /// Where the lines are from, if the files were put together before.
    origin: Option<Origin>,
    /// The last element is the file that is being read. The files that include it are before it.
    pub(super) stack: Vec<Characters>,
    pub(super) defines: Defines,
    pub(super) conditions: Vec<bool>,
    expansions: usize,
    pub(super) opened: usize,
    /// Line of the last token.
    pub(super) line: usize,
    notes: Vec<String>,
}

impl<'f> Lexer<'f> {
    /// Reads a file of Kamailio.
    pub fn kamailio(name: String, text: Vec<u8>, files: &'f dyn IncludedFiles) -> Lexer<'f> {
        Lexer::new(Some(Proxy::Kamailio), name, text, files)
    }

    /// Reads the files of OpenSIPS.
    pub fn opensips(flattened: Flattened, files: &'f dyn IncludedFiles) -> Lexer<'f> {
        let mut lexer = Lexer::new(Some(Proxy::OpenSips), String::new(), flattened.text, files);
        lexer.origin = Some(flattened.origin);
        lexer
    }

    /// Reads a file of either.
    pub fn either(text: Vec<u8>, files: &'f dyn IncludedFiles) -> Lexer<'f> {
        Lexer::new(None, String::new(), text, files)
    }

    fn new(proxy: Option<Proxy>, name: String, text: Vec<u8>, files: &'f dyn IncludedFiles) -> Lexer<'f> {
        Lexer {
            files,
            proxy,
            origin: None,
            stack: vec![Characters::new(name, text)],
            defines: Defines::default(),
            conditions: Vec::new(),
            expansions: 0,
            opened: 1,
            line: 1,
            notes: Vec::new(),
        }
    }

    pub fn is_of(&self, proxy: Proxy) -> bool {
        self.proxy == Some(proxy)
    }

    /// Kamailio's option `-A`.
    pub fn define_option(&mut self, option: &str) -> Result<(), ConfigError> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(ConfigError(format!("-A {option}: write NAME or NAME=VALUE")));
        }
        let defined = self.defines.define(name.as_bytes(), value.as_bytes().to_vec(), Mode::Define);
        defined.map_err(|e| ConfigError(format!("-A {name}: {e}")))
    }

    /// The name that Kamailio defines for a loaded module.
    pub fn define_module(&mut self, module: &str) {
        // If there is no room for the name, Kamailio stops at the next definition, and so does this lexer.
        let _ = self.defines.define(format!("MOD_{module}").as_bytes(), Vec::new(), Mode::Try);
    }

    /// `FILE:LINE` of the last token.
    pub fn place(&self) -> String {
        if let Some(origin) = &self.origin {
            return origin.place(self.line);
        }
        format!("{}:{}", self.stack.last().map_or("", |file| &file.name), self.line)
    }

    /// Remembers that the proxy may read this place differently.
    pub fn note(&mut self, sentence: &str) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(format!("{}: {sentence}", self.place()));
        }
    }

    pub fn notes(self) -> Vec<String> {
        self.notes
    }

    /// The next token; None at the end.
    pub fn next(&mut self) -> Result<Option<Token>, ConfigError> {
        loop {
            if self.conditions.contains(&false) {
                self.skip_condition()?;
            }
            let Some(file) = self.stack.last_mut() else { return Ok(None) };
            self.line = file.line;
            let Some(octet) = file.peek(0) else {
                if self.stack.len() == 1 {
                    self.end_of_all()?;
                }
                self.stack.pop();
                continue;
            };
            match octet {
                b'#' | b'!' if self.proxy == Some(Proxy::Kamailio) && file.peek(1) == Some(b'!') => {
                    match (self.directive()?, octet) {
                        (true, _) => {}
                        (false, b'#') => self.comment(),
                        (false, _) => {
                            self.file().next();
                            return Ok(Some(Token::Mark(octet)));
                        }
                    }
                }
                b'#' => self.comment(),
                b'/' if file.peek(1) == Some(b'/') => match self.proxy {
                    Some(Proxy::OpenSips) => return self.fail("OpenSIPS has no comments with //; write #"),
                    _ => self.comment(),
                },
                b'/' if file.peek(1) == Some(b'*') => self.block_comment()?,
                b'"' => return self.quoted().map(Some),
                b'\'' => return self.ticked().map(Some),
                b'$' => return self.variable().map(Some),
                octet if octet.is_ascii_digit() => {
                    let word = String::from_utf8_lossy(&file.take_while(is_word)).into_owned();
                    return Ok(Some(number(&word)));
                }
                octet if is_word(octet) => {
                    if let Some(token) = self.word()? {
                        return Ok(Some(token));
                    }
                }
                octet if is_blank(octet) || octet == b'\n' => {
                    file.next();
                }
                octet => {
                    file.next();
                    return Ok(Some(Token::Mark(octet)));
                }
            }
        }
    }

    /// Reads a word. None when an included file or a definition takes its place; that text is read next.
    fn word(&mut self) -> Result<Option<Token>, ConfigError> {
        let file = self.file();
        let word = file.word();
        file.skip(word.len());
        match (self.proxy, word.as_slice()) {
            (_, b"yes" | b"true" | b"on" | b"enable") => return Ok(Some(Token::Number("1".into()))),
            (_, b"no" | b"false" | b"off" | b"disable") => return Ok(Some(Token::Number("0".into()))),
            (Some(Proxy::Kamailio), b"include_file") => return self.include(true).map(|()| None),
            (Some(Proxy::Kamailio), b"import_file") => return self.include(false).map(|()| None),
            (Some(Proxy::OpenSips), b"include_file" | b"import_file") => {
                return self.fail(
                    "OpenSIPS includes no file here; write include_file \"FILE\" at the beginning of a line, with quotes",
                );
            }
            _ => {}
        }
        let Some(value) = self.defines.get(&word) else {
            return Ok(Some(Token::Id(String::from_utf8_lossy(&word).into_owned())));
        };
        let value = value.clone();
        self.expansions += 1;
        if self.expansions > MAX_EXPANSIONS || self.file().pending() > MAX_FILE {
            return self.fail(&format!("the definition of {} stands for itself", String::from_utf8_lossy(&word)));
        }
        self.file().push_back(&value);
        Ok(None)
    }

    fn comment(&mut self) {
        let file = self.file();
        file.take_while(|octet| octet != b'\n');
    }

    /// Comments of this kind nest.
    fn block_comment(&mut self) -> Result<(), ConfigError> {
        let mut depth = 0;
        loop {
            let file = self.file();
            if file.starts_with("/*") {
                depth += 1;
                file.skip(2);
            } else if file.starts_with("*/") {
                depth -= 1;
                file.skip(2);
                if depth == 0 {
                    return Ok(());
                }
            } else if file.next().is_none() {
                return self.fail("the comment that begins here has no end");
            }
        }
    }

    /// A text in double quotes, joined with the quoted texts that directly follow it.
    fn quoted(&mut self) -> Result<Token, ConfigError> {
        let mut text = Vec::new();
        let is_opensips = self.is_of(Proxy::OpenSips);
        while self.file().peek(0) == Some(b'"') {
            self.file().next();
            loop {
                let file = self.file();
                match file.next() {
                    Some(b'"') => break,
                    Some(b'\\') if is_opensips && file.peek(0) == Some(b'\n') => {
                        file.next();
                        text.extend(format!("{LINE_MARK}\n").bytes());
                    }
                    Some(b'\\') => escape(file, &mut text),
                    Some(octet) => text.push(octet),
                    None => return self.fail("the text that begins here has no closing '\"'"),
                }
            }
            // Only blanks and line ends may stand between the parts of one text.
            let file = self.file();
            let mut ahead = 0;
            while file.peek(ahead).is_some_and(|octet| is_blank(octet) || octet == b'\n') {
                ahead += 1;
            }
            if file.peek(ahead) == Some(b'"') {
                file.skip(ahead);
            }
        }
        Ok(Token::Text(self.defines.apply(String::from_utf8_lossy(&text).into_owned())))
    }

    /// A text in single quotes: no escapes.
    fn ticked(&mut self) -> Result<Token, ConfigError> {
        let file = self.file();
        file.next();
        let text = file.take_while(|octet| octet != b'\'');
        if file.next().is_none() {
            return self.fail("the text that begins here has no closing \"'\"");
        }
        Ok(Token::Text(self.defines.apply(String::from_utf8_lossy(&text).into_owned())))
    }

    /// A variable. Quotes between its brackets do not open a text.
    fn variable(&mut self) -> Result<Token, ConfigError> {
        let file = self.file();
        let mut text = vec![b'$'];
        file.next();
        text.extend(file.take_while(is_word));
        if file.peek(0) == Some(b'(') {
            let mut depth = 0;
            loop {
                let Some(octet) = self.file().next() else {
                    return self.fail("the variable that begins here has no closing ')'");
                };
                text.push(octet);
                match octet {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        Ok(Token::Variable(String::from_utf8_lossy(&text).into_owned()))
    }

    pub(super) fn push_file(&mut self, name: String, text: Vec<u8>) -> Result<(), ConfigError> {
        let text = included::limited(&name, text)?;
        self.opened += 1;
        self.stack.push(Characters::new(name, text));
        Ok(())
    }

    pub(super) fn file(&mut self) -> &mut Characters {
        self.stack.last_mut().expect("tokens are read from a file")
    }

    pub(super) fn fail<T>(&self, sentence: &str) -> Result<T, ConfigError> {
        Err(ConfigError(format!("{}: {sentence}", self.place())))
    }
}

/// Adds what a backslash in double quotes and the characters behind it stand for.
fn escape(file: &mut Characters, text: &mut Vec<u8>) {
    let Some(octet) = file.peek(0) else {
        text.push(b'\\');
        return;
    };
    let digits = |skip: usize, most: usize, radix: u32| {
        let fits = |ahead: &usize| file.peek(skip + ahead).is_some_and(|o| char::from(o).is_digit(radix));
        let count = (0..most).take_while(fits).count();
        let value = (0..count).filter_map(|ahead| char::from(file.peek(skip + ahead)?).to_digit(radix));
        (count, value.fold(0, |value, digit| value * radix + digit) as u8)
    };
    let (hex, octal) = (digits(1, 2, 16), digits(0, 3, 8));
    match octet {
        b'n' => text.push(b'\n'),
        b'r' => text.push(b'\r'),
        b'a' => text.push(7),
        b't' => text.push(b'\t'),
        b'"' | b'\\' => text.push(octet),
        b'\n' => {}
        b'x' if hex.0 > 0 => {
            text.push(hex.1);
            file.skip(hex.0);
        }
        b'0'..=b'7' if octal.0 >= 2 => {
            text.push(octal.1);
            file.skip(octal.0 - 1);
        }
        // Any other backslash stands for itself, and the octet behind it is kept.
        _ => {
            text.push(b'\\');
            return;
        }
    }
    file.next();
}

/// A number as both proxies read it. Text that only begins like a number is a word.
fn number(word: &str) -> Token {
    let value = match word.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if word.len() > 1 && word.starts_with('0') => i64::from_str_radix(word, 8),
        None => word.parse(),
    };
    value.map_or_else(|_| Token::Id(word.to_owned()), |value| Token::Number(value.to_string()))
}
