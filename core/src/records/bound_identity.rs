// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who signed in on a connection. This replaces the credentials that later requests on the connection do not carry.
//!
//! It holds what the phone sent and not the verdict on it, so that everything is judged anew on each use.

use zeroize::Zeroizing;

use super::session::SessionId;
use crate::text::secret::SecretText;

const TOKEN: u8 = 1;
const SESSION: u8 = 2;

/// What a connection is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundIdentity {
    /// The token that was sent on the connection.
    Token {
        /// The token.
        token: SecretText,
        /// The SIP domain of the address that the token was accepted for. The domain determines the server of a
        /// token that does not name its issuer, and no later request may cause the token to be sent to another
        /// domain's server.
        domain: String,
    },
    /// The session whose code or proof was sent on the connection.
    Session {
        /// The session's name.
        id: SessionId,
        /// The session's address-of-record, canonical.
        aor: String,
    },
}

impl BoundIdentity {
    /// Writes one octet for the kind. For a token, two octets with the length of the domain (big-endian), the
    /// domain and the token follow; for a session, the 16 octets of its name and the address. Texts are UTF-8.
    /// None when the domain is too long for its length field; no message is that long.
    pub fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let length;
        let parts: [&[u8]; 4] = match self {
            BoundIdentity::Token { token, domain } => {
                length = u16::try_from(domain.len()).ok()?.to_be_bytes();
                [&[TOKEN], &length, domain.as_bytes(), token.0.as_bytes()]
            }
            BoundIdentity::Session { id, aor } => [&[SESSION], id, aor.as_bytes(), &[]],
        };
        Some(Zeroizing::new(parts.concat()))
    }

    /// Reads what `encode` has written; None when it is something else.
    pub fn decode(octets: &[u8]) -> Option<BoundIdentity> {
        let (kind, rest) = octets.split_first()?;
        match *kind {
            TOKEN => {
                let (length, rest) = rest.split_first_chunk()?;
                let (domain, token) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                let token = SecretText(std::str::from_utf8(token).ok()?.to_owned());
                Some(BoundIdentity::Token { token, domain: std::str::from_utf8(domain).ok()?.to_owned() })
            }
            SESSION => {
                let (id, aor) = rest.split_first_chunk()?;
                Some(BoundIdentity::Session { id: *id, aor: std::str::from_utf8(aor).ok()?.to_owned() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> BoundIdentity {
        BoundIdentity::Token { token: SecretText(text.into()), domain: "example.test".into() }
    }

    #[test]
    fn both_kinds_come_back() {
        let session = BoundIdentity::Session { id: [7; 16], aor: "sip:alice@example.test".into() };
        for bound in [token("eyJ.a.b"), session] {
            let octets = bound.encode().expect("short");
            assert_eq!(BoundIdentity::decode(&octets), Some(bound));
        }
        for octets in [&b""[..], &[0], &[3, 1], &[SESSION; 16], &[TOKEN, 0], &[TOKEN, 0, 0, 0xff], &[TOKEN, 0, 2, b'a']]
        {
            assert_eq!(BoundIdentity::decode(octets), None);
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", token("eyJ.secret.x"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
