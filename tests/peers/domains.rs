// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whose domain is whose: several providers, tenants and a location service must not make one user another one.

use crate::site::{AUDIENCE, ISSUER, Site, claims};
use crate::support::temporary::Directory;
use crate::support::token::TestKey;
use serde_json::{Value, json};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::reason::Reason;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn provider(name: &str, more: Value) -> Value {
    let usual =
        json!({ "name": name, "issuer": format!("https://{name}.test"), "audience": AUDIENCE, "secret": SECRET });
    crate::site::merged(&usual, &more)
}

fn policy(providers: &[Value], globals: &Value) -> Result<Policy, String> {
    let directory = Directory::new("domains");
    let text = toml::to_string(&crate::site::merged(&json!({ "provider": providers }), globals)).expect("no nulls");
    let mut source = Source::default();
    source.set("config_file", directory.write("c.toml", text).to_str().expect("UTF-8")).expect("a path");
    Policy::new(&source.load().map_err(|e| e.0)?).map_err(|e| e.0)
}

fn refused(providers: &[Value]) -> Option<String> {
    policy(providers, &json!({})).err()
}

#[test]
fn a_provider_among_several_says_whose_domains_its_users_are_of() {
    let corp = provider("corp", json!({ "aor": "sip:{preferred_username}@{domain}", "domain": "corp.test" }));
    let other = |more: Value| [corp.clone(), provider("other", more)];
    for aor in [
        json!("sip:{email|verified}"),
        json!("{sip}"),
        json!("sips:{upn}"),
        json!("sip:{sub}@{host}"),
        json!("sip:{sub}@{tid}.test"),
        json!(["sip:{sub}@other.test", "sip:{email|verified}"]),
    ] {
        let sentence = refused(&other(json!({ "aor": aor }))).unwrap_or_else(|| panic!("accepted: {aor}"));
        for word in ["provider 'other'", "domains: is missing", "'corp'", "shared_domains"] {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
        assert_eq!(refused(&other(json!({ "aor": aor, "domains": ["other.test", "another.test"] }))), None, "{aor}");
        assert_eq!(refused(&[provider("other", json!({ "aor": aor }))]), None, "alone it names nobody else's users");
        let both = [corp.clone(), provider("other", json!({ "aor": aor }))];
        let acknowledged: Vec<Value> =
            both.iter().map(|p| crate::site::merged(p, &json!({ "shared_domains": true }))).collect();
        assert_eq!(refused(&acknowledged), None);
        assert!(refused(&[acknowledged[0].clone(), both[1].clone()]).is_some(), "both must agree");
        assert!(refused(&[both[0].clone(), acknowledged[1].clone()]).is_some(), "both must agree");
    }
    let helper = json!({ "aor": "sip:{sub}@other.test", "third_party": "sip:desk@other.test" });
    assert!(refused(&other(helper)).is_some_and(|s| s.contains("domains: is missing")), "it registers anybody");
}

#[test]
fn no_two_providers_serve_one_domain() {
    let named = |name: &str, more: Value| provider(name, crate::site::merged(&json!({ "aor": "{sip}" }), &more));
    for (one, two) in [
        ("a.test", "a.test"),
        ("a.test", "A.Test"),
        ("a.test", "a.test."),
        ("[2001:DB8::0:1]", "[2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
    ] {
        let all =
            [named("one", json!({ "domains": [one, "b.test"] })), named("two", json!({ "domains": ["c.test", two] }))];
        let sentence = refused(&all).unwrap_or_else(|| panic!("accepted: {one} {two}"));
        assert!(sentence.contains("provider 'two': domains: ") && sentence.contains("'one'"), "{sentence}");
    }
    let own = named("one", json!({ "domains": ["a.test", "A.test."] }));
    assert_eq!(refused(&[own, named("two", json!({ "domains": "b.test" }))]), None, "one may say it twice");
    // Without domains, the templates say it.
    let fixed = |name: &str, host: &str| provider(name, json!({ "aor": format!("sip:{{sub}}@{host}") }));
    assert!(refused(&[fixed("one", "a.test"), fixed("two", "A.test")]).is_some());
    assert_eq!(refused(&[fixed("one", "a.test"), fixed("two", "b.test")]), None);
    let sentence = refused(&[named("one", json!({ "domains": "a/b" }))]).expect("no host");
    assert!(sentence.contains("domains: 'a/b'"), "{sentence}");
}

#[test]
fn a_domain_is_served_however_it_is_written() {
    let key = TestKey::p256("k");
    for domain in ["Example.Test", "example.test.", "EXAMPLE.TEST."] {
        let mut site = Site::new(&[key.jwk()], &json!({ "aor": "{sip}", "domains": domain }));
        let header = format!("Bearer {}", key.token("ES256", &claims(&json!({}))));
        assert_eq!(site.request("REGISTER", &[&header]).answer.reason(), Reason::Ok, "{domain}");
    }
}

#[test]
fn a_reload_is_refused_in_the_same_way_and_changes_nothing() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let token = key.token("ES256", &claims(&json!({})));
    let header = format!("Bearer {token}");
    assert_eq!(site.request("REGISTER", &[&header]).answer.reason(), Reason::Ok);
    let keys = site.file("keys.json");
    let mine = json!({
        "name": "as", "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": keys, "domain": "example.test",
        "aor": "sip:{preferred_username}@{domain}",
    });
    let both = json!({ "provider": [mine, provider("other", json!({ "aor": "sip:{email|verified}" }))] });
    let error = site.reload_globals(&both).expect_err("the other one could name our users");
    assert!(error.contains("domains: is missing"), "{error}");
    assert_eq!(site.request("REGISTER", &[&header]).answer.reason(), Reason::Ok, "the old one stays");
}

const V2: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const FIRST: &str = "11111111-0000-4000-8000-000000000000";
const SECOND: &str = "22222222-0000-4000-8000-000000000000";

fn tenants(tenants: &Value, more: &Value) -> Value {
    let common = "https://login.microsoftonline.com/common";
    let usual = json!({ "issuer": V2, "authz_server": common, "aor": "sip:{upn}", "tenants": tenants });
    crate::site::merged(&usual, more)
}

#[test]
fn a_tenant_names_the_users_of_its_own_domains_only() {
    let key = TestKey::rsa("k");
    let mine = json!([format!("{FIRST}=a.test A2.test."), format!("{SECOND}=b.test")]);
    let mut site =
        Site::new(&[key.jwk()], &tenants(&mine, &json!({ "domain": "", "domains": ["a.test", "a2.test", "b.test"] })));
    for (tenant, upn, expected) in [
        (FIRST, "alice@a.test", Reason::Ok),
        (FIRST, "Alice@A2.TEST", Reason::Ok),
        (SECOND, "alice@b.test", Reason::Ok),
        (FIRST, "alice@b.test", Reason::IdentityMissing),
        (SECOND, "alice@a.test", Reason::IdentityMissing),
        (SECOND, "alice@evil.a.test", Reason::IdentityMissing),
    ] {
        let iss = V2.replace("{tenantid}", tenant);
        let token = key.token("RS256", &claims(&json!({ "iss": iss, "tid": tenant, "upn": upn })));
        let aor = format!("sip:{upn}");
        let reason = site.request_of("REGISTER", &aor, &aor, &[&format!("Bearer {token}")]).answer.reason();
        assert_eq!(reason, expected, "{tenant} {upn}");
    }
}

#[test]
fn several_tenants_say_which_domains_are_theirs() {
    let line = |list: &Value, more: &Value| provider("entra", tenants(list, more));
    let alone = json!([FIRST]);
    assert_eq!(refused(&[line(&alone, &json!({}))]), None, "one tenant is one authority");
    for list in [
        json!([FIRST, SECOND]),
        json!([format!("{FIRST}=a.test"), SECOND]),
        json!([format!("{FIRST}=a.test"), format!("{SECOND}=b.test A.TEST.")]),
        json!([format!("{FIRST}="), format!("{SECOND}=b.test")]),
    ] {
        for domains in [json!({}), json!({ "domains": ["a.test", "b.test"] })] {
            let sentence = refused(&[line(&list, &domains)]).unwrap_or_else(|| panic!("accepted: {list}"));
            assert!(sentence.contains("tenants: "), "{sentence}");
        }
    }
    let shared = json!({ "shared_domains": true, "domains": ["a.test", "b.test"] });
    assert_eq!(refused(&[line(&json!([FIRST, SECOND]), &shared)]), None);
}

/// What a location service that has `use_domain = 0` makes of two domains.
#[test]
fn a_location_service_without_domains_serves_one() {
    let ignores = json!({ "location_ignores_domain": true });
    let refused = |more: Value, globals: &Value| policy(&[provider("one", more)], globals).err();
    let one = json!({ "aor": "sip:{sub}@{domain}", "domain": "a.test" });
    assert_eq!(refused(one.clone(), &ignores), None);
    for several in [
        json!({ "aor": "{sip}" }),
        json!({ "aor": "sip:{email|verified}", "domains": ["a.test", "b.test"] }),
        json!({ "aor": ["sip:{sub}@a.test", "sip:{sub}@b.test"] }),
    ] {
        let sentence = refused(several.clone(), &ignores).unwrap_or_else(|| panic!("accepted: {several}"));
        assert!(sentence.contains("use_domain") && sentence.contains("shared_user_names"), "{sentence}");
        assert_eq!(refused(several.clone(), &json!({})), None);
        let acknowledged = json!({ "location_ignores_domain": true, "allow": "shared_user_names" });
        assert_eq!(refused(several, &acknowledged), None);
    }
    let two = provider("two", json!({ "aor": "sip:{sub}@{domain}", "domain": "b.test" }));
    let all = [provider("one", one), two];
    assert!(policy(&all, &ignores).is_err_and(|sentence| sentence.contains("a.test, b.test")));
}

/// The registrar of Kamailio takes ALICE and alice for one unless it is told otherwise.
#[test]
fn where_the_location_service_folds_case_only_lower_case_names_own_an_address() {
    let key = TestKey::p256("k");
    let site = |aor: &str, folds: bool| {
        Site::with_globals(&[key.jwk()], &json!({ "aor": aor }), &json!({ "location_folds_case": folds }))
    };
    let reason = |site: &mut Site, name: &str, user: &str| {
        let token = key.token("ES256", &claims(&json!({ "preferred_username": name })));
        let aor = format!("sip:{user}@example.test");
        let reasons = ["REGISTER", "INVITE"]
            .map(|method| site.request_of(method, &aor, &aor, &[&format!("Bearer {token}")]).answer.reason());
        assert_eq!(reasons[0], reasons[1]);
        reasons[0]
    };
    let plain = "sip:{preferred_username}@{domain}";
    let mut folding = site(plain, true);
    for name in ["ALICE", "Alice", "alicE", "ALI%43E"] {
        for user in [name, "alice"] {
            assert_eq!(reason(&mut folding, name, user), Reason::IdentityMissing, "{name} as {user}");
        }
    }
    for user in ["alice", "ALICE", "%41lice"] {
        assert_eq!(reason(&mut folding, "alice", user), Reason::Ok, "the location service takes {user} for alice");
        assert_eq!(reason(&mut folding, "bob", user), Reason::AorMismatch);
    }
    // An escape is no letter.
    assert_eq!(reason(&mut folding, "a/\u{fc}", "a%2F%C3%BC"), Reason::Ok);
    let mut lower = site("sip:{preferred_username|lower}@{domain}", true);
    assert_eq!(reason(&mut lower, "Alice", "alice"), Reason::Ok, "the operator says that they are one");
    assert_eq!(reason(&mut lower, "Alice", "Alice"), Reason::Ok);
    let mut keeping = site(plain, false);
    assert_eq!(reason(&mut keeping, "ALICE", "ALICE"), Reason::Ok);
    assert_eq!(reason(&mut keeping, "ALICE", "alice"), Reason::AorMismatch);
    assert_eq!(reason(&mut keeping, "alice", "ALICE"), Reason::AorMismatch);
}
