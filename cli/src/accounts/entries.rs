// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of a file with accounts: an address, and a verifier or a password.

use std::collections::HashMap;

use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::sip::uri::Aor;

/// What an account is made from.
#[derive(Debug)]
pub enum AccountCredential<'a> {
    /// A key that was derived before.
    Verifier(Box<Verifier>),
    /// A password, whose key is still to be derived.
    Password(&'a str),
}

/// A good line.
#[derive(Debug)]
pub struct AccountLine<'a> {
    /// The address-of-record.
    pub aor: Aor,
    /// The verifier or the password.
    pub credential: AccountCredential<'a>,
}

/// Returns the good lines, and the number of each bad line with a sentence. Empty lines and comments (#) are skipped.
pub fn read(text: &str, passwords: bool) -> (Vec<AccountLine<'_>>, Vec<(usize, String)>) {
    let (mut entries, mut bad) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line, passwords) {
            Err(sentence) => bad.push((number, sentence)),
            Ok(entry) => match seen.insert(entry.aor.as_str().to_owned(), number) {
                Some(earlier) => bad.push((number, format!("{} is in line {earlier} already", entry.aor.as_str()))),
                None => entries.push(entry),
            },
        }
    }
    (entries, bad)
}

fn entry(line: &str, passwords: bool) -> Result<AccountLine<'_>, String> {
    let what = if passwords { "a password" } else { "a verifier ($pbkdf2-...)" };
    let (address, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let aor = super::parsed(address)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    if rest.trim_end().is_empty() {
        return Err(format!("write an address, a space or tab, and {what}"));
    }
    let credential = if passwords {
        if rest.starts_with("$pbkdf2-") {
            return Err("this is a verifier, not a password: load the file without --passwords".into());
        }
        AccountCredential::Password(rest)
    } else {
        AccountCredential::Verifier(Box::new(Verifier::parse(rest.trim_end())?))
    };
    Ok(AccountLine { aor, credential })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = sipoauth_core::keys::verifier::NOBODYS;

    #[test]
    fn good_and_bad_lines() {
        let text = format!(
            "# users\n\nsip:alice@example.test {VERIFIER}\nbob@example.test\t{VERIFIER}\r\nno-address {VERIFIER}\n\
             carol@example.test\ndave@example.test secret\nALICE@example.test {VERIFIER}\nalice@EXAMPLE.test {VERIFIER}\n"
        );
        let (entries, bad) = read(&text, false);
        let aors: Vec<_> = entries.iter().map(|entry| entry.aor.as_str()).collect();
        assert_eq!(aors, ["sip:alice@example.test", "sip:bob@example.test", "sip:ALICE@example.test"]);
        let numbers: Vec<_> = bad.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [5, 6, 7, 9]);
        assert!(bad[3].1.contains("in line 3 already") && !bad.iter().any(|(_, s)| s.contains("secret")), "{bad:?}");
    }

    #[test]
    fn a_password_is_the_rest_of_its_line() {
        let text = format!("alice@example.test  a pass word \nbob@example.test {VERIFIER}\ncarol@example.test  \n");
        let (entries, bad) = read(&text, true);
        assert!(matches!(entries[0].credential, AccountCredential::Password("a pass word ")), "{entries:?}");
        assert_eq!((entries.len(), bad.iter().map(|(n, _)| *n).collect::<Vec<_>>()), (1, vec![2, 3]));
    }
}
