// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer to a Digest challenge, over SIP or HTTP, and the master-key that both sides then have.

use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::sip::digest::{DigestAlgorithm, DigestInput, ha1};
use zeroize::Zeroizing;

use crate::credential::Login;
use crate::header::HeaderChallenge;
use crate::plan::random_hex;

/// What the answer to one challenge is made from.
pub struct DigestAnswer {
    algorithm: DigestAlgorithm,
    username: String,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    qop: bool,
    ha1: Zeroizing<String>,
}

impl DigestAnswer {
    /// Answers the first Digest challenge that can be answered (RFC 7616 section 3.7). Errors call its
    /// sender `who`.
    pub fn new(challenges: &[HeaderChallenge], login: &Login, who: &str) -> Result<DigestAnswer, String> {
        let digests: Vec<&HeaderChallenge> = challenges.iter().filter(|challenge| challenge.is("Digest")).collect();
        let mut problem = match challenges.first() {
            _ if !digests.is_empty() => String::new(),
            Some(other) => format!("{who} asks for {}, not for Digest", other.scheme),
            None => format!("{who} does not ask for Digest"),
        };
        for challenge in digests {
            match Self::to(challenge, login) {
                Ok(answer) => return Ok(answer),
                Err(why) => problem = format!("{who} sent a Digest challenge that cannot be answered: {why}"),
            }
        }
        Err(problem)
    }

    fn to(challenge: &HeaderChallenge, login: &Login) -> Result<DigestAnswer, String> {
        let needed = |name: &str| {
            let value = challenge.param(name).filter(|value| !value.is_empty());
            value.map(str::to_owned).ok_or_else(|| format!("it has no {name}"))
        };
        let (realm, nonce) = (needed("realm")?, needed("nonce")?);
        let name = challenge.param("algorithm").unwrap_or(DigestAlgorithm::Md5.name());
        let algorithm = DigestAlgorithm::from_name(name);
        let algorithm = algorithm.ok_or_else(|| format!("its algorithm is {name}, not MD5 or SHA-256"))?;
        let qop = challenge.param("qop");
        if qop.is_some_and(|qop| !qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"))) {
            return Err("its qop does not offer auth".into());
        }
        Ok(DigestAnswer {
            algorithm,
            username: login.username.clone(),
            opaque: challenge.param("opaque").map(str::to_owned),
            qop: qop.is_some(),
            ha1: ha1(algorithm, &login.username, &realm, &login.password),
            realm,
            nonce,
        })
    }

    /// The credentials of the `count`-th request that answers the challenge, and the response in them.
    pub fn credentials(&self, method: &str, uri: &str, count: u32) -> Result<(String, String), String> {
        let cnonce = random_hex(8)?;
        let answer = DigestInput {
            algorithm: self.algorithm,
            username: &self.username,
            realm: &self.realm,
            nonce: &self.nonce,
            opaque: self.opaque.as_deref(),
            method,
            uri,
            auth: self.qop.then_some((count, cnonce.as_str())),
        };
        Ok((answer.credentials(&self.ha1), answer.response(&self.ha1)))
    }

    /// The key that both sides now share.
    pub fn master_key(&self, form: Ha1Form) -> Key {
        let key = master_key(form, &self.ha1, self.realm.as_bytes(), self.nonce.as_bytes());
        key.expect("H(A1) is hex of 32 or 64 digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::challenges;

    fn answer(header: &str) -> Result<DigestAnswer, String> {
        let login = Login { username: "alice".into(), password: Zeroizing::new("secret".into()) };
        DigestAnswer::new(&challenges(header.as_bytes()), &login, "it")
    }

    #[test]
    fn takes_the_first_that_it_knows() {
        let both = "Bearer realm=\"a\", Digest realm=\"r\", nonce=\"1\", algorithm=SHA3-256, qop=\"auth\", \
                    Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth-int, auth\", opaque=\"o\"";
        let found = answer(both).unwrap();
        assert_eq!((found.nonce.as_str(), found.algorithm, found.qop), ("2", DigestAlgorithm::Sha256, true));
        let (value, response) = found.credentials("REGISTER", "sip:x", 2).unwrap();
        assert!(value.contains("qop=auth, nc=00000002") && value.contains("opaque=\"o\"") && value.contains(&response));
        let plain = answer("Digest realm=\"r\", nonce=\"3\"").unwrap();
        assert!(
            plain.algorithm == DigestAlgorithm::Md5
                && !plain.credentials("REGISTER", "sip:x", 1).unwrap().0.contains("qop")
        );
    }

    #[test]
    fn says_what_cannot_be_answered() {
        for (header, part) in [
            ("", "does not ask for Digest"),
            ("Bearer realm=\"a\"", "asks for Bearer, not for Digest"),
            ("Digest realm=\"r\"", "it has no nonce"),
            ("Digest nonce=\"r\", realm=\"\"", "it has no realm"),
            ("Digest realm=\"r\", nonce=\"1\", algorithm=MD5-sess", "its algorithm is MD5-sess"),
            ("Digest realm=\"r\", nonce=\"1\", qop=\"auth-int\"", "does not offer auth"),
        ] {
            let problem = answer(header).err().unwrap();
            assert!(problem.contains(part), "{header}: {problem}");
        }
    }
}
