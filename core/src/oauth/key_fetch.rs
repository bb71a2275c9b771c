// SPDX-License-Identifier: MIT OR Apache-2.0
//! Getting a provider's keys: metadata (OpenID Connect Discovery, RFC 8414), then the key set.

use std::fmt;

use super::metadata::{WantedEndpoint, endpoint_of_metadata};
use crate::jose::key_set::{KeySet, Origin, Rejected};
use crate::ports::Fetch;

/// Accept value for key sets (RFC 7517 section 8.5). Some servers compare Accept letter by letter.
pub const KEY_SET_TYPES: &str = "application/jwk-set+json, application/json, */*;q=0.1";

/// What to fetch, as plain data that can cross to another thread.
#[derive(Clone, Debug)]
pub struct KeyPlan {
    /// The issuer that the metadata must name.
    pub issuer: String,
    /// The key set's address, when it is configured.
    pub jwks_uri: Option<String>,
    /// Metadata addresses, tried in this order.
    pub discovery: Vec<String>,
    /// True when http to other hosts than this one is allowed.
    pub allow_http: bool,
}

/// What was fetched.
#[derive(Debug)]
pub struct FetchedKeys {
    /// The usable keys.
    pub keys: KeySet,
    /// Where they came from.
    pub jwks_uri: String,
    /// Seconds for which the keys may be kept. None: the server does not say.
    pub max_age: Option<u64>,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKeys {
    /// A sentence for the operator.
    pub sentence: String,
    /// The keys that came, when none of them can be used.
    pub rejected: Vec<Rejected>,
}

/// At most this many rejected keys are named in one sentence.
const MAX_NAMED: usize = 4;

/// The sentence, and why the keys that came cannot be used.
impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        for key in self.rejected.iter().take(MAX_NAMED) {
            write!(f, "; {} is not used: {}", key.name(), key.error)?;
        }
        Ok(())
    }
}

impl From<String> for NoKeys {
    fn from(sentence: String) -> NoKeys {
        NoKeys { sentence, rejected: Vec::new() }
    }
}

/// Fetches the keys of a plan.
pub fn fetch_keys(fetch: &dyn Fetch, plan: &KeyPlan) -> Result<FetchedKeys, NoKeys> {
    let jwks_uri = match &plan.jwks_uri {
        Some(uri) => uri.clone(),
        None => {
            let wanted = WantedEndpoint {
                issuer: &plan.issuer,
                member: "jwks_uri",
                mutual_tls: false,
                allow_http: plan.allow_http,
            };
            endpoint_of_metadata(fetch, &plan.discovery, &wanted).map_err(|e| e.to_string())?.address
        }
    };
    let document = fetch.get(&jwks_uri, KEY_SET_TYPES).map_err(|e| format!("{jwks_uri}: {e}"))?;
    let keys = KeySet::from_jwks(&document.body, Origin::Fetched)
        .map_err(|e| NoKeys { sentence: format!("{jwks_uri}: {e}"), rejected: e.rejected().to_vec() })?;
    Ok(FetchedKeys { keys, jwks_uri, max_age: document.max_age })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Document, FetchError};

    struct Pages(Vec<(&'static str, Result<&'static str, FetchError>)>);

    impl Fetch for Pages {
        fn get(&self, url: &str, _: &str) -> Result<Document, FetchError> {
            let page = self.0.iter().find(|p| p.0 == url).unwrap_or_else(|| panic!("asked for {url}"));
            page.1.clone().map(|body| Document { body: body.as_bytes().to_vec(), max_age: None })
        }
    }

    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const METADATA: &str = r#"{"issuer":"https://as.example","jwks_uri":"https://as.example/jwks"}"#;

    fn fetch(pages: Vec<(&'static str, Result<&'static str, FetchError>)>) -> Result<FetchedKeys, NoKeys> {
        let plan = KeyPlan {
            issuer: "https://as.example".into(),
            jwks_uri: None,
            discovery: vec!["https://as.example/oidc".into(), "https://as.example/8414".into()],
            allow_http: false,
        };
        fetch_keys(&Pages(pages), &plan)
    }

    #[test]
    fn follows_the_metadata() {
        let keys =
            fetch(vec![("https://as.example/oidc", Ok(METADATA)), ("https://as.example/jwks", Ok(KEYS))]).unwrap();
        assert_eq!((keys.jwks_uri.as_str(), keys.keys.keys().len()), ("https://as.example/jwks", 1));
    }

    #[test]
    fn rfc_8414_when_the_oidc_address_does_not_exist() {
        let missing = Err(FetchError::Status(404));
        let pages = vec![
            ("https://as.example/oidc", missing.clone()),
            ("https://as.example/8414", Ok(METADATA)),
            ("https://as.example/jwks", Ok(KEYS)),
        ];
        assert!(fetch(pages).is_ok());
        let none = fetch(vec![("https://as.example/oidc", missing.clone()), ("https://as.example/8414", missing)]);
        let both = "https://as.example/oidc: HTTP status 404, https://as.example/8414: HTTP status 404";
        assert_eq!(none.unwrap_err().sentence, both);
    }

    #[test]
    fn another_issuer_is_an_error_and_not_a_remark() {
        let other = r#"{"issuer":"https://evil.example","jwks_uri":"https://as.example/jwks"}"#;
        let error = fetch(vec![("https://as.example/oidc", Ok(other))]).unwrap_err().sentence;
        assert!(error.contains("'https://evil.example'") && error.contains("'https://as.example'"), "{error}");
    }

    #[test]
    fn says_what_is_wrong_with_an_answer() {
        let missing = || ("https://as.example/8414", Err(FetchError::Status(404)));
        let error = |page| fetch(vec![("https://as.example/oidc", Ok(page)), missing()]).unwrap_err().sentence;
        assert!(error("<html>").contains("not a JSON metadata"));
        assert!(error("{}").contains("no issuer") && error("[]").contains("not a JSON metadata"));
        assert!(error(r#"{"issuer":"https://as.example"}"#).contains("no jwks_uri"));
        assert!(error(r#"{"issuer":"https://as.example","jwks_uri":"http://x.example/j"}"#).contains("not protected"));
        let empty =
            fetch(vec![("https://as.example/oidc", Ok(METADATA)), ("https://as.example/jwks", Ok(r#"{"keys":[]}"#))]);
        assert!(empty.unwrap_err().sentence.contains("no usable"));
        let down = fetch(vec![("https://as.example/oidc", Err(FetchError::Status(500))), missing()]);
        let both = "https://as.example/oidc: HTTP status 500, https://as.example/8414: HTTP status 404";
        assert_eq!(down.unwrap_err().sentence, both);
    }
}
