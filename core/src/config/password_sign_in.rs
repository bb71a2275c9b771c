// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens for users who sign in with a password by Digest (sip-oauth section 4): where they come from, and the
//! keys with which the proxy signs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ConfigError;
use super::client::Client;
use super::provider::Fail;
use super::provider_settings::ProviderSettings;
use crate::jose::jwk::VerificationKey;
use crate::jose::key_set::KeySet;
use crate::jose::signing_key::SigningKey;
use crate::text::json::Json;

/// Where the tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The proxy issues them itself.
    Issue,
    /// The authorization server gives them for user name and password (RFC 6749 section 4.3).
    Password,
    /// The authorization server gives them for the proxy's assertion of who the user is (RFC 8693).
    TokenExchange,
}

/// Settings of a provider whose users may sign in with a password.
#[derive(Debug)]
pub struct PasswordSignIn {
    /// Where the tokens come from.
    pub source: TokenSource,
    /// The proxy signs with the first key. It has signed with the others before.
    pub keys: Vec<SigningKey>,
    /// Seconds for which an access token that the proxy issues is good.
    pub lifetime: i64,
}

const LIFETIME: u32 = 3600;
/// Most keys that are published at once.
const MAX_KEYS: usize = 8;

impl PasswordSignIn {
    /// Reads the settings; None when passwords give no tokens.
    pub(super) fn new(
        settings: &ProviderSettings,
        client: Option<&Client>,
        has_store: bool,
        files: &BTreeMap<String, String>,
        fail: &Fail<'_>,
    ) -> Result<Option<PasswordSignIn>, ConfigError> {
        let source = match settings.password_grant.as_deref() {
            Some("issue") => TokenSource::Issue,
            Some("password") => TokenSource::Password,
            Some(_) => TokenSource::TokenExchange,
            None => {
                return match given(settings) {
                    Some(key) => Err(fail(key, "is not used without 'password_grant'; remove it".into())),
                    None => Ok(None),
                };
            }
        };
        if !has_store {
            return Err(fail("password_grant", "needs 'store', where the sessions of the phones are kept".into()));
        }
        if source != TokenSource::Issue && client.is_none() {
            return Err(fail(
                "client_id",
                "is missing: the tokens of password_grant come to a client of the proxy's own at this server".into(),
            ));
        }
        let unused: &[(&str, bool)] = match source {
            TokenSource::Issue => &[("required_claims", !settings.required_claims.is_empty())],
            TokenSource::Password => &[
                ("signing_key_files", !settings.signing_key_files.is_empty()),
                ("token_lifetime", settings.token_lifetime.is_some()),
            ],
            TokenSource::TokenExchange => &[("token_lifetime", settings.token_lifetime.is_some())],
        };
        if let Some((key, _)) = unused.iter().find(|key| key.1) {
            let written = settings.password_grant.as_deref().unwrap_or_default();
            return Err(fail(key, format!("is not used with password_grant {written}; remove it")));
        }
        let keys = keys(settings, files, fail)?;
        if keys.is_empty() && source != TokenSource::Password {
            return Err(fail(
                "signing_key_files",
                "is missing: the proxy signs with it; 'sipoauth keygen signing' makes one".into(),
            ));
        }
        let lifetime = settings.token_lifetime.unwrap_or(LIFETIME);
        Ok(Some(PasswordSignIn { source, keys, lifetime: lifetime.into() }))
    }

    /// The public keys, in the form in which a provider's keys are used.
    pub fn key_set(&self) -> KeySet {
        let public = self.keys.iter().filter_map(|key| {
            let jwk = key.public_jwk()?.to_string();
            VerificationKey::from_jwk(&Json::parse(jwk.as_bytes()).ok()?, false).ok()
        });
        KeySet::from_keys(public.collect())
    }

    /// The public keys as a JWK Set, for others who verify these tokens (RFC 7517 section 5).
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().filter_map(SigningKey::public_jwk).collect();
        serde_json::json!({ "keys": keys })
    }
}

fn given(settings: &ProviderSettings) -> Option<&'static str> {
    let keys = [
        ("signing_key_files", !settings.signing_key_files.is_empty()),
        ("token_lifetime", settings.token_lifetime.is_some()),
        ("token_pop", settings.token_pop.is_some()),
    ];
    keys.iter().find(|key| key.1).map(|key| key.0)
}

