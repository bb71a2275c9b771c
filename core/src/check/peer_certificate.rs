// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificate with which the sender of a request has proved itself in the TLS handshake of its connection.

use crate::rules::confirmation::{Thumbprint, thumbprint};

/// Reads the certificate, DER or PEM. None or an empty result means that the client showed none.
type Read<'a> = &'a dyn Fn() -> Option<Vec<u8>>;

/// The source of the certificate. The host is asked only when a token is bound to a certificate, because that is
/// rare and asking costs more than a check.
#[derive(Clone, Copy, Default)]
pub struct PeerCertificate<'a>(Option<Read<'a>>);

impl std::fmt::Debug for PeerCertificate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "PeerCertificate(…)" } else { "PeerCertificate(none)" })
    }
}

impl<'a> PeerCertificate<'a> {
    /// For a host that can be asked for the certificate.
    pub fn new(read: Read<'a>) -> PeerCertificate<'a> {
        PeerCertificate(Some(read))
    }

    /// The certificate's SHA-256 thumbprint (RFC 8705 section 3.1), if the client has shown a certificate on this
    /// transport.
    pub fn thumbprint(self, transport: &str) -> Option<Thumbprint> {
        let read = self.0.filter(|_| matches!(transport, "tls" | "wss"))?;
        thumbprint(&read()?)
    }
}
