// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mark by which a proxy knows the dialogs that it let in: a parameter of its Record-Route URI, which both parties
//! bring back in the Route of later requests (RFC 3261 sections 12.2.1.1 and 16.6).
//!
//! Most requests within a dialog carry no credentials (ACK, BYE, PRACK …), and anybody can write a To tag. The
//! mark is an HMAC over two parts of the dialog-forming request that no later request changes: its Call-ID, and
//! the tag of the party that sent it, which later requests have in From or in To. The To tag, the contacts and the
//! rest of the route are not known yet, or change, so the mark does not cover them. This means that a party of the
//! dialog, or somebody who has seen its messages, can send a request with its Call-ID and tag to any address.

use subtle::ConstantTimeEq;

use crate::keys::shared_key::{Key, hmac_sha256};
use crate::text::fingerprint::{octets_of_hex, push_hex};

/// Name of the URI parameter. Names and values of URI parameters are compared without regard to case (RFC 3261 section
/// 19.1.4), so the value is hexadecimal.
pub const PARAMETER: &str = "oauth";
/// Days for which a mark is valid after the day on which it was made. After that, requests within the dialog are
/// refused with 481, which ends a call and makes a subscriber subscribe anew (RFC 6665 section 4.1.2.3).
pub const LIFETIME: u16 = 30;
/// Octets of the HMAC in a mark.
const MAC: usize = 16;
/// Octets of a mark: the day since 1970, then the HMAC.
const LENGTH: usize = 2 + MAC;
const DAY: i64 = 86_400;

/// The key that makes the marks of a proxy, or of all proxies of a cluster.
pub struct DialogKey(Key);

impl std::fmt::Debug for DialogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DialogKey")
    }
}

impl DialogKey {
    /// Derives the key from a secret of any length, which serves other purposes, too.
    pub fn new(secret: &[u8]) -> DialogKey {
        DialogKey(hmac_sha256(secret, &[b"sipoauth dialog marks 1"]))
    }

    /// The parameter for the Record-Route of a dialog-forming request, with the semicolon before it; `now` is Unix
    /// seconds. None without Call-ID or tag: such a request forms no dialog (RFC 3261 section 8.1.1).
    pub fn mark(&self, call_id: &[u8], from_tag: &[u8], now: i64) -> Option<String> {
        if call_id.is_empty() || from_tag.is_empty() {
            return None;
        }
        let day = today(now);
        let mut text = format!(";{PARAMETER}=");
        push_hex(&mut text, &day.to_be_bytes());
        push_hex(&mut text, &self.mac(day, call_id, from_tag)[..MAC]);
        Some(text)
    }

    /// True when `parameters` have the mark of the dialog with this Call-ID, and one of `tags` is the tag of the
    /// party that formed the dialog. `parameters` are those of the proxy's own Route URI, without the semicolon
    /// before the first one.
    pub fn is_genuine(&self, parameters: &[u8], call_id: &[u8], tags: [&[u8]; 2], now: i64) -> bool {
        let Some(mark) = mark_among(parameters) else { return false };
        // A message without a Call-ID or without one of the tags is within no dialog.
        if call_id.is_empty() || tags.iter().any(|tag| tag.is_empty()) {
            return false;
        }
        let day = u16::from_be_bytes([mark[0], mark[1]]);
        let of_one = |tag: &[u8]| self.mac(day, call_id, tag)[..MAC].ct_eq(&mark[2..]);
        let genuine = bool::from(of_one(tags[0]) | of_one(tags[1]));
        // The clock of another proxy may be a day ahead at midnight.
        let age = i32::from(today(now)) - i32::from(day);
        genuine && (-1..=i32::from(LIFETIME)).contains(&age)
    }

    fn mac(&self, day: u16, call_id: &[u8], tag: &[u8]) -> Key {
        let length = (call_id.len() as u64).to_be_bytes();
        hmac_sha256(&*self.0, &[&day.to_be_bytes(), &length, call_id, tag])
    }
}

fn today(now: i64) -> u16 {
    u16::try_from(now.max(0) / DAY).unwrap_or(u16::MAX)
}

