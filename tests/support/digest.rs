// SPDX-License-Identifier: MIT OR Apache-2.0

//! The phone's side of a Digest challenge, over HTTP or SIP.

use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};

/// A challenge as a phone reads it.
#[derive(Clone, Debug)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub algorithm: DigestAlgorithm,
    /// Only the nonce was wrong.
    pub stale: bool,
    /// `qop=auth` is offered.
    pub qop: bool,
}

impl Challenge {
    /// Reads the value of WWW-Authenticate or Proxy-Authenticate, which must be one Digest challenge without commas in
    /// its values.
    pub fn parse(value: &str) -> Challenge {
        let list = value.strip_prefix("Digest ").unwrap_or_else(|| panic!("no Digest challenge: {value}"));
        let param = |name: &str| {
            let mut params = list.split(',').filter_map(|part| part.trim().split_once('='));
            params
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let needed = |name: &str| param(name).unwrap_or_else(|| panic!("no {name}: {value}"));
        Challenge {
            realm: needed("realm"),
            nonce: needed("nonce"),
            algorithm: DigestAlgorithm::from_name(&param("algorithm").unwrap_or("MD5".into()))
                .expect("a known algorithm"),
            stale: param("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            qop: param("qop").is_some(),
        }
    }

    /// H(A1) of this user.
    pub fn ha1(&self, user: &str, password: &str) -> String {
        ha1(self.algorithm, user, &self.realm, password).to_string()
    }

    /// The credentials for the `count`-th request with this challenge.
    pub fn answer(&self, user: &str, password: &str, method: &str, uri: &str, count: u32) -> String {
        self.answer_with(user, password, method, uri, count, "0a4f113b")
    }

    /// The same with a cnonce of one's own.
    pub fn answer_with(&self, user: &str, password: &str, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let answer = DigestInput {
            algorithm: self.algorithm,
            username: user,
            realm: &self.realm,
            nonce: &self.nonce,
            opaque: None,
            method,
            uri,
            auth: self.qop.then_some((count, cnonce)),
        };
        answer.credentials(&self.ha1(user, password))
    }

    /// The cnonce of such credentials.
    pub fn cnonce(credentials: &str) -> &str {
        credentials.split_once("cnonce=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(cnonce, _)| cnonce)
    }
}
