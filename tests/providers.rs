// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guides of cfg-examples/providers, each loaded as it is but for the place of the keys, meet tokens and key sets in
//! the shape in which the provider gives them out. `tests/providers/*.json` has header and claims with the member names
//! and types of real tokens; all values are made up, and the signature is our own.

mod support;

use serde_json::{Value, json};
use sipoauth::io_process::service::IoService;
use sipoauth::process::context::Context;
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::Request;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::Log;
use sipoauth_core::reason::Reason;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::log_lines::Lines;
use support::scripted_server::{JWKS, ScriptedServer};
use support::temporary::Directory;
use support::token::{TestKey, encode, now};

const PATIENCE: Duration = Duration::from_secs(90);

fn guides() -> PathBuf {
    support::kit::path("cfg-examples/providers")
}

/// A recorded token, and what it takes to check it.
struct Recording {
    guide: String,
    aor: String,
    header: Value,
    claims: Value,
    jwks: Value,
    key: TestKey,
}

impl Recording {
    fn read(name: &str) -> Recording {
        let text = std::fs::read(support::kit::path(&format!("tests/providers/{name}.json"))).expect(name);
        let mut file: Value = serde_json::from_slice(&text).expect("JSON");
        let kid = file["header"]["kid"].as_str().expect("a key id").to_owned();
        let (key, other) = (TestKey::rsa(&kid), TestKey::other_rsa("of nobody here"));
        for jwk in file["jwks"]["keys"].as_array_mut().expect("keys") {
            let public = if jwk["kid"] == kid.as_str() { key.jwk() } else { other.jwk() };
            (jwk["n"], jwk["e"]) = (public["n"].clone(), public["e"].clone());
        }
        // As if it had been given out a moment ago.
        let claims = file["claims"].as_object_mut().expect("an object");
        let shift = now() - 5 - claims["iat"].as_i64().expect("every one of them has it");
        for name in ["iat", "nbf", "exp", "auth_time"] {
            if let Some(time) = claims.get_mut(name) {
                *time = json!(time.as_i64().expect("a number") + shift);
            }
        }
        let text = |name: &str| file[name].as_str().expect("a text").to_owned();
        let (guide, aor) = (text("guide"), text("aor"));
        Recording {
            guide,
            aor,
            header: file["header"].take(),
            claims: file["claims"].take(),
            jwks: file["jwks"].take(),
            key,
        }
    }

    /// The token with some claims replaced; null takes one away.
    fn token(&self, changes: Value) -> String {
        self.signed(&self.key, &self.header, changes)
    }

    fn signed(&self, key: &TestKey, header: &Value, changes: Value) -> String {
        let mut claims = self.claims.clone();
        let members = claims.as_object_mut().expect("an object");
        members.extend(changes.as_object().cloned().expect("an object"));
        members.retain(|_, value| !value.is_null());
        key.jws(header["alg"].as_str().expect("an algorithm"), header, &claims)
    }
}

/// A proxy with a guide's configuration whose keys are fetched from a server of our own.
struct Proxy {
    worker: Worker,
    service: IoService,
    _server: ScriptedServer,
    _directory: Directory,
}

impl Proxy {
    fn of(recording: &Recording) -> Proxy {
        let server = ScriptedServer::start(recording.jwks.clone());
        let directory = Directory::new("providers");
        let text = std::fs::read_to_string(guides().join(&recording.guide)).expect("the guide");
        let mut file: toml::Table = toml::from_str(&text).expect("TOML");
        let providers = file["provider"].as_array_mut().expect("providers");
        assert_eq!(providers.len(), 1, "{}", recording.guide);
        let provider = providers[0].as_table_mut().expect("a table");
        provider.remove("discovery_url");
        provider.insert("jwks_uri".into(), server.url(JWKS).into());
        let path = directory.write("config.toml", toml::to_string(&file).expect("TOML"));
        let log = Arc::new(Lines::default());
        let context =
            Arc::new(Context::new(source(&path), Arc::clone(&log) as Arc<dyn Log>).expect("the guide is right"));
        let mut service = IoService::new(Arc::clone(&context)).expect("a service");
        let worker = Worker::new(context).expect("a worker");
        let (slot, source) = worker.placed().places[0];
        let start = Instant::now();
        while worker.context().arena().slots()[slot].state(source).fetched_at == 0 {
            assert!(start.elapsed() < PATIENCE, "the keys are not fetched: {}", log.text());
            service.step(Duration::from_millis(20), &mut |_| {});
        }
        Proxy { worker, service, _server: server, _directory: directory }
    }

