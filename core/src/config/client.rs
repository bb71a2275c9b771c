// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxy's own client at an authorization server, and how it authenticates (RFC 6749 section 2.3, RFC 7523,
//! RFC 8705).

use std::collections::BTreeMap;

use super::ConfigError;
use super::client_certificate::ClientCertificate;
use super::introspection::TokenStrategy;
use super::provider::{Fail, TENANT};
use super::provider_settings::ProviderSettings;
use super::settings::{Secret, Settings};
use super::urls::{check_url, discovery_urls};
use crate::jose::signing_key::SigningKey;

/// A client whose settings make sense.
#[derive(Debug)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// How it authenticates.
    pub auth: ClientAuth,
    /// The token endpoint, when it is configured.
    pub token_endpoint: Option<String>,
    /// Metadata documents that name the token endpoint if it is not configured, tried in this order.
    pub discovery: Vec<String>,
    /// redirect_uri of an exchange when the phone sends none.
    pub redirect_uri: Option<String>,
    /// The UserInfo endpoint, when it is configured.
    pub userinfo_endpoint: Option<String>,
    /// The authorization endpoint, when it is configured.
    pub authorization_endpoint: Option<String>,
    /// Further parameters of the requests to it.
    pub authorization_parameters: Vec<(String, String)>,
}

/// Client authentication at the token endpoint and the introspection endpoint.
#[derive(Debug)]
pub enum ClientAuth {
    /// client_secret_basic
    Basic(Secret),
    /// client_secret_post
    Post(Secret),
    /// private_key_jwt
    PrivateKeyJwt {
        /// Signs the assertions.
        key: Box<SigningKey>,
        /// `aud` of the assertions; None for the endpoint that is asked.
        audience: Option<String>,
    },
    /// tls_client_auth (RFC 8705 section 2.1), or self_signed_tls_client_auth (section 2.2), which is the same for
    /// a client.
    Tls(Box<ClientCertificate>),
    /// A public client.
    None,
}

impl ClientAuth {
    /// The certificate to present.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        match self {
            ClientAuth::Tls(certificate) => Some(certificate),
            _ => None,
        }
    }

    /// Fails if the client needs a certificate and the endpoint has no TLS, because the endpoint would never see
    /// the certificate.
    pub fn fits(&self, endpoint: &str) -> Result<(), String> {
        match self {
            ClientAuth::Tls(_) if !endpoint.starts_with("https://") => {
                Err(format!("'{endpoint}' is not https, but tls_client_auth needs TLS"))
            }
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Reads the client of a provider; None when it has none.
    pub fn new(
        settings: &ProviderSettings,
        strategy: TokenStrategy,
        global: &Settings,
        files: &BTreeMap<String, String>,
        fail: &Fail<'_>,
    ) -> Result<Option<Client>, ConfigError> {
        let Some(id) = &settings.client_id else {
            return match given(settings).first() {
                Some(key) => Err(fail(key, "needs 'client_id', the proxy's own client at this server".into())),
                None => Ok(None),
            };
        };
        if id.is_empty() || id.chars().any(char::is_control) {
            return Err(fail("client_id", "is empty, or no text".into()));
        }
        let auth = auth(settings, files, fail)?;
        // A client that only introspects needs no token endpoint.
        let exchanges = global.store.is_some() || strategy == TokenStrategy::Jwt;
        let written = settings.token_endpoint.as_ref();
        let (token_endpoint, discovery) = match endpoint(("token_endpoint", written), settings, global, fail) {
            Err(_) if !exchanges && written.is_none() => (None, Vec::new()),
            found => found?,
        };
        if let Some(url) = &token_endpoint {
            auth.fits(url).map_err(|e| fail("token_endpoint", e))?;
        }
        if let Some(url) = &settings.userinfo_endpoint {
            check_url(url, global.allows_http())
                .and_then(|()| auth.fits(url))
                .map_err(|e| fail("userinfo_endpoint", e))?;
        }
        if let Some(url) = &settings.authorization_endpoint {
            check_url(url, global.allows_http()).map_err(|e| fail("authorization_endpoint", e))?;
        }
        if let Some(uri) = &settings.redirect_uri
            && (!uri.contains(':') || uri.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            return Err(fail(
                "redirect_uri",
                format!("'{uri}' is not a URI; write the one that the phones' codes are requested with"),
            ));
        }
        Ok(Some(Client {
            id: id.clone(),
            auth,
            token_endpoint,
            discovery,
            redirect_uri: settings.redirect_uri.clone(),
            userinfo_endpoint: settings.userinfo_endpoint.clone(),
            authorization_endpoint: settings.authorization_endpoint.clone(),
            authorization_parameters: authorization_parameters(settings, fail)?,
        }))
    }
}

/// The keys of the client, except its id, that the configuration sets.
fn given(settings: &ProviderSettings) -> Vec<&'static str> {
    let keys = [
        ("client_secret", settings.client_secret.is_some()),
        ("client_secret_file", settings.client_secret_file.is_some()),
        ("client_auth", settings.client_auth.is_some()),
        ("client_key_file", settings.client_key_file.is_some()),
        ("client_cert_file", settings.client_cert_file.is_some()),
        ("client_key_id", settings.client_key_id.is_some()),
        ("client_assertion_audience", settings.client_assertion_audience.is_some()),
        ("token_endpoint", settings.token_endpoint.is_some()),
        ("redirect_uri", settings.redirect_uri.is_some()),
        ("userinfo_endpoint", settings.userinfo_endpoint.is_some()),
        ("authorization_endpoint", settings.authorization_endpoint.is_some()),
        ("authorization_parameters", !settings.authorization_parameters.is_empty()),
    ];
    keys.iter().filter(|key| key.1).map(|key| key.0).collect()
}

