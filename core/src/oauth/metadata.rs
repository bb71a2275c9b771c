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
    /// True when the server names itself in the answer to a sign-in (RFC 9207 section 3).
    pub names_itself: bool,
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
    /// A document was read that names no such endpoint. Another one, which may name it, cannot be read now.
    Incomplete(String),
    /// The metadata cannot be read now.
    Failed(String),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use MetadataError::{Absent, Failed, Incomplete, NoDocument, Unusable};
        let (Absent(text) | NoDocument(text) | Unusable(text) | Incomplete(text) | Failed(text)) = self;
        f.write_str(text)
    }
}

/// Why a document does not give the address. For the operator the first kinds say more than the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Problem {
    /// The document lacks the member.
    Lacking,
    /// The document does not name its issuer.
    Nameless,
    /// The document cannot be read now.
    Away,
    /// There is no document: the server says so, or sends something else.
    Missing,
}

/// Returns the address that a server's metadata gives. If a document cannot be read or lacks the member, the next
/// one is tried, because some servers publish one document only, or name an endpoint in one only.
pub fn endpoint_of_metadata(
    fetch: &dyn Fetch,
    discovery: &[String],
    wanted: &WantedEndpoint<'_>,
) -> Result<Announced, MetadataError> {
    let mut problems = Vec::new();
    for url in discovery {
        match endpoint_of_document(fetch, url, wanted)? {
            Ok(announced) => return Ok(announced),
            Err((problem, text)) => problems.push((problem, format!("{url}: {text}"))),
        }
    }
    Err(sum_up(problems))
}

/// The outer error ends the search, because a document that contradicts the configuration must not be passed over.
fn endpoint_of_document(
    fetch: &dyn Fetch,
    url: &str,
    wanted: &WantedEndpoint<'_>,
) -> Result<Result<Announced, (Problem, String)>, MetadataError> {
    let document = match fetch.get(url, METADATA_TYPES) {
        Ok(document) => document,
        Err(error) => return Ok(Err((problem_of(&error), error.to_string()))),
    };
    // A web server may answer every request with a web page.
    let json = match Json::parse(&document.body) {
        Ok(json @ Json::Object(_)) => json,
        Ok(_) => return Ok(Err((Problem::Missing, "the answer is not a JSON metadata document".into()))),
        Err(e) => return Ok(Err((Problem::Missing, format!("the answer is not a JSON metadata document: {e}")))),
    };
    if json.get("issuer").and_then(Json::as_str).is_none() {
        return Ok(Err((Problem::Nameless, "the metadata has no issuer".into())));
    }
    let unusable = |text| MetadataError::Unusable(format!("{url}: {text}"));
    check_issuer(&json, wanted).map_err(unusable)?;
    let Some(address) = address(&json, wanted) else {
        let member = wanted.member;
        return Ok(Err((Problem::Lacking, format!("the metadata has no {member}; set {member} yourself"))));
    };
    check_url(address, wanted.allow_http).map_err(|e| unusable(e.to_string()))?;
    let algorithms = json.get("introspection_signing_alg_values_supported").and_then(Json::as_strings);
    let signs_introspection = algorithms.is_some_and(|list| list.iter().any(|name| *name != "none"));
    let names_itself = matches!(json.get("authorization_response_iss_parameter_supported"), Some(Json::Bool(true)));
    Ok(Ok(Announced { address: address.to_owned(), signs_introspection, names_itself }))
}

/// A redirect leads to another place, often to a page to sign in. That is an answer, and no outage.
fn problem_of(error: &FetchError) -> Problem {
    match error {
        FetchError::Status(407 | 408 | 425 | 429) => Problem::Away,
        FetchError::Status(..=499) | FetchError::Unreadable(_) => Problem::Missing,
        FetchError::Status(_) | FetchError::Failed(_) => Problem::Away,
    }
}

/// The error that names every document, when none gives the address.
fn sum_up(mut problems: Vec<(Problem, String)>) -> MetadataError {
    use MetadataError::{Absent, Failed, Incomplete, NoDocument, Unusable};
    problems.sort_by_key(|(problem, _)| *problem);
    let has = |wanted| problems.iter().any(|(problem, _)| *problem == wanted);
    let text = join(&problems);
    match (has(Problem::Away), has(Problem::Lacking), has(Problem::Nameless)) {
        (true, false, false) => Failed(text),
        (true, ..) => Incomplete(text),
        (false, true, _) => Absent(text),
        (false, false, true) => Unusable(text),
        (false, false, false) if text.is_empty() => NoDocument("no metadata address".into()),
        (false, false, false) => NoDocument(text),
    }
}

/// One sentence of all. What to do comes last, after a semicolon, because the tool shows it apart.
fn join(problems: &[(Problem, String)]) -> String {
    let parts = problems.iter().map(|(_, text)| text.split_once("; ").unwrap_or((text, "")));
    let (texts, mut fixes): (Vec<&str>, Vec<&str>) = parts.unzip();
    fixes.retain(|fix| !fix.is_empty());
    fixes.dedup();
    [vec![texts.join(", ").as_str()], fixes].concat().join("; ")
}