    /// A REGISTER for this address.
    fn register(&mut self, aor: &str, token: &str) -> CheckResult {
        let credentials = format!("Bearer {token}");
        let request = Request {
            method: "REGISTER",
            from: aor,
            to: aor,
            realm: "example.com",
            credentials: &[&credentials],
            ..Request::default()
        };
        let verdict = self.worker.check(&request, &Handling::default());
        let Some(work) = verdict.pending else { return verdict };
        self.worker.waits().submit(work, &[], [7, 0]).expect("room for one");
        let (mut done, start) = (false, Instant::now());
        while !done {
            assert!(start.elapsed() < PATIENCE, "a parked request is never resumed");
            self.service.step(Duration::from_millis(20), &mut |_| done = true);
        }
        self.worker.check(&request, &Handling { resumed: true, ..Handling::default() })
    }
}

/// The recorded token is accepted for its user's address and no other; each of the mistakes has this reason.
fn judge(name: &str, mistakes: &[(&str, Value, Reason)]) {
    let recording = Recording::read(name);
    let mut proxy = Proxy::of(&recording);
    let token = recording.token(json!({}));
    for cached in [false, true] {
        let verdict = proxy.register(&recording.aor, &token);
        assert_eq!((verdict.answer.reason(), verdict.answer.cached), (Reason::Ok, cached), "{name}");
        assert_eq!(verdict.status, 200);
    }
    let stranger = recording.aor.replacen("sip:", "sip:not-", 1);
    assert_eq!(proxy.register(&stranger, &token).answer.reason(), Reason::AorMismatch, "{name}");
    assert_eq!(proxy.register("sip:alice@elsewhere.example", &token).answer.reason(), Reason::DomainMismatch, "{name}");
    let forged = recording.signed(&TestKey::other_rsa("x"), &recording.header, json!({}));
    assert_eq!(proxy.register(&recording.aor, &forged).answer.reason(), Reason::SignatureInvalid, "{name}");
    let expired = recording.token(json!({ "exp": now() - 60 }));
    assert_eq!(proxy.register(&recording.aor, &expired).answer.reason(), Reason::TokenExpired, "{name}");
    for (mistake, changes, reason) in mistakes {
        let verdict = proxy.register(&recording.aor, &recording.token(changes.clone()));
        assert_eq!(verdict.answer.reason(), *reason, "{name}: {mistake}");
    }
}

#[test]
fn keycloak() {
    let id_token = json!({
        "typ": "ID", "aud": "sip-phone", "scope": null, "nonce": "n", "at_hash": "uJ0Wq0Y4d3dYk2Qe8Q1Y8w",
        "realm_access": null, "resource_access": null, "allowed-origins": null,
    });
    judge(
        "keycloak",
        &[
            ("an ID token", id_token, Reason::IdToken),
            (
                "a refresh token",
                json!({ "typ": "Refresh", "aud": "https://login.example.com/realms/corp" }),
                Reason::IdToken,
            ),
            ("no audience mapper", json!({ "aud": "account" }), Reason::AudienceMismatch),
            ("the scope was not requested", json!({ "scope": "openid email profile" }), Reason::InsufficientScope),
            ("another client", json!({ "azp": "admin-cli" }), Reason::ClientNotAllowed),
            ("another realm", json!({ "iss": "https://login.example.com/realms/other" }), Reason::IssuerUnknown),
            ("the internal address", json!({ "iss": "http://keycloak:8080/realms/corp" }), Reason::IssuerUnknown),
            ("a lightweight token", json!({ "preferred_username": null }), Reason::IdentityMissing),
        ],
    );
}

#[test]
fn keycloak_keys_for_encryption_sign_nothing() {
    let recording = Recording::read("keycloak");
    let mut proxy = Proxy::of(&recording);
    let of_encryption = recording.jwks["keys"].as_array().expect("keys").iter().find(|jwk| jwk["use"] == "enc");
    let mut header = recording.header.clone();
    header["kid"] = of_encryption.expect("Keycloak publishes one")["kid"].clone();
    // It is older than the proxy's keys.
    let claims = json!({ "iat": now() - 100 });
    let token = recording.signed(&TestKey::other_rsa("x"), &header, claims);
    let reason = proxy.register(&recording.aor, &token).answer.reason();
    assert_eq!(reason, Reason::KeyUnknown);
}

