// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compact JWS (RFC 7515 section 3.1): taking it apart and checking its signature.

use std::sync::Arc;

use aws_lc_rs::digest::Digest;

use super::algorithm::Algorithm;
use super::jwk::VerificationKey;
use super::key_set::{KeySet, NoCandidate};
use super::{decode, dots};
use crate::reason::Reason;
use crate::text::json::Json;

/// The parts of a compact JWS, still encoded.
#[derive(Clone, Copy)]
pub struct CompactJws<'a> {
    signing_input: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// SHA-256 of `signing_input`, where it is known.
    hash: Option<Digest>,
}

/// The protected header, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Header {
    /// `alg`, when supported.
    pub algorithm: Algorithm,
    /// `kid`
    pub kid: Option<Arc<str>>,
    /// `typ` in lower case without a leading "application/"; empty when absent.
    pub typ: String,
    /// True when the header has a `nonce`, as in tokens for Microsoft Graph, whose signature covers a changed
    /// header.
    pub has_nonce: bool,
}

impl<'a> CompactJws<'a> {
    /// Splits a token. A JWE has five parts, an opaque token any other number.
    pub fn split(token: &'a str) -> Result<CompactJws<'a>, Reason> {
        match dots(token).as_slice() {
            [first, last] => Ok(CompactJws {
                signing_input: &token[..*last],
                header: &token[..*first],
                payload: &token[first + 1..*last],
                signature: &token[last + 1..],
                hash: None,
            }),
            [_, _, _, _] => Err(Reason::TokenEncrypted),
            _ => Err(Reason::TokenOpaque),
        }
    }

    /// What is signed.
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The signature, still encoded.
    pub fn encoded_signature(&self) -> &'a str {
        self.signature
    }

    /// Adds the SHA-256 of all but the signature, so that it need not be computed again.
    pub fn with_hash(self, hash: Digest) -> CompactJws<'a> {
        CompactJws { hash: Some(hash), ..self }
    }

    /// The protected header, still encoded.
    pub fn encoded_header(&self) -> &'a str {
        self.header
    }

    /// Decodes the protected header.
    pub fn header(&self) -> Result<Header, Reason> {
        let octets = decode(self.header)?;
        let json = Json::parse(&octets).map_err(|_| Reason::TokenMalformed)?;
        if !matches!(json, Json::Object(_)) {
            return Err(Reason::TokenMalformed);
        }
        let text = |name: &str| -> Result<Option<&str>, Reason> {
            json.get(name).map(|v| v.as_str().ok_or(Reason::TokenMalformed)).transpose()
        };
        // No extension is understood, so any crit must be refused (RFC 7515 section 4.1.11); b64 is one of them.
        if json.get("crit").is_some() || json.get("b64").is_some() {
            return Err(Reason::CriticalUnknown);
        }
        if json.get("zip").is_some() {
            return Err(Reason::TokenMalformed);
        }
        let alg = text("alg")?.ok_or(Reason::TokenMalformed)?;
        let typ = text("typ")?.unwrap_or("").to_ascii_lowercase();
        let typ = match typ.strip_prefix("application/") {
            Some(short) => short.to_owned(),
            None => typ,
        };
        Ok(Header {
            algorithm: Algorithm::from_name(alg).ok_or(Reason::AlgorithmNotAllowed)?,
            // An empty text counts as absent, as in a key.
            kid: text("kid")?.filter(|kid| !kid.is_empty()).map(Arc::from),
            typ,
            has_nonce: json.get("nonce").is_some(),
        })
    }

    /// Decodes the payload without any check.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, Reason> {
        decode(self.payload)
    }

    /// Checks the signature with the keys of a set. `Reason::KeyUnknown` means that no key fits the kid.
    pub fn verify(&self, header: &Header, keys: &KeySet) -> Result<(), Reason> {
        let signature = decode(self.signature)?;
        let candidates = keys.candidates(header.kid.as_deref(), header.algorithm).map_err(|e| match e {
            NoCandidate::Unsuitable => Reason::KeyUnsuitable,
            NoCandidate::Unknown => Reason::KeyUnknown,
        })?;
        let verifies = |key: &&VerificationKey| match self.hash.filter(|_| header.algorithm.signs_sha256()) {
            Some(hash) => key.verify_hash(header.algorithm, &hash, &signature),
            None => key.verify(header.algorithm, self.signing_input.as_bytes(), &signature),
        };
        if !signature.is_empty() && candidates.iter().any(verifies) { Ok(()) } else { Err(Reason::SignatureInvalid) }
    }
}
