// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public keys from PEM text: "PUBLIC KEY" blocks and the keys of "CERTIFICATE" blocks.
//!
//! A certificate here is only a container that the operator put there: its dates and issuer are not judged.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use super::jwk::VerificationKey;

/// Reads every key of a PEM text. The error says what is wrong with the text.
pub fn keys_from_pem(pem: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let mut keys = Vec::new();
    for block in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
        let der = block.map_err(|e| format!("not valid PEM: {e}"))?;
        keys.push(VerificationKey::from_spki(&der).map_err(|e| format!("public key: {e}"))?);
    }
    for block in CertificateDer::pem_slice_iter(pem) {
        let der = block.map_err(|e| format!("not valid PEM: {e}"))?;
        let certificate = webpki::EndEntityCert::try_from(&der).map_err(|e| format!("certificate: {e}"))?;
        let spki = certificate.subject_public_key_info();
        keys.push(VerificationKey::from_spki(&spki).map_err(|e| format!("certificate's key: {e}"))?);
    }
    if keys.is_empty() {
        return Err("no PUBLIC KEY or CERTIFICATE block".into());
    }
    Ok(keys)
}
