// SPDX-License-Identifier: MIT OR Apache-2.0
//! Says which claim is missing or has the wrong type. Whoever runs the authorization server has to know, and the
//! reason alone does not say.

use std::borrow::Cow;

use crate::reason::Reason;
use crate::text::json::{Json, JsonError};

/// Names, for people, of what was read.
pub const ACCESS_TOKEN: &str = "access token";
/// See [`ACCESS_TOKEN`].
pub const ID_TOKEN: &str = "ID token";
/// See [`ACCESS_TOKEN`].
pub const INTROSPECTION_ANSWER: &str = "introspection answer";

/// Why claims cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimFault {
    /// The reason of the refusal.
    pub reason: Reason,
    /// The claim; empty when the reason is not about a single claim.
    claim: String,
    /// What was found in its place; empty when it is missing. Without a claim, what is wrong with the whole text.
    found: Cow<'static, str>,
}

impl ClaimFault {
    /// The fault of a claim that is needed and missing.
    pub fn missing(claim: &str) -> ClaimFault {
        ClaimFault { reason: Reason::ClaimMissing, claim: claim.to_owned(), found: Cow::Borrowed("") }
    }

    /// The fault of a `nonce` that another sign-in was begun with.
    pub fn other_nonce() -> ClaimFault {
        let found = Cow::Borrowed("not that of this sign-in");
        ClaimFault { reason: Reason::ClaimMismatch, claim: "nonce".into(), found }
    }

    /// The fault of claims that are not the JSON that is accepted.
    pub fn unreadable(error: &JsonError) -> ClaimFault {
        ClaimFault { reason: Reason::TokenMalformed, claim: String::new(), found: error.to_string().into() }
    }

    /// The fault of a claim that has a value which it must not have.
    pub(super) fn malformed(claim: &str, value: &Json<'_>) -> ClaimFault {
        let found = match (claim, value) {
            ("cnf", Json::Object(_)) => "an object whose x5t#S256 is not a SHA-256 thumbprint",
            ("aud" | "scope" | "scp", Json::Array(_)) => "an array with other values than strings",
            (_, value) => value.kind(),
        };
        ClaimFault { reason: Reason::ClaimMalformed, claim: claim.to_owned(), found: found.into() }
    }

    /// A text for the log; None when the reason says everything. `whose` is the name of what was read, such as
    /// [`ACCESS_TOKEN`].
    pub fn sentence(&self, whose: &str) -> Option<String> {
        let Self { claim, found, .. } = self;
        match (claim.as_str(), &**found) {
            ("", "") => None,
            ("", problem) => Some(format!("the {whose} cannot be read as JSON: {problem}")),
            (claim, "") => Some(format!("{claim} of the {whose} is missing")),
            (claim, found) => Some(format!("{claim} of the {whose} is {found}")),
        }
    }
}

impl From<Reason> for ClaimFault {
    fn from(reason: Reason) -> ClaimFault {
        ClaimFault { reason, claim: String::new(), found: Cow::Borrowed("") }
    }
}

impl From<ClaimFault> for Reason {
    fn from(fault: ClaimFault) -> Reason {
        fault.reason
    }
}
