// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encrypted tokens: the keys that decrypt them, and when a token must be encrypted (RFC 8898 section 2.1.2).

use std::collections::BTreeMap;

use super::settings::Settings;
use super::{ConfigError, error};
use crate::jose::decryption_key::DecryptionKey;
use crate::jose::decryption_keys::{DecryptionKeys, MAX_KEYS, keys_from_text};
use crate::jose::jwe_algorithm::{ContentEncryption, KeyManagement};

/// Whether the tokens of a provider must be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Tokens may be encrypted.
    #[default]
    Allowed,
    /// Tokens must be encrypted, unless the request came over TLS or WSS, because then nobody but the phone and
    /// this proxy has seen them.
    RequiredWithoutTls,
    /// Tokens must be encrypted.
    Required,
}

impl Encryption {
    /// The rule for a word of the setting.
    pub fn from_word(word: &str) -> Encryption {
        match word {
            "allowed" => Encryption::Allowed,
            "required_without_tls" => Encryption::RequiredWithoutTls,
            _ => Encryption::Required,
        }
    }

    /// True when a token may come in this way. An unknown (empty) transport counts as unprotected.
    pub fn accepts(self, encrypted: bool, transport: &str) -> bool {
        encrypted
            || match self {
                Encryption::Allowed => true,
                Encryption::RequiredWithoutTls => matches!(transport, "tls" | "wss"),
                Encryption::Required => false,
            }
    }
}

/// Reads the keys. `files` holds the content of every file that is named.
pub fn decryption_keys(settings: &Settings, files: &BTreeMap<String, String>) -> Result<DecryptionKeys, ConfigError> {
    let algorithms = algorithms(settings)?;
    let mut keys: Vec<DecryptionKey> = Vec::new();
    for path in &settings.decryption_key_files {
        let fail = |text: String| ConfigError(format!("decryption_key_files: {path} {text}"));
        let text = files.get(path).map_or("", String::as_str);
        for key in keys_from_text(text).map_err(fail)? {
            let fits = |alg: &KeyManagement| ContentEncryption::ALL.into_iter().any(|enc| key.fits(*alg, enc));
            if !algorithms.iter().any(fits) {
                return Err(fail(format!("has a key of type {} for no algorithm of decryption_algorithms", key.kty())));
            }
            keys.push(key);
        }
    }
    if keys.len() > MAX_KEYS {
        return error(format!(
            "decryption_key_files: {} keys are configured, at most {MAX_KEYS} are possible",
            keys.len()
        ));
    }
    Ok(DecryptionKeys::new(keys, algorithms))
}

