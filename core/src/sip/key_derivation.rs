// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Key-Derivation scheme (draft-yusef-sipcore-key-derivation-00 sections 3 and 4): its challenges, its credentials,
//! and the proofs in both.
//!
//! A server proves that it has the key before the phone does, and to anybody who asks. So the server's nonces have
//! a mark that only a holder of the key can make, and a proof over such a nonce is never taken for a phone's.
//! Otherwise somebody could send a challenge back as the answer to itself.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

use super::auth_params::{Few, MAX_HEADERS, after_scheme, for_realm, once, push_quoted, read_params};
use crate::keys::pbkdf2::{Kdf, MasterKey, Parameters, UNNAMED_ITERATIONS};
use crate::keys::pop::{LEN, pop_from_text, pop_to_text};
use crate::keys::shared_key::{Key, hmac_sha256};
use crate::reason::Reason;

/// The scheme's name.
pub const SCHEME: &str = "Key-Derivation";
/// Allowed length of a nonce in characters.
const NONCE: std::ops::RangeInclusive<usize> = 16..=128;
/// Octets of each half of a server's nonce: random ones, then their mark.
const HALF: usize = 16;
/// Characters of a server's nonce.
const SERVER_NONCE: usize = 43;
/// Input of the HMAC for a mark. A digest-string begins with the scheme of a URI, so no proof is ever a mark.
const MARK: &[u8] = b"\0nonce of a server";

/// True when one of the credential header fields has this scheme.
pub fn is_among(bodies: &[&str]) -> bool {
    bodies.iter().any(|body| after_scheme(body, SCHEME).is_some())
}

/// pop = HMAC-SHA256(master-key, digest-string ‖ nonce); an empty nonce gives the proof of later requests.
pub fn proof(key: &MasterKey, digest_string: &[u8], nonce: &str) -> Key {
    hmac_sha256(key.octets(), &[digest_string, nonce.as_bytes()])
}

/// Makes a server's nonce from 16 random octets.
pub fn server_nonce(key: &MasterKey, random: &[u8; HALF]) -> String {
    let mut octets = [0; 2 * HALF];
    octets[..HALF].copy_from_slice(random);
    octets[HALF..].copy_from_slice(&mark(key, random)[..HALF]);
    URL_SAFE_NO_PAD.encode(octets)
}

fn mark(key: &MasterKey, random: &[u8]) -> Key {
    hmac_sha256(key.octets(), &[MARK, random])
}

/// True when `digest_string` ‖ `nonce` ends with a server's nonce. However the text is divided into the two, its
/// proof is then that of a challenge.
fn is_a_servers(key: &MasterKey, digest_string: &[u8], nonce: &str) -> bool {
    let from_digest = SERVER_NONCE.saturating_sub(nonce.len()).min(digest_string.len());
    let from_nonce = nonce.len().saturating_sub(SERVER_NONCE);
    let mut end = digest_string[digest_string.len() - from_digest..].to_vec();
    end.extend_from_slice(&nonce.as_bytes()[from_nonce..]);
    // The same work is done for every text.
    let mut octets = [0; 2 * HALF];
    let decoded = URL_SAFE_NO_PAD.decode_slice(&end, &mut octets).is_ok_and(|len| len == octets.len());
    let marked = mark(key, &octets[..HALF])[..HALF].ct_eq(&octets[HALF..]);
    decoded & bool::from(marked)
}

