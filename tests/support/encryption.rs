// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender's side of encrypted tokens (JWE), honest or not. It shares no code with the library.

use super::token::encode;
use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey};
use aws_lc_rs::{digest, hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::sync::OnceLock;

pub const ALGORITHMS: [&str; 6] = ["RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "dir"];
pub const ENCRYPTIONS: [&str; 6] = ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"];
pub const CURVES: [&str; 4] = ["P-256", "P-384", "P-521", "X25519"];

/// Somebody to whom tokens are encrypted: what goes into `decryption_key_files`, and what the sender has.
pub struct Recipient {
    pub kid: String,
    /// A PKCS #8 PEM, or a JWK of type oct.
    pub private: String,
    public: Public,
}

enum Public {
    Rsa(Vec<u8>),
    Curve(&'static str, Vec<u8>),
    Secret(Vec<u8>),
}

impl Recipient {
    /// RSA with 2048 bits; all of them share one key pair, since making one is slow.
    pub fn rsa() -> Recipient {
        static PAIR: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
        Recipient::rsa_of(PAIR.get_or_init(rsa_pair))
    }

    /// A second one.
    pub fn other_rsa() -> Recipient {
        static PAIR: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
        Recipient::rsa_of(PAIR.get_or_init(rsa_pair))
    }

    fn rsa_of((private, public): &(Vec<u8>, Vec<u8>)) -> Recipient {
        Recipient { kid: String::new(), private: pem(private), public: Public::Rsa(public.clone()) }
    }

    /// P-256, P-384, P-521 or X25519.
    pub fn curve(curve: &'static str) -> Recipient {
        let (private, public) = match curve {
            "X25519" => {
                // RFC 8410 section 7, around 32 random octets.
                let mut seed = [0; 32];
                aws_lc_rs::rand::fill(&mut seed).expect("randomness");
                let key = agreement::PrivateKey::from_private_key(&agreement::X25519, &seed).expect("any octets");
                let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20];
                let public = key.compute_public_key().expect("a fit key").as_ref().to_vec();
                ([&head[..], &seed].concat(), public)
            }
            _ => {
                use signature::KeyPair;
                let algorithm = match curve {
                    "P-256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    "P-384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                    _ => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                };
                let pair = signature::EcdsaKeyPair::generate(algorithm).expect("randomness");
                let private = pair.to_pkcs8v1().expect("a fit key").as_ref().to_vec();
                (private, pair.public_key().as_ref().to_vec())
            }
        };
        Recipient { kid: String::new(), private: pem(&private), public: Public::Curve(curve, public) }
    }

    /// A shared secret for `dir` with this `enc`.
    pub fn secret(kid: &str, enc: &str) -> Recipient {
        let mut secret = vec![0; key_len(enc)];
        aws_lc_rs::rand::fill(&mut secret).expect("randomness");
        let private = json!({ "kty": "oct", "kid": kid, "k": encode(&secret) }).to_string();
        Recipient { kid: kid.to_owned(), private, public: Public::Secret(secret) }
    }

    /// The recipient who fits an algorithm.
    pub fn for_algorithm(alg: &str, enc: &str, curve: &'static str) -> Recipient {
        match alg {
            "dir" => Recipient::secret("s", enc),
            _ if alg.starts_with("RSA") => Recipient::rsa(),
            _ => Recipient::curve(curve),
        }
    }

    /// A content key of any length, encrypted with RSA.
    pub fn encrypted_key(&self, alg: &str, key: &[u8]) -> Vec<u8> {
        match &self.public {
            Public::Rsa(der) => rsa_encrypt(der, alg, key),
            _ => panic!("not an RSA key"),
        }
    }

    /// An encrypted token as an honest server makes it.
    pub fn encrypt(&self, alg: &str, enc: &str, jws: &str) -> String {
        let mut header = json!({ "alg": alg, "enc": enc, "cty": "JWT" });
        if !self.kid.is_empty() {
            header["kid"] = json!(self.kid);
        }
        self.encrypt_with(&header, jws.as_bytes())
    }

    /// The same with any header, which gets its `epk`, and any content.
    pub fn encrypt_with(&self, header: &Value, content: &[u8]) -> String {
        let mut key = vec![0; key_len(header["enc"].as_str().expect("a text"))];
        aws_lc_rs::rand::fill(&mut key).expect("randomness");
        self.encrypt_key(header, &key, content)
    }

    /// The same with any content key where the algorithm carries one.
    pub fn encrypt_key(&self, header: &Value, key: &[u8], content: &[u8]) -> String {
        let (alg, enc) = (header["alg"].as_str().expect("a text"), header["enc"].as_str().expect("a text"));
        let mut header = header.clone();
        let (key, encrypted_key) = match &self.public {
            Public::Secret(secret) => (secret.clone(), Vec::new()),
            Public::Rsa(der) => (key.to_vec(), rsa_encrypt(der, alg, key)),
            Public::Curve(curve, point) => {
                let (epk, secret) = agree(curve, point);
                header["epk"] = epk;
                let party = |name: &str| {
                    header.get(name).and_then(Value::as_str).map_or(Vec::new(), |t| URL_SAFE_NO_PAD.decode(t).unwrap())
                };
                let derive = |name, length| kdf(&secret, name, &party("apu"), &party("apv"), length);
                match alg {
                    "ECDH-ES" => (derive(enc, key_len(enc)), Vec::new()),
                    "ECDH-ES+A128KW" => (key.to_vec(), wrap(&key_wrap::AES_128, &derive(alg, 16), key)),
                    _ => (key.to_vec(), wrap(&key_wrap::AES_256, &derive(alg, 32), key)),
                }
            }
        };
        seal(header.to_string().as_bytes(), &encrypted_key, enc, &key, content)
    }
}

/// A JWE of these parts: encrypts the content with this key.
pub fn seal(header: &[u8], encrypted_key: &[u8], enc: &str, key: &[u8], content: &[u8]) -> String {
    let header = encode(header);
    let mut text = content.to_vec();
    let (iv, tag) = if enc.ends_with("GCM") {
        let algorithm = match enc {
            "A128GCM" => &AES_128_GCM,
            "A192GCM" => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        let mut iv = [0; 12];
        aws_lc_rs::rand::fill(&mut iv).expect("randomness");
        let gcm = LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the length of the algorithm"));
        let nonce = Nonce::assume_unique_for_key(iv);
        let tag = gcm.seal_in_place_separate_tag(nonce, Aad::from(header.as_bytes()), &mut text).expect("sealed");
        (iv.to_vec(), tag.as_ref().to_vec())
    } else {
        let (cipher, hash) = match enc {
            "A128CBC-HS256" => (&AES_128, hmac::HMAC_SHA256),
            "A192CBC-HS384" => (&AES_192, hmac::HMAC_SHA384),
            _ => (&AES_256, hmac::HMAC_SHA512),
        };
        let (mac_key, enc_key) = key.split_at(key.len() / 2);
        let mut iv = [0; 16];
        aws_lc_rs::rand::fill(&mut iv).expect("randomness");
        let cbc = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(cipher, enc_key).expect("its length"));
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        cbc.expect("CBC").less_safe_encrypt(&mut text, context).expect("encrypted");
        (iv.to_vec(), cbc_tag(hash, mac_key, header.as_bytes(), &iv, &text))
    };
    format!("{header}.{}.{}.{}.{}", encode(encrypted_key), encode(iv), encode(text), encode(tag))
}

/// The tag of AES-CBC with HMAC (RFC 7518 section 5.2.2.1).
pub fn cbc_tag(hash: hmac::Algorithm, key: &[u8], aad: &[u8], iv: &[u8], text: &[u8]) -> Vec<u8> {
    let bits = (8 * aad.len() as u64).to_be_bytes();
    let mac = hmac::sign(&hmac::Key::new(hash, key), &[aad, iv, text, &bits].concat());
    mac.as_ref()[..key.len()].to_vec()
}

/// Length of the content key of an `enc`.
pub fn key_len(enc: &str) -> usize {
    match enc {
        "A128GCM" => 16,
        "A192GCM" => 24,
        "A256GCM" | "A128CBC-HS256" => 32,
        "A192CBC-HS384" => 48,
        "A256CBC-HS512" => 64,
        other => panic!("no encryption {other}"),
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// PKCS #8 and SubjectPublicKeyInfo.
fn rsa_pair() -> (Vec<u8>, Vec<u8>) {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("randomness");
    let private: aws_lc_rs::encoding::Pkcs8V1Der = key.as_der().expect("a fit key");
    let public: aws_lc_rs::encoding::PublicKeyX509Der = key.public_key().as_der().expect("a fit key");
    (private.as_ref().to_vec(), public.as_ref().to_vec())
}

fn rsa_encrypt(der: &[u8], alg: &str, key: &[u8]) -> Vec<u8> {
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(der).expect("DER")).expect("a fit key");
    let padding = if alg == "RSA-OAEP" { &rsa::OAEP_SHA1_MGF1SHA1 } else { &rsa::OAEP_SHA256_MGF1SHA256 };
    let mut out = vec![0; public.ciphertext_size()];
    public.encrypt(padding, key, &mut out, None).expect("a short text").to_vec()
}

fn agree(curve: &str, point: &[u8]) -> (Value, Vec<u8>) {
    let algorithm = match curve {
        "P-256" => &agreement::ECDH_P256,
        "P-384" => &agreement::ECDH_P384,
        "P-521" => &agreement::ECDH_P521,
        _ => &agreement::X25519,
    };
    let own = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).expect("randomness");
    let public = own.compute_public_key().expect("a fit key").as_ref().to_vec();
    let epk = if curve == "X25519" {
        json!({ "kty": "OKP", "crv": curve, "x": encode(&public) })
    } else {
        let (x, y) = public[1..].split_at(public.len() / 2);
        json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
    };
    let peer = UnparsedPublicKey::new(algorithm, point);
    let secret = agreement::agree_ephemeral(own, peer, (), |secret| Ok(secret.to_vec())).expect("a fit key");
    (epk, secret)
}

/// RFC 7518 section 4.6.2.
fn kdf(secret: &[u8], algorithm: &str, apu: &[u8], apv: &[u8], length: usize) -> Vec<u8> {
    let counted = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
    let info = [counted(algorithm.as_bytes()), counted(apu), counted(apv), (length as u32 * 8).to_be_bytes().to_vec()];
    let round = |n: u32| {
        let input = [&n.to_be_bytes()[..], secret, &info.concat()].concat();
        digest::digest(&digest::SHA256, &input).as_ref().to_vec()
    };
    [round(1), round(2)].concat()[..length].to_vec()
}

fn wrap(cipher: &'static key_wrap::AesBlockCipher, key: &[u8], content_key: &[u8]) -> Vec<u8> {
    let mut out = vec![0; content_key.len() + 8];
    AesKek::new(cipher, key).expect("its length").wrap(content_key, &mut out).expect("wrapped").to_vec()
}
