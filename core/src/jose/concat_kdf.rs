// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key derivation of ECDH-ES (RFC 7518 section 4.6.2): one-step KDF of NIST SP 800-56A with SHA-256.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Derives `length` octets, at most 64. `algorithm` is the `enc` value for ECDH-ES alone, else the `alg` value;
/// `apu` and `apv` are decoded.
pub fn concat_kdf(secret: &[u8], algorithm: &str, apu: &[u8], apv: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let bits = 8 * length as u32;
    let mut derived = Zeroizing::new(Vec::with_capacity(length + 32));
    for round in 1..=length.div_ceil(32) as u32 {
        let mut hash = Sha256::new_with_prefix(round.to_be_bytes());
        hash.update(secret);
        for part in [algorithm.as_bytes(), apu, apv] {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        hash.update(bits.to_be_bytes());
        derived.extend_from_slice(&Zeroizing::new(<[u8; 32]>::from(hash.finalize()))[..]);
    }
    derived.truncate(length);
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7518, appendix C.
    #[test]
    fn rfc_7518_appendix_c() {
        let secret = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128,
            106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];
        let expected = [86, 170, 141, 234, 248, 35, 109, 32, 92, 34, 40, 205, 113, 167, 16, 26];
        assert_eq!(concat_kdf(&secret, "A128GCM", b"Alice", b"Bob", 16).as_slice(), expected);
        // A second round for keys that are longer than the hash.
        let long = concat_kdf(&secret, "A256CBC-HS512", b"Alice", b"Bob", 64);
        assert_eq!(long.len(), 64);
        assert_ne!(long[..32], long[32..]);
    }
}
