// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers for Prometheus.

use std::fmt::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Makes the counters and their table from the same rows: name, family and label.
macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident: $family:literal, $label:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$meta])* $name,)* }

        const ROWS: &[(&str, &str)] = &[$(($family, $label),)*];
    };
}

counters! {
    /// A browser was sent to an authorization server.
    Begun: "sign_ins", "outcome=\"begun\"";
    /// A user has signed in.
    SignedIn: "sign_ins", "outcome=\"signed_in\"";
    /// The answer to no sign-in of this browser, or to one that is over.
    Foreign: "sign_ins", "outcome=\"foreign\"";
    /// An answer that came again.
    Replayed: "sign_ins", "outcome=\"replayed\"";
    /// The answer of another server.
    MixedUp: "sign_ins", "outcome=\"mixed_up\"";
    /// The server, or its user, did not want.
    Declined: "sign_ins", "outcome=\"declined\"";
    /// The server does not accept the code, or its tokens do not fit.
    Refused: "sign_ins", "outcome=\"refused\"";
    /// The user has no address here.
    NoAddress: "sign_ins", "outcome=\"no_address\"";
    /// The operator must act.
    Misconfigured: "sign_ins", "outcome=\"misconfigured\"";
    /// The server or the store is away.
    Unavailable: "sign_ins", "outcome=\"unavailable\"";
    /// A phone with a device password was added.
    DevicesAdded: "phones_added", "kind=\"device\"";
    /// A typed code was made.
    CodesAdded: "phones_added", "kind=\"code\"";
    /// Sessions that users have ended.
    SignedOut: "phones_signed_out", "";
    /// Logout tokens that counted.
    LogoutAccepted: "logout_tokens", "outcome=\"accepted\"";
    /// Logout tokens that did not count.
    LogoutRefused: "logout_tokens", "outcome=\"refused\"";
    /// Logout tokens that came again.
    LogoutReplayed: "logout_tokens", "outcome=\"replayed\"";
    /// Logout tokens that could not be judged.
    LogoutUnavailable: "logout_tokens", "outcome=\"unavailable\"";
    /// Phones that fetched their settings.
    Provisioned: "provisioning", "outcome=\"served\"";
    /// Addresses that are not, or no longer, good.
    NotProvisioned: "provisioning", "outcome=\"unknown\"";
    /// Requests beyond the limit of their source.
    OverLimit: "refused_requests", "reason=\"source_limit\"";
    /// Connections beyond the limit of their source, or of all.
    OverConnections: "refused_requests", "reason=\"connections\"";
    /// Requests that were too large.
    TooLarge: "refused_requests", "reason=\"size\"";
    /// Requests that took too long.
    TooSlow: "refused_requests", "reason=\"time\"";
    /// Changes that no page of this browser has asked for.
    NotOurs: "refused_requests", "reason=\"csrf\"";
    /// Failures of the store.
    StoreErrors: "store_errors", "";
}

const HELP: [(&str, &str); 7] = [
    ("sign_ins", "Sign-ins with a browser, by what came of them."),
    ("phones_added", "Phones that users have added, by their kind."),
    ("phones_signed_out", "Sessions that users have ended."),
    ("logout_tokens", "Logout tokens of authorization servers, by what came of them."),
    ("provisioning", "Requests for one-time settings of phones."),
    ("refused_requests", "Requests and connections that were refused, by reason."),
    ("store_errors", "Failures of the store."),
];

/// The counters of this process.
#[derive(Debug)]
pub struct Metrics([AtomicU64; ROWS.len()]);

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics([const { AtomicU64::new(0) }; ROWS.len()])
    }
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts several.
    pub fn add(&self, counter: Counter, number: u64) {
        self.0[counter as usize].fetch_add(number, Relaxed);
    }

    /// All of them in the text format of Prometheus.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (family, help) in HELP {
            let _ = writeln!(text, "# HELP sipoauth_signin_{family}_total {help}");
            let _ = writeln!(text, "# TYPE sipoauth_signin_{family}_total counter");
            for ((of, label), value) in ROWS.iter().zip(&self.0).filter(|((of, _), _)| *of == family) {
                let label = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
                let _ = writeln!(text, "sipoauth_signin_{of}_total{label} {}", value.load(Relaxed));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_shown_once() {
        let metrics = Metrics::default();
        metrics.add(Counter::SignedOut, 3);
        metrics.count(Counter::StoreErrors);
        let text = metrics.to_text();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), ROWS.len());
        assert!(text.contains("\nsipoauth_signin_phones_signed_out_total 3\n"), "{text}");
        assert!(text.contains("\nsipoauth_signin_sign_ins_total{outcome=\"begun\"} 0\n"), "{text}");
        assert!(text.ends_with("sipoauth_signin_store_errors_total 1\n"), "{text}");
    }
}
