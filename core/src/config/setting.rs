// SPDX-License-Identifier: MIT OR Apache-2.0
//! One setting as a row of a table, and the macro that makes a structure and its table of the same rows.

use super::settings::Secret;

/// What a key takes.
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
        /// The least.
        least: u32,
        /// The most.
        most: u32,
        /// Its unit; empty: a count.
        unit: &'static str,
    },
    /// yes or no.
    Boolean,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Some of these.
    Words(&'static [&'static str]),
    /// Texts.
    List,
}

/// When a change counts.
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
    /// As it is written.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// When a change counts.
    pub takes: Takes,
    /// What it means, in Markdown.
    pub text: &'static str,
}

/// A value, as far as what is common to all settings looks at it.
pub(super) trait SettingValue {
    /// The value of a number or of yes (1) and no (0).
    fn number(&self) -> Option<u32> {
        None
    }

    /// The texts of a list.
    fn texts(&self) -> &[String] {
        &[]
    }
}

impl SettingValue for u32 {
    fn number(&self) -> Option<u32> {
        Some(*self)
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

impl SettingValue for String {}
impl SettingValue for Option<String> {}
impl SettingValue for Option<Secret> {}

/// A structure of settings, each with the name of what reads it, its default and its row of the table.
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
            fn values(&self) -> Vec<&dyn SettingValue> {
                vec![$(&self.$key as &dyn SettingValue,)*]
            }
        }
    };
}
pub(super) use settings;