const OTHER_TENANT: &str = "99999999-0000-4000-8000-000000000000";

#[test]
fn entra_v2_tokens() {
    let other = format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0");
    let application =
        json!({ "scp": null, "preferred_username": null, "acct": null, "idtyp": "app", "roles": ["Sip.All"] });
    judge(
        "entra-v2",
        &[
            ("another tenant", json!({ "iss": other, "tid": OTHER_TENANT }), Reason::IssuerUnknown),
            ("an ID token", json!({ "scp": null, "azp": null, "nonce": "n" }), Reason::IdToken),
            ("another API", json!({ "aud": "77778888-aaaa-4444-bbbb-9999cccc0000" }), Reason::AudienceMismatch),
            ("another scope", json!({ "scp": "User.Read" }), Reason::InsufficientScope),
            ("an application", application, Reason::InsufficientScope),
            ("a guest", json!({ "acct": 1 }), Reason::ClaimMismatch),
            ("no optional claim acct", json!({ "acct": null }), Reason::ClaimMismatch),
            ("a claim of another type", json!({ "acct": "zero" }), Reason::ClaimMismatch),
            ("the scope profile was not requested", json!({ "preferred_username": null }), Reason::IdentityMissing),
        ],
    );
}

/// Entra puts preferred_username into v2 tokens only for those who ask for it.
#[test]
fn entra_guides_have_phones_request_the_scope_that_brings_the_user() {
    for guide in ["entra.toml", "entra-multi-tenant.toml"] {
        let text = std::fs::read_to_string(guides().join(guide)).expect("the guide");
        let file: toml::Table = toml::from_str(&text).expect("TOML");
        let scope = file["provider"][0]["scope"].as_array().expect("a list");
        assert!(scope.iter().any(|scope| scope.as_str() == Some("profile")), "{guide}: {scope:?}");
    }
}

#[test]
fn entra_v1_tokens() {
    let other = format!("https://sts.windows.net/{OTHER_TENANT}/");
    judge(
        "entra-v1",
        &[
            ("another tenant", json!({ "iss": other, "tid": OTHER_TENANT }), Reason::IssuerUnknown),
            ("another API", json!({ "aud": "https://graph.windows.net" }), Reason::AudienceMismatch),
            ("no optional claim upn", json!({ "upn": null }), Reason::IdentityMissing),
        ],
    );
}

#[test]
fn entra_graph_tokens_are_named_as_such() {
    let recording = Recording::read("entra-v1");
    let mut proxy = Proxy::of(&recording);
    let mut header = recording.header.clone();
    header["nonce"] = json!("mJb0dnLtGq6yX1c9");
    // What Graph has signed is another text than the one that is sent.
    let graph = json!({ "aud": "00000003-0000-0000-c000-000000000000", "scp": "openid profile User.Read email" });
    let token = recording.signed(&TestKey::other_rsa("x"), &header, graph);
    assert_eq!(proxy.register(&recording.aor, &token).answer.reason(), Reason::ForeignToken);
}

#[test]
fn entra_of_several_tenants() {
    let other = format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0");
    let first = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
    let second = "bbbbcccc-1111-dddd-2222-eeee3333ffff";
    judge(
        "entra-multi-tenant",
        &[
            ("a tenant that is not listed", json!({ "iss": other, "tid": OTHER_TENANT }), Reason::IssuerUnknown),
            ("the issuer of one, the id of another", json!({ "tid": first }), Reason::IssuerUnknown),
            ("no tenant", json!({ "tid": null }), Reason::IssuerUnknown),
            (
                "v1 of a listed tenant",
                json!({ "iss": format!("https://sts.windows.net/{second}/"), "tid": second }),
                Reason::Ok,
            ),
            (
                "a tenant that names a user of another one",
                json!({ "iss": format!("https://sts.windows.net/{first}/"), "tid": first }),
                Reason::IdentityMissing,
            ),
            ("a guest", json!({ "acct": 1 }), Reason::ClaimMismatch),
        ],
    );
}

