// SPDX-License-Identifier: MIT OR Apache-2.0
//! A set of verification keys (RFC 7517 section 5) and the choice among them.

use smallvec::SmallVec;

use super::algorithm::{Algorithm, KeyType};
use super::jwk::VerificationKey;
use super::jwk_error::JwkError;
use crate::text::fingerprint::printable;
use crate::text::json::{Json, JsonError};

/// Most keys of one set that are used or named.
pub const MAX_KEYS: usize = 64;
/// Most keys that are tried for one signature: `MAX_NAMESAKES` of those that share the token's kid, else
/// `MAX_CANDIDATES`.
const MAX_CANDIDATES: usize = 8;
const MAX_NAMESAKES: usize = 4;

/// At most this many characters of a rejected key's kid are shown.
const MAX_SHOWN_KID: usize = 64;

/// Keys to try for a signature.
pub type Candidates<'a> = SmallVec<[&'a VerificationKey; MAX_CANDIDATES]>;

/// Where a key set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Fetched from an authorization server. Only public keys are accepted, and one odd key does not spoil the
    /// set.
    Fetched,
    /// Configured by the operator. The set may hold one or more shared secrets, but never mixed with public keys.
    Configured,
}

/// The usable keys of a set, and a note for each one that is not.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    rejected: Vec<Rejected>,
}

/// A key that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its id, printable and short; empty when it has none.
    pub kid: String,
    /// Its place in the set, from 1.
    pub place: usize,
    /// Why the key is not used.
    pub error: JwkError,
}

impl Rejected {
    /// The name of the key: its id, or else its place.
    pub fn name(&self) -> String {
        if self.kid.is_empty() { format!("key {}", self.place) } else { format!("key '{}'", self.kid) }
    }

    /// Why the key is not used. If the key has no id, the note names its place.
    pub fn note(&self) -> String {
        if self.kid.is_empty() { format!("key {}: {}", self.place, self.error) } else { self.error.to_string() }
    }

    /// The id and the note, for a process that reads them as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"kid": self.kid, "note": self.note()})
    }
}

/// Why no key can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCandidate {
    /// No key has this kid.
    Unknown,
    /// The key with this kid must not be used with this algorithm.
    Unsuitable,
}

/// Why a document is not a usable key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// Not the JSON that is accepted.
    NotJson(JsonError),
    /// No "keys" array.
    NotAKeySet,
    /// No key of the set can be used. The list says why, for each key.
    NoUsableKey(Vec<Rejected>),
    /// More configured keys than allowed.
    TooMany,
    /// Secrets and public keys in one set.
    Mixed,
}

impl KeySetError {
    /// The keys of the set, when every one of them is rejected.
    pub fn rejected(&self) -> &[Rejected] {
        match self {
            KeySetError::NoUsableKey(rejected) => rejected,
            _ => &[],
        }
    }
}

impl std::fmt::Display for KeySetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            KeySetError::NotJson(error) => return write!(f, "the answer is not a JSON Web Key Set: {error}"),
            KeySetError::NotAKeySet => "the answer is not a JSON Web Key Set",
            KeySetError::NoUsableKey(rejected) if rejected.is_empty() => {
                "the key set has no usable signature key: it is empty"
            }
            KeySetError::NoUsableKey(rejected) => {
                let (first, others) = (&rejected[0], rejected.len() - 1);
                write!(f, "the key set has no usable signature key: {}: {}", first.name(), first.error)?;
                return if others > 0 { write!(f, ", and {others} more") } else { Ok(()) };
            }
            KeySetError::TooMany => "the key set has more than 64 keys",
            KeySetError::Mixed => "the key set mixes shared secrets and public keys",
        })
    }
}

