// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificate by which the proxy's own client authenticates (mutual TLS, RFC 8705 section 2).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;
use zeroize::{Zeroize, Zeroizing};

/// Longest chain of certificates.
const MAX_CHAIN: usize = 10;

/// A certificate chain and the private key of its first certificate, which fit each other.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key_pem: Zeroizing<String>,
    id: [u8; 32],
}

impl ClientCertificate {
    /// Reads a PEM chain and a PEM key (PKCS #8). The error names the setting that is wrong, and says what is
    /// wrong with it.
    pub fn from_pem(chain: &str, key: &str) -> Result<ClientCertificate, (&'static str, String)> {
        const CERT: &str = "client_cert_file";
        const KEY: &str = "client_key_file";
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let certificates = certificates.map_err(|e| (CERT, format!("is not valid PEM: {e}")))?;
        if !(1..=MAX_CHAIN).contains(&certificates.len()) {
            let fault = format!("has {} CERTIFICATE blocks, 1 to {MAX_CHAIN} are possible", certificates.len());
            return Err((CERT, fault));
        }
        let Ok(mut der) = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()) else {
            return Err((
                KEY,
                if key.contains("BEGIN ENCRYPTED PRIVATE KEY") {
                    "is encrypted; write it without a password: openssl pkcs8 -in old.pem -out new.pem".into()
                } else {
                    "has no PRIVATE KEY block (PKCS #8); convert it: openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem".into()
                },
            ));
        };
        let octets = Zeroizing::new(der.secret_pkcs8_der().to_vec());
        der.zeroize();
        let Some(public_key) = public_key_of(&octets) else {
            return Err((KEY, "is not a key that TLS can use: RSA, P-256, P-384 or Ed25519".into()));
        };
        let certified = EndEntityCert::try_from(&certificates[0]).map_err(|problem| {
            let fault = match problem {
                webpki::Error::UnsupportedCertVersion => {
                    "is of X.509 version 1 or 2; have a certificate of version 3 made (with any extension)".into()
                }
                _ => format!("has a first certificate that cannot be read: {problem:?}"),
            };
            (CERT, fault)
        })?;
        if certified.subject_public_key_info().as_ref() != public_key {
            return Err((KEY, "is not the key of the first certificate in client_cert_file".into()));
        }
        let mut hash = Sha256::new();
        for certificate in &certificates {
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        hash.update(octets.as_slice());
        let encoded = Zeroizing::new(STANDARD.encode(octets.as_slice()));
        let key_pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", encoded.as_str());
        Ok(ClientCertificate { chain: certificates, key_pem: key_pem.into(), id: hash.finalize().into() })
    }

    /// The chain, the client's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key, a PEM block (PKCS #8) and nothing else.
    pub fn expose_key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Identifies the chain together with its key.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }
}

/// The public key (SubjectPublicKeyInfo, DER) of a private one in PKCS #8; None for one that TLS cannot use.
fn public_key_of(pkcs8: &[u8]) -> Option<Vec<u8>> {
    fn der(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Option<Vec<u8>> {
        key.as_der().ok().map(|der| der.as_ref().to_vec())
    }
    if let Ok(pair) = rsa::KeyPair::from_pkcs8(pkcs8) {
        return der(pair.public_key());
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
        return der(pair.public_key());
    }
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
        .into_iter()
        .find_map(|curve| der(EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok()?.public_key()))
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate of the key in the tests of `client`, valid for a hundred years.
    pub(crate) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBNjCB6aADAgECAhQOnYhEJnDOdHTbDRggSy64DyY8lDAFBgMrZXAwEDEOMAwG\n\
        A1UEAwwFcHJveHkwIBcNMjYxMTIxMDY1NzQzWhgPMjEyNjEwMjgwNjU3NDNaMBAx\n\
        DjAMBgNVBAMMBXByb3h5MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPa\n\
        piMlrwIaaPcHURqjUzBRMB0GA1UdDgQWBBRbJ6pViReXcOR1dbFiod7Ze4v8bTAf\n\
        BgNVHSMEGDAWgBRbJ6pViReXcOR1dbFiod7Ze4v8bTAPBgNVHRMBAf8EBTADAQH/\n\
        MAUGAytlcANBAFJJn2waHR8juM3TkF73GqPx/q+xJJ9gp3Xp+XckzJUNKRMqI3kj\n\
        p8csQF5OO7ucJCsqK9+4oO0zZ8y2TxsGrg0=\n\
        -----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const OTHER: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIe2GhMPu/kugX8VKmNj3VOSD9PmUyAJQw9rFE2kStGg\n-----END PRIVATE KEY-----\n";

    #[test]
    fn a_certificate_with_its_key() {
        let one = ClientCertificate::from_pem(CERTIFICATE, KEY).unwrap();
        assert_eq!((one.chain().len(), one.expose_key_pem()), (1, KEY));
        let two = ClientCertificate::from_pem(&CERTIFICATE.repeat(2), KEY).unwrap();
        assert!(two.chain().len() == 2 && one.id() != two.id());
        assert_eq!(one.id(), ClientCertificate::from_pem(CERTIFICATE, KEY).unwrap().id());
        assert!(!format!("{one:?}").contains("MC4C"));
    }

    #[test]
    fn every_mistake_names_the_setting() {
        let encrypted = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let old = CERTIFICATE.replace("MIIBNjCB6aADAgEC", "MIIBNjCB6aADAgEB");
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (chain, key, setting, words) in [
            ("", KEY, "client_cert_file", "has 0 CERTIFICATE blocks"),
            (KEY, KEY, "client_cert_file", "has 0 CERTIFICATE blocks"),
            (&CERTIFICATE.repeat(11), KEY, "client_cert_file", "has 11 CERTIFICATE blocks"),
            ("-----BEGIN CERTIFICATE-----\n!\n", KEY, "client_cert_file", "is not valid PEM"),
            (cut, KEY, "client_cert_file", "cannot be read"),
            (&old, KEY, "client_cert_file", "is of X.509 version 1 or 2"),
            (CERTIFICATE, "", "client_key_file", "has no PRIVATE KEY block"),
            (CERTIFICATE, CERTIFICATE, "client_key_file", "has no PRIVATE KEY block"),
            (CERTIFICATE, &encrypted, "client_key_file", "is encrypted"),
            (CERTIFICATE, empty, "client_key_file", "is not a key that TLS can use"),
            (CERTIFICATE, OTHER, "client_key_file", "is not the key of the first certificate"),
        ] {
            let (named, text) = ClientCertificate::from_pem(chain, key).unwrap_err();
            assert!(named == setting && text.contains(words), "{named}: {text}");
            assert!(!text.contains("MC4C"), "{text}");
        }
    }
}
