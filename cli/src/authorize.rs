// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sign-in at an authorization server that asks for Digest (sip-oauth section 3.4). It yields a code, and a key
//! that the server later gives to the proxy.

use std::path::Path;
use std::time::Duration;

use sipoauth_core::config::urls::check_url;
use sipoauth_core::keys::master_key::Ha1Form;
use sipoauth_core::text::fingerprint::printable;
use sipoauth_core::text::form;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use crate::credential::{Code, Login};
use crate::digest_answer::DigestAnswer;
use crate::failure::ToolFailure;
use crate::header::{self, HeaderChallenge};
use crate::outcome::REFUSED;
use crate::plan::random_hex;
use crate::redact::form_encode;
use crate::report::Report;
use crate::tls;

const MAX_BODY: u64 = 64 * 1024;
const SERVER: &str = "the authorization server";

/// Who signs in, and where.
pub struct Authorization<'a> {
    /// The address. Its own query parameters stay in the request.
    pub url: &'a str,
    /// The address-of-record.
    pub aor: &'a str,
    /// The address that a browser would be redirected to, if the server needs one.
    pub redirect_uri: Option<&'a str>,
    /// The user.
    pub login: &'a Login,
    /// How H(A1) enters the master-key.
    pub form: Ha1Form,
}

/// What the server answered.
struct AuthorizeReply {
    status: u16,
    challenges: Vec<HeaderChallenge>,
    location: Option<String>,
    body: Vec<u8>,
}

impl Authorization<'_> {
    /// Signs in and returns the code with its master-key.
    pub fn code(&self, ca_file: Option<&Path>, timeout: Duration, report: &mut Report) -> Result<Code, ToolFailure> {
        check_url(self.url, false).map_err(|why| format!("--authorize {why}"))?;
        let agent = agent(ca_file, timeout)?;
        let first = self.get(&agent, &self.address()?.0, None, report)?;
        if first.status != 401 {
            return Err(format!(
                "{SERVER} answered {} and did not ask for a password; check --authorize and --aor",
                first.status
            )
            .into());
        }
        let answer = DigestAnswer::new(&first.challenges, self.login, SERVER)?;
        let (address, state) = self.address()?;
        let uri: Uri = address.parse().map_err(|e| format!("--authorize: {e}"))?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let (credentials, response) = answer.credentials("GET", target, 1)?;
        // The report hides the response, because it allows guesses of the password.
        report.redactor.hide_all(&response);
        let answered = self.get(&agent, &address, Some(&credentials), report)?;
        if answered.status == 401 {
            let sentence = format!("refused: {SERVER} does not accept the user name or the password");
            return Err(ToolFailure::new(REFUSED, sentence));
        }
        let code = answered.code(&state)?;
        let master_key = Some((answer.master_key(self.form), self.login.username.clone()));
        Ok(Code { code, verifier: None, redirect_uri: self.redirect_uri.map(str::to_owned), master_key })
    }

    /// The address of one request, and the `state` in it, which is new each time.
    fn address(&self) -> Result<(String, String), String> {
        let state = random_hex(16)?;
        let mut address = self.url.split('#').next().unwrap_or_default().to_owned();
        let mut separator = if address.contains('?') { '&' } else { '?' };
        let params = [("response_type", Some("code")), ("user_id", Some(self.aor)), ("state", Some(&state))];
        for (name, value) in params.into_iter().chain([("redirect_uri", self.redirect_uri)]) {
            if let Some(value) = value {
                address.extend([&separator.to_string(), name, "=", &form_encode(value)]);
                separator = '&';
            }
        }
        Ok((address, state))
    }

    fn get(
        &self,
        agent: &Agent,
        address: &str,
        authorization: Option<&str>,
        report: &mut Report,
    ) -> Result<AuthorizeReply, String> {
        report.note(&format!("→ GET {address}"));
        let mut request = agent.get(address);
        if let Some(value) = authorization {
            report.note(&format!("  Authorization: {value}"));
            request = request.header("Authorization", value);
        }
        let failed = |e: ureq::Error| {
            let why = printable(&e.to_string(), 200);
            format!("{SERVER} cannot be asked: {why}; check --authorize and --ca-file")
        };
        let response = request.call().map_err(failed)?;
        let headers: Vec<(String, String)> = headers(&response);
        let all = |name: &'static str| headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value);
        let (status, line) = (response.status().as_u16(), response.status().to_string());
        let challenges = all("www-authenticate").flat_map(|value| header::challenges(value.as_bytes())).collect();
        let location = all("location").next().cloned();
        let body = response.into_body().with_config().limit(MAX_BODY).read_to_vec().map_err(failed)?;
        let answered = AuthorizeReply { status, challenges, location, body };
        if let Some(code) = answered.any_code() {
            report.redactor.hide(&code);
        }
        report.note(&format!("← {line}"));
        for (name, value) in &headers {
            report.note(&format!("  {name}: {value}"));
        }
        Ok(answered)
    }
}

impl AuthorizeReply {
    /// The parameters of Location and of the body, as far as they can be read.
    fn params(&self) -> Vec<(String, String)> {
        let query =
            self.location.as_deref().and_then(|location| location.split_once('?')).map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let parts = [&self.body[..], query.as_bytes()];
        let pairs = parts.iter().filter_map(|part| form::parse(part).ok()).flatten();
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    fn any_code(&self) -> Option<String> {
        self.params().into_iter().find(|(name, value)| name == "code" && !value.is_empty()).map(|(_, value)| value)
    }

    /// The code from the body, where the draft puts it, or else from Location.
    fn code(&self, state: &str) -> Result<String, String> {
        let status = self.status;
        let params = self.params();
        let value = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if let Some(error) = value("error") {
            return Err(format!("{SERVER} answered {status} with the error {:?}", printable(error, 100)));
        }
        let code = self.any_code().filter(|_| matches!(status, 200 | 302 | 303));
        let code = code.ok_or_else(|| format!("{SERVER} answered {status} without a code; check --authorize"))?;
        match value("state") {
            Some(other) if other != state => {
                Err(format!("{SERVER} answered with another state: this code belongs to another sign-in"))
            }
            _ => Ok(code),
        }
    }
}

fn headers(response: &Response<Body>) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

/// An HTTP client with the rules of the proxy's own: TLS verified, no redirects, no proxies from the environment.
fn agent(ca_file: Option<&Path>, timeout: Duration) -> Result<Agent, String> {
    let config = Agent::config_builder()
        .tls_config(tls::http_settings(ca_file)?)
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .max_response_header_size(32 * 1024)
        .user_agent(concat!("sipoauth/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.new_agent())
}