/// The only mark among URI parameters. Two marks count as none, because it would depend on the reader which one
/// counts.
fn mark_among(parameters: &[u8]) -> Option<[u8; LENGTH]> {
    let mut found = None;
    for parameter in parameters.split(|octet| *octet == b';') {
        let mut halves = parameter.splitn(2, |octet| *octet == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        if !name.eq_ignore_ascii_case(PARAMETER.as_bytes()) {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(octets_of_hex(halves.next().unwrap_or_default().trim_ascii())?);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const CALL: &[u8] = b"call@192.0.2.1";
    const TAGS: [&[u8]; 2] = [b"caller", b"callee"];

    fn key() -> DialogKey {
        DialogKey::new(b"a secret")
    }

    fn made() -> String {
        key().mark(CALL, TAGS[0], NOW).expect("a dialog")
    }

    fn counts(parameters: &str) -> bool {
        key().is_genuine(parameters.as_bytes(), CALL, TAGS, NOW)
    }

    #[test]
    fn a_mark_counts_for_both_parties_wherever_it_stands() {
        let mark = made();
        assert_eq!(mark.len(), ";oauth=".len() + 36);
        let [caller, callee] = TAGS;
        assert!(key().is_genuine(&mark.as_bytes()[1..], CALL, [callee, caller], NOW));
        for parameters in [
            format!("lr{mark}"),
            format!("lr=on{mark};r2=on"),
            format!("{};transport=tcp;lr", &mark[1..]),
            format!("lr{}", mark.to_uppercase()),
            format!("lr;xoauth=1;ftag=caller{mark};did=1.2"),
            format!("lr; oauth = {} ", &mark[7..]),
            format!(";;lr{mark};"),
        ] {
            assert!(counts(&parameters), "{parameters}");
        }
    }

    #[test]
    fn nothing_else_counts() {
        let mark = made();
        let value = &mark[7..];
        for parameters in [
            String::new(),
            "lr".to_owned(),
            "lr;oauth".to_owned(),
            "lr;oauth=".to_owned(),
            format!("lr;oauth={}", "0".repeat(36)),
            format!("lr;oauth={}", &value[..34]),
            format!("lr;oauth={value}00"),
            format!("lr;oauth={value}g"),
            format!("lr;oauth=\"{value}\""),
            format!("lr;oauth=0x{}", &value[2..]),
            format!("lr;oauths={value}"),
            format!("lr;x=oauth={value}"),
            format!("lr{mark}{mark}"),
            format!("lr;oauth=0{mark}"),
            format!("lr{mark};oauth"),
            format!("lr,oauth={value}"),
            format!("lr;%6fauth={value}"),
        ] {
            assert!(!counts(&parameters), "{parameters}");
        }
        for i in 0..value.len() {
            let other = if value.as_bytes()[i] == b'0' { "1" } else { "0" };
            assert!(!counts(&format!("lr;oauth={}{other}{}", &value[..i], &value[i + 1..])), "{i}");
        }
    }

    #[test]
    fn a_mark_is_of_one_dialog_and_one_key() {
        let mark = made();
        let genuine = |key: &DialogKey, call_id: &[u8], tags| key.is_genuine(&mark.as_bytes()[1..], call_id, tags, NOW);
        let [caller, callee] = TAGS;
        assert!(genuine(&key(), CALL, TAGS) && genuine(&key(), CALL, [caller, b"another fork"]));
        assert!(!genuine(&DialogKey::new(b"another secret"), CALL, TAGS));
        for (call_id, tags) in [
            (&b"call@192.0.2.2"[..], TAGS),
            (b"call@192.0.2.1c", TAGS),
            (b"CALL@192.0.2.1", TAGS),
            // Octets must not move from the end of one field to the beginning of the next.
            (b"call@192.0.2.1c", [b"aller", callee]),
            (b"call@192.0.2.", [b"1caller", callee]),
            (b"", TAGS),
            (CALL, [b"other", callee]),
            (CALL, [b"Caller", callee]),
            (CALL, [callee, callee]),
            (CALL, [caller, b""]),
            (CALL, [b"", caller]),
        ] {
            assert!(!genuine(&key(), call_id, tags), "{call_id:?} {tags:?}");
        }
    }

    #[test]
    fn a_mark_ends() {
        let mark = made();
        let after = |days: i64| key().is_genuine(&mark.as_bytes()[1..], CALL, TAGS, NOW + days * DAY);
        assert!(after(-1) && after(0) && after(1) && after(LIFETIME.into()));
        assert!(!after(-2) && !after(i64::from(LIFETIME) + 1) && !after(100_000));
        assert!(!key().is_genuine(&mark.as_bytes()[1..], CALL, TAGS, i64::MIN));
    }

    #[test]
    fn what_forms_no_dialog_gets_no_mark() {
        assert_eq!(key().mark(b"", b"tag", NOW), None);
        assert_eq!(key().mark(CALL, b"", NOW), None);
        assert!(key().mark(CALL, TAGS[0], -1).is_some());
    }
}
