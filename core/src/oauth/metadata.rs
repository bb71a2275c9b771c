// SPDX-License-Identifier: MIT OR Apache-2.0
//! Metadata of an authorization server: the documents of OpenID Connect Discovery and of RFC 8414, read as one.

use std::fmt;

use crate::config::urls::check_url;
use crate::ports::{Fetch, FetchError};
use crate::text::fingerprint::printable;
use crate::text::json::Json;

/// Accept value for metadata (RFC 8414 section 3.2). Some servers compare Accept letter by letter, and some have
/// odd media types for JSON.
pub const METADATA_TYPES: &str = "application/json, */*;q=0.1";

/// What is looked for in metadata.
#[derive(Clone, Copy, Debug)]
pub struct WantedEndpoint<'a> {
    /// The issuer that every document must name.
    pub issuer: &'a str,
    /// The member that holds the address.
    pub member: &'a str,
    /// True when the address for clients with a certificate is preferred (RFC 8705 section 5).
    pub mutual_tls: bool,
    /// True when http to other hosts than this one is allowed.
    pub allow_http: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The address.
    pub address: String,
    /// True when the server signs introspection answers (RFC 9701 section 7).
    pub signs_introspection: bool,
}

/// Why there is no address. The texts are sentences for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// The metadata names no such endpoint.
    Absent(String),
    /// There is no metadata where it should be.
    NoDocument(String),
    /// The metadata must not be trusted, or what it says cannot be used.
    Unusable(String),
    /// The metadata cannot be read now.
    Failed(String),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use MetadataError::{Absent, Failed, NoDocument, Unusable};
        let (Absent(text) | NoDocument(text) | Unusable(text) | Failed(text)) = self;
        f.write_str(text)
    }
}

/// Returns the address that a server's metadata gives. If a document does not exist or lacks the member, the next
/// one is tried, because some servers name an endpoint in one document only.
pub fn endpoint_of_metadata(
    fetch: &dyn Fetch,
    discovery: &[String],
    wanted: &WantedEndpoint<'_>,
) -> Result<Announced, MetadataError> {
    use MetadataError::{Absent, Failed, NoDocument, Unusable};
    let mut problem: Option<(bool, String)> = None;
    // For the operator, a member that a document lacks says more than another document that does not exist.
    let mut note = |is_document: bool, text: String| {
        if problem.as_ref().is_none_or(|(known, _)| is_document && !known) {
            problem = Some((is_document, text));
        }
    };
    for url in discovery {
        let document = match fetch.get(url, METADATA_TYPES) {
            Ok(document) => document,
            Err(FetchError::Status(status @ (400..=499))) if ![407, 408, 425, 429].contains(&status) => {
                note(false, format!("{url}: HTTP status {status}"));
                continue;
            }
            Err(e) => return Err(Failed(format!("{url}: {e}"))),
        };
        // A web server may answer every request with a web page.
        let Ok(json @ Json::Object(_)) = Json::parse(&document.body) else {
            note(false, format!("{url}: the answer is not a JSON metadata document"));
            continue;
        };
        check_issuer(&json, wanted).map_err(|e| Unusable(format!("{url}: {e}")))?;
        match address(&json, wanted) {
            Some(address) => {
                check_url(address, wanted.allow_http).map_err(|e| Unusable(format!("{url}: {e}")))?;
                let algorithms = json.get("introspection_signing_alg_values_supported");
                return Ok(Announced {
                    address: address.to_owned(),
                    signs_introspection: algorithms
                        .and_then(Json::as_strings)
                        .is_some_and(|list| list.iter().any(|name| *name != "none")),
                });
            }
            None => {
                let member = wanted.member;
                note(true, format!("{url}: the metadata has no {member}; set {member} yourself"));
            }
        }
    }
    Err(match problem {
        Some((true, text)) => Absent(text),
        Some((false, text)) => NoDocument(text),
        None => NoDocument("no metadata address".into()),
    })
}

fn check_issuer(json: &Json<'_>, wanted: &WantedEndpoint<'_>) -> Result<(), String> {
    match json.get("issuer").map(Json::as_str) {
        Some(Some(named)) if named == wanted.issuer => Ok(()),
        Some(Some(other)) => Err(format!(
            "the server calls itself issuer '{}', configured is '{}'; write exactly what the server says, or set {}",
            printable(other, 200),
            wanted.issuer,
            wanted.member,
        )),
        _ => Err("the metadata has no issuer".into()),
    }
}