#[test]
fn auth0_both_token_profiles() {
    for name in ["auth0", "auth0-rfc9068"] {
        let mut mistakes = vec![
            ("another API", json!({ "aud": "https://crm.example.com" }), Reason::AudienceMismatch),
            ("no role", json!({ "permissions": [] }), Reason::ClaimMismatch),
            ("no RBAC", json!({ "permissions": null }), Reason::ClaimMismatch),
            ("no action", json!({ "https://example.com/sip": null }), Reason::IdentityMissing),
            ("no slash", json!({ "iss": "https://example.eu.auth0.com" }), Reason::IssuerUnknown),
        ];
        if name == "auth0" {
            let id_token =
                json!({ "aud": "kV8wQ2xZ5cN7mB1tR4yU6iO9pL3sD0fG", "scope": null, "azp": null, "nonce": "n" });
            mistakes.push(("an ID token", id_token, Reason::IdToken));
        }
        judge(name, &mistakes);
    }
}

#[test]
fn auth0_without_an_audience_gives_tokens_for_itself() {
    let recording = Recording::read("auth0");
    let mut proxy = Proxy::of(&recording);
    let header = json!({ "alg": "dir", "enc": "A256GCM", "iss": "https://example.eu.auth0.com/" }).to_string();
    let encrypted = [encode(&header), String::new(), encode([1; 12]), encode([2; 64]), encode([3; 16])].join(".");
    assert_eq!(proxy.register(&recording.aor, &encrypted).answer.reason(), Reason::TokenEncrypted);
    assert_eq!(proxy.register(&recording.aor, "cq8mZ1vT4kXw7Rb2Ly9Pn5Hd3Gs6Jf0A").answer.reason(), Reason::TokenOpaque);
}

#[test]
fn okta() {
    let org = "https://example.okta.com";
    let id_token = json!({
        "aud": "0oa1sipphone2345d7", "scp": null, "cid": null, "uid": null, "jti": "ID.x", "amr": ["pwd"],
        "idp": "00o1example", "preferred_username": "alice@example.com", "at_hash": "6r1mmmF7Ly9oDoGNTtTnXw",
    });
    judge(
        "okta",
        &[
            ("the org authorization server", json!({ "iss": org, "aud": org }), Reason::IssuerUnknown),
            ("an ID token", id_token, Reason::IdToken),
            ("another server's audience", json!({ "aud": "api://default" }), Reason::AudienceMismatch),
            ("a policy without the scope", json!({ "scp": ["openid"] }), Reason::InsufficientScope),
            ("another application", json!({ "cid": "0oa9other" }), Reason::ClientNotAllowed),
            ("a service without a user", json!({ "sub": "0oa1sipphone2345d7", "uid": null }), Reason::IdentityMissing),
        ],
    );
}

#[test]
fn google_id_tokens() {
    let other = "999999999999-other.apps.googleusercontent.com";
    judge(
        "google",
        &[
            ("the form without scheme", json!({ "iss": "accounts.google.com" }), Reason::Ok),
            (
                "an app that asks for the web client",
                json!({ "azp": "123456789012-android.apps.googleusercontent.com" }),
                Reason::Ok,
            ),
            ("another client", json!({ "aud": other, "azp": other }), Reason::AudienceMismatch),
            ("an address that is not verified", json!({ "email_verified": false }), Reason::ClaimMismatch),
            ("not said whether verified", json!({ "email_verified": null }), Reason::ClaimMismatch),
            ("another organization", json!({ "hd": "example.org" }), Reason::ClaimMismatch),
            ("a private account", json!({ "hd": null }), Reason::ClaimMismatch),
            (
                "the scope email was not requested",
                json!({ "email": null, "email_verified": null }),
                Reason::ClaimMismatch,
            ),
        ],
    );
}

#[test]
fn google_access_tokens_are_opaque() {
    let recording = Recording::read("google");
    let mut proxy = Proxy::of(&recording);
    let verdict = proxy.register(&recording.aor, "ya29.a0AfB_byExampleExampleExampleExampleExample0171");
    assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::TokenOpaque));
}

#[test]
fn glewlwyd() {
    judge(
        "glewlwyd",
        &[
            ("scopes in another order", json!({ "aud": "sip openid" }), Reason::AudienceMismatch),
            ("the additional parameter is missing", json!({ "preferred_username": null }), Reason::IdentityMissing),
            ("another client", json!({ "client_id": "wiki" }), Reason::ClientNotAllowed),
        ],
    );
}

