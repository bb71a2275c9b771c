// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of an introspection endpoint, of any status and type, and the claims of those that say active.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::config::client_certificate::ClientCertificate;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::oauth::introspection::{Introspected, introspect};
use sipoauth_core::oauth::introspection_response::{IntrospectionResponse, SIGNED_TYPE, signed_answer};
use sipoauth_core::oauth::metadata::Announced;
use sipoauth_core::ports::{Answered, Form, Post, PostError};
use sipoauth_core::rules::claims::Claims;
use sipoauth_core::text::json::Json;
use std::sync::OnceLock;

const PROVIDER: &str = "name=as;issuer=https://as.example;audience=sip;aor={sip};tokens=opaque;\
    client_id=proxy;client_secret=hush;introspection_endpoint=https://as.example/introspect";

struct Says(Answered);

impl Post for Says {
    fn post(&self, _: &Form<'_>) -> Result<Answered, PostError> {
        Ok(self.0.clone())
    }

    fn user_info(&self, _: &str, _: &str, _: Option<&ClientCertificate>) -> Result<Answered, PostError> {
        Ok(self.0.clone())
    }
}

fuzz_target!(|octets: &[u8]| {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let mut source = Source::default();
        source.add_provider(PROVIDER).expect("a good line");
        Policy::new(&source.load().expect("no files")).expect("a good policy")
    });
    let Some((kind, body)) = octets.split_first() else { return };
    let status = [200, 400, 401, 500][usize::from(kind >> 6)];
    let signed = kind & 1 == 1;
    let content_type = if signed { SIGNED_TYPE } else { "application/json" };
    let http = Says(Answered { status, content_type: content_type.into(), body: body.to_vec() });
    let provider = &policy.providers[0];
    let endpoint =
        Announced { address: "https://as.example/introspect".into(), signs_introspection: false, names_itself: false };
    let no_keys = || Err(String::new());
    if let Ok(Introspected::Active(answer)) = introspect(&http, &endpoint, provider, None, &no_keys, "token", 0) {
        assert!(status == 200 && !signed, "nothing is signed by a key that is not there");
        let json = Json::parse(&answer).expect("an answer is JSON");
        assert_eq!(json.get("active"), Some(&Json::Bool(true)));
        if let Ok(claims) = Claims::from_introspection(&json, &provider.issuer) {
            assert!(!claims.is_id_token);
            let _ = provider.rules.check_claims(&claims, 0);
        }
    }
    // The claims of a signed answer are out of a fuzzer's reach behind base64.
    if let Ok(json) = Json::parse(body)
        && let Ok(answer) = signed_answer(&json, &provider.issuer, "proxy", 30, 0)
    {
        let _ = IntrospectionResponse::from_json(answer);
    }
});
