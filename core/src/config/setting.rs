// SPDX-License-Identifier: MIT OR Apache-2.0
//! One setting as a row of a table, and the macro that makes a structure and its table from the same rows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::settings::{OneOrMany, Secret};

/// The kind of value that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// The path of a file, which is read at the start and in a reload.
    File,
    /// A whole number.
    Number {
        /// The least value.
        least: u32,
        /// The greatest value.
        most: u32,
        /// Its unit; empty for a count.
        unit: &'static str,
    },
    /// yes or no.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of some of these words.
    Words(&'static [&'static str]),
    /// A list of texts.
    List,
    /// Names with values. Can be written in the file only.
    Table,
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// After a reload.
    Reload,
    /// After a restart.
    Restart,
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key as it is written in the configuration.
    pub key: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// When a change takes effect.
    pub takes: Takes,
    /// What the setting means, in Markdown.
    pub text: &'static str,
}

/// A value, as far as checks that are common to all settings read it.
pub(super) trait SettingValue {
    /// The value of a number; 1 for yes and 0 for no.
    fn number(&self) -> Option<u32> {
        None
    }

    /// The texts of a list.
    fn texts(&self) -> &[String] {
        &[]
    }

    /// The word of a choice; None if it is not written.
    fn word(&self) -> Option<Cow<'_, str>> {
        None
    }
}

impl SettingValue for u32 {
    fn number(&self) -> Option<u32> {
        Some(*self)
    }

    fn word(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

impl SettingValue for bool {
    fn number(&self) -> Option<u32> {
        Some((*self).into())
    }
}

impl SettingValue for Vec<String> {
    fn texts(&self) -> &[String] {
        self
    }
}

impl SettingValue for Option<u32> {
    fn number(&self) -> Option<u32> {
        *self
    }
}

impl SettingValue for Option<bool> {}
impl SettingValue for BTreeMap<String, OneOrMany> {}
impl SettingValue for Option<Secret> {}

impl SettingValue for String {
    fn word(&self) -> Option<Cow<'_, str>> {
        Some(self.as_str().into())
    }
}

impl SettingValue for Option<String> {
    fn word(&self) -> Option<Cow<'_, str>> {
        self.as_deref().map(Cow::from)
    }
}

/// Finds the first value that is out of its range or has a word that is not possible. Returns its key and what is
/// wrong.
pub(super) fn first_fault(table: &'static [Setting], values: &[&dyn SettingValue]) -> Option<(&'static str, String)> {
    table.iter().zip(values).find_map(|(setting, value)| {
        let text = match setting.kind {
            Kind::Number { least, most, .. } => {
                let number = value.number().filter(|number| !(least..=most).contains(number))?;
                format!("{number} is out of range, write {least} to {most}")
            }
            Kind::Words(words) => {
                let unknown = value.texts().iter().find(|text| !words.contains(&text.as_str()))?;
                format!("'{unknown}' is not possible, write some of {}", words.join(", "))
            }
            Kind::Choice(words) => {
                let word = value.word().filter(|word| !words.contains(&&**word))?;
                let (last, others) = words.split_last()?;
                format!("'{word}' is not possible, write {} or {last}", others.join(", "))
            }
            _ => return None,
        };
        Some((setting.key, text))
    })
}

