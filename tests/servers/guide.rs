// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guide of cfg-examples/provider, with the names of a server that runs here in the place of example.com.

use toml::{Table, Value};

use crate::support::kit;

pub struct Guide(Table);

impl Guide {
    /// With what it suggests for codes and proofs.
    pub fn read(name: &str) -> Guide {
        let path = kit::path(&format!("cfg-examples/providers/{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let suggested = ["client_id = ", "client_secret_file = ", "redirect_uri = "];
        let lines = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(setting) if suggested.iter().any(|start| setting.starts_with(start)) => setting,
            _ => line,
        });
        let file: Table = toml::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("the guide is TOML");
        let [Value::Table(provider)] = file["provider"].as_array().expect("providers").as_slice() else {
            panic!("{name}: one provider")
        };
        assert_eq!(file.len(), 1, "{name}: settings beside the provider");
        Guide(provider.clone())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn with(&self, key: &str, value: &str) -> Guide {
        let mut table = self.0.clone();
        table.insert(key.to_owned(), value.into());
        Guide(table)
    }

    pub fn without(&self, key: &str) -> Guide {
        let mut table = self.0.clone();
        table.remove(key);
        Guide(table)
    }

    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} is no text"))
    }

    /// As a provider line; a list is one with commas there.
    pub fn line(&self) -> String {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        };
        self.0.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(";")
    }
}
