// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth jwks`: the keys of each provider, and why a key is not used.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::key_plan;
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::config::source::Source;
use sipoauth_core::jose::algorithm::Algorithm;
use sipoauth_core::jose::key_set::{KeySet, Origin, Rejected};
use sipoauth_core::jose::thumbprint::thumbprint;
use sipoauth_core::oauth::key_fetch::{NoKeys, fetch_keys};

use crate::configuration::ConfigurationOptions;
use crate::output::{Output, Progress};

const EXAMPLES: &str = "\
Examples:
  sipoauth jwks                                      the keys of every provider of /etc/kamailio
  sipoauth jwks --name corp --kamailio kamailio.cfg
  sipoauth jwks --uri https://login.example.com/realms/corp/protocol/openid-connect/certs
  sipoauth jwks --file keys.json

Exit codes: 0 every provider has a usable key; 1 wrong options, or keys that cannot be fetched or used.";

/// Which keys.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct JwksOptions {
    /// Only the provider of this name
    #[arg(long, value_name = "PROVIDER", conflicts_with_all = ["uri", "file"])]
    name: Option<String>,
    /// A key set at this address instead of a configuration's
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    uri: Option<String>,
    /// A key set in this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// Where a key set came from, and its keys or the reason why there are none.
struct Fetched {
    name: String,
    from: String,
    keys: Result<KeySet, NoKeys>,
}

/// Runs the command and returns the exit code.
pub fn run(options: &JwksOptions) -> u8 {
    let output = Output { json: options.json };
    let fetched = match fetch(options) {
        Ok(fetched) => fetched,
        Err(sentence) => return output.error(&sentence),
    };
    for Fetched { name, from, keys } in &fetched {
        output.line(&format!("{name}: {from}"));
        match keys {
            Ok(keys) => print(output, keys),
            Err(NoKeys { sentence, rejected }) => {
                output.line(&format!("  FAILED: {sentence}"));
                print_rejected(output, rejected);
            }
        }
    }
    output.value(&fetched.iter().map(object).collect());
    if fetched.iter().all(|f| f.keys.is_ok()) { 0 } else { crate::EXIT_ERROR }
}

fn fetch(options: &JwksOptions) -> Result<Vec<Fetched>, String> {
    if let Some(path) = &options.file {
        let octets = std::fs::read(path).map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
        let keys = KeySet::from_jwks(&octets, Origin::Configured);
        let keys = keys.map_err(|e| NoKeys { sentence: e.to_string(), rejected: e.rejected().to_vec() });
        return Ok(vec![Fetched { name: "file".into(), from: path.display().to_string(), keys }]);
    }
    let policy = match &options.uri {
        Some(uri) => policy_for(uri, &options.configuration)?,
        None => options.configuration.read_for_tokens()?.policy,
    };
    let wanted = |provider: &&Provider| options.name.as_ref().is_none_or(|name| *name == provider.name);
    let providers: Vec<&Provider> = policy.providers.iter().filter(wanted).collect();
    if providers.is_empty() {
        let names: Vec<&str> = policy.providers.iter().map(|p| p.name.as_str()).collect();
        return Err(format!("there is no provider of this name; there is {}", names.join(", ")));
    }
    let http = HttpClient::new(&policy);
    Ok(providers.into_iter().map(|provider| fetch_one(provider, &policy, &http)).collect())
}

fn fetch_one(provider: &Provider, policy: &Policy, http: &HttpClient) -> Fetched {
    let name = provider.name.clone();
    let Some(plan) = key_plan(provider, policy) else {
        let KeySource::Static(keys) = &provider.keys else {
            return Fetched { name, from: String::new(), keys: Err("there is no way to its keys".to_owned().into()) };
        };
        let usable = keys.keys().len();
        let from = format!("{usable} configured key(s)");
        // Of configured keys the tool shows only the public part.
        let document = keys.to_public_jwks();
        let keys = KeySet::from_jwks(&document, Origin::Fetched);
        return Fetched { name, from, keys: keys.map_err(|_| "PEM keys and secrets are not shown".to_owned().into()) };
    };
    let progress = Progress::new(&format!("{name}: keys"));
    let fetched = fetch_keys(http, &plan);
    drop(progress);
    match fetched {
        Ok(fetched) => Fetched { name, from: fetched.jwks_uri, keys: Ok(fetched.keys) },
        Err(no_keys) => Fetched { name, from: plan.jwks_uri.unwrap_or(plan.issuer), keys: Err(no_keys) },
    }
}

/// A policy with one provider, of which only the key set matters, and with the settings that say how to fetch it.
fn policy_for(uri: &str, configuration: &ConfigurationOptions) -> Result<Policy, String> {
    let mut source = Source::default();
    for setting in &configuration.settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("--set {setting}: write KEY=VALUE"))?;
        source.set(key, value).map_err(|e| e.0)?;
    }
    if uri.contains(';') {
        return Err(format!("--uri {uri}: an address with ';' belongs in a configuration: jwks_uri in --config"));
    }
    let line = format!("name=uri;issuer={uri};jwks_uri={uri};authz_server={uri};audience=any;aor={{sub}}");
    source.add_provider(&line).map_err(|e| e.0)?;
    Policy::new(&source.load().map_err(|e| e.0)?).map_err(|e| format!("--uri: {e}"))
}

fn print(output: Output, set: &KeySet) {
    for key in set.keys() {
        let algorithms: Vec<&str> = Algorithm::ALL.into_iter().filter(|a| key.suits(*a)).map(Algorithm::name).collect();
        output.line(&format!("  {}", key.kid().unwrap_or("(no kid)")));
        output.line(&format!("    {:?}, for {}", key.key_type(), algorithms.join(", ")));
        if let Some(thumbprint) = key.to_public_jwk().as_ref().and_then(thumbprint) {
            output.line(&format!("    thumbprint {thumbprint}"));
        }
    }
    print_rejected(output, set.rejected());
}

fn print_rejected(output: Output, rejected: &[Rejected]) {
    for key in rejected {
        let name = if key.kid.is_empty() { key.name() } else { key.kid.clone() };
        output.line(&format!("  {name}"));
        output.line(&format!("    not used: {}", key.error));
    }
}

fn object(fetched: &Fetched) -> Value {
    let mut keys = Vec::new();
    if let Ok(set) = &fetched.keys {
        for key in set.keys() {
            let jwk = key.to_public_jwk();
            let algorithms = Algorithm::ALL.into_iter().filter(|a| key.suits(*a)).map(Algorithm::name);
            keys.push(json!({
                "kid": key.kid(),
                "kty": key.key_type().kty(),
                "algorithms": algorithms.collect::<Vec<_>>(),
                "usable": true,
                "thumbprint": jwk.as_ref().and_then(thumbprint),
            }));
        }
    }
    let rejected = fetched.keys.as_ref().map_or_else(|no_keys| no_keys.rejected.as_slice(), KeySet::rejected);
    keys.extend(rejected.iter().map(|key| json!({"kid": key.kid, "usable": false, "note": key.note()})));
    json!({
        "provider": fetched.name,
        "from": fetched.from,
        "error": fetched.keys.as_ref().err().map(|no_keys| &no_keys.sentence),
        "keys": keys,
    })
}
