// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens that a proxy gives its phone in the body of a 200 OK (sip-oauth section 4.3).

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sipoauth_core::jose::hashed_token::token_fingerprint;
use sipoauth_core::oauth::token_response::{ResponseError, TokenResponse};
use sipoauth_core::text::secret::SecretText;

use crate::message::Response;
use crate::redact::Redactor;
use crate::secret::Wiped;

/// The tokens as the state file keeps them.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct HeldTokens {
    /// The access token.
    pub access_token: Wiped,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Wiped>,
    /// What the access token allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// When the access token expires, as an HTTP date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl HeldTokens {
    /// Reads the tokens from a 200 OK. They replace `old`, but its refresh token stays valid if the response has no new
    /// one (RFC 6749 section 6).
    pub fn read(response: &Response, old: Option<&HeldTokens>, redactor: &mut Redactor) -> Result<HeldTokens, String> {
        let failed = |why: &str| format!("{}, but there are no tokens in it: {why}", response.status_line());
        let issued = match TokenResponse::parse(&response.body) {
            Ok(TokenResponse::Issued(issued)) => issued,
            Ok(TokenResponse::Error(error)) => return Err(failed(&format!("its error is {}", error.error))),
            Err(ResponseError::OtherType(kind)) => return Err(failed(&format!("they are of the type {kind}"))),
            Err(ResponseError::Malformed(why)) => return Err(failed(why)),
        };
        let mut wiped = |token: &SecretText| {
            redactor.hide(&token.0);
            Wiped::from(token.0.clone())
        };
        let until = issued.expires_in.and_then(|seconds| u64::try_from(seconds).ok());
        let until = until.and_then(|seconds| SystemTime::now().checked_add(Duration::from_secs(seconds)));
        let refresh_token = issued.refresh_token.as_ref().map(&mut wiped);
        Ok(HeldTokens {
            access_token: wiped(&issued.access_token),
            refresh_token: refresh_token.or_else(|| old.and_then(|old| old.refresh_token.clone())),
            scope: issued.scope.clone(),
            until: until.map(httpdate::fmt_http_date),
        })
    }

    /// One line about the tokens, without secrets.
    pub fn summary(&self) -> String {
        let mut out = format!("access token {}", token_fingerprint(self.access_token.text()));
        out.extend(self.scope.iter().map(|scope| format!(", scope {scope:?}")));
        out.extend(self.until.iter().map(|until| format!(", until {until}")));
        out + if self.refresh_token.is_some() { ", with a refresh token" } else { ", without a refresh token" }
    }
}
