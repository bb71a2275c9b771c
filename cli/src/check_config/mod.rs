// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth check-config`: finds everything that can be wrong with a configuration and the servers that it names. It
//! reports each problem in one sentence with the fix, and all problems in one run.

mod client;
mod files;
mod finding;
mod introspection_probe;
mod keys;
mod probe;
mod remembered;
mod server;
mod sign_in_page;
mod store;

use std::path::PathBuf;

use clap::Args;
use sipoauth::io_process::http::HttpClient;
use sipoauth_cli::script::Proxy;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::config::source::Bundle;

use crate::configuration::ConfigurationOptions;
use crate::output::Output;
use finding::{Findings, Status};

const EXAMPLES: &str = "\
Examples:
  sipoauth check-config                                  the configuration in /etc/kamailio or /etc/opensips
  sipoauth check-config ./kamailio.cfg -A WITH_TLS
  sipoauth check-config ./opensips.cfg
  m4 opensips.cfg | sipoauth check-config --opensips /dev/stdin    where OpenSIPS is started with -p m4
  sipoauth check-config --config auth_oauth.toml --offline
  sipoauth check-config --provider 'name=corp;issuer=https://login.example.com;audience=sip;aor={sip}' --json

Run it as the user that the proxy runs as, so that it may read what the proxy may read:
  sudo -u kamailio sipoauth check-config

With client_id it sends a few made-up codes to the token endpoint, and made-up tokens to the introspection endpoint, also with a
secret that is certainly wrong: where the answers differ they tell whether the server knows the proxy's client. The server may
write that to its log; --no-probe leaves it out.

Exit codes: 0 nothing failed (warnings are possible); 1 something failed.";

/// What to look at.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckOptions {
    /// A configuration of Kamailio or OpenSIPS. What is in it shows which of them it is for; if nothing does, write
    /// --kamailio FILE.cfg or --opensips FILE.cfg
    #[arg(value_name = "FILE.cfg", conflicts_with_all = ["kamailio", "opensips"])]
    file: Option<PathBuf>,
    /// Talk to no server
    #[arg(long)]
    offline: bool,
    /// Send no made-up codes and tokens to servers
    #[arg(long)]
    no_probe: bool,
    /// Print a JSON list of {check, provider, status, message, fix}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// Runs the command and returns the exit code.
pub fn run(options: &CheckOptions) -> u8 {
    let output = Output { json: options.json };
    let mut findings = Findings::new(output);
    check(options, &mut findings);
    let (failed, warnings) = (findings.count(Status::Failed), findings.count(Status::Warning));
    output.line("");
    output.line(&match (failed, warnings) {
        (0, 0) => "Everything is as it should be.".to_owned(),
        (0, count) => format!("Nothing failed; {count} warning(s)."),
        (count, _) => format!("{count} check(s) FAILED, {warnings} warning(s)."),
    });
    output.value(&findings.to_json());
    if failed == 0 { 0 } else { crate::EXIT_ERROR }
}

fn check(options: &CheckOptions, findings: &mut Findings) {
    let written = match options.configuration.written_with(options.file.as_deref()) {
        Ok(written) => written,
        Err(sentence) => return findings.failed_with("configuration", None, &sentence, ""),
    };
    for note in &written.notes {
        let (message, fix) =
            note.split_once("; ").unwrap_or((note, "give the value that results with --set or --provider"));
        findings.warning("configuration", None, message, fix);
    }
    let bundle = match written.source.load() {
        Ok(bundle) => bundle,
        Err(error) => return findings.failed_with("configuration", None, &error.0, unread(&error.0)),
    };
    files::check(&written, &bundle, findings);
    let policy = match Policy::new(&bundle) {
        Ok(policy) => policy,
        Err(error) => return every_mistake(&bundle, &error.0, findings),
    };
    let sessions = if policy.sessions.is_some() { "with sessions" } else { "without sessions" };
    let message = format!("{}: {} provider(s), {sessions}", written.origin, policy.providers.len());
    findings.ok("configuration", None, &message);
    for warning in policy.warnings() {
        let (message, fix) = warning.split_once("; ").unwrap_or((&warning, ""));
        findings.warning("configuration", None, message, fix);
    }
    policy.providers.iter().for_each(|provider| id_tokens(provider, findings));
    let user = written.proxy.unwrap_or(Proxy::Kamailio).user();
    store::check(&policy, user, options.offline, findings);
    if options.offline {
        return sign_in_page::check(&policy, None, findings);
    }
    let http = HttpClient::new(&policy);
    for index in 0..policy.providers.len() {
        server::check(&policy, index, &http, !options.no_probe, findings);
    }
    sign_in_page::check(&policy, Some(&http), findings);
}

/// Says whether ID tokens are accepted. A token whose audience is a client may be an ID token, but the access tokens of
/// some servers look the same.
fn id_tokens(provider: &Provider, findings: &mut Findings) {
    let rules = &provider.rules;
    let own = provider.client.as_ref().map(|client| &client.id);
    let is_client = |audience: &&String| rules.clients.contains(audience) || own == Some(audience);
    let message = match (rules.accept_id_tokens, rules.audience.iter().find(is_client)) {
        (true, _) => "ID tokens count as access tokens (accept_id_tokens)".to_owned(),
        (false, Some(audience)) => format!(
            "audience is a client, {audience}: tokens for it that have the marks of an ID token are refused as id_token, for accept_id_tokens is not set"
        ),
        (false, None) => return,
    };
    findings.ok("audience", Some(&provider.name), &message);
}

/// The fix when a file cannot be read.
fn unread(sentence: &str) -> &'static str {
    match (sentence.contains("No such file"), sentence.starts_with("store_key_file")) {
        (true, true) => "make it (sipoauth keygen store --out FILE), or write the path of the one that is there",
        (true, false) => "write the path of a file that is there",
        (false, _) if sentence.contains("ermission") => "let the proxy's user read it, and run this as that user",
        (false, _) => "",
    }
}

/// The proxy names only the first mistake. This names the first mistake of each provider.
fn every_mistake(bundle: &Bundle, first: &str, findings: &mut Findings) {
    let settings = &bundle.settings;
    let each = settings.provider.iter().filter_map(|p| Provider::new(p, settings, &bundle.files).err());
    let mut sentences: Vec<String> = each.map(|e| e.0).collect();
    if !sentences.iter().any(|sentence| sentence == first) {
        sentences.insert(0, first.to_owned());
    }
    for sentence in sentences {
        findings.failed_with("configuration", None, &sentence, "");
    }
}
