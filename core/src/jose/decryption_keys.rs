// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys with which tokens are decrypted, and the choice among them. The newest comes first.

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::decryption_key::DecryptionKey;
use super::jwe::{CompactJwe, JweHeader};
use super::jwe_algorithm::KeyManagement;
use crate::reason::Reason;
use crate::text::json::Json;

/// Most keys in all.
pub const MAX_KEYS: usize = 16;
/// Most keys that are tried for one token, because each try costs a private-key operation that anybody can ask
/// for.
const MAX_CANDIDATES: usize = 4;
/// Most RSA keys that are tried for a token that names none of them: an old and a new one. Trying an RSA key costs
/// by far the most.
const MAX_UNNAMED_RSA: usize = 2;

/// Keys, and the algorithms that they may be used with. Without a key every encrypted token is refused.
#[derive(Debug, Default)]
pub struct DecryptionKeys {
    keys: Vec<DecryptionKey>,
    algorithms: Vec<KeyManagement>,
}

/// A signed token: as it came, or decrypted.
pub enum OpenedToken<'a> {
    /// It was not encrypted.
    AsItCame(&'a str),
    /// The content of an encrypted token, wiped when dropped, and the claims that its header repeats.
    Decrypted(Zeroizing<String>, Vec<(&'static str, String)>),
}

impl OpenedToken<'_> {
    /// The content of a token that was encrypted.
    pub fn into_decrypted(self) -> Option<Zeroizing<String>> {
        match self {
            OpenedToken::AsItCame(_) => None,
            OpenedToken::Decrypted(token, _) => Some(token),
        }
    }

    /// False when the header of the encrypted token repeats a claim with another value (RFC 7519 section 5.3).
    pub fn agrees_with(&self, claims: &Json<'_>) -> bool {
        let same = |(name, value): &(&str, String)| claims.get(name).is_some_and(|claim| claim.to_string() == *value);
        match self {
            OpenedToken::AsItCame(_) => true,
            OpenedToken::Decrypted(_, replicated) => replicated.iter().all(same),
        }
    }
}

impl std::ops::Deref for OpenedToken<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            OpenedToken::AsItCame(token) => token,
            OpenedToken::Decrypted(token, _) => token,
        }
    }
}

/// Why an encrypted token is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOpened {
    /// The reason.
    pub reason: Reason,
    /// The `kid` that the token names, for the log.
    pub kid: String,
}

impl From<NotOpened> for Reason {
    fn from(refused: NotOpened) -> Reason {
        refused.reason
    }
}

impl DecryptionKeys {
    /// A set, newest key first.
    pub fn new(keys: Vec<DecryptionKey>, algorithms: Vec<KeyManagement>) -> DecryptionKeys {
        DecryptionKeys { keys, algorithms }
    }

    /// The keys.
    pub fn keys(&self) -> &[DecryptionKey] {
        &self.keys
    }