fn is_nonce(text: &str) -> bool {
    NONCE.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What a server sends to challenge a phone, and to prove that the server has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChallenge {
    /// The protection domain.
    pub realm: String,
    /// How the phone derives its key.
    pub parameters: Parameters,
    /// The nonce, which is new with each challenge.
    pub nonce: String,
    /// The server's proof over the request that it challenges.
    pub pop: [u8; LEN],
}

impl KeyChallenge {
    /// The challenge to a request with this digest-string.
    pub fn new(
        realm: &str,
        parameters: Parameters,
        key: &MasterKey,
        digest_string: &[u8],
        random: &[u8; HALF],
    ) -> Self {
        let nonce = server_nonce(key, random);
        let pop = *proof(key, digest_string, &nonce);
        KeyChallenge { realm: realm.to_owned(), parameters, nonce, pop }
    }

    /// The header field's value.
    pub fn to_text(&self) -> String {
        let KeyChallenge { realm, parameters, nonce, pop } = self;
        let mut out = format!("{SCHEME} ");
        push_quoted("realm", realm, &mut out);
        push_quoted("kdf", parameters.kdf().name(), &mut out);
        out.push_str(&format!(", iterations={}", parameters.iterations()));
        push_quoted("salt", &URL_SAFE_NO_PAD.encode(parameters.salt()), &mut out);
        out.push_str(&format!(", key-size={}", parameters.key_size()));
        push_quoted("nonce", nonce, &mut out);
        push_quoted("pop", &pop_to_text(pop), &mut out);
        out
    }

    /// Reads the value of a WWW-Authenticate or Proxy-Authenticate header field. None for another scheme. The
    /// error says what is wrong, also when the server asks for less or more than is safe.
    pub fn parse(body: &str) -> Option<Result<KeyChallenge, &'static str>> {
        Some(Self::parse_params(after_scheme(body, SCHEME)?))
    }

    fn parse_params(text: &str) -> Result<KeyChallenge, &'static str> {
        let (mut realm, mut kdf, mut iterations, mut salt) = (None, None, None, None);
        let (mut key_size, mut nonce, mut pop) = (None, None, None);
        let put = |name: &str, value| match name {
            "realm" => once(&mut realm, value),
            "kdf" => once(&mut kdf, value),
            "iterations" => once(&mut iterations, value),
            "salt" => once(&mut salt, value),
            "key-size" => once(&mut key_size, value),
            "nonce" => once(&mut nonce, value),
            "pop" => once(&mut pop, value),
            _ => Some(()),
        };
        read_params(text, put).ok_or("the challenge cannot be parsed")?;
        let kdf = Kdf::from_name(&kdf.ok_or("the challenge has no kdf")?).ok_or("the kdf is not known")?;
        let iterations = match iterations {
            Some(text) => number(&text).ok_or("iterations is not a number")?,
            None => UNNAMED_ITERATIONS,
        };
        let salt = any_base64(&salt.ok_or("the challenge has no salt")?).ok_or("the salt is not base64")?;
        let key_size = number(&key_size.ok_or("the challenge has no key-size")?).ok_or("key-size is not a number")?;
        let nonce = nonce.ok_or("the challenge has no nonce")?;
        if !is_nonce(&nonce) {
            return Err("the nonce is not 16 to 128 visible characters");
        }
        let pop = pop_from_text(&pop.ok_or("the challenge has no pop")?).ok_or("the pop cannot be read")?;
        Ok(KeyChallenge {
            realm: realm.map_or_else(String::new, Cow::into_owned),
            parameters: Parameters::new(kdf, iterations, salt, key_size)?,
            nonce: nonce.into_owned(),
            pop,
        })
    }

    /// For phones: true when the challenge comes from a server that has the key. `digest_string` is that of the
    /// request that was challenged. `sent_nonce` is the nonce in that request's own credentials, if it had any,
    /// because a stranger could send those credentials back.
    pub fn is_from_holder(&self, key: &MasterKey, digest_string: &[u8], sent_nonce: Option<&str>) -> bool {
        let right = proof(key, digest_string, &self.nonce).ct_eq(&self.pop);
        bool::from(right) && sent_nonce != Some(self.nonce.as_str())
    }
}

/// Credentials of a phone.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyResponse<'a> {
    /// The user, when one was given.
    pub username: Option<Cow<'a, str>>,
    /// The realm, when one was given.
    pub realm: Option<Cow<'a, str>>,
    /// The phone's nonce; without it the proof covers the request alone.
    pub nonce: Option<Cow<'a, str>>,
    /// The phone's proof.
    pub pop: [u8; LEN],
}

/// The proof stays out of logs.
impl std::fmt::Debug for KeyResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyResponse").field("username", &self.username).field("realm", &self.realm).finish()
    }
}

impl<'a> KeyResponse<'a> {
    /// For phones: credentials for the request with this digest-string. With a nonce they answer a challenge;
    /// without one they prove a later request.
    pub fn new(
        username: &'a str,
        realm: Option<&'a str>,
        nonce: Option<&'a str>,
        key: &MasterKey,
        digest: &[u8],
    ) -> Self {
        let pop = *proof(key, digest, nonce.unwrap_or_default());
        let borrowed = Cow::Borrowed;
        let username = (!username.is_empty()).then_some(borrowed(username));
        KeyResponse { username, realm: realm.map(borrowed), nonce: nonce.map(borrowed), pop }
    }

    /// The header field's value.
    pub fn to_text(&self) -> String {
        let mut out = format!("{SCHEME} ");
        for (name, value) in [("username", &self.username), ("realm", &self.realm), ("nonce", &self.nonce)] {
            if let Some(value) = value {
                push_quoted(name, value, &mut out);
            }
        }
        push_quoted("pop", &pop_to_text(&self.pop), &mut out);
        out
    }

