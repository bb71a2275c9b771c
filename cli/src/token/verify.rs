// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth token verify`: shows the proxy's verdict on a token.

use sipoauth_core::check::Request;
use sipoauth_core::check::explain::{ExplainedUse, UsingRequest};
use sipoauth_core::check::peer_certificate::PeerCertificate;
use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::is_jose;
use sipoauth_core::rules::confirmation::thumbprint;
use zeroize::Zeroizing;

use super::JudgeOptions;
use super::verdict::{exit_code, judge, print, to_json};
use crate::output::{Output, now};

/// Runs the command and returns the exit code.
pub fn run(options: &JudgeOptions) -> u8 {
    let output = Output { json: options.json };
    let TokenInQuestion { policy, token, certificate } = match read(options) {
        Ok(read) => read,
        Err(sentence) => return output.error(&sentence),
    };
    let shown = || certificate.clone();
    let verdict = judge(&policy, &token, used(options, PeerCertificate::new(&shown)), false, now());
    print(output, &policy, &verdict);
    output.value(&to_json(&policy, &verdict));
    exit_code(verdict.answer.reason())
}

/// A token, and what it is judged with.
pub struct TokenInQuestion {
    /// The configuration.
    pub policy: Policy,
    /// The token.
    pub token: Zeroizing<String>,
    /// The certificate of the phone that sends it.
    pub certificate: Option<Vec<u8>>,
}

/// Reads the configuration, the token and the certificate.
pub fn read(options: &JudgeOptions) -> Result<TokenInQuestion, String> {
    let configuration = options.configuration.read_for_tokens()?;
    for note in &configuration.written.notes {
        Output { json: options.json }.remark(note);
    }
    let certificate = options.client_certificate.as_ref().map(|file| {
        let named = |problem: String| format!("{}: {problem}", file.display());
        let content = std::fs::read(file).map_err(|error| named(error.to_string()))?;
        thumbprint(&content).map(|_| content).ok_or_else(|| named("holds no certificate".to_owned()))
    });
    let (policy, token) = (configuration.policy, options.input.read()?);
    match judged_elsewhere(&policy, &token, options) {
        Some(sentence) => Err(sentence),
        None => Ok(TokenInQuestion { policy, token, certificate: certificate.transpose()? }),
    }
}

/// Why this command cannot judge a token: the proxy shows it to a server, together with the address of the request
/// that brings it (`tokens = validation_grant`). The server may take that for a sign-in, so the tool does not ask.
fn judged_elsewhere(policy: &Policy, token: &str, options: &JudgeOptions) -> Option<String> {
    let validates = |provider: &&Provider| provider.strategy == TokenStrategy::ValidationGrant;
    let domains = match used(options, PeerCertificate::new(&|| None)).request {
        Some(UsingRequest { method, from, to }) => vec![Request { method, from, to, ..Request::default() }.domain()],
        // Without a request, another provider may be meant that introspects opaque tokens.
        None if !is_jose(token) && policy.provider_for_opaque("").is_some() => return None,
        None => policy.providers.iter().filter(validates).flat_map(|p| p.rules.domains.clone()).collect(),
    };
    let index = domains.iter().find_map(|domain| policy.provider_for_foreign_token(token, domain))?;
    let name = &policy.providers[index].name;
    Some(format!(
        "provider '{name}': tokens = validation_grant: only its server can judge this token, together with the request that brings it; sipoauth register --token-file sends one"
    ))
}

/// How the token is used.
pub fn used<'a>(options: &'a JudgeOptions, certificate: PeerCertificate<'a>) -> ExplainedUse<'a> {
    let method = options.method.as_deref().unwrap_or("REGISTER");
    let request =
        options.from.as_deref().map(|from| UsingRequest { method, from, to: options.to.as_deref().unwrap_or(from) });
    ExplainedUse { transport: &options.transport, certificate, request }
}
