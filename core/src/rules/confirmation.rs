// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key that a token is bound to (`cnf`, RFC 7800 section 3.1): whoever has only the token must not use it.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::reason::Reason;
use crate::text::json::Json;

/// base64url that accepts the RFC's own example. Its last character has bits that are not zero and belong to no octet.
const BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// SHA-256 of a certificate's DER octets.
pub type Thumbprint = [u8; 32];

/// The member that names a client certificate (RFC 8705 section 3.1).
const CERTIFICATE: &str = "x5t#S256";
/// Other members that name a key: RFC 7800 sections 3.2 to 3.5, RFC 9449 section 6.1.
const OTHER_KEYS: [&str; 5] = ["jkt", "jwk", "jwe", "jku", "kid"];

/// What a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The client certificate with this thumbprint.
    Certificate(Thumbprint),
    /// A key whose possession cannot be checked here; the names of the members of `cnf`, separated by a comma.
    Other(String),
}

impl Confirmation {
    /// Reads the value of `cnf`. Where a certificate is named, members that name no key are ignored, as RFC 7800
    /// section 3.1 says. A value that names nothing known binds the token to something unknown.
    pub fn from_json(cnf: &Json<'_>) -> Result<Confirmation, Reason> {
        let Json::Object(members) = cnf else { return Err(Reason::ClaimMalformed) };
        let certificate = members.iter().find(|(name, _)| name == CERTIFICATE);
        let other = members.iter().any(|(name, _)| OTHER_KEYS.contains(&&**name));
        if let (Some((_, value)), false) = (certificate, other) {
            let thumbprint = value.as_str().and_then(thumbprint_from_text).ok_or(Reason::ClaimMalformed)?;
            return Ok(Confirmation::Certificate(thumbprint));
        }
        let names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        Ok(Confirmation::Other(names.join(",")))
    }

    /// Combines two confirmations, both of which must hold.
    pub fn and(self, other: Confirmation) -> Confirmation {
        if self == other {
            return self;
        }
        Confirmation::Other([self.name(), other.name()].join(","))
    }

    /// The members of `cnf` that name the key, separated by a comma; "nothing known" when there are none.
    pub fn name(&self) -> &str {
        match self {
            Confirmation::Certificate(_) => CERTIFICATE,
            Confirmation::Other(names) if names.is_empty() => "nothing known",
            Confirmation::Other(names) => names,
        }
    }

    /// True when the sender has proved possession of the key by the client certificate of its TLS connection.
    /// Calls `certificate` only when the token names a certificate.
    pub fn is_proved_by(&self, certificate: impl FnOnce() -> Option<Thumbprint>) -> bool {
        match self {
            Confirmation::Certificate(named) => certificate().is_some_and(|shown| shown == *named),
            Confirmation::Other(_) => false,
        }
    }
}

/// base64url without padding, 43 characters.
fn thumbprint_from_text(text: &str) -> Option<Thumbprint> {
    BASE64URL.decode(text).ok()?.try_into().ok()
}

/// The thumbprint of a certificate, which comes as DER or as PEM text whose first certificate counts. None: it is
/// no certificate.
pub fn thumbprint(certificate: &[u8]) -> Option<Thumbprint> {
    let der = match certificate.first()? {
        // A DER certificate is a SEQUENCE.
        0x30 => CertificateDer::from(certificate),
        _ => CertificateDer::from_pem_slice(certificate).ok()?,
    };
    Some(Sha256::digest(&der).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Confirmation, Reason> {
        Confirmation::from_json(&Json::parse(text.as_bytes()).unwrap())
    }

    /// RFC 8705 section 3.1, figure 3.
    const EXAMPLE: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

    #[test]
    fn reads_the_certificate_of_the_rfc() {
        let found = read(&format!(r#"{{"x5t#S256":"{EXAMPLE}","jkt":null,"vendor":1}}"#)).unwrap();
        assert_eq!(found.name(), "x5t#S256");
        let Confirmation::Certificate(named) = &found else { panic!("{found:?}") };
        assert!(found.is_proved_by(|| Some(*named)));
        assert!(!found.is_proved_by(|| Some([0; 32])) && !found.is_proved_by(|| None));
    }

    #[test]
    fn every_other_key_cannot_be_proved() {
        for (text, name) in [
            (r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#.to_owned(), "jkt"),
            (r#"{"jwk":{"kty":"EC"}}"#.to_owned(), "jwk"),
            (r#"{"kid":"k1","xms_ksl":"sw"}"#.to_owned(), "kid,xms_ksl"),
            (r#"{"x5t":"abc"}"#.to_owned(), "x5t"),
            (format!(r#"{{"x5t#S256":"{EXAMPLE}","jkt":"x"}}"#), "x5t#S256,jkt"),
            (r#"{"x5t#S256":null}"#.to_owned(), "nothing known"),
            ("{}".to_owned(), "nothing known"),
        ] {
            let found = read(&text).unwrap();
            assert_eq!(found.name(), name, "{text}");
            assert!(!found.is_proved_by(|| panic!("no certificate is named")), "{text}");
        }
    }

    #[test]
    fn a_wrong_type_is_not_absence() {
        for text in
            ["null", r#""x""#, "1", "[]", "true", r#"{"x5t#S256":1}"#, r#"{"x5t#S256":"abc"}"#, r#"{"x5t#S256":""}"#]
        {
            assert_eq!(read(text), Err(Reason::ClaimMalformed), "{text}");
        }
        assert_eq!(read(&format!(r#"{{"x5t#S256":"{EXAMPLE}="}}"#)), Err(Reason::ClaimMalformed));
    }

    #[test]
    fn two_keys_are_more_than_one() {
        let certificate = || Confirmation::Certificate([1; 32]);
        assert_eq!(certificate().and(certificate()), certificate());
        let both = certificate().and(Confirmation::Certificate([2; 32]));
        assert!(!both.is_proved_by(|| Some([1; 32])) && !both.is_proved_by(|| Some([2; 32])));
    }

    #[test]
    fn what_is_no_certificate_has_no_thumbprint() {
        for text in [&b""[..], b"x", b"-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(thumbprint(text), None);
        }
    }
}
