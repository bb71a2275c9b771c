// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which RSA moduli are fit to verify with. The arithmetic of RSA is done elsewhere.

/// Shortest and longest modulus in octets (2048 and 8192 bits).
const LENGTHS: std::ops::RangeInclusive<usize> = 256..=1024;

/// False for a modulus that is too short, too long, or made by the broken generator of ROCA (CVE-2017-15361),
/// whose private key can be computed. `n` is big-endian without leading zeros.
pub fn is_fit(n: &[u8]) -> bool {
    has_fit_length(n) && !is_roca(n)
}

/// False for a modulus that is too short or too long.
pub fn has_fit_length(n: &[u8]) -> bool {
    LENGTHS.contains(&n.len())
}

/// ROCA's primes are powers of 65537 modulo many small primes, and so are their products. Another modulus is taken
/// for such a product with a probability of less than 2⁻²⁵.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let residue = n.iter().fold(0, |rest, octet| (rest * 256 + u32::from(*octet)) % prime);
        let mut powers = std::iter::successors(Some(1), |power| Some(power * (65537 % prime) % prime));
        powers.by_ref().take(prime as usize).any(|power| power == residue)
    })
}

/// The modulus of a DER SubjectPublicKeyInfo, without leading zeros. None when it holds no RSA key.
pub fn modulus_of_spki(der: &[u8]) -> Option<&[u8]> {
    integers_of_spki(der).map(|(n, _)| n)
}

/// Modulus and exponent of a DER SubjectPublicKeyInfo, without leading zeros. None when it holds no RSA key.
pub fn integers_of_spki(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    let (info, _) = value(der, SEQUENCE)?;
    let (_, after_algorithm) = value(info, SEQUENCE)?;
    let (bits, _) = value(after_algorithm, 0x03)?;
    let (key, _) = value(bits.strip_prefix(&[0])?, SEQUENCE)?;
    let (n, rest) = value(key, 0x02)?;
    let (e, _) = value(rest, 0x02)?;
    let strip = |integer: &'_ [u8]| integer.iter().take_while(|octet| **octet == 0).count();
    Some((&n[strip(n)..], &e[strip(e)..]))
}

/// The content of the DER element with this tag at the beginning, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match *length {
        short @ ..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product of powers of 65537 modulo the primes is recognised whatever it is otherwise.
    #[test]
    fn roca_is_recognised_and_its_neighbours_are_not() {
        // 65537¹²⁸ has 2049 bits.
        let mut n = vec![1u8];
        for _ in 0..128 {
            let mut carry = 0u32;
            for octet in n.iter_mut() {
                let product = u32::from(*octet) * 65537 + carry;
                *octet = product as u8;
                carry = product >> 8;
            }
            while carry > 0 {
                n.push(carry as u8);
                carry >>= 8;
            }
        }
        n.reverse();
        assert_eq!(n.len(), 257);
        assert!(!is_fit(&n));
        let last = n.len() - 1;
        n[last] ^= 2;
        assert!(is_fit(&n));
    }

    #[test]
    fn lengths() {
        assert!(is_fit(&[0xff; 256]) && is_fit(&[0xff; 1024]));
        assert!(!is_fit(&[0xff; 255]) && !is_fit(&[0xff; 1025]) && !is_fit(&[]));
    }

    #[test]
    fn reads_the_modulus_and_nothing_else() {
        let spki = [&[0x30, 17, 0x30, 2, 5, 0, 0x03, 11, 0, 0x30, 8, 0x02, 3, 0, 0x81, 7, 0x02, 1][..], &[3]].concat();
        assert_eq!(modulus_of_spki(&spki), Some(&[0x81, 7][..]));
        assert_eq!(integers_of_spki(&spki), Some((&[0x81, 7][..], &[3][..])));
        for cut in 0..spki.len() {
            assert_eq!(modulus_of_spki(&spki[..cut]), None, "{cut}");
        }
        let point = [0x30, 10, 0x30, 2, 5, 0, 0x03, 4, 0, 4, 1, 2];
        assert_eq!(modulus_of_spki(&point), None);
    }
}
