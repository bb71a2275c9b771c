// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the configuration comes from: single settings, one-line providers, a TOML file, and the files it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::provider_settings::{self, ProviderSettings};
use super::settings::{GONE, Settings, is_list};
use super::sign_in_page::SignInPageSettings;
use super::{ConfigError, error};

/// Largest configuration or key file in octets.
const MAX_FILE: u64 = 256 * 1024;

/// What the host has configured so far. Loading it twice gives the same result unless a file has changed.
#[derive(Clone, Debug, Default)]
pub struct Source {
    globals: toml::Table,
    providers: Vec<String>,
    file: Option<String>,
    without_store: bool,
}

/// The settings together with the content of every file they name, so that the file system is no longer needed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bundle {
    /// The settings.
    pub settings: Settings,
    /// File name → content.
    pub files: BTreeMap<String, String>,
}

impl Source {
    /// Takes one global setting as text, as a host's parameter gives it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if key == "config_file" {
            if value.is_empty() {
                return error("config_file: give the path of a TOML file");
            }
            self.file = Some(value.to_owned());
            return Ok(());
        }
        if matches!(key, "provider" | "offer" | "sign_in_page") {
            return error(format!("{key}: cannot be set like this; use a provider line or config_file"));
        }
        let value = if is_list(key) { split(value) } else { toml::Value::String(value.to_owned()) };
        let single = toml::Table::from_iter([(key.to_owned(), value)]);
        single.clone().try_into::<Settings>().map_err(|e| ConfigError(format!("{key}: {}", one_line(e.message()))))?;
        self.globals.extend(single);
        Ok(())
    }

    /// Takes one provider written as `key=value;key=value`.
    pub fn add_provider(&mut self, line: &str) -> Result<(), ConfigError> {
        parse_line(line)?;
        self.providers.push(line.to_owned());
        Ok(())
    }

    /// Leaves out the store and its secrets, because only tokens are judged. Features that need them do without.
    pub fn leave_out_store(&mut self) {
        self.without_store = true;
    }

    /// Reads everything. Called before the fork and in a reload, never in a worker.
    pub fn load(&self) -> Result<Bundle, ConfigError> {
        let mut settings = match &self.file {
            None => toml::Table::new().try_into::<Settings>(),
            Some(path) => parse_file(path, &read_file("config_file", path)?)?.try_into(),
        }
        .map_err(|e: toml::de::Error| ConfigError(one_line(e.message())))?;
        let mut merged = toml::Table::try_from(&settings).map_err(|e| ConfigError(e.to_string()))?;
        merged.extend(self.globals.clone());
        let providers = std::mem::take(&mut settings.provider);
        let offers = std::mem::take(&mut settings.offer);
        let page = settings.sign_in_page.take();
        merged.remove("provider");
        merged.remove("offer");
        merged.remove("sign_in_page");
        settings = merged.try_into().map_err(|e| ConfigError(one_line(e.message())))?;
        (settings.provider, settings.offer, settings.sign_in_page) = (providers, offers, page);
        for line in &self.providers {
            settings.provider.push(parse_line(line)?);
        }
        if self.without_store {
            (settings.store, settings.store_key) = (None, None);
            (settings.store_key_file, settings.store_password_file) = (None, None);
            settings.without_store = true;
        }
        let mut files = BTreeMap::new();
        let globals = [
            ("ca_file", &settings.ca_file),
            ("http_proxy_credentials_file", &settings.http_proxy_credentials_file),
            ("store_key_file", &settings.store_key_file),
            ("store_password_file", &settings.store_password_file),
        ];
        let globals = globals.into_iter().filter_map(|(key, path)| path.as_ref().map(|path| (key, path)));
        let globals = globals.chain(settings.decryption_key_files.iter().map(|path| ("decryption_key_files", path)));
        let keys = settings.provider.iter().flat_map(|p| {
            let named = [
                ("jwks_file", &p.jwks_file),
                ("pem_file", &p.pem_file),
                ("secret_file", &p.secret_file),
                ("client_secret_file", &p.client_secret_file),
                ("client_key_file", &p.client_key_file),
                ("client_cert_file", &p.client_cert_file),
            ];
            let named = named.into_iter().filter_map(|(key, path)| path.as_ref().map(|path| (key, path)));
            named.chain(p.signing_key_files.iter().map(|path| ("signing_key_files", path)))
        });
        for (key, path) in globals.chain(keys) {
            files.insert(path.clone(), read_file(key, path)?);
        }
        Ok(Bundle { settings, files })
    }
}

