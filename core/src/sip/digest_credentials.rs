// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's side of Digest, as far as the master-key depends on it: the credentials of a request (RFC 7616
//! section 3.4), and whether somebody who knows H(A1) made them. The host has to check the nonce of the
//! credentials, because the host has issued it.

use std::borrow::Cow;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::auth_params::{Few, MAX_HEADERS, after_scheme, for_realm, once, read_params_or_empty};
use super::digest::{DigestAlgorithm, DigestInput};
use crate::reason::Reason;

/// Digest credentials, unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestCredentials<'a> {
    /// `username`
    pub username: Cow<'a, str>,
    /// `realm`
    pub realm: Cow<'a, str>,
    /// `nonce`
    pub nonce: Cow<'a, str>,
    uri: Cow<'a, str>,
    response: Cow<'a, str>,
    algorithm: Option<Cow<'a, str>>,
    qop: Option<Cow<'a, str>>,
    cnonce: Option<Cow<'a, str>>,
    nc: Option<Cow<'a, str>>,
}

impl<'a> DigestCredentials<'a> {
    /// Finds the credentials for a realm among the bodies of all credential header fields of a request.
    pub fn select(bodies: &[&'a str], realm: &str) -> Result<DigestCredentials<'a>, Reason> {
        if bodies.len() > MAX_HEADERS {
            return Err(Reason::CredentialsMalformed);
        }
        let found = bodies.iter().filter_map(|body| after_scheme(body, "Digest"));
        let found = found.map(|text| DigestCredentials::parse(text).ok_or(Reason::CredentialsMalformed));
        for_realm(found.collect::<Result<Few<_>, _>>()?, realm, |one| Some(one.realm.as_ref()))
    }

    fn parse(text: &'a str) -> Option<DigestCredentials<'a>> {
        let [mut username, mut realm, mut nonce, mut uri, mut response] = [const { None }; 5];
        let mut found = DigestCredentials::default();
        read_params_or_empty(text, |name, value| match name {
            "username" => once(&mut username, value),
            "realm" => once(&mut realm, value),
            "nonce" => once(&mut nonce, value),
            "uri" => once(&mut uri, value),
            "response" => once(&mut response, value),
            "algorithm" => once(&mut found.algorithm, value),
            "qop" => once(&mut found.qop, value),
            "cnonce" => once(&mut found.cnonce, value),
            "nc" => once(&mut found.nc, value),
            _ => Some(()),
        })?;
        let needed = |value: Option<Cow<'a, str>>| value.filter(|value| !value.is_empty());
        Some(DigestCredentials {
            username: needed(username)?,
            realm: needed(realm)?,
            nonce: needed(nonce)?,
            uri: needed(uri)?,
            response: needed(response)?,
            ..found
        })
    }

    /// The hash that made the credentials; None for one that is not known.
    pub fn algorithm(&self) -> Option<DigestAlgorithm> {
        let given = self.algorithm.as_deref().filter(|name| !name.is_empty());
        DigestAlgorithm::from_name(given.unwrap_or("MD5"))
    }

    /// True when somebody who knows this H(A1) has made the credentials, for a request of this method. Session
    /// algorithms and `auth-int` are not supported. Credentials without `qop` never fit, because they have no
    /// nonce count, so whoever has seen them could repeat them.
    pub fn fits(&self, ha1: &str, method: &str) -> bool {
        let given =
            |value: &Option<Cow<'a, str>>| value.as_deref().filter(|value| !value.is_empty()).map(str::to_owned);
        let Some(algorithm) = self.algorithm() else {
            return false;
        };
        let (count, cnonce) = (given(&self.nc), given(&self.cnonce));
        let count = count.filter(|nc| nc.len() == 8).and_then(|nc| u32::from_str_radix(&nc, 16).ok());
        let (Some("auth"), Some(count), Some(cnonce)) = (given(&self.qop).as_deref(), count, cnonce.as_deref()) else {
            return false;
        };
        let auth = Some((count, cnonce));
        let (username, realm, nonce) = (self.username.as_ref(), self.realm.as_ref(), self.nonce.as_ref());
        let answer = DigestInput { algorithm, username, realm, nonce, opaque: None, method, uri: &self.uri, auth };
        let expected = answer.response(&Zeroizing::new(ha1.to_ascii_lowercase()));
        expected.as_bytes().ct_eq(self.response.to_ascii_lowercase().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::ha1;
    use super::*;
    use proptest::prelude::*;

    fn answer(algorithm: DigestAlgorithm, auth: Option<(u32, &'static str)>) -> DigestInput<'static> {
        let (nonce, uri) = ("n1", "sip:example.test");
        DigestInput {
            algorithm,
            username: "alice",
            realm: "example.test",
            nonce,
            opaque: None,
            method: "REGISTER",
            uri,
            auth,
        }
    }

    #[test]
    fn fit_only_who_knows_the_password() {
        for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256] {
            for auth in [Some((1, "c")), Some((0xabc, "c"))] {
                let hash = |password| ha1(algorithm, "alice", "example.test", password);
                let text = format!("{}, opaque=\"\"", answer(algorithm, auth).credentials(&hash("secret")));
                let found = DigestCredentials::select(&["Bearer x", &text], "example.test").unwrap();
                assert_eq!((&*found.username, &*found.realm, &*found.nonce), ("alice", "example.test", "n1"));
                assert!(
                    found.fits(&hash("secret"), "REGISTER") && found.fits(&hash("secret").to_uppercase(), "REGISTER")
                );
                assert!(!found.fits(&hash("wrong"), "REGISTER") && !found.fits(&hash("secret"), "INVITE"));
                let other = text.replace("n1", "n2");
                let other = DigestCredentials::select(&[&other], "example.test").unwrap();
                assert!(!other.fits(&hash("secret"), "REGISTER"));
            }
        }
    }

    #[test]
    fn what_is_not_known_fits_nobody() {
        let hash = ha1(DigestAlgorithm::Md5, "alice", "example.test", "secret");
        let text = answer(DigestAlgorithm::Md5, None).credentials(&hash);
        let found = DigestCredentials::select(&[&text], "example.test").unwrap();
        assert!(!found.fits(&hash, "REGISTER"), "without qop");
        let text = answer(DigestAlgorithm::Md5, Some((1, "c"))).credentials(&hash);
        for (from, to) in [
            ("algorithm=MD5", "algorithm=MD5-sess"),
            ("algorithm=MD5", "algorithm=SHA-256"),
            ("qop=auth", "qop=auth-int"),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=00000002"),
            (", cnonce=\"c\"", ""),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            let found = DigestCredentials::select(&[&changed], "example.test").unwrap();
            assert!(!found.fits(&hash, "REGISTER"), "{to}");
        }
    }

    #[test]
    fn belong_to_their_realm() {
        let hash = ha1(DigestAlgorithm::Md5, "alice", "example.test", "secret");
        let text = answer(DigestAlgorithm::Md5, None).credentials(&hash);
        let reason = |bodies: &[&str], realm: &str| DigestCredentials::select(bodies, realm).unwrap_err();
        assert_eq!(reason(&[&text], "other.test"), Reason::NoCredentials);
        assert_eq!(reason(&["Bearer x"], "example.test"), Reason::NoCredentials);
        assert_eq!(reason(&[&text, &text], "example.test"), Reason::SeveralTokens);
        for broken in
            [text.replace("nonce", "nonse"), text.replace("\"alice\"", "\"\""), format!("{text}, nonce=\"x\"")]
        {
            assert_eq!(reason(&[&broken], "example.test"), Reason::CredentialsMalformed, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let text = format!("Digest {text}");
            let _ = DigestCredentials::select(&[&text], "r").map(|found| found.fits("00", "REGISTER"));
        }
    }
}