fn check_issuer(json: &Json<'_>, wanted: &WantedEndpoint<'_>) -> Result<(), String> {
    match json.get("issuer").and_then(Json::as_str) {
        Some(named) if named == wanted.issuer => Ok(()),
        other => Err(format!(
            "the server calls itself issuer '{}', configured is '{}'; write exactly what the server says, or set {}",
            printable(other.unwrap_or_default(), 200),
            wanted.issuer,
            wanted.member,
        )),
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

    fn find(pages: Vec<(&'static str, Result<&'static str, FetchError>)>) -> Result<Announced, MetadataError> {
        let wanted = WantedEndpoint {
            issuer: "https://as.example",
            member: "introspection_endpoint",
            mutual_tls: false,
            allow_http: false,
        };
        endpoint_of_metadata(&Pages(pages), &[OIDC.into(), RFC_8414.into()], &wanted)
    }

    fn refusal(pages: Vec<(&'static str, Result<&'static str, FetchError>)>) -> String {
        find(pages).unwrap_err().to_string()
    }

    const BARE: &str = r#"{"issuer":"https://as.example","introspection_endpoint":null}"#;
    const WHOLE: &str = r#"{"issuer":"https://as.example","introspection_endpoint":"https://as.example/i"}"#;
    const OTHER: &str = r#"{"issuer":"https://evil.example","introspection_endpoint":"https://evil.example/i"}"#;

    #[test]
    fn one_document_is_completed_from_the_other() {
        let wanted =
            Announced { address: "https://as.example/i".into(), signs_introspection: false, names_itself: false };
        let pages = [BARE, "<html>", "", "[]", r#"{"error":"not_found"}"#].map(Ok);
        let failures = [301, 302, 404, 407, 429, 500, 501, 503].map(|status| Err(FetchError::Status(status)));
        let others = [Err(FetchError::Failed("no answer".into())), Err(FetchError::Unreadable("compressed".into()))];
        for first in pages.into_iter().chain(failures).chain(others) {
            assert_eq!(find(vec![(OIDC, first.clone()), (RFC_8414, Ok(WHOLE))]), Ok(wanted.clone()), "{first:?}");
        }
        assert_eq!(find(vec![(OIDC, Ok(WHOLE))]), Ok(wanted), "the second is not needed");
    }

    #[test]
    fn they_must_agree_on_the_issuer() {
        for pages in [vec![(OIDC, Ok(BARE)), (RFC_8414, Ok(OTHER))], vec![(OIDC, Ok(OTHER)), (RFC_8414, Ok(WHOLE))]] {
            let text = refusal(pages);
            assert!(text.contains("'https://evil.example'"), "{text}");
        }
    }

    #[test]
    fn what_a_document_lacks_is_said_before_that_the_other_is_missing() {
        for second in [Ok("<html>"), Err(FetchError::Status(404)), Ok(BARE)] {
            let text = refusal(vec![(OIDC, Ok(BARE)), (RFC_8414, second)]);
            assert!(text.starts_with(OIDC) && text.contains("has no introspection_endpoint"), "{text}");
        }
        let twice = refusal(vec![(OIDC, Ok(BARE)), (RFC_8414, Ok(BARE))]);
        assert!(twice.ends_with("has no introspection_endpoint; set introspection_endpoint yourself"), "{twice}");
        let (what, fix) = twice.split_once("; ").unwrap();
        assert!(
            what.contains(OIDC) && what.contains(RFC_8414) && !fix.contains("; "),
            "what to do comes last: {twice}"
        );
        let text = refusal(vec![(OIDC, Err(FetchError::Status(404))), (RFC_8414, Ok(BARE))]);
        assert!(text.starts_with(RFC_8414), "{text}");
        // The document that cannot be read now may have the member.
        for status in [407, 408, 425, 429, 502] {
            let text = refusal(vec![(OIDC, Ok(BARE)), (RFC_8414, Err(FetchError::Status(status)))]);
            assert!(text.contains(&format!("HTTP status {status}")), "{text}");
        }
    }

    #[test]
    fn an_outage_of_one_document_is_told_from_an_answer() {
        let away = |text: &str| FetchError::Failed(text.into());
        let kind = |first: Result<&'static str, FetchError>, second: Result<&'static str, FetchError>| {
            let error = find(vec![(OIDC, first), (RFC_8414, second)]).unwrap_err();
            assert!(error.to_string().contains(OIDC) && error.to_string().contains(RFC_8414), "both: {error}");
            match error {
                MetadataError::Absent(_) => "absent",
                MetadataError::NoDocument(_) => "no document",
                MetadataError::Unusable(_) => "unusable",
                MetadataError::Incomplete(_) => "incomplete",
                MetadataError::Failed(_) => "failed",
            }
        };
        for (status, alone, beside) in [
            (302, "no document", "absent"),
            (404, "no document", "absent"),
            (407, "failed", "incomplete"),
            (500, "failed", "incomplete"),
            (503, "failed", "incomplete"),
        ] {
            let failure = Err(FetchError::Status(status));
            assert_eq!(kind(failure.clone(), Err(FetchError::Status(404))), alone, "{status}");
            assert_eq!(kind(Ok(BARE), failure.clone()), beside, "{status}");
            assert_eq!(kind(failure, Ok(BARE)), beside, "{status}");
        }
        assert_eq!(kind(Err(away("no answer")), Err(FetchError::Status(302))), "failed");
        assert_eq!(kind(Err(FetchError::Unreadable("compressed".into())), Ok(BARE)), "absent");
        assert_eq!(kind(Ok("{}"), Err(FetchError::Status(404))), "unusable");
        assert_eq!(kind(Ok("{}"), Err(away("no answer"))), "incomplete");
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
