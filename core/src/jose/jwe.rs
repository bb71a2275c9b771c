// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compact JWE (RFC 7516 section 3.1): taking it apart. Everything that a sender can choose is bounded here.

use super::content::Content;
use super::ephemeral::Ephemeral;
use super::jwe_algorithm::{ContentEncryption, KeyManagement};
use super::{decode, dots};
use crate::reason::Reason;
use crate::text::json::Json;

/// Longest encoded header in characters.
const MAX_HEADER: usize = 4096;
/// Longest `kid`, `apu` and `apv` in characters.
const MAX_TEXT: usize = 512;
/// Longest encoded content key in characters: that of RSA with 8192 bits.
const MAX_ENCRYPTED_KEY: usize = 1366;

/// The five parts of a compact JWE, still encoded.
#[derive(Clone, Copy)]
pub struct CompactJwe<'a> {
    header: &'a str,
    encrypted_key: &'a str,
    iv: &'a str,
    ciphertext: &'a str,
    tag: &'a str,
}

/// The protected header, as far as it matters here.
#[derive(Clone, Debug)]
pub struct JweHeader {
    /// `alg`
    pub alg: KeyManagement,
    /// `enc`
    pub enc: ContentEncryption,
    /// `kid`
    pub kid: Option<String>,
    /// `epk`: there for every key agreement.
    pub ephemeral: Option<Ephemeral>,
    /// `apu`, decoded.
    pub apu: Vec<u8>,
    /// `apv`, decoded.
    pub apv: Vec<u8>,
    /// False when `cty` says that the content is no JWT.
    pub holds_jwt: bool,
    /// Claims that the header repeats, as JSON (RFC 7519 section 5.3).
    pub replicated: Vec<(&'static str, String)>,
}

/// The decoded parts, without the header.
pub struct JweParts {
    /// The encrypted content key.
    pub encrypted_key: Vec<u8>,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

impl JweParts {
    /// What is to be decrypted.
    pub fn content<'a>(&'a self, jwe: &CompactJwe<'a>) -> Content<'a> {
        Content { iv: &self.iv, ciphertext: &self.ciphertext, tag: &self.tag, aad: jwe.header.as_bytes() }
    }
}

impl<'a> CompactJwe<'a> {
    /// Splits a token; None when it does not have five parts.
    pub fn split(token: &'a str) -> Option<CompactJwe<'a>> {
        let dots = dots(token);
        let [first, second, third, fourth] = dots.as_slice() else {
            return None;
        };
        Some(CompactJwe {
            header: &token[..*first],
            encrypted_key: &token[first + 1..*second],
            iv: &token[second + 1..*third],
            ciphertext: &token[third + 1..*fourth],
            tag: &token[fourth + 1..],
        })
    }

    /// Decodes the protected header without any check but that of its length.
    pub fn unverified_header(&self) -> Result<Vec<u8>, Reason> {
        if self.header.len() > MAX_HEADER { Err(Reason::TokenMalformed) } else { decode(self.header) }
    }

    /// Reads the protected header.
    pub fn header(&self) -> Result<JweHeader, Reason> {
        let octets = self.unverified_header()?;
        let json = Json::parse(&octets).map_err(|_| Reason::TokenMalformed)?;
        if !matches!(json, Json::Object(_)) {
            return Err(Reason::TokenMalformed);
        }
        let text = |name: &str| match json.get(name).map(Json::as_str) {
            None => Ok(None),
            Some(Some(text)) if text.len() <= MAX_TEXT => Ok(Some(text)),
            Some(_) => Err(Reason::TokenMalformed),
        };
        // No extension is understood, so any crit must be refused (RFC 7516 section 4.1.13).
        if json.get("crit").is_some() || json.get("b64").is_some() {
            return Err(Reason::CriticalUnknown);
        }
        // A few octets could inflate to any size, and the compressed length would reveal something about the
        // content (RFC 8725 section 3.6).
        if json.get("zip").is_some() {
            return Err(Reason::TokenMalformed);
        }
        let (alg, enc) = (text("alg")?.ok_or(Reason::TokenMalformed)?, text("enc")?.ok_or(Reason::TokenMalformed)?);
        let alg = KeyManagement::from_name(alg).ok_or(Reason::AlgorithmNotAllowed)?;
        let enc = ContentEncryption::from_name(enc).ok_or(Reason::AlgorithmNotAllowed)?;
        let ephemeral = match json.get("epk") {
            Some(epk) if alg.is_agreement() => Some(Ephemeral::from_jwk(epk).ok_or(Reason::TokenMalformed)?),
            None if alg.is_agreement() => return Err(Reason::TokenMalformed),
            _ => None,
        };
        let party = |name| text(name)?.map_or(Ok(Vec::new()), decode);
        let replicated = ["iss", "sub", "aud"].into_iter();
        let replicated = replicated.filter_map(|name| json.get(name).map(|value| (name, value.to_string())));
        Ok(JweHeader {
            alg,
            enc,
            // An empty text counts as absent, as in a key.
            kid: text("kid")?.filter(|kid| !kid.is_empty()).map(str::to_owned),
            ephemeral,
            apu: party("apu")?,
            apv: party("apv")?,
            holds_jwt: text("cty")?.is_none_or(is_jwt),
            replicated: replicated.collect(),
        })
    }

    /// Decodes the other parts.
    pub fn decode(&self) -> Result<JweParts, Reason> {
        if self.encrypted_key.len() > MAX_ENCRYPTED_KEY {
            return Err(Reason::TokenMalformed);
        }
        Ok(JweParts {
            encrypted_key: decode(self.encrypted_key)?,
            iv: decode(self.iv)?,
            ciphertext: decode(self.ciphertext)?,
            tag: decode(self.tag)?,
        })
    }
}

/// "JWT" (RFC 7519 section 5.2), or a kind of it: servers write "at+jwt" here, too.
fn is_jwt(cty: &str) -> bool {
    let cty = cty.to_ascii_lowercase();
    let cty = cty.strip_prefix("application/").unwrap_or(&cty);
    cty == "jwt" || cty.ends_with("+jwt")
}
