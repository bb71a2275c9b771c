// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a server's certificate is not accepted, as a sentence that also says what to do ("what is wrong; what to do").

use rustls::CertificateError as E;
use webpki::Error as W;

use sipoauth_core::text::fingerprint::printable;

const ISSUE_AGAIN: &str = "issue it anew, with subjectAltName=DNS:NAME, basicConstraints=CA:FALSE and extendedKeyUsage=serverAuth (openssl x509 -extfile)";
const NEW_CHAIN: &str = "have the server send its own certificate and those of the authorities between it and the one in ca_file, each issued for that (an authority's with basicConstraints=CA:TRUE)";

/// The sentence for a problem.
pub(super) fn sentence(problem: &E) -> String {
    let (what, fix) = match problem {
        E::Expired | E::ExpiredContext { .. } => ("has expired", "renew it at the server, or set this machine's clock"),
        E::NotValidYet | E::NotValidYetContext { .. } => ("is not valid yet", "set this machine's clock"),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            ("is for another name", "write the name that is in the certificate")
        }
        E::UnknownIssuer => {
            ("is not from an authority that is trusted here", "name that authority's PEM file in ca_file")
        }
        E::BadEncoding => ("cannot be read: it is damaged, or not DER", ISSUE_AGAIN),
        E::Revoked => ("was revoked by its authority", "get another one for the server, with a new key"),
        E::UnknownRevocationStatus | E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            ("may be revoked: its authority's revocation list is missing or too old", "renew that list")
        }
        E::BadSignature => (
            "has a signature that is not of the authority whose name it bears",
            "name the PEM file of the authority that has issued it in ca_file: an authority that was made anew has another key",
        ),
        E::UnsupportedSignatureAlgorithmContext { .. } | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            (
                "is signed in a way that is not accepted",
                "have it issued with ECDSA (P-256, P-384), Ed25519 or RSA of 2048 bits and more, and SHA-256 or better",
            )
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => ("is not for servers (extended key usage)", ISSUE_AGAIN),
        E::UnhandledCriticalExtension => ("has a critical extension that is not known here", ISSUE_AGAIN),
        E::InvalidOcspResponse => ("comes with an OCSP answer that is not good", "look at OCSP stapling at the server"),
        other => return of_another(other),
    };
    format!("the server's certificate {what}; {fix}")
}

/// The sentence for a problem that rustls hands on without a name of its own.
fn of_another(problem: &E) -> String {
    let inner = match problem {
        E::Other(other) => other.0.downcast_ref::<W>(),
        _ => None,
    };
    let (what, fix) = match inner {
        Some(W::CaUsedAsEndEntity) => (
            "is an authority's own (CA:TRUE), perhaps a self-signed one",
            "make one with basicConstraints=CA:FALSE, or one that such an authority signs: openssl req -x509 … -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:NAME, and name it in ca_file",
        ),
        Some(W::UnsupportedCertVersion) => ("is one of X.509 version 1, which names no host", ISSUE_AGAIN),
        Some(W::EndEntityUsedAsCa) => ("was issued by a certificate that is not an authority's", NEW_CHAIN),
        Some(W::PathLenConstraintViolated | W::MaximumPathDepthExceeded) => {
            ("has more authorities above it than they allow", NEW_CHAIN)
        }
        Some(W::NameConstraintViolation) => {
            ("is for a name that its authority may not issue for", "have an authority issue it that may")
        }
        Some(
            W::MaximumSignatureChecksExceeded
            | W::MaximumPathBuildCallsExceeded
            | W::MaximumNameConstraintComparisonsExceeded,
        ) => ("comes with too many others to find its authority among them", NEW_CHAIN),
        Some(W::EmptyEkuExtension) => ("says that it is for nothing (extended key usage)", ISSUE_AGAIN),
        Some(W::CertDistrusted) => ("is from an authority that is trusted no more", "get one from another authority"),
        Some(
            W::InvalidSerialNumber
            | W::MalformedExtensions
            | W::MalformedDnsIdentifier
            | W::MalformedNameConstraint
            | W::ExtensionValueInvalid
            | W::InvalidNetworkMaskConstraint
            | W::UnsupportedNameType
            | W::SignatureAlgorithmMismatch,
        ) => ("has a part that is not as RFC 5280 wants it", ISSUE_AGAIN),
        // The verifier with the system's authorities uses this text for a wrong extended key usage.
        None if matches!(problem, E::Other(other) if other.0.to_string() == "certificate had invalid extensions") => {
            return sentence(&E::InvalidPurpose);
        }
        _ => ("is not accepted", ISSUE_AGAIN),
    };
    // The library's own words help whoever looks further.
    let word = match (inner, problem) {
        (Some(inner), _) => printable(&inner.to_string(), 80),
        (None, E::Other(other)) => printable(&other.0.to_string(), 80),
        (None, other) => printable(&other.to_string(), 80),
    };
    format!("the server's certificate {what} ({word}); {fix}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn every_problem_has_a_sentence_with_a_fix() {
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
        let other = |error: W| E::Other(OtherError(Arc::new(error)));
        for (problem, words) in [
            (E::Expired, "has expired; renew it"),
            (E::ExpiredContext { time: now, not_after: now }, "has expired; renew it"),
            (E::NotValidYet, "is not valid yet; set"),
            (E::NotValidForName, "is for another name; write"),
            (E::UnknownIssuer, "trusted here; name that authority's PEM file in ca_file"),
            (E::BadEncoding, "cannot be read"),
            (E::Revoked, "was revoked"),
            (E::UnknownRevocationStatus, "may be revoked"),
            (E::BadSignature, "not of the authority whose name it bears"),
            (E::InvalidPurpose, "is not for servers"),
            (E::UnhandledCriticalExtension, "critical extension"),
            (E::InvalidOcspResponse, "OCSP"),
            (E::ApplicationVerificationFailure, "is not accepted"),
            (other(W::CaUsedAsEndEntity), "self-signed"),
            (other(W::UnsupportedCertVersion), "X.509 version 1"),
            (other(W::EndEntityUsedAsCa), "not an authority's"),
            (other(W::PathLenConstraintViolated), "more authorities"),
            (other(W::NameConstraintViolation), "may not issue"),
            (other(W::MalformedExtensions), "RFC 5280"),
            (other(W::EmptyEkuExtension), "for nothing"),
            (other(W::UnsupportedDeltaCrl), "is not accepted"),
            (E::Other(OtherError(Arc::new(std::fmt::Error))), "is not accepted"),
        ] {
            let sentence = sentence(&problem);
            assert!(sentence.contains(words), "{problem:?}: {sentence}");
            let (what, fix) = sentence.split_once("; ").expect("a fix");
            assert!(what.starts_with("the server's certificate ") && fix.len() > 10, "{sentence}");
            assert!(!sentence.contains("Other") && !sentence.contains("Context"), "{sentence}");
        }
    }
}
