// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server keeps instead of a password, as one line of text: the PHC string format of PBKDF2,
//! `$pbkdf2-sha256$i=600000,l=32$<salt>$<key>`, salt and key in base64 without padding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::pbkdf2::{Kdf, MasterKey, Parameters};

/// Longest line in octets.
pub const MAX_LEN: usize = 256;

/// A verifier that is nobody's, for callers that must do the same work whether a user has a verifier or not.
pub const NOBODYS: &str =
    "$pbkdf2-sha256$i=600000,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Parameters and key. Not shown by Debug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// How the key is derived.
    pub parameters: Parameters,
    /// The key.
    pub key: MasterKey,
}

impl Verifier {
    /// Derives the key. This is slow by design.
    pub fn derive(parameters: Parameters, password: &[u8]) -> Verifier {
        Verifier { key: parameters.derive(password), parameters }
    }

    /// Reads a line. The error says what is wrong, and shows nothing of the line.
    pub fn parse(text: &str) -> Result<Verifier, &'static str> {
        if text.len() > MAX_LEN {
            return Err("the verifier is too long");
        }
        let mut parts = text.split('$');
        let (Some(""), Some(name), Some(params), Some(salt), Some(key), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("a verifier looks like $pbkdf2-sha256$i=600000,l=32$SALT$KEY");
        };
        let kdf = name.strip_prefix("pbkdf2-").and_then(Kdf::from_short_name);
        let kdf = kdf.ok_or("the verifier must begin with $pbkdf2-sha256$ or $pbkdf2-sha512$")?;
        let (iterations, length) = match params.split_once(',') {
            Some((iterations, length)) => (iterations, Some(length)),
            None => (params, None),
        };
        let iterations = iterations.strip_prefix("i=").and_then(number).ok_or("the verifier lacks i=ITERATIONS")?;
        let length = match length {
            Some(length) => Some(length.strip_prefix("l=").and_then(number).ok_or("l= of the verifier is no length")?),
            None => None,
        };
        let salt = STANDARD_NO_PAD.decode(salt).map_err(|_| "the salt is not base64 without padding")?;
        let key = STANDARD_NO_PAD.decode(key).map_err(|_| "the key is not base64 without padding")?;
        let octets = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let key = MasterKey::from_octets(key).ok_or("the key must have 16 to 64 octets")?;
        if length.is_some_and(|length| length != octets) {
            return Err("l= of the verifier is not the length of its key");
        }
        Ok(Verifier { parameters: Parameters::new(kdf, iterations, salt, octets * 8)?, key })
    }

    /// The line, which is as secret as a key.
    pub fn to_text(&self) -> Zeroizing<String> {
        let (parameters, key) = (&self.parameters, self.key.octets());
        let mut text = Zeroizing::new(String::with_capacity(MAX_LEN));
        text.push_str(&format!(
            "$pbkdf2-{}$i={},l={}$",
            parameters.kdf().short_name(),
            parameters.iterations(),
            key.len()
        ));
        STANDARD_NO_PAD.encode_string(parameters.salt(), &mut text);
        text.push('$');
        STANDARD_NO_PAD.encode_string(key, &mut text);
        text
    }
}

/// A decimal number without sign and leading zeros.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verifier(kdf: Kdf) -> Verifier {
        let parameters = Parameters::new(kdf, 1000, b"sixteen octets..".to_vec(), 256).unwrap();
        Verifier::derive(parameters, b"secret")
    }

    #[test]
    fn comes_back_unchanged() {
        for kdf in [Kdf::Sha256, Kdf::Sha512] {
            let verifier = verifier(kdf);
            let text = verifier.to_text();
            assert_eq!(Verifier::parse(&text), Ok(verifier.clone()));
            assert_eq!(Verifier::parse(&text.replace(",l=32", "")), Ok(verifier));
        }
        assert!(verifier(Kdf::Sha256).to_text().starts_with("$pbkdf2-sha256$i=1000,l=32$c2l4dGVlbiBvY3RldHMuLg$"));
    }

    #[test]
    fn nobodys_is_one() {
        assert_eq!(Verifier::parse(NOBODYS).map(|verifier| verifier.to_text().to_string()), Ok(NOBODYS.to_owned()));
    }

    #[test]
    fn refuses_anything_else() {
        let good = verifier(Kdf::Sha256).to_text();
        for (from, to) in [
            ("$pbkdf2", "pbkdf2"),
            ("sha256", "sha1"),
            ("sha256", "SHA256"),
            ("i=1000", "i=999"),
            ("i=1000", "i=01000"),
            ("i=1000", "i=+1000"),
            ("i=1000", "i=10000001"),
            ("i=1000", "1000"),
            ("l=32", "l=31"),
            ("l=32", "x=32"),
            ("l=32", "l=32,d=1"),
            ("$c2l4", "$$c2l4"),
            ("c2l4dGVlbiBvY3RldHMuLg", "c2l4"),
            ("c2l4dGVlbiBvY3RldHMuLg", "c2l4dGVlbiBvY3RldHMuLg=="),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(*text, **good);
            assert!(Verifier::parse(&text).is_err(), "{text}");
        }
        assert!(Verifier::parse("").is_err());
        assert!(Verifier::parse(&format!("{}{}", *good, "A".repeat(MAX_LEN))).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let verifier = verifier(Kdf::Sha256);
        let text = format!("{verifier:?}");
        assert!(text.contains("MasterKey(…)"), "{text}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\$pbkdf2-sha(256|512)\\$[il=,0-9]{0,12}\\$[A-Za-z0-9+/=]{0,90}\\$?[A-Za-z0-9+/=]{0,90}|\\PC{0,300}") {
            if let Ok(verifier) = Verifier::parse(&text) {
                prop_assert_eq!(Verifier::parse(&verifier.to_text()), Ok(verifier));
            }
        }
    }
}
