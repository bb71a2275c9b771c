// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output for the operator: lines for people or one JSON value for machines, and a progress line while the tool
//! waits. Control characters from a server or a token do not reach the terminal.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use sipoauth_core::text::fingerprint::{is_hidden, printable};

const MAX_LINE: usize = 4096;

/// Prints the results.
#[derive(Clone, Copy)]
pub struct Output {
    /// Print JSON, not lines for people.
    pub json: bool,
}

impl Output {
    /// Prints a line for people, unless JSON was asked for.
    pub fn line(self, line: &str) {
        if !self.json {
            // A reader that has gone, for example head, is not worth a complaint.
            let _ = writeln!(io::stdout(), "{}", printable(line, MAX_LINE).trim_end());
        }
    }

    /// Prints a name and its value, unless the value is empty.
    pub fn field(self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(&format!("  {name:<18} {value}"));
        }
    }

    /// Prints the value for machines, if JSON was asked for.
    pub fn value(self, value: &Value) {
        if self.json {
            let _ = writeln!(io::stdout(), "{}", escaped(&value.to_string()));
        }
    }

    /// Prints an error of the tool itself and returns its exit code.
    pub fn error(self, sentence: &str) -> u8 {
        let sentence = printable(sentence, MAX_LINE);
        self.value(&json!({"result": "error", "exit_code": crate::EXIT_ERROR, "message": sentence}));
        let _ = writeln!(io::stderr(), "sipoauth: {sentence}");
        crate::EXIT_ERROR
    }

    /// Prints a remark on standard error, because it is not part of the result.
    pub fn remark(self, sentence: &str) {
        let _ = writeln!(io::stderr(), "sipoauth: {}", printable(sentence, MAX_LINE));
    }
}

/// Escapes the invisible characters of JSON text. A terminal then shows them, and a JSON reader gets the same value.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// A line on a terminal that says what the tool waits for. Dropping this value clears the line.
pub struct Progress(bool);

impl Progress {
    /// Shows the line, if standard error is a terminal.
    pub fn new(what: &str) -> Progress {
        let shown = io::stderr().is_terminal();
        if shown {
            let _ = write!(io::stderr(), "\r\x1b[K{} …", printable(what, 70));
            let _ = io::stderr().flush();
        }
        Progress(shown)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

/// A span of time in words: "45 s", "4 min", "2 h", "3 d".
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment as UTC text and relative to now; times before 1970 or after the year 9999 stay numbers.
pub fn moment(seconds: i64, now: i64) -> String {
    let relative = match seconds.saturating_sub(now) {
        0 => "now".to_owned(),
        ahead if ahead > 0 => format!("in {}", span(ahead.unsigned_abs())),
        behind => format!("{} ago", span(behind.unsigned_abs())),
    };
    match u64::try_from(seconds).ok().filter(|s| *s < 253_402_300_800) {
        Some(seconds) => {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            format!("{} ({relative})", httpdate::fmt_http_date(time))
        }
        None => seconds.to_string(),
    }
}

/// The current time in Unix seconds.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(moment(0, 0), "Thu, 01 Jan 1970 00:00:00 GMT (now)");
        assert_eq!(moment(1000, 880), "Thu, 01 Jan 1970 00:16:40 GMT (in 2 min)");
        assert_eq!(moment(1000, 8200), "Thu, 01 Jan 1970 00:16:40 GMT (2 h ago)");
        assert_eq!(moment(0, 864_000), "Thu, 01 Jan 1970 00:00:00 GMT (10 d ago)");
        assert_eq!(moment(-5, 0), "-5");
        for odd in [i64::MIN, i64::MAX] {
            assert_eq!(moment(odd, 0), odd.to_string());
        }
    }
}
