// SPDX-License-Identifier: MIT OR Apache-2.0

//! RSA keys of the tests as PEM and DER, which are what others mistake for secrets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// "PUBLIC KEY" PEM of an RSA JWK.
pub fn of_rsa(jwk: &Value) -> String {
    let text = STANDARD.encode(rsa_spki(jwk));
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// SubjectPublicKeyInfo of an RSA JWK (RFC 8017, RFC 5280).
pub fn rsa_spki(jwk: &Value) -> Vec<u8> {
    const RSA_ENCRYPTION: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let integer = |name: &str| {
        let octets = decode(jwk[name].as_str().expect("an RSA key"));
        der(0x02, &[&[0], octets.as_slice()].concat())
    };
    let key = der(0x30, &[integer("n"), vec![0x02, 3, 1, 0, 1]].concat());
    der(0x30, &[der(0x30, RSA_ENCRYPTION), der(0x03, &[&[0], key.as_slice()].concat())].concat())
}

pub fn decode(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(base64url).expect("base64url")
}

/// The octets of the first PEM block.
pub fn octets(pem: &str) -> Vec<u8> {
    let lines = pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let text: String = lines.take_while(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).expect("base64")
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    let head = match length {
        [0, short @ ..=0x7f] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}
