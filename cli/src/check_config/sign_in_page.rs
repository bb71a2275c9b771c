// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of the sign-in page, and what the authorization servers must know of it.

use std::time::{SystemTime, UNIX_EPOCH};

use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sign_in_page::SignInPage;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::ports::Fetch;

use super::finding::Findings;

const CHECK: &str = "sign_in_page";

/// Checks the page, if there is one. `documents` is None if no server is to be asked.
pub fn check(policy: &Policy, documents: Option<&dyn Fetch>, findings: &mut Findings) {
    let Some(settings) = &policy.settings.sign_in_page else { return };
    let page = match SignInPage::new(settings) {
        Ok(page) => page,
        Err(error) => return findings.failed_with(CHECK, None, &error.0, "write another value"),
    };
    if policy.sessions.is_none() {
        return findings.failed(
            CHECK,
            None,
            "the page needs the store of the proxies",
            "write store and store_key_file",
        );
    }
    let clients: Vec<usize> = (0..policy.providers.len()).filter(|i| policy.providers[*i].client.is_some()).collect();
    if clients.is_empty() {
        let fix = "write client_id and client_secret_file";
        return findings.failed(CHECK, None, "no provider has a client, so nobody can sign in at the page", fix);
    }
    for index in clients {
        let (base, name) = (&page.base, policy.providers[index].name.as_str());
        let message = format!(
            "the server must know the redirect URI {base}/signed-in/{name}, and may know the back-channel logout URI {base}/back-channel-logout"
        );
        findings.ok(CHECK, Some(name), &message);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let found =
            documents.map(|documents| Endpoints::new().resolve(documents, policy, index, Endpoint::Authorization, now));
        if let Some(Err(error)) = found {
            let fix = "write authorization_endpoint, or an issuer whose metadata names it";
            findings.failed_with(CHECK, Some(name), &error.to_string(), fix);
        }
    }
}