/// Parameters of an authorization request that the configuration cannot set, because the sign-in depends on them.
const RESERVED: [&str; 11] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

fn authorization_parameters(
    settings: &ProviderSettings,
    fail: &Fail<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let read = |text: &String| match text.split_once('=') {
        Some((name, _)) if RESERVED.contains(&name) => {
            Err(fail("authorization_parameters", format!("'{name}' cannot be set, the sign-in depends on it")))
        }
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(fail("authorization_parameters", format!("'{text}' is not NAME=VALUE, such as prompt=consent"))),
    };
    settings.authorization_parameters.iter().map(read).collect()
}

fn auth(
    settings: &ProviderSettings,
    files: &BTreeMap<String, String>,
    fail: &Fail<'_>,
) -> Result<ClientAuth, ConfigError> {
    let given = given(settings);
    let has = |key: &str| given.contains(&key);
    if has("client_secret") && has("client_secret_file") {
        return Err(fail("client_secret_file", "client_secret is set too; choose one".into()));
    }
    let method = match settings.client_auth.as_deref() {
        Some(method) => method,
        None if has("client_cert_file") => "tls_client_auth",
        None if has("client_key_file") => "private_key_jwt",
        None if has("client_secret") || has("client_secret_file") => "client_secret_basic",
        None => "none",
    };
    // A setting that would be ignored is a mistake, because the operator believes that it is in use.
    let unused: &[&str] = match method {
        "private_key_jwt" => &["client_secret", "client_secret_file", "client_cert_file"],
        "tls_client_auth" => &["client_secret", "client_secret_file", "client_key_id", "client_assertion_audience"],
        "none" => &[
            "client_secret",
            "client_secret_file",
            "client_key_file",
            "client_cert_file",
            "client_key_id",
            "client_assertion_audience",
        ],
        _ => &["client_key_file", "client_cert_file", "client_key_id", "client_assertion_audience"],
    };
    if let Some(key) = unused.iter().find(|key| has(key)) {
        return Err(fail(key, format!("is not used with client_auth {method}; remove it, or change client_auth")));
    }
    match method {
        "none" => Ok(ClientAuth::None),
        "tls_client_auth" => {
            let (Some(chain), Some(key)) = (&settings.client_cert_file, &settings.client_key_file) else {
                let missing = if has("client_cert_file") { "client_key_file" } else { "client_cert_file" };
                return Err(fail(
                    missing,
                    "is missing: tls_client_auth needs a certificate and its private key (PEM, PKCS #8)".into(),
                ));
            };
            let text = |path: &String| files.get(path).map_or("", String::as_str);
            let certificate = ClientCertificate::from_pem(text(chain), text(key)).map_err(|(setting, problem)| {
                let path = if setting == "client_cert_file" { chain } else { key };
                fail(setting, format!("{path} {problem}"))
            })?;
            Ok(ClientAuth::Tls(Box::new(certificate)))
        }
        "private_key_jwt" => {
            let Some(path) = &settings.client_key_file else {
                return Err(fail(
                    "client_key_file",
                    "is missing: private_key_jwt needs a private key (PEM, PKCS #8)".into(),
                ));
            };
            let pem = files.get(path).map_or("", String::as_str);
            let key = SigningKey::from_pem(pem.as_bytes(), settings.client_key_id.clone())
                .map_err(|e| fail("client_key_file", format!("{path} {e}")))?;
            let audience = settings.client_assertion_audience.clone();
            Ok(ClientAuth::PrivateKeyJwt { key: Box::new(key), audience })
        }
        method => {
            let secret = match (&settings.client_secret, &settings.client_secret_file) {
                (Some(secret), _) => secret.clone(),
                (None, Some(path)) => Secret::from_file(files.get(path).map_or("", String::as_str)),
                (None, None) => {
                    return Err(fail(
                        "client_secret",
                        format!(
                            "is missing: {method} needs it; write it into a file and name that in client_secret_file"
                        ),
                    ));
                }
            };
            if secret.expose().is_empty() {
                return Err(fail("client_secret", "is empty".into()));
            }
            Ok(if method == "client_secret_post" { ClientAuth::Post(secret) } else { ClientAuth::Basic(secret) })
        }
    }
}

