// SPDX-License-Identifier: MIT OR Apache-2.0
//! Providers in one line, and single settings. Reads no file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;

fuzz_target!(|text: &str| {
    let mut source = Source::default();
    let (setting, line) = text.split_once('\n').unwrap_or(("", text));
    if let Some((key, value)) = setting.split_once('=') {
        let _ = source.set(key, value);
    }
    if source.add_provider(line).is_ok() && !text.contains("_file") {
        let bundle = source.load();
        if let Ok(policy) = bundle.and_then(|bundle| Policy::new(&bundle)) {
            assert!(policy.providers.iter().all(|p| !p.rules.algorithms.is_empty() && !p.aor.is_empty()));
            assert!(policy.providers.iter().all(|p| !p.rules.audience.is_empty() || !p.rules.clients.is_empty()));
        }
    }
});