fn keys(
    settings: &ProviderSettings,
    files: &BTreeMap<String, String>,
    fail: &Fail<'_>,
) -> Result<Vec<SigningKey>, ConfigError> {
    if settings.signing_key_files.len() > MAX_KEYS {
        return Err(fail("signing_key_files", format!("more than {MAX_KEYS} keys are not possible")));
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    for path in &settings.signing_key_files {
        let pem = files.get(path).map_or("", String::as_str);
        let key = SigningKey::for_issuer(pem.as_bytes());
        let key = key.map_err(|problem| fail("signing_key_files", format!("{path} {problem}")))?;
        if keys.iter().any(|known| known.kid() == key.kid()) {
            return Err(fail("signing_key_files", format!("{path} is the same key as one before it")));
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::super::source::Source;
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn pem() -> String {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = STANDARD.encode(pair.to_pkcs8v1().unwrap().as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
    }

    fn policy(line: &str, store: bool) -> Result<Policy, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sipoauth-signing-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = folder.join("key.pem");
        std::fs::write(&key, pem()).unwrap();
        std::fs::write(folder.join("no-key.pem"), "x").unwrap();
        let line =
            line.replace("KEY", key.to_str().unwrap()).replace("NONE", folder.join("no-key.pem").to_str().unwrap());
        let mut source = Source::default();
        if store {
            source.set("store", "/nowhere").unwrap();
            source.set("store_key", "0123456789abcdef0123456789abcdef").unwrap();
        }
        source.add_provider(&format!("name=a;issuer=https://sip.example;audience=sip;{line}")).map_err(|e| e.0)?;
        let policy = source.load().and_then(|bundle| Policy::new(&bundle)).map_err(|e| e.0);
        std::fs::remove_dir_all(&folder).unwrap();
        policy
    }

    #[test]
    fn an_issuer_verifies_what_it_signs() {
        let policy = policy("password_grant=issue;signing_key_files=KEY;domain=example.test", true).unwrap();
        let provider = &policy.providers[0];
        assert!(!provider.keys.is_fetched() && provider.pairs_tokens && !provider.watches_keys());
        let sign_in = provider.password_sign_in.as_ref().unwrap();
        assert_eq!((sign_in.source, sign_in.lifetime, sign_in.key_set().keys().len()), (TokenSource::Issue, 3600, 1));
        let jwks = sign_in.jwks().to_string();
        assert!(jwks.contains("\"ES256\"") && !jwks.contains("\"d\""), "{jwks}");
    }

    #[test]
    fn every_mistake_names_provider_key_and_fix() {
        const CLIENT: &str = "aor={sip};client_id=p;client_secret=s";
        for (line, store, words) in [
            (
                "password_grant=yes;aor={sip}".to_owned(),
                true,
                "'yes' is not possible, write issue, password or token_exchange",
            ),
            ("signing_key_files=KEY;aor={sip}".to_owned(), true, "signing_key_files: is not used without"),
            ("token_pop=optional;aor={sip}".to_owned(), true, "token_pop: is not used without 'password_grant'"),
            ("password_grant=issue;signing_key_files=KEY".to_owned(), false, "password_grant: needs 'store'"),
            ("password_grant=issue".to_owned(), true, "signing_key_files: is missing"),
            ("password_grant=issue;signing_key_files=NONE".to_owned(), true, "has no PRIVATE KEY"),
            ("password_grant=issue;signing_key_files=KEY,KEY".to_owned(), true, "is the same key"),
            ("password_grant=issue;signing_key_files=KEY;token_lifetime=5".to_owned(), true, "write 60 to 86400"),
            ("password_grant=issue;signing_key_files=KEY;aor=sip:{email}".to_owned(), true, "aor: is not used with"),
            ("password_grant=issue;signing_key_files=KEY;jwks_uri=https://x".to_owned(), true, "jwks_uri: is not used"),
            ("password_grant=issue;signing_key_files=KEY;token_pop=no".to_owned(), true, "write required or optional"),
            ("password_grant=password;aor={sip}".to_owned(), true, "client_id: is missing"),
            (format!("password_grant=password;signing_key_files=KEY;{CLIENT}"), true, "signing_key_files: is not used"),
            (format!("password_grant=token_exchange;{CLIENT}"), true, "signing_key_files: is missing"),
            (
                format!("password_grant=token_exchange;signing_key_files=KEY;token_lifetime=60;{CLIENT}"),
                true,
                "token_lifetime: is not used with password_grant token_exchange",
            ),
            ("tokens=validation_grant;aor={sip}".to_owned(), true, "client_id: is missing"),
            (format!("tokens=validation_grant;{CLIENT}"), true, "validation_grant_type: is missing"),
            (format!("validation_grant_type=urn:x:y;{CLIENT}"), true, "validation_grant_type: is not used"),
            (format!("tokens=validation_grant;validation_grant_type=abc;{CLIENT}"), true, "is not a URN"),
            (
                format!("tokens=validation_grant;validation_grant_type=urn:x:y;{CLIENT}"),
                true,
                "domain: is missing; write the SIP domain whose users",
            ),
            (
                format!("tokens=validation_grant;validation_grant_type=urn:x:y;encryption=required;{CLIENT}"),
                true,
                "encryption: is not possible with tokens = validation_grant",
            ),
            ("require_master_key=yes;aor={sip}".to_owned(), true, "require_master_key: needs 'client_id'"),
        ] {
            let text = policy(&line, store).err().unwrap_or_else(|| panic!("{line} is accepted"));
            assert!(text.starts_with("provider 'a': ") && text.contains(words), "{line}: {text}");
        }
    }
}