#[test]
fn canaille() {
    judge(
        "canaille",
        &[
            ("another client", json!({ "aud": ["wiki"] }), Reason::AudienceMismatch),
            ("no SERVER_NAME", json!({ "iss": "https://login.example.com/" }), Reason::IssuerUnknown),
        ],
    );
}

#[test]
fn lemonldap_ng() {
    judge(
        "lemonldap-ng",
        &[
            ("no additional audience", json!({ "aud": ["sip-phone"] }), Reason::AudienceMismatch),
            ("another client", json!({ "client_id": "wiki" }), Reason::ClientNotAllowed),
        ],
    );
}

/// As they are, and with what they only suggest.
#[test]
fn every_guide_is_a_whole_configuration() {
    for entry in std::fs::read_dir(guides()).expect("part of the project") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let check = |path: &Path| Policy::new(&source(path).load().map_err(|e| e.0)?).map_err(|e| e.0);
        let directory = Directory::new("guides");
        let secret = directory.write("secret", "a-secret-of-the-proxy");
        let secret_file = format!("client_secret_file = \"{}\"", secret.display());
        let text = std::fs::read_to_string(&path).expect("readable");
        let own = text.lines().map(|line| if line.starts_with("client_secret_file = ") { &secret_file } else { line });
        let text = own.collect::<Vec<_>>().join("\n");
        let as_it_is = directory.write("as-it-is.toml", &text);
        let policy = check(&as_it_is).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(policy.warnings().is_empty() && policy.providers[0].keys.is_fetched());
        assert!(policy.providers[0].authz_server.starts_with("https://"));

        let key = directory.write("key", "k".repeat(44));
        let settings = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with("client_secret_file = ") => secret_file.clone(),
            Some(setting) if setting.starts_with("client_id = ") => setting.to_owned(),
            // The guide has another value for this one already.
            Some(setting) if setting.starts_with("required_claims = ") && !text.contains("\nrequired_claims") => {
                setting.to_owned()
            }
            Some(setting) if ["discovery_url = ", "redirect_uri = "].iter().any(|key| setting.starts_with(key)) => {
                setting.to_owned()
            }
            _ => line.to_owned(),
        });
        let settings: Vec<String> = settings.collect();
        let store =
            format!("store = \"{}\"\nstore_key_file = \"{}\"\n", directory.file("store").display(), key.display());
        let whole = directory.write("config.toml", store + &settings.join("\n"));
        check(&whole).unwrap_or_else(|error| panic!("{} with its suggestions: {error}", path.display()));
    }
}

/// Nothing is recorded for a guide that is not there, and every guide for signed tokens has a recording, and every one a row.
#[test]
fn every_guide_has_a_recording_and_a_row() {
    let names = |folder: PathBuf, extension: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("part of the project");
        let names = entries.map(|e| e.expect("readable").file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.ends_with(extension)).collect()
    };
    let recordings = names(support::kit::path("tests/providers"), ".json");
    let used: Vec<String> = recordings.iter().map(|n| Recording::read(n.trim_end_matches(".json")).guide).collect();
    let table = std::fs::read_to_string(guides().join("README.md")).expect("the table");
    let all = names(guides(), ".toml");
    assert!(used.iter().all(|guide| all.contains(guide)));
    for guide in all {
        // Opaque tokens say nothing; tests/servers asks the servers themselves.
        let opaque =
            std::fs::read_to_string(guides().join(&guide)).expect("readable").contains("\ntokens = \"opaque\"");
        assert!(opaque || used.contains(&guide), "no recording for {guide}");
        assert!(table.contains(&format!("| `{guide}` |")), "no row for {guide}");
    }
    for reason in
        table.split('`').filter(|word| word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    {
        let settings = ["config_file", "preferred_username", "accepted_issuers", "client_id"];
        let known = Reason::ALL.iter().any(|r| r.code() == reason) || settings.contains(&reason);
        assert!(known, "{reason} in the table is neither a reason nor a setting");
    }
}

fn source(path: &Path) -> Source {
    let mut source = Source::default();
    source.set("config_file", path.to_str().expect("UTF-8")).expect("a path");
    source
}