fn address<'a>(json: &'a Json<'_>, wanted: &WantedEndpoint<'_>) -> Option<&'a str> {
    let aliases = json.get("mtls_endpoint_aliases").filter(|_| wanted.mutual_tls);
    let alias = aliases.and_then(|aliases| aliases.get(wanted.member)).and_then(Json::as_str);
    alias.or_else(|| json.get(wanted.member).and_then(Json::as_str)).filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Document;

    const OIDC: &str = "https://as.example/oidc";
    const RFC_8414: &str = "https://as.example/8414";

    struct Pages(Vec<(&'static str, Result<&'static str, FetchError>)>);

    impl Fetch for Pages {
        fn get(&self, url: &str, _: &str) -> Result<Document, FetchError> {
            let page = self.0.iter().find(|p| p.0 == url).unwrap_or_else(|| panic!("asked for {url}"));
            page.1.clone().map(|body| Document { body: body.as_bytes().to_vec(), max_age: None })
        }
    }

    fn find(pages: Vec<(&'static str, Result<&'static str, FetchError>)>) -> Result<Announced, String> {
        let wanted = WantedEndpoint {
            issuer: "https://as.example",
            member: "introspection_endpoint",
            mutual_tls: false,
            allow_http: false,
        };
        endpoint_of_metadata(&Pages(pages), &[OIDC.into(), RFC_8414.into()], &wanted).map_err(|e| e.to_string())
    }

    const BARE: &str = r#"{"issuer":"https://as.example","introspection_endpoint":null}"#;
    const WHOLE: &str = r#"{"issuer":"https://as.example","introspection_endpoint":"https://as.example/i"}"#;
    const OTHER: &str = r#"{"issuer":"https://evil.example","introspection_endpoint":"https://evil.example/i"}"#;

    #[test]
    fn one_document_is_completed_from_the_other() {
        let wanted = Announced { address: "https://as.example/i".into(), signs_introspection: false };
        for first in [Ok(BARE), Ok("<html>"), Ok(""), Ok("[]"), Err(FetchError::Status(404))] {
            assert_eq!(find(vec![(OIDC, first), (RFC_8414, Ok(WHOLE))]), Ok(wanted.clone()));
        }
        assert_eq!(find(vec![(OIDC, Ok(WHOLE))]), Ok(wanted), "the second is not needed");
    }

    #[test]
    fn they_must_agree_on_the_issuer() {
        for pages in [vec![(OIDC, Ok(BARE)), (RFC_8414, Ok(OTHER))], vec![(OIDC, Ok(OTHER)), (RFC_8414, Ok(WHOLE))]] {
            let text = find(pages).unwrap_err();
            assert!(text.contains("'https://evil.example'"), "{text}");
        }
    }

    #[test]
    fn what_a_document_lacks_is_said_before_that_the_other_is_missing() {
        for second in [Ok("<html>"), Err(FetchError::Status(404)), Ok(BARE)] {
            let text = find(vec![(OIDC, Ok(BARE)), (RFC_8414, second)]).unwrap_err();
            assert!(text.starts_with(OIDC) && text.contains("has no introspection_endpoint"), "{text}");
        }
        let text = find(vec![(OIDC, Err(FetchError::Status(404))), (RFC_8414, Ok(BARE))]).unwrap_err();
        assert!(text.starts_with(RFC_8414), "{text}");
        // The document that cannot be read now may have the member.
        for status in [407, 408, 425, 429, 502] {
            let text = find(vec![(OIDC, Ok(BARE)), (RFC_8414, Err(FetchError::Status(status)))]).unwrap_err();
            assert!(text.contains(&format!("HTTP status {status}")), "{text}");
        }
    }

    #[test]
    fn signed_answers_are_announced() {
        for (list, signs) in [(r#"["RS256"]"#, true), ("[]", false), ("null", false), (r#"["none"]"#, false)] {
            let document = WHOLE.replace('}', &format!(r#","introspection_signing_alg_values_supported":{list}}}"#));
            let document: &'static str = document.leak();
            assert_eq!(find(vec![(OIDC, Ok(document))]).unwrap().signs_introspection, signs, "{list}");
        }
    }
}
