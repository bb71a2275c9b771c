// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers, next hops, items of scopes and templates: one spelling stays itself, and only the listed host is a next hop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::rules::aor_template::AorTemplate;
use sipoauth_core::rules::e164::Country;
use sipoauth_core::rules::scope_rules::NeededScopes;
use sipoauth_core::sip::next_hop::NextHopRule;

fuzz_target!(|text: &str| {
    for code in ["1", "7", "39", "49", "998"] {
        let country = Country::parse(code).expect("a country code");
        if let Some(number) = country.normalize(text) {
            assert!(number.len() <= 16 && number[1..].bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(country.normalize(&number).as_ref(), Some(&number));
        }
        let _ = country.normalize_user(text);
        let _ = AorTemplate::parse(text, Some(&country), "example.test");
    }
    let rule = NextHopRule::parse("as.example.test").expect("a host");
    if rule.fits(text) {
        let rest = text.split_once(':').expect("a scheme").1;
        let (user, server) = rest.split_once('@').unwrap_or(("", rest));
        assert!(server.to_ascii_lowercase().starts_with("as.example.test") && !user.contains([';', '?']), "{text}");
    }
    if let Ok(rule) = NextHopRule::parse(text) {
        let _ = rule.fits(&format!("sip:{text}"));
    }
    if let Ok(item) = NeededScopes::parse(text) {
        assert!(!item.name.is_empty() && !item.scopes.is_empty());
    }
});
