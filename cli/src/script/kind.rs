// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whose configuration a file is. Kamailio and OpenSIPS have most of their language in common, so that only words count
//! that one of them has and the other has not.

use std::path::Path;

use super::lexer::{Lexer, Token};
use super::{IncludedFiles, Proxy, module_name};
use sipoauth_core::config::ConfigError;

/// What only Kamailio takes for more than a comment: the kind of the script, and the words of its preprocessor.
const DIRECTIVES: [&str; 20] = [
    "KAMAILIO",
    "SER",
    "OPENSER",
    "MAXCOMPAT",
    "ALL",
    "define",
    "def",
    "trydefine",
    "trydef",
    "redefine",
    "redef",
    "ifdef",
    "ifndef",
    "subst",
    "substdef",
    "substdefs",
    "defenv",
    "defenvs",
    "trydefenv",
    "trydefenvs",
];

type Words = [(Proxy, &'static [&'static str]); 2];

/// Words with a block or a name in brackets behind them.
const ROUTES: Words = [
    (Proxy::Kamailio, &["request_route", "reply_route", "onsend_route"]),
    (Proxy::OpenSips, &["startup_route", "timer_route", "error_route", "local_route"]),
];

/// Words with '=' behind them.
const SETTINGS: Words = [
    (Proxy::Kamailio, &["children", "tcp_children", "socket_workers", "async_workers"]),
    (
        Proxy::OpenSips,
        &[
            "udp_workers",
            "tcp_workers",
            "log_level",
            "xlog_level",
            "debug_mode",
            "log_stdout",
            "stderror_enabled",
            "syslog_enabled",
        ],
    ),
];

/// Modules that many configurations of one proxy load, and that the other does not have.
const MODULES: Words = [
    (
        Proxy::Kamailio,
        &["pv", "kex", "corex", "ctl", "tmx", "xlog", "siputils", "textopsx", "sanity", "jsonrpcs", "htable", "tls"],
    ),
    (Proxy::OpenSips, &["signaling", "sipmsgops", "mid_registrar", "tls_mgm", "httpd", "clusterer"]),
];
const OPENSIPS_TRANSPORT: &str = "proto_";

/// A word that tells whose file it is.
struct Clue {
    proxy: Proxy,
    line: usize,
    word: String,
}

/// Says whose configuration a file is, or fails. `named` is what the operator says. It counts unless the file has words
/// of the other proxy alone.
pub(super) fn of(
    path: &Path,
    text: &[u8],
    named: Option<Proxy>,
    files: &dyn IncludedFiles,
) -> Result<Proxy, ConfigError> {
    let clues = clues(text, files);
    let first = |proxy| clues.iter().find(|clue| clue.proxy == proxy);
    let path = path.display();
    let failed = |sentence: String| Err(ConfigError(format!("{path}{sentence}")));
    match (named, first(Proxy::Kamailio), first(Proxy::OpenSips)) {
        (Some(named), Some(clue), None) | (Some(named), None, Some(clue)) if clue.proxy != named => failed(format!(
            ":{}: '{}' shows that this is a configuration of {}, not of {}; write {} {path}",
            clue.line,
            clue.word,
            clue.proxy.name(),
            named.name(),
            clue.proxy.option()
        )),
        (Some(proxy), ..) => Ok(proxy),
        (None, Some(clue), None) | (None, None, Some(clue)) => Ok(clue.proxy),
        (None, Some(kamailio), Some(opensips)) => failed(format!(
            ": has words of Kamailio ('{}' in line {}) and of OpenSIPS ('{}' in line {}); write --kamailio {path} or --opensips {path}",
            kamailio.word, kamailio.line, opensips.word, opensips.line
        )),
        (None, None, None) => failed(format!(
            ": nothing in this file itself shows whether it is a configuration of Kamailio or of OpenSIPS; write --kamailio {path} or --opensips {path}"
        )),
    }
}

fn clues(text: &[u8], files: &dyn IncludedFiles) -> Vec<Clue> {
    let mut clues: Vec<Clue> = directive(text).into_iter().collect();
    let mut lexer = Lexer::either(text.to_vec(), files);
    // What cannot be read is an error later, when it is known whose file it is.
    while let Ok(Some(token)) = lexer.next() {
        let Token::Id(word) = token else { continue };
        let line = lexer.line;
        clues.extend(judged(&word, &mut lexer).map(|(proxy, word)| Clue { proxy, line, word }));
    }
    clues
}

/// The first line of Kamailio's preprocessor.
fn directive(text: &[u8]) -> Option<Clue> {
    let lines = text.split(|octet| *octet == b'\n').zip(1..);
    lines.into_iter().find_map(|(line, number)| {
        let line = String::from_utf8_lossy(line.trim_ascii());
        let name = line.strip_prefix("#!").or_else(|| line.strip_prefix("!!"))?.split_ascii_whitespace().next()?;
        let word = format!("{}{name}", &line[..2]);
        DIRECTIVES.contains(&name).then_some(Clue { proxy: Proxy::Kamailio, line: number, word })
    })
}

/// Whose word it is. Most words tell it only with what follows them, because a route may have any name.
fn judged(word: &str, lexer: &mut Lexer<'_>) -> Option<(Proxy, String)> {
    if matches!(word, "modparamx" | "loadmodulex") {
        return Some((Proxy::Kamailio, word.to_owned()));
    }
    if let Some(proxy) = owner(&ROUTES, word) {
        return matches!(lexer.next(), Ok(Some(Token::Mark(b'{' | b'[')))).then(|| (proxy, word.to_owned()));
    }
    if let Some(proxy) = owner(&SETTINGS, word) {
        return matches!(lexer.next(), Ok(Some(Token::Mark(b'=')))).then(|| (proxy, word.to_owned()));
    }
    match word {
        "socket" => socket(lexer).map(|proxy| (proxy, "socket=".to_owned())),
        "loadmodule" => module(lexer),
        _ => None,
    }
}

/// OpenSIPS has `socket=udp:…`; Kamailio has `socket = { … }`.
fn socket(lexer: &mut Lexer<'_>) -> Option<Proxy> {
    let is_setting = lexer.next().ok()?? == Token::Mark(b'=');
    (is_setting && lexer.next().ok()?? != Token::Mark(b'{')).then_some(Proxy::OpenSips)
}

fn module(lexer: &mut Lexer<'_>) -> Option<(Proxy, String)> {
    let file = match lexer.next().ok()?? {
        Token::Mark(b'(') => lexer.next().ok()??,
        other => other,
    };
    let Token::Text(file) = file else { return None };
    let module = module_name(&file);
    let is_transport = module.starts_with(OPENSIPS_TRANSPORT).then_some(Proxy::OpenSips);
    Some((owner(&MODULES, module).or(is_transport)?, format!("loadmodule \"{module}.so\"")))
}

fn owner(table: &Words, word: &str) -> Option<Proxy> {
    table.iter().find(|(_, words)| words.contains(&word)).map(|(proxy, _)| *proxy)
}