fn read_file(key: &str, path: &str) -> Result<String, ConfigError> {
    let failed = |e: std::io::Error| {
        let fix = match e.kind() {
            std::io::ErrorKind::PermissionDenied => "; let the user that the proxy runs as read it (chown, chmod)",
            _ => "",
        };
        ConfigError(format!("{key}: cannot read {path}: {e}{fix}"))
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE {
        return error(format!("{key}: {path} has {length} octets, at most {MAX_FILE} are read"));
    }
    let octets = std::fs::read(path).map_err(failed)?;
    String::from_utf8(octets).map_err(|_| ConfigError(format!("{key}: {path} is not UTF-8 text")))
}

fn parse_file(path: &str, text: &str) -> Result<toml::Table, ConfigError> {
    let place = |e: &toml::de::Error| {
        let line = e.span().map_or(0, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
        ConfigError(format!("{path}, line {line}: {}", one_line(e.message())))
    };
    // The text is parsed twice: as settings for messages with a line number, and as a table for merging.
    toml::from_str::<Settings>(text).map_err(|e| place(&e))?;
    toml::from_str::<toml::Table>(text).map_err(|e| place(&e))
}

fn parse_line(line: &str) -> Result<ProviderSettings, ConfigError> {
    let mut table = toml::Table::new();
    for pair in line.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            // The text may be a secret that held a ';', so it is not repeated here.
            return error("provider: a part between two ';' is not key=value; a value with ';' belongs in config_file");
        };
        let (key, value) = (key.trim(), value.trim());
        let value = if provider_settings::is_list(key) {
            if value.split(',').any(|v| v.trim().is_empty()) {
                return error(format!("provider: '{key}' has an empty value; leave the key out instead"));
            }
            split(value)
        } else if key == "required_claims" {
            return error("provider: required_claims does not fit in a line; write the provider in config_file");
        } else {
            toml::Value::String(value.to_owned())
        };
        if table.insert(key.to_owned(), value).is_some() {
            return error(format!("provider: '{key}' is given twice in one line"));
        }
    }
    table.try_into().map_err(|e: toml::de::Error| ConfigError(format!("provider: {}", one_line(e.message()))))
}

/// Splits a text at its commas into a list.
fn split(value: &str) -> toml::Value {
    toml::Value::Array(value.split(',').map(|v| toml::Value::String(v.trim().to_owned())).collect())
}

/// One sentence of a parser's message. For an unknown key it names the nearest known one instead of all.
fn one_line(text: &str) -> String {
    let text = text.trim().replace('\n', " ");
    let mut names = text.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (text.starts_with("unknown field"), names.next()) else {
        return text;
    };
    if let Some((key, instead)) = GONE.iter().find(|(key, _)| *key == unknown) {
        return format!("key '{key}' is gone: {instead}");
    }
    if let Some(whose) = home_of(unknown) {
        return format!("unknown key '{unknown}' here: it is a key of {whose}");
    }
    // A short word may differ in fewer letters, because three other letters would make it another word.
    let most = (unknown.len() / 3).clamp(1, 3);
    let near = names.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min();
    match near.filter(|(distance, _)| *distance <= most) {
        Some((_, known)) => format!("unknown key '{unknown}', did you mean '{known}'?"),
        None => format!("unknown key '{unknown}'; docs/reference/settings.md lists the keys"),
    }
}

/// Where a key belongs, if it is not known at its present place.
fn home_of(key: &str) -> Option<&'static str> {
    let has = |value: serde_json::Result<serde_json::Value>| value.is_ok_and(|value| value.get(key).is_some());
    if has(serde_json::to_value(ProviderSettings::default())) {
        return Some("a provider (a provider line, or [[provider]])");
    }
    if has(serde_json::to_value(SignInPageSettings::default())) {
        return Some("the sign-in page ([sign_in_page] in config_file)");
    }
    has(serde_json::to_value(Settings::default())).then_some("the module (a parameter, or the top of the file)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_provider() {
        let line = "name=corp; issuer=https://as.example/x?a=b ;audience=sip, sip2;aor=sip:{email};accept_id_tokens=no;leeway=5";
        let provider = parse_line(line).unwrap();
        assert_eq!(provider.issuer, "https://as.example/x?a=b");
        assert_eq!(provider.audience, ["sip", "sip2"]);
        assert_eq!((provider.leeway, provider.accept_id_tokens), (Some(5), false));
    }

    #[test]
    fn mistakes_name_the_key() {
        for (line, word) in [
            ("isuer=x", "unknown key 'isuer', did you mean 'issuer'?"),
            ("colour=x", "unknown key 'colour'; docs/reference"),
            ("foo=bar", "unknown key 'foo'; docs/reference"),
            ("pop_star=empty", "key 'pop_star' is gone: write dialect = empty_star"),
            ("ca_file=/x", "unknown key 'ca_file' here: it is a key of the module"),
            ("store=/x", "unknown key 'store' here: it is a key of the module"),
            ("name", "key=value"),
            ("name=a;name=b", "'name' is given twice"),
            ("leeway=soon", "soon"),
            ("clients=", "'clients' has an empty value"),
            ("aor={sip},", "'aor' has an empty value"),
            ("required_claims=a", "config_file"),
        ] {
            let text = parse_line(line).unwrap_err().0;
            assert!(text.contains(word), "{text}");
        }
        let mut source = Source::default();
        assert!(source.set("leway", "3").unwrap_err().0.contains("leway"));
        assert!(source.set("leeway", "-3").unwrap_err().0.contains("-3"));
        assert!(source.set("leeway", "3").is_ok());
        source.set("config_file", "/nonexistent/x.toml").unwrap();
        assert!(source.load().unwrap_err().0.contains("/nonexistent/x.toml"));
    }
}