fn algorithms(settings: &Settings) -> Result<Vec<KeyManagement>, ConfigError> {
    if settings.decryption_algorithms.is_empty() {
        return Ok(KeyManagement::DEFAULT.to_vec());
    }
    if settings.decryption_key_files.is_empty() {
        return error("decryption_algorithms: needs 'decryption_key_files', the keys that decrypt tokens");
    }
    let read = |name: &String| {
        KeyManagement::from_name(name).ok_or_else(|| {
            let known: Vec<_> = KeyManagement::ALL.iter().map(|alg| alg.name()).collect();
            ConfigError(format!("decryption_algorithms: '{name}' is not one of {}", known.join(", ")))
        })
    };
    settings.decryption_algorithms.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8037, appendix A.6: Bob's key; and the same as openssl writes it.
    const X25519: &str = r#"{"kty":"OKP","crv":"X25519","kid":"Bob","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08","d":"XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os"}"#;
    const X25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIF2rCH5iSopLeeF/i4OADuZvO7EpJhi2/Rwviyf/iODr\n-----END PRIVATE KEY-----\n";
    const SECRET: &str = r#"{"kty":"oct","kid":"s","k":"AAECAwQFBgcICQoLDA0ODw"}"#;
    const P256: &str = r#""kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ","y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck""#;
    const D: &str = r#""d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw""#;

    fn keys(content: &[&str], algorithms: &[&str]) -> Result<DecryptionKeys, String> {
        let paths: Vec<String> = (0..content.len()).map(|i| format!("/key{i}")).collect();
        let files = paths.iter().cloned().zip(content.iter().map(|text| (*text).to_owned())).collect();
        let settings = Settings {
            decryption_key_files: paths,
            decryption_algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
            ..Settings::default()
        };
        decryption_keys(&settings, &files).map_err(|e| e.0)
    }

    #[test]
    fn jwk_jwk_set_and_pem_are_read_in_their_order() {
        let set = format!(r#"{{"keys":[{SECRET},{{"kid":"e",{P256},{D}}}]}}"#);
        let all = keys(&[X25519_PEM, X25519, &set], &[]).unwrap();
        let seen: Vec<_> = all.keys().iter().map(|key| (key.kid().unwrap(), key.kty(), key.is_named())).collect();
        assert_eq!(
            seen,
            [
                // base64url(SHA-256({"crv":"X25519","kty":"OKP","x":"3p7…K08"})), RFC 7638.
                ("giQqigT_IKcuzHl0FVJ3k5ts3_TWNAxvsC08UZsfcM8", "OKP", false),
                ("Bob", "OKP", true),
                ("s", "oct", true),
                ("e", "EC", true)
            ]
        );
        let [pem, jwk] = [0, 1].map(|i| all.keys()[i].public_jwk().unwrap());
        assert_eq!((&pem["x"], &pem["crv"]), (&jwk["x"], &jwk["crv"]));
        assert_eq!(all.keys()[2].public_jwk(), None);
        assert!(keys(&[], &[]).unwrap().keys().is_empty());
        assert!(!format!("{all:?}").contains("AAECAwQ"), "{all:?}");
    }

    #[test]
    fn every_mistake_names_file_and_fix() {
        let public = format!("{{{P256}}}");
        let other = format!("{{{P256},{}}}", D.replace("VEm", "VEn"));
        let sig = format!(r#"{{"use":"sig",{P256},{D}}}"#);
        let ops = format!(r#"{{"key_ops":["verify"],{P256},{D}}}"#);
        let alg = format!(r#"{{"alg":"RSA-OAEP-256",{P256},{D}}}"#);
        let strange = format!(r#"{{"alg":"RSA1_5",{P256},{D}}}"#);
        let secrets = vec![SECRET; 17].join(",");
        for (content, algorithms, words) in [
            ("", &[][..], "/key0 is neither JSON nor has it a PRIVATE KEY block (PKCS #8); convert it: openssl"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", &[], "convert it"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                &[],
                "without a password",
            ),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", &[], "is a public key"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &[], "is a public key"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &[], "RSA of 2048 to 4096 bits, P-256"),
            ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", &[], "is not valid PEM"),
            ("{", &[], "is not valid JSON (line 1"),
            (r#"{"kty":"oct","k":"hush","k":"hush"}"#, &[], "is not valid JSON"),
            ("{}", &[], "is neither a JWK nor a JWK Set"),
            (r#"{"keys":[]}"#, &[], "is neither a JWK nor a JWK Set"),
            (r#"{"keys":[{}]}"#, &[], "is no JWK"),
            (&public, &[], "is a public key"),
            (&other, &[], "not the one of its 'd'"),
            (&sig, &[], "'use' is not \"enc\""),
            (&ops, &[], "'key_ops'"),
            (&alg, &[], "alg that does not fit its type"),
            (&strange, &[], "alg 'RSA1_5', which is not supported"),
            (r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA"}"#, &[], "is all zero"),
            (r#"{"kty":"oct","k":"aHVzaA"}"#, &[], "16, 24, 32, 48 or 64 octets"),
            (r#"{"kty":"oct"}"#, &[], "has no 'k'"),
            (
                r#"{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}"#,
                &[],
                "has no 'p' in base64url; an RSA key needs d, p",
            ),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}"#, &[], "P-521 or X25519"),
            (&format!(r#"{{"keys":[{secrets}]}}"#), &[], "17 keys, at most 16"),
            (X25519, &["dir"], "type OKP for no algorithm of decryption_algorithms"),
            (SECRET, &["RSA1_5"], "decryption_algorithms: 'RSA1_5' is not one of RSA-OAEP-256, RSA-OAEP"),
        ] {
            let text = keys(&[content], algorithms).unwrap_err();
            assert!(text.contains(words) && text.starts_with("decryption_"), "{content}: {text}");
            assert!(!text.contains("hush") && !text.contains("aHVza"), "{text}");
        }
        assert!(keys(&[SECRET; 17], &[]).unwrap_err().contains("17 keys are configured"));
        assert!(keys(&[], &["dir"]).unwrap_err().contains("needs 'decryption_key_files'"));
    }

    #[test]
    fn who_must_encrypt() {
        for (name, unprotected, protected) in
            [("allowed", true, true), ("required_without_tls", false, true), ("required", false, false)]
        {
            let rule = Encryption::from_word(name);
            for (transport, accepted) in [
                ("udp", unprotected),
                ("tcp", unprotected),
                ("ws", unprotected),
                ("", unprotected),
                ("tls", protected),
                ("wss", protected),
            ] {
                assert_eq!(rule.accepts(false, transport), accepted, "{name} {transport}");
                assert!(rule.accepts(true, transport));
            }
        }
    }
}