impl KeySet {
    /// Parses a JWK Set. A single JWK is accepted for configured keys.
    pub fn from_jwks(document: &[u8], origin: Origin) -> Result<KeySet, KeySetError> {
        let json = Json::parse(document).map_err(KeySetError::NotJson)?;
        let configured = origin == Origin::Configured;
        let jwks: &[Json<'_>] = match json.get("keys") {
            Some(Json::Array(keys)) => keys,
            None if configured && json.get("kty").is_some() => std::slice::from_ref(&json),
            _ => return Err(KeySetError::NotAKeySet),
        };
        if configured && jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = KeySet::default();
        let (mut secrets, mut surplus) = (Vec::new(), Vec::new());
        for (place, jwk) in (1..).zip(jwks) {
            let text = |name: &str| jwk.get(name).and_then(Json::as_str).unwrap_or("");
            let key = VerificationKey::from_jwk(jwk, configured);
            if key.as_ref().is_ok_and(|key| set.keys.iter().any(|known| known.is_same(key))) {
                continue;
            }
            if text("kty") == KeyType::Secret.kty() {
                secrets.push((text("kid"), place));
            }
            let has_room = if key.is_ok() { set.keys.len() < MAX_KEYS } else { set.rejected.len() < MAX_KEYS };
            match key {
                Ok(key) if has_room => set.keys.push(key),
                Err(error) if has_room => set.reject(text("kid"), place, error),
                _ => surplus.push(place),
            }
        }
        set.leave_out(surplus);
        set.drop_ambiguous_secrets(&secrets);
        let secrets = set.keys.iter().filter(|k| k.key_type().kty() == "oct").count();
        if secrets > 0 && secrets < set.keys.len() {
            return Err(KeySetError::Mixed);
        }
        if set.keys.is_empty() { Err(KeySetError::NoUsableKey(set.rejected)) } else { Ok(set) }
    }

    /// A set made of keys that are already checked.
    pub fn from_keys(keys: Vec<VerificationKey>) -> KeySet {
        KeySet { keys, rejected: Vec::new() }
    }

    /// Adds the keys of another set.
    pub fn extend(&mut self, other: KeySet) {
        self.keys.extend(other.keys);
        self.rejected.extend(other.rejected);
    }

    fn reject(&mut self, kid: &str, place: usize, error: JwkError) {
        self.rejected.push(Rejected { kid: printable(kid, MAX_SHOWN_KID), place, error });
    }

    /// Replaces notes by a single one, so that no more keys are used or named than one set may have. `surplus` are the
    /// places of keys that have no note.
    fn leave_out(&mut self, mut surplus: Vec<usize>) {
        let room = MAX_KEYS.saturating_sub(self.keys.len());
        if surplus.is_empty() && self.rejected.len() <= room {
            return;
        }
        let named = self.rejected.len().min(room.saturating_sub(1));
        surplus.extend(self.rejected.drain(named..).map(|key| key.place));
        let first = surplus.iter().min().copied().unwrap_or_default();
        self.reject("", first, JwkError::Surplus(surplus.len()));
    }

    /// Drops shared secrets that have the same kid, even if one of them is broken, because the operator has mixed
    /// something up. A server's public keys may share a kid, and each of them is tried.
    fn drop_ambiguous_secrets(&mut self, secrets: &[(&str, usize)]) {
        let named = |kid: &str| secrets.iter().filter(|(other, _)| *other == kid).count();
        let (dropped, kept): (Vec<_>, _) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition(|key| key.key_type() == KeyType::Secret && key.kid().is_some_and(|kid| named(kid) > 1));
        self.keys = kept;
        for key in dropped {
            let kid = key.kid().unwrap_or_default();
            let place = secrets.iter().find(|(other, _)| *other == kid).map_or(0, |(_, place)| *place);
            self.reject(kid, place, JwkError::SharedName);
        }
    }

