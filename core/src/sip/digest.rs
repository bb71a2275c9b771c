// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of Digest (RFC 7616, for SIP RFC 3261 section 22.4 and RFC 8760): H(A1), and the credentials
//! that answer a challenge. Session algorithms and `auth-int` are not supported.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroizing;

use super::auth_params::push_quoted;
use crate::text::fingerprint::hex;

/// The hash of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5 of RFC 2617, which is also what a challenge without `algorithm` means.
    Md5,
    /// SHA-256 of RFC 7616.
    Sha256,
    /// SHA-512/256 of FIPS 180-4, added by RFC 7616.
    Sha512_256,
}

impl DigestAlgorithm {
    /// Reads the parameter `algorithm`; None for one that is not known.
    pub fn from_name(name: &str) -> Option<DigestAlgorithm> {
        let all = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256];
        all.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// The parameter's value.
    pub fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Md5 => "MD5",
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// The hash in lower-case hex of the parts with ':' between them.
    fn hash(self, parts: &[&[u8]]) -> String {
        let text = Zeroizing::new(parts.join(&b':'));
        match self {
            DigestAlgorithm::Md5 => hex(&Md5::digest(&*text)),
            DigestAlgorithm::Sha256 => hex(&Sha256::digest(&*text)),
            DigestAlgorithm::Sha512_256 => hex(&Sha512_256::digest(&*text)),
        }
    }
}

/// H(A1) in lower-case hex. For this realm it is worth as much as the password.
pub fn ha1(algorithm: DigestAlgorithm, username: &str, realm: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]))
}

/// What the credentials are made from.
#[derive(Clone, Copy, Debug)]
pub struct DigestInput<'a> {
    /// The algorithm of the challenge.
    pub algorithm: DigestAlgorithm,
    /// Whose password it is.
    pub username: &'a str,
    /// The realm of the challenge, unquoted.
    pub realm: &'a str,
    /// The nonce of the challenge, unquoted.
    pub nonce: &'a str,
    /// The opaque value of the challenge, when it has one.
    pub opaque: Option<&'a str>,
    /// The request's method.
    pub method: &'a str,
    /// The request's URI, for HTTP path and query.
    pub uri: &'a str,
    /// When the challenge offers `qop=auth`: how often this nonce has been used, this time included, and a random
    /// text.
    pub auth: Option<(u32, &'a str)>,
}

impl DigestInput<'_> {
    /// The parameter `response`.
    pub fn response(&self, ha1: &str) -> String {
        let ha2 = self.algorithm.hash(&[self.method.as_bytes(), self.uri.as_bytes()]);
        let (ha1, nonce) = (ha1.as_bytes(), self.nonce.as_bytes());
        match self.auth {
            None => self.algorithm.hash(&[ha1, nonce, ha2.as_bytes()]),
            Some((count, cnonce)) => {
                let count = format!("{count:08x}");
                self.algorithm.hash(&[ha1, nonce, count.as_bytes(), cnonce.as_bytes(), b"auth", ha2.as_bytes()])
            }
        }
    }

    /// The whole value of Authorization or Proxy-Authorization.
    pub fn credentials(&self, ha1: &str) -> String {
        let mut out = "Digest ".to_owned();
        for (name, value) in
            [("username", self.username), ("realm", self.realm), ("nonce", self.nonce), ("uri", self.uri)]
        {
            push_quoted(name, value, &mut out);
        }
        push_quoted("response", &self.response(ha1), &mut out);
        out.extend([", algorithm=", self.algorithm.name()]);
        if let Some(opaque) = self.opaque {
            push_quoted("opaque", opaque, &mut out);
        }
        if let Some((count, cnonce)) = self.auth {
            out.push_str(&format!(", qop=auth, nc={count:08x}"));
            push_quoted("cnonce", cnonce, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1.
    const MUFASA: DigestInput<'static> = DigestInput {
        algorithm: DigestAlgorithm::Md5,
        username: "Mufasa",
        realm: "http-auth@example.org",
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        opaque: Some("FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"),
        method: "GET",
        uri: "/dir/index.html",
        auth: Some((1, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
    };

    #[test]
    fn gives_the_answers_of_rfc_7616() {
        for (algorithm, response) in [
            (DigestAlgorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (DigestAlgorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            // The RFC's example for this hash was not made with it. This value was made with Python's hashlib.
            (DigestAlgorithm::Sha512_256, "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0"),
        ] {
            let answer = DigestInput { algorithm, ..MUFASA };
            let ha1 = ha1(algorithm, answer.username, answer.realm, "Circle of Life");
            assert_eq!(answer.response(&ha1), response);
            let text = answer.credentials(&ha1);
            assert!(text.starts_with("Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"7ypf/"));
            let rest = format!(
                "response=\"{response}\", algorithm={}, opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", qop=auth, \
                 nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\"",
                algorithm.name()
            );
            assert!(text.ends_with(&rest), "{text}");
        }
    }

    #[test]
    fn does_without_qop() {
        // RFC 2069's example, with the answer of its erratum 749.
        let answer = DigestInput {
            username: "Mufasa",
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            opaque: None,
            auth: None,
            ..MUFASA
        };
        let ha1 = ha1(DigestAlgorithm::Md5, answer.username, answer.realm, "CircleOfLife");
        assert_eq!(answer.response(&ha1), "1949323746fe6a43ef61f9606e7febea");
        assert!(answer.credentials(&ha1).ends_with("febea\", algorithm=MD5"));
    }

    #[test]
    fn a_value_cannot_break_the_header() {
        let answer = DigestInput { username: "a\"b\\\r\nX: y", ..MUFASA };
        assert!(answer.credentials("").starts_with("Digest username=\"a\\\"b\\\\X: y\", realm="));
    }

    #[test]
    fn knows_three_algorithms() {
        assert_eq!(DigestAlgorithm::from_name("SHA-512-256"), Some(DigestAlgorithm::Sha512_256));
        assert_eq!(DigestAlgorithm::from_name("sha-256"), Some(DigestAlgorithm::Sha256));
        assert_eq!(DigestAlgorithm::from_name("md5"), Some(DigestAlgorithm::Md5));
        for name in ["MD5-sess", "SHA-512-256-sess", "SHA-512", ""] {
            assert_eq!(DigestAlgorithm::from_name(name), None);
        }
    }
}