    /// Finds the credentials for `realm` among the bodies of all credential header fields of a request, by the rules of
    /// [`super::credentials::select`].
    pub fn select(bodies: &[&'a str], realm: &str) -> Result<KeyResponse<'a>, Reason> {
        if bodies.len() > MAX_HEADERS {
            return Err(Reason::CredentialsMalformed);
        }
        let ours = bodies.iter().filter_map(|body| after_scheme(body, SCHEME));
        let found = ours.map(parse_response).collect::<Option<Few<_>>>().ok_or(Reason::CredentialsMalformed)?;
        for_realm(found, realm, |response| response.realm.as_deref().filter(|realm| !realm.is_empty()))
    }

    /// True when the phone has the key: the proof is right, and is not one that a server made.
    pub fn is_from_holder(&self, key: &MasterKey, digest_string: &[u8]) -> bool {
        let nonce = self.nonce.as_deref().unwrap_or_default();
        let right = proof(key, digest_string, nonce).ct_eq(&self.pop);
        bool::from(right) & !is_a_servers(key, digest_string, nonce)
    }
}

fn parse_response(text: &str) -> Option<KeyResponse<'_>> {
    let (mut username, mut realm, mut nonce, mut pop) = (None, None, None, None);
    let put = |name: &str, value| match name {
        "username" => once(&mut username, value),
        "realm" => once(&mut realm, value),
        "nonce" => once(&mut nonce, value),
        "pop" => once(&mut pop, value),
        _ => Some(()),
    };
    read_params(text, put)?;
    let pop = pop_from_text(&pop?)?;
    nonce.as_deref().is_none_or(is_nonce).then_some(KeyResponse { username, realm, nonce, pop })
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Reads base64 or base64url, padded or not.
fn any_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &[u8] = b"sip:a@x|sip:a@x|id|1 REGISTER|Thu, 01 Feb 2002 03:02:03 GMT|sip:a@h|body";
    const NONCE_TEXT: &str = "a-nonce-of-a-phone";

    fn parameters() -> Parameters {
        Parameters::new(Kdf::Sha256, 1000, vec![0xfb; 16], 256).unwrap()
    }

    fn key() -> MasterKey {
        MasterKey::from_octets(vec![7; 32]).unwrap()
    }

    fn challenge() -> KeyChallenge {
        KeyChallenge::new("example.test", parameters(), &key(), DIGEST, &[9; 16])
    }

    #[test]
    fn a_challenge_comes_back_unchanged() {
        let text = challenge().to_text();
        assert!(
            text.starts_with(
                "Key-Derivation realm=\"example.test\", kdf=\"PBKDF2-HMAC-SHA-256\", iterations=1000, \
                 salt=\"-_v7-_v7-_v7-_v7-_v7-w\", key-size=256, nonce=\"CQkJCQkJCQkJCQkJCQkJC"
            ),
            "{text}"
        );
        assert_eq!(KeyChallenge::parse(&text), Some(Ok(challenge())));
        let other = text
            .replace("Key-Derivation", "key-derivation")
            .replace("-_v7-_v7-_v7-_v7-_v7-w", "+/v7+/v7+/v7+/v7+/v7+w==");
        assert_eq!(KeyChallenge::parse(&other), Some(Ok(challenge())));
        assert_eq!(KeyChallenge::parse(&text.replace("iterations=1000, ", "")), Some(Ok(challenge())));
        assert_eq!(KeyChallenge::parse("Digest realm=\"x\""), None);
    }

    #[test]
    fn a_challenge_that_asks_for_too_little_or_too_much_is_refused() {
        let text = challenge().to_text();
        for (from, to) in [
            ("iterations=1000", "iterations=999"),
            ("iterations=1000", "iterations=4294967295"),
            ("iterations=1000", "iterations=1000, iterations=1000"),
            ("iterations=1000", "iterations=\"+1000\""),
            ("key-size=256", "key-size=64"),
            ("PBKDF2-HMAC-SHA-256", "MD5"),
            ("salt=\"-_v7-_v7-_v7-_v7-_v7-w\"", "salt=\"AAAA\""),
            ("salt=\"-_v7-_v7-_v7-_v7-_v7-w\", ", ""),
            ("nonce=\"", "nonce=\"short\", x=\""),
            ("pop=\"", "pop=\"x"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            assert!(KeyChallenge::parse(&bad).is_some_and(|r| r.is_err()), "{bad}");
        }
    }

    #[test]
    fn a_phone_knows_its_server() {
        let challenge = challenge();
        assert!(challenge.is_from_holder(&key(), DIGEST, None));
        assert!(challenge.is_from_holder(&key(), DIGEST, Some(NONCE_TEXT)));
        assert!(!challenge.is_from_holder(&key(), b"another request", None));
        assert!(!challenge.is_from_holder(&MasterKey::from_octets(vec![8; 32]).unwrap(), DIGEST, None));
        // The phone's own answer, sent back by somebody else.
        let sent = KeyResponse::new("alice", None, Some(NONCE_TEXT), &key(), DIGEST);
        let echo = KeyChallenge { nonce: NONCE_TEXT.to_owned(), pop: sent.pop, ..challenge };
        assert!(!echo.is_from_holder(&key(), DIGEST, Some(NONCE_TEXT)));
    }

    #[test]
    fn credentials_come_back_unchanged() {
        for nonce in [Some(NONCE_TEXT), None] {
            let response = KeyResponse::new("alice", Some("example.test"), nonce, &key(), DIGEST);
            let text = response.to_text();
            let read = KeyResponse::select(&["Digest username=\"x\"", &text], "example.test").unwrap();
            assert_eq!(read, response);
            assert!(read.is_from_holder(&key(), DIGEST));
            assert!(!read.is_from_holder(&key(), b"another request"));
            assert!(!format!("{read:?}").contains(&text[text.len() - 20..text.len() - 1]));
        }
        let alone = KeyResponse::new("", None, None, &key(), DIGEST).to_text();
        assert!(alone.starts_with("Key-Derivation pop=\""));
        assert!(KeyResponse::select(&[&alone], "any").is_ok());
    }

    #[test]
    fn which_credentials_count() {
        let of = |realm| KeyResponse::new("alice", realm, None, &key(), DIGEST).to_text();
        let (ours, other, none) = (of(Some("r")), of(Some("other")), of(None));
        let select = |bodies: &[&str]| KeyResponse::select(bodies, "r").map(|r| r.realm.map(Cow::into_owned));
        assert_eq!(select(&[&other, &ours]), Ok(Some("r".into())));
        assert_eq!(select(&[&other]), Err(Reason::NoCredentials));
        assert_eq!(select(&[&ours, &ours]), Err(Reason::SeveralTokens));
        assert_eq!(select(&[&none, &none]), Err(Reason::SeveralTokens));
        assert_eq!(select(&["Bearer abc"]), Err(Reason::NoCredentials));
        assert_eq!(select(&["Basic x"; 17]), Err(Reason::CredentialsMalformed));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        let pop = pop_to_text(&[1; 32]);
        for bad in [
            "Key-Derivation".to_owned(),
            "Key-Derivation username=\"alice\"".to_owned(),
            format!("Key-Derivation pop=\"{pop}\", pop=\"{pop}\""),
            format!("Key-Derivation username=a, username=b, pop={pop}"),
            format!("Key-Derivation nonce=short, pop={pop}"),
            format!("Key-Derivation nonce=\"sixteen visible \", pop={pop}"),
            format!("Key-Derivation nonce=\"{}\", pop={pop}", "n".repeat(129)),
            format!("Key-Derivation pop={}", &pop[1..]),
            format!("Key-Derivation pop={pop} x"),
        ] {
            assert_eq!(KeyResponse::select(&[&bad], ""), Err(Reason::CredentialsMalformed), "{bad}");
        }
    }

    #[test]
    fn a_challenge_is_never_an_answer_however_it_is_divided() {
        let challenge = challenge();
        let nonce = challenge.nonce.as_str();
        // As it was sent.
        let same = KeyResponse { username: None, realm: None, nonce: Some(nonce.into()), pop: challenge.pop };
        assert!(!same.is_from_holder(&key(), DIGEST));
        // With the nonce, or a part of it, at the end of the body.
        for split in 0..=nonce.len() {
            let digest = [DIGEST, &nonce.as_bytes()[..split]].concat();
            let rest = (split < nonce.len()).then(|| nonce[split..].into());
            let moved = KeyResponse { nonce: rest, ..same.clone() };
            assert_eq!(proof(&key(), &digest, moved.nonce.as_deref().unwrap_or_default()).as_slice(), challenge.pop);
            assert!(!moved.is_from_holder(&key(), &digest), "{split}");
        }
        // With the end of the request at the beginning of the nonce.
        let longer = format!("body{nonce}");
        let moved = KeyResponse { nonce: Some(longer.into()), ..same };
        assert!(!moved.is_from_holder(&key(), &DIGEST[..DIGEST.len() - 4]));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}", nonce in "\\PC{0,60}", digest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = KeyChallenge::parse(&text);
            let _ = KeyChallenge::parse(&format!("Key-Derivation {text}"));
            let body = format!("Key-Derivation {text}");
            let _ = KeyResponse::select(&[&text, &body], "r");
            let _ = is_a_servers(&key(), &digest, &nonce);
        }

        #[test]
        fn what_is_written_is_read(realm in "[ -~]{0,40}", nonce in "[!-~]{16,128}", user in "[ -~]{1,40}") {
            let challenge = KeyChallenge { realm: realm.clone(), nonce: nonce.clone(), ..challenge() };
            prop_assert_eq!(KeyChallenge::parse(&challenge.to_text()), Some(Ok(challenge)));
            let response = KeyResponse::new(&user, Some(&realm), Some(&nonce), &key(), DIGEST);
            let text = response.to_text();
            prop_assert_eq!(KeyResponse::select(&[&text], &realm), Ok(response));
        }
    }
}
