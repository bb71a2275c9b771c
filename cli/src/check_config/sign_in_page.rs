// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of the sign-in page, and what the authorization servers must know of it.

use std::time::{SystemTime, UNIX_EPOCH};

use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sign_in_page::SignInPage;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::ports::Fetch;

use super::finding::Findings;
use crate::tls;

const CHECK: &str = "sign_in_page";
/// Whether the page offers codes is a check of its own, because the setting is one of the proxies.
const CODES: &str = "typed_codes";

/// Checks the page, if there is one. `documents` is None if no server is to be asked.
pub fn check(policy: &Policy, documents: Option<&dyn Fetch>, findings: &mut Findings) {
    if policy.settings.sign_in_page.is_none() {
        return;
    }
    let page = match SignInPage::of(policy) {
        Ok(page) => page,
        Err(error) => return findings.failed_with(CHECK, None, &error.0, "write another value"),
    };
    if let Some((certificate, key)) = &page.tls
        && let Err(error) = tls::check_server(certificate, key)
    {
        let fix = "write PEM files that the user of the page can read: the certificate with those between it and its authority, and its key";
        findings.failed(CHECK, None, &error, fix);
    }
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
    if let Some(note) = SignInPage::note_on_codes(&policy.settings) {
        findings.ok(CODES, None, note);
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

#[cfg(test)]
mod tests {
    use sipoauth_core::config::sign_in_page::SignInPageSettings;
    use sipoauth_core::config::source::Source;

    use super::*;
    use crate::output::Output;

    /// What is found for this page: check, status and message.
    fn found(typed_codes: bool, change: impl FnOnce(&mut SignInPageSettings)) -> Vec<String> {
        let mut source = Source::default();
        let provider = "name=corp;issuer=https://as.example;audience=sip;aor={sip};domain=a.example;client_id=page";
        source.add_provider(provider).unwrap();
        source.set("store", "/nowhere").unwrap();
        source.set("store_key", "0123456789abcdef0123456789abcdef").unwrap();
        let mut policy = Policy::new(&source.load().unwrap()).unwrap();
        let mut page = SignInPageSettings { url: "https://phones.a.example".into(), ..SignInPageSettings::default() };
        change(&mut page);
        policy.settings.typed_codes = typed_codes;
        policy.settings.sign_in_page = Some(page);
        let mut findings = Findings::new(Output { json: true });
        check(&policy, None, &mut findings);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let list = findings.to_json();
        let line = |f: &serde_json::Value| ["check", "status", "message", "fix"].map(|key| text(&f[key])).join(" ");
        list.as_array().unwrap().iter().map(line).collect()
    }

    #[test]
    fn one_note_says_that_typed_codes_are_off_and_how_they_are_turned_on() {
        let notes = |typed_codes| found(typed_codes, |_| {}).into_iter().filter(|line| line.starts_with("typed_codes"));
        let off: Vec<String> = notes(false).collect();
        assert!(
            off.len() == 1 && off[0].starts_with("typed_codes ok ") && off[0].contains("typed_codes = true"),
            "{off:?}"
        );
        assert_eq!(notes(true).count(), 0);
    }

    #[test]
    fn what_phones_could_not_use_fails_with_its_fix() {
        let domain = found(true, |page| page.sip_domain = "b.example".into());
        assert!(
            domain.len() == 1 && domain[0].contains("failed sign_in_page: sip_domain: 'b.example' is no domain"),
            "{domain:?}"
        );
        assert!(domain[0].contains("write one that users have addresses of (a.example)"), "{domain:?}");
        let proxy = found(true, |page| page.proxy = "sip.a.example".into());
        assert!(proxy.len() == 1 && proxy[0].ends_with("is no SIP URI write sip:sip.a.example"), "{proxy:?}");
        let good = found(true, |page| page.sip_domain = "A.example".into());
        assert!(good.len() == 1 && good[0].starts_with("sign_in_page ok "), "{good:?}");
    }
}