    /// The usable keys.
    pub fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }

    /// The keys that are not used, with the reason.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The keys to try for a signature: those with the token's kid, or those without one.
    /// The error tells a missing key from one that must not be used with this algorithm.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Candidates<'_>, NoCandidate> {
        let named = kid.is_some() && self.keys.iter().any(|k| k.kid() == kid);
        let in_question = |k: &&VerificationKey| match (named, kid) {
            (true, _) => k.kid() == kid,
            (false, Some(_)) => k.kid().is_none(),
            (false, None) => true,
        };
        let most = if named { MAX_NAMESAKES } else { MAX_CANDIDATES };
        let suited: Candidates<'_> =
            self.keys.iter().filter(in_question).filter(|k| k.suits(algorithm)).take(most).collect();
        match (suited.is_empty(), named) {
            (false, _) => Ok(suited),
            (true, true) => Err(NoCandidate::Unsuitable),
            (true, false) => Err(NoCandidate::Unknown),
        }
    }

    /// True when a token with this kid can only be matched by trying keys that have no kid.
    pub fn only_guesses(&self, kid: Option<&str>) -> bool {
        let named = |k: &VerificationKey| k.kid().is_some() && (kid.is_none() || k.kid() == kid);
        !self.keys.iter().any(named)
    }

    /// The set as compact JSON with public members only: what the I/O process publishes to the workers.
    pub fn to_public_jwks(&self) -> Vec<u8> {
        let keys: Vec<_> = self.keys.iter().filter_map(VerificationKey::to_public_jwk).collect();
        let rejected: Vec<_> = self.rejected.iter().map(Rejected::to_json).collect();
        serde_json::json!({"keys": keys, "rejected": rejected}).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const KEY: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn set(keys: &[&str]) -> Result<KeySet, KeySetError> {
        KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes(), Origin::Fetched)
    }

    #[test]
    fn every_key_of_a_kid_is_tried_and_at_most_four() {
        let good = format!(r#"{{"kid":"a",{KEY}}}"#);
        let other = format!(r#"{{"kid":"b",{KEY}}}"#);
        let broken = r#"{"kid":"a","kty":"OKP","crv":"Ed25519","x":"AA"}"#;
        let different = r#"{"kid":"a","kty":"OKP","crv":"Ed25519","x":"PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"}"#;
        let tried = |keys: &[&str]| set(keys).unwrap().candidates(Some("a"), Algorithm::EdDSA).map(|found| found.len());
        assert_eq!(tried(&[&good, &good]), Ok(1), "the same key twice is one key");
        assert_eq!(tried(&[&good, different, &other]), Ok(2));
        assert_eq!(tried(&[&good, broken, &other]), Ok(1));
        assert_eq!(tried(&[broken, &other]), Err(NoCandidate::Unknown));
        let many: Vec<String> = (0..9u8)
            .map(|i| {
                let key = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[i; 32]).unwrap();
                let x = URL_SAFE_NO_PAD.encode(aws_lc_rs::signature::KeyPair::public_key(&key));
                format!(r#"{{"kid":"a","kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
            })
            .collect();
        assert_eq!(tried(&many.iter().map(String::as_str).collect::<Vec<_>>()), Ok(4));
    }

    #[test]
    fn the_first_keys_of_a_large_set_are_used_and_the_rest_is_counted() {
        let key = |number: u32| {
            let seed: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(32).collect();
            let key = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
            let x = URL_SAFE_NO_PAD.encode(aws_lc_rs::signature::KeyPair::public_key(&key));
            format!(r#"{{"kid":"k{number}","kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
        };
        let read = |keys: &[String]| set(&keys.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let copies = read(&vec![key(1); 500]);
        assert_eq!((copies.keys().len(), copies.rejected().len()), (1, 0), "equal ones count once");
        let many = read(&(0..70).map(key).collect::<Vec<_>>());
        assert_eq!(many.keys().len(), MAX_KEYS);
        assert_eq!(many.rejected(), [Rejected { kid: String::new(), place: 65, error: JwkError::Surplus(6) }]);
        let other = r#"{"kid":"e","use":"enc","kty":"RSA"}"#.to_owned();
        let behind = read(&[vec![other; 300], vec![key(1)]].concat());
        assert_eq!((behind.keys().len(), behind.rejected().len()), (1, MAX_KEYS - 1), "a key behind others is found");
        assert_eq!(behind.rejected().last().map(|rest| &rest.error), Some(&JwkError::Surplus(238)));
        let configured = format!(r#"{{"keys":[{}]}}"#, vec![key(1); 65].join(","));
        assert_eq!(KeySet::from_jwks(configured.as_bytes(), Origin::Configured).unwrap_err(), KeySetError::TooMany);
    }

    #[test]
    fn what_a_key_leaves_empty_says_nothing() {
        for member in [r#""d":"""#, r#""key_ops":"""#, r#""key_ops":[]"#, r#""key_ops":[""]"#, r#""key_ops":"verify""#]
        {
            assert_eq!(set(&[&format!("{{{member},{KEY}}}")]).unwrap().keys().len(), 1, "{member}");
        }
        for member in [r#""d":"AA""#, r#""d":1"#, r#""d":[]"#, r#""key_ops":["encrypt"]"#, r#""key_ops":"encrypt""#] {
            assert!(set(&[&format!("{{{member},{KEY}}}")]).is_err(), "{member}");
        }
    }

    #[test]
    fn a_kid_may_name_keys_of_different_use_or_type() {
        let good = format!(r#"{{"kid":"a",{KEY}}}"#);
        let encryption = format!(r#"{{"kid":"a","use":"enc",{KEY}}}"#);
        let unsupported = r#"{"kid":"a","kty":"OKP","crv":"X25519","x":"AA"}"#;
        let rsa = r#"{"kid":"a","kty":"RSA","n":"AA","e":"AQAB"}"#;
        assert_eq!(set(&[&good, &encryption, unsupported, rsa]).unwrap().keys().len(), 1);
    }
}
