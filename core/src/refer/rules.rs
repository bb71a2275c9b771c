// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says about REFER.

use crate::config::settings::Settings;

/// Where a REFER that may create an implicit subscription may be sent within a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDialog {
    /// Not to a GRUU (RFC 7647 section 4).
    UnlessGruu,
    /// Nowhere.
    Refused,
    /// Everywhere, as before RFC 6665.
    Allowed,
}

/// Whether explicitsub and nosub may be required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explicit {
    /// They may.
    Allowed,
    /// They may not.
    Off,
    /// One of them must be.
    Required,
}

/// The scheme of the URI at which the state of a REFER is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protected {
    /// sips if the REFER came over TLS.
    Preferred,
    /// sips, so the REFER must come over TLS.
    Always,
    /// sip.
    Never,
}

/// Who may subscribe beside knowing the URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribers {
    /// Everybody who knows it.
    Anybody,
    /// Whoever shows a token with the scope [`SCOPE`].
    TokenHolders,
    /// The user who sent the REFER.
    Owner,
}

/// The scope of a token whose holder may subscribe.
pub const SCOPE: &str = "sip.refer";

/// The rules.
#[derive(Clone, Copy, Debug)]
pub struct ReferRules {
    /// Setting `refer_in_dialog`.
    pub in_dialog: InDialog,
    /// Setting `refer_contact`: the Contact of such a REFER must be a GRUU.
    pub contact_is_gruu: bool,
    /// Setting `refer_explicit`.
    pub explicit: Explicit,
    /// Setting `refer_protected`.
    pub protected: Protected,
    /// Setting `refer_subscriber`.
    pub subscribers: Subscribers,
}

impl ReferRules {
    /// The rules of a configuration whose words were checked.
    pub fn new(settings: &Settings) -> ReferRules {
        ReferRules {
            in_dialog: match settings.refer_in_dialog.as_str() {
                "gruu" => InDialog::UnlessGruu,
                "refuse" => InDialog::Refused,
                _ => InDialog::Allowed,
            },
            contact_is_gruu: settings.refer_contact == "gruu",
            explicit: match settings.refer_explicit.as_str() {
                "off" => Explicit::Off,
                "require" => Explicit::Required,
                _ => Explicit::Allowed,
            },
            protected: match settings.refer_protected.as_str() {
                "sips" => Protected::Always,
                "off" => Protected::Never,
                _ => Protected::Preferred,
            },
            subscribers: match settings.refer_subscriber.as_str() {
                "token" => Subscribers::TokenHolders,
                "owner" => Subscribers::Owner,
                _ => Subscribers::Anybody,
            },
        }
    }
}