/// Makes a structure of settings and its table. Each setting has the name of the function that reads it, its
/// default and its row of the table.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, table $table:ident {
            $($key:ident: $type:ty, $with:literal, $default:expr, $kind:expr, $takes:expr, $text:literal;)*
        } beside {
            $($(#[$beside_meta:meta])* $beside:ident: $beside_type:ty = $beside_default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                #[doc = $text]
                #[serde(deserialize_with = $with)]
                pub $key: $type,
            )*
            $($(#[$beside_meta])* pub $beside: $beside_type,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default,)* $($beside: $beside_default,)* }
            }
        }

        /// Every key, in the order of the reference.
        pub const $table: &[Setting] =
            &[$(Setting { key: stringify!($key), kind: $kind, takes: $takes, text: $text },)*];

        impl $name {
            /// The values, in the order of the table.
            pub(super) fn values(&self) -> Vec<&dyn SettingValue> {
                vec![$(&self.$key as &dyn SettingValue,)*]
            }
        }
    };
}
pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::super::provider_settings::{self, OF_A_PROVIDER, ProviderSettings};
    use super::super::settings::{self, GLOBAL, GONE, Settings};
    use super::*;

    #[test]
    fn every_list_is_split_where_a_host_gives_one_text() {
        let of = |table: &[Setting], value: serde_json::Value, is_list: fn(&str) -> bool| {
            for setting in table {
                assert_eq!(value[setting.key].is_array(), is_list(setting.key), "{}", setting.key);
            }
        };
        of(GLOBAL, serde_json::to_value(Settings::default()).unwrap(), settings::is_list);
        of(OF_A_PROVIDER, serde_json::to_value(ProviderSettings::default()).unwrap(), provider_settings::is_list);
    }

    #[test]
    fn defaults_are_within_their_ranges_and_keys_are_there_once() {
        assert_eq!(first_fault(GLOBAL, &Settings::default().values()), None);
        assert_eq!(ProviderSettings::default().fault(), None);
        let keys = GLOBAL.iter().map(|setting| setting.key).chain(GONE.iter().map(|(key, _)| *key));
        let keys: Vec<_> = keys.collect();
        assert!(keys.iter().enumerate().all(|(at, key)| !keys[..at].contains(key)), "{keys:?}");
    }

    #[test]
    fn what_is_out_of_its_range_is_named() {
        for (setting, at) in GLOBAL.iter().zip(0..) {
            let Kind::Number { least, most, .. } = setting.kind else { continue };
            for wrong in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
                let mut settings = serde_json::to_value(Settings::default()).unwrap();
                settings[setting.key] = wrong.into();
                let settings: Settings = serde_json::from_value(settings).unwrap();
                let (key, text) = first_fault(GLOBAL, &settings.values()).unwrap();
                assert!(
                    key == GLOBAL[at].key && text == format!("{wrong} is out of range, write {least} to {most}"),
                    "{key}: {text}"
                );
            }
        }
        let provider = ProviderSettings { leeway: Some(601), ..ProviderSettings::default() };
        assert_eq!(provider.fault().unwrap().0, "leeway");
    }

    #[test]
    fn each_choice_takes_its_words_only() {
        let check =
            |setting: &Setting, word: &str, fault: &dyn Fn(serde_json::Value) -> Option<(&'static str, String)>| {
                let value = word.parse::<u32>().ok().filter(|_| setting.key == "scope_status");
                let value = value.map_or_else(|| serde_json::Value::from(word), Into::into);
                fault(serde_json::json!({ setting.key: value }))
            };
        let global = |value| first_fault(GLOBAL, &serde_json::from_value::<Settings>(value).unwrap().values());
        let of_provider = |value| serde_json::from_value::<ProviderSettings>(value).unwrap().fault();
        let mut count = 0;
        for (table, fault) in [
            (GLOBAL, &global as &dyn Fn(serde_json::Value) -> Option<(&'static str, String)>),
            (OF_A_PROVIDER, &of_provider),
        ] {
            for setting in table {
                let Kind::Choice(words) = setting.kind else { continue };
                count += 1;
                for word in words {
                    assert_eq!(check(setting, word, fault), None, "{}", setting.key);
                }
                let wrong = if setting.key == "scope_status" { "402" } else { "neither" };
                let (key, text) = check(setting, wrong, fault).unwrap();
                let last = words[words.len() - 1];
                assert!(
                    key == setting.key && text.starts_with(&format!("'{wrong}' is not possible, write ")),
                    "{text}"
                );
                assert!(text.ends_with(&format!(" or {last}")), "{text}");
            }
        }
        assert_eq!(count, 15);
    }
}
