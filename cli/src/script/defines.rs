// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kamailio's definitions (`#!define` and its relatives) and substitutions (`#!subst`).

use std::collections::BTreeMap;

/// The limit for definitions and for substitutions, as in Kamailio.
const MOST: usize = 512;

/// What happens to a name that is defined already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Define,
    Try,
    Redefine,
}

/// Definitions and substitutions.
#[derive(Default)]
pub(super) struct Defines {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    substitutions: Vec<Substitution>,
}

struct Substitution {
    pattern: String,
    replacement: String,
    all: bool,
}

impl Defines {
    /// The error is a sentence.
    pub fn define(&mut self, name: &[u8], value: Vec<u8>, mode: Mode) -> Result<(), String> {
        if self.values.contains_key(name) {
            match mode {
                Mode::Define => {
                    let name = String::from_utf8_lossy(name);
                    return Err(format!(
                        "{name} is defined already; write #!ifndef {name} around it, #!trydef or #!redefine"
                    ));
                }
                Mode::Try => return Ok(()),
                Mode::Redefine => {}
            }
        } else if self.values.len() >= MOST {
            return Err(format!("more than {MOST} definitions"));
        }
        self.values.insert(name.to_vec(), value);
        Ok(())
    }

    pub fn get(&self, name: &[u8]) -> Option<&Vec<u8>> {
        self.values.get(name)
    }

    /// Returns Ok(false) when the pattern is a regular expression, which this tool does not follow.
    pub fn substitute(&mut self, pattern: &str, replacement: &str, flags: &str) -> Result<bool, String> {
        if pattern.contains(['\\', '^', '$', '.', '[', '*', '+', '?', '(', '{', '|']) || flags.contains('i') {
            return Ok(false);
        }
        if self.substitutions.len() >= MOST {
            return Err(format!("more than {MOST} substitutions"));
        }
        let (pattern, replacement) = (pattern.to_owned(), replacement.to_owned());
        self.substitutions.push(Substitution { pattern, replacement, all: flags.contains('g') });
        Ok(true)
    }

    /// Applies the substitutions to a text in quotes.
    pub fn apply(&self, text: String) -> String {
        self.substitutions.iter().fold(text, |text, rule| match rule.all {
            true => text.replace(&rule.pattern, &rule.replacement),
            false => text.replacen(&rule.pattern, &rule.replacement, 1),
        })
    }
}

/// Pattern, replacement and flags of `/pattern/replacement/flags` with any separator.
pub(super) fn parts(rule: &str) -> Result<(&str, &str, &str), String> {
    let wrong = || "write \"/PATTERN/REPLACEMENT/\" (any separator but '\\')".to_owned();
    let separator = rule.chars().next().filter(|c| *c != '\\').ok_or_else(wrong)?;
    let mut parts = rule[separator.len_utf8()..].split(separator);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(pattern), Some(replacement), Some(flags), None) if !pattern.is_empty() => {
            Ok((pattern, replacement, flags))
        }
        _ => Err(wrong()),
    }
}