    /// Decrypts a token if it is encrypted. What comes out is not verified yet, and may be anything but another
    /// encrypted token: encryption with a public key says nothing about the sender.
    pub fn open<'a>(&self, token: &'a str) -> Result<OpenedToken<'a>, NotOpened> {
        self.open_if(token, || true)
    }

    /// Like [`DecryptionKeys::open`], but calls `permit` right before a private key is used. If that says no, the
    /// reason is "overloaded".
    pub fn open_if<'a>(&self, token: &'a str, permit: impl FnOnce() -> bool) -> Result<OpenedToken<'a>, NotOpened> {
        let refuse = |kid: &str| {
            let kid = kid.to_owned();
            |reason| NotOpened { reason, kid }
        };
        let Some(jwe) = CompactJwe::split(token) else {
            return Ok(OpenedToken::AsItCame(token));
        };
        if self.keys.is_empty() {
            return Err(refuse("")(Reason::TokenEncrypted));
        }
        let header = jwe.header().map_err(refuse(""))?;
        let kid = header.kid.as_deref().unwrap_or("");
        if !header.holds_jwt {
            return Err(refuse(kid)(Reason::TokenMalformed));
        }
        let octets = self.decrypt_if(&jwe, &header, permit).map_err(refuse(kid))?;
        let text = std::str::from_utf8(&octets).ok().filter(|text| is_signed(text));
        let text = text.ok_or(Reason::TokenMalformed).map_err(refuse(kid))?;
        Ok(OpenedToken::Decrypted(Zeroizing::new(text.to_owned()), header.replicated))
    }

    /// Decrypts content of any kind.
    pub fn decrypt(&self, jwe: &CompactJwe<'_>, header: &JweHeader) -> Result<Zeroizing<Vec<u8>>, Reason> {
        self.decrypt_if(jwe, header, || true)
    }

    fn decrypt_if(
        &self,
        jwe: &CompactJwe<'_>,
        header: &JweHeader,
        permit: impl FnOnce() -> bool,
    ) -> Result<Zeroizing<Vec<u8>>, Reason> {
        if !self.algorithms.contains(&header.alg) {
            return Err(Reason::AlgorithmNotAllowed);
        }
        let candidates = self.candidates(header)?;
        let parts = jwe.decode()?;
        if !permit() {
            return Err(Reason::Overloaded);
        }
        let content = parts.content(jwe);
        candidates
            .iter()
            .find_map(|key| content.decrypt(header.enc, &key.content_key(header, &parts.encrypted_key)?))
            .ok_or(Reason::DecryptionFailed)
    }

    /// Keys with the token's `kid`. If there are none, those without a `kid` from the operator, because the server
    /// may have given them one.
    fn candidates(&self, header: &JweHeader) -> Result<Vec<&DecryptionKey>, Reason> {
        let kid = header.kid.as_deref();
        let is_named = |key: &&DecryptionKey| key.kid() == kid;
        let known = kid.is_some() && self.keys.iter().any(|key| is_named(&key));
        let in_question = |key: &&DecryptionKey| match kid {
            Some(_) if known => is_named(key),
            Some(_) => !key.is_named(),
            None => true,
        };
        let most = if known || !header.alg.is_rsa() { MAX_CANDIDATES } else { MAX_UNNAMED_RSA };
        let suited: Vec<_> = self.keys.iter().filter(in_question).filter(|key| key.suits(header)).take(most).collect();
        match (suited.is_empty(), known) {
            (false, _) => Ok(suited),
            (true, true) => Err(Reason::KeyUnsuitable),
            (true, false) => Err(Reason::DecryptionKeyUnknown),
        }
    }
}

/// True for a text of three parts. Whether they are a JWS turns out when they are read.
fn is_signed(text: &str) -> bool {
    text.bytes().filter(|octet| *octet == b'.').count() == 2
}

/// Reads every key of a text: "PRIVATE KEY" blocks (PKCS #8), a JWK, or a JWK Set. The error says what is wrong with
/// the text, and continues a sentence that begins with its name.
pub fn keys_from_text(text: &str) -> Result<Vec<DecryptionKey>, String> {
    let keys = if text.trim_start().starts_with('{') { keys_from_json(text)? } else { keys_from_pem(text)? };
    if keys.len() > MAX_KEYS {
        Err(format!("has {} keys, at most {MAX_KEYS} are possible", keys.len()))
    } else {
        Ok(keys)
    }
}

fn keys_from_json(text: &str) -> Result<Vec<DecryptionKey>, String> {
    // The parser's own message may repeat a part of the text.
    let json = Json::parse(text.trim().as_bytes())
        .map_err(|e| format!("is not valid JSON (line {}, column {}), or repeats a member", e.line(), e.column()))?;
    let jwks = match json.get("keys") {
        Some(Json::Array(keys)) if !keys.is_empty() => keys.as_slice(),
        None if json.get("kty").is_some() => std::slice::from_ref(&json),
        _ => return Err("is neither a JWK nor a JWK Set with at least one key".into()),
    };
    let number = |i: usize| if jwks.len() > 1 { format!("key {}: ", i + 1) } else { String::new() };
    let read = |(i, jwk)| DecryptionKey::from_jwk(jwk).map_err(|e| format!("{}{e}", number(i)));
    jwks.iter().enumerate().map(read).collect()
}

fn keys_from_pem(text: &str) -> Result<Vec<DecryptionKey>, String> {
    let mut keys = Vec::new();
    for block in PrivatePkcs8KeyDer::pem_slice_iter(text.as_bytes()) {
        let der = block.map_err(|_| "is not valid PEM")?;
        keys.push(DecryptionKey::from_pkcs8(der.secret_pkcs8_der())?);
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    Err(if has("ENCRYPTED PRIVATE KEY") {
        "is encrypted; write it without a password: openssl pkcs8 -in old.pem -out new.pem"
    } else if has("PUBLIC KEY") || has("CERTIFICATE") {
        "is a public key: that one is for the authorization server; write the private key here"
    } else {
        "is neither JSON nor has it a PRIVATE KEY block (PKCS #8); convert it: openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem"
    }
    .into())
}