/// The endpoint that is configured under `key`, or else the metadata documents that name it.
pub(super) fn endpoint(
    (key, configured): (&'static str, Option<&String>),
    settings: &ProviderSettings,
    global: &Settings,
    fail: &Fail<'_>,
) -> Result<(Option<String>, Vec<String>), ConfigError> {
    if let Some(url) = configured {
        check_url(url, global.allows_http()).map_err(|e| fail(key, e))?;
        return Ok((Some(url.clone()), Vec::new()));
    }
    let discovery = match &settings.discovery_url {
        Some(url) => vec![url.clone()],
        None => discovery_urls(&settings.issuer),
    };
    for url in &discovery {
        let no_address = || Err(format!("{TENANT} makes it no address"));
        let checked = if url.contains(TENANT) { no_address() } else { check_url(url, global.allows_http()) };
        checked.map_err(|e| fail(key, format!("is missing, and the issuer does not lead to it: {e}")))?;
    }
    Ok((None, discovery))
}

#[cfg(test)]
mod tests {
    use super::super::client_certificate::tests::CERTIFICATE;
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn client(pairs: &[(&str, &str)]) -> Result<Option<Client>, String> {
        let table: toml::Table =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), toml::Value::String((*value).to_owned()))).collect();
        let mut settings: ProviderSettings = table.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        if settings.issuer.is_empty() {
            settings.issuer = "https://as.example".into();
        }
        let files =
            [("/key", KEY), ("/cert", CERTIFICATE), ("/not-a-key", "x"), ("/secret", "hush\n"), ("/empty", "\n")];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let fail = |key: &str, text: String| ConfigError(format!("provider 'a': {key}: {text}"));
        Client::new(&settings, TokenStrategy::Jwt, &Settings::default(), &files, &fail).map_err(|e| e.0)
    }

    const ID: (&str, &str) = ("client_id", "proxy");

    #[test]
    fn the_method_follows_from_what_is_given() {
        let auth = |pairs: &[(&str, &str)]| client(&[&[ID], pairs].concat()).unwrap().unwrap().auth;
        assert!(client(&[]).unwrap().is_none());
        assert!(matches!(auth(&[]), ClientAuth::None));
        assert!(matches!(auth(&[("client_secret", "hush")]), ClientAuth::Basic(_)));
        let post = auth(&[("client_secret_file", "/secret"), ("client_auth", "client_secret_post")]);
        assert!(matches!(&post, ClientAuth::Post(secret) if secret.expose() == b"hush"));
        let key = auth(&[("client_key_file", "/key"), ("client_assertion_audience", "as")]);
        assert!(matches!(&key, ClientAuth::PrivateKeyJwt { audience: Some(audience), .. } if audience == "as"));
        let certificate = auth(&[("client_cert_file", "/cert"), ("client_key_file", "/key")]);
        assert!(certificate.certificate().is_some() && key.certificate().is_none());
        assert!(!format!("{post:?} {key:?} {certificate:?}").contains("hush"));
    }

    #[test]
    fn the_token_endpoint_is_configured_or_found() {
        let found = client(&[ID]).unwrap().unwrap();
        assert_eq!((found.token_endpoint, found.discovery.len()), (None, 2));
        let given = client(&[ID, ("token_endpoint", "https://as.example/t"), ("issuer", "corp")]).unwrap().unwrap();
        assert_eq!((given.token_endpoint.as_deref(), given.discovery.len()), (Some("https://as.example/t"), 0));
    }

    #[test]
    fn every_mistake_names_provider_key_and_fix() {
        for (pairs, words) in [
            (vec![("client_secret", "hush")], "client_secret: needs 'client_id'"),
            (vec![("redirect_uri", "https://x/")], "redirect_uri: needs 'client_id'"),
            (vec![("token_endpoint", "https://x/")], "token_endpoint: needs 'client_id'"),
            (vec![("client_id", "")], "client_id: is empty"),
            (vec![ID, ("client_secret", "hush"), ("client_secret_file", "/secret")], "client_secret is set too"),
            (vec![ID, ("client_secret_file", "/empty")], "client_secret: is empty"),
            (vec![ID, ("client_auth", "client_secret_basic")], "client_secret: is missing: client_secret_basic"),
            (vec![ID, ("client_auth", "client_secret_post")], "client_secret: is missing: client_secret_post"),
            (vec![ID, ("client_auth", "private_key_jwt")], "client_key_file: is missing"),
            (vec![ID, ("client_auth", "none"), ("client_secret", "hush")], "client_secret: is not used with"),
            (vec![ID, ("client_key_file", "/key"), ("client_secret", "hush")], "client_secret: is not used with"),
            (vec![ID, ("client_secret", "hush"), ("client_key_id", "k")], "client_key_id: is not used with"),
            (vec![("client_cert_file", "/cert")], "client_cert_file: needs 'client_id'"),
            (vec![ID, ("client_auth", "tls_client_auth")], "client_cert_file: is missing: tls_client_auth"),
            (vec![ID, ("client_cert_file", "/cert")], "client_key_file: is missing: tls_client_auth"),
            (vec![ID, ("client_key_file", "/key"), ("client_auth", "tls_client_auth")], "client_cert_file: is missing"),
            (
                vec![ID, ("authorization_endpoint", "http://as.example")],
                "authorization_endpoint: 'http://as.example' is not",
            ),
            (vec![ID, ("authorization_parameters", "state=1")], "authorization_parameters: 'state' cannot be set"),
            (vec![ID, ("authorization_parameters", "prompt")], "authorization_parameters: 'prompt' is not NAME=VALUE"),
            (
                vec![ID, ("client_cert_file", "/not-a-key"), ("client_key_file", "/key")],
                "client_cert_file: /not-a-key has 0 CERTIFICATE",
            ),
            (
                vec![ID, ("client_cert_file", "/cert"), ("client_key_file", "/not-a-key")],
                "client_key_file: /not-a-key has no PRIVATE KEY",
            ),
            (
                vec![ID, ("client_cert_file", "/cert"), ("client_key_file", "/key"), ("client_secret", "hush")],
                "client_secret: is not used with",
            ),
            (
                vec![ID, ("client_cert_file", "/cert"), ("client_key_file", "/key"), ("client_key_id", "k")],
                "client_key_id: is not used with",
            ),
            (
                vec![
                    ID,
                    ("client_cert_file", "/cert"),
                    ("client_secret", "hush"),
                    ("client_auth", "client_secret_post"),
                ],
                "client_cert_file: is not used with",
            ),
            (
                vec![
                    ID,
                    ("client_cert_file", "/cert"),
                    ("client_key_file", "/key"),
                    ("token_endpoint", "http://127.0.0.1/t"),
                ],
                "token_endpoint: 'http://127.0.0.1/t' is not https",
            ),
            (vec![ID, ("client_key_file", "/not-a-key")], "client_key_file: /not-a-key has no PRIVATE KEY"),
            (vec![ID, ("token_endpoint", "http://as.example/t")], "token_endpoint: 'http://as.example/t' is not prot"),
            (vec![ID, ("issuer", "corp")], "token_endpoint: is missing"),
            (vec![ID, ("issuer", "https://as.example/{tenantid}/v2.0")], "token_endpoint: is missing"),
            (vec![ID, ("redirect_uri", "phone")], "redirect_uri: 'phone' is not a URI"),
        ] {
            let text = client(&pairs).unwrap_err();
            assert!(text.starts_with("provider 'a': ") && text.contains(words), "{pairs:?}: {text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
