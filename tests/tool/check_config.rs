// SPDX-License-Identifier: MIT OR Apache-2.0

//! Broken configurations, each with its own sentence, and good ones.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sipoauth::store::access::StoreAccess;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;

use crate::run;
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::certificates::Authority;
use crate::support::encryption::Recipient;
use crate::support::kit;
use crate::support::redis::{PASSWORD, Redis};
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery, key_set};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, signing_key};

const STORE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// What the tool found, as JSON, after its exit code is compared with it.
pub fn check(arguments: &[&str]) -> Vec<Value> {
    let run = run(&[&["check-config", "--json"], arguments].concat());
    let Value::Array(findings) = run.json() else { panic!("no list: {}", run.out) };
    let failed = findings.iter().any(|f| f["status"] == "failed");
    assert_eq!(run.code, i32::from(failed), "{}", run.out);
    findings
}

pub fn failed(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|f| f["status"] == "failed").collect()
}

/// The one failure: its check and message. Both the message and the fix say something.
pub fn failure(arguments: &[&str]) -> (String, String, String) {
    let findings = check(arguments);
    let failed = failed(&findings);
    let [finding] = failed.as_slice() else { panic!("{arguments:?}: {findings:?}") };
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    (text("check"), text("message"), text("fix"))
}

pub fn provider(issuer: &str, more: &str) -> String {
    format!("name=corp;issuer={issuer};audience=sip;aor={{sip}};domain=example.test{more}")
}

pub fn scripted(key: &TestKey) -> ScriptedServer {
    ScriptedServer::start(key_set(&[key.jwk()]))
}

#[test]
fn the_sign_in_page_and_what_servers_must_know_of_it() {
    let server = scripted(&TestKey::ed25519("k"));
    let directory = Directory::new("check");
    let found = |page: &str, client: &str| {
        let config = format!(
            "store = \"{}\"\nstore_key = \"{STORE_KEY}\"\n[sign_in_page]\n{page}\n[[provider]]\nname = \"corp\"\nissuer = \"{}\"\n\
             audience = \"sip\"\naor = \"{{sip}}\"\ndomain = \"example.test\"\n{client}\n",
            directory.path().display(),
            server.issuer()
        );
        let file = directory.write("sipoauth.toml", config);
        let findings = check(&["--config", file.to_str().expect("UTF-8"), "--no-probe"]);
        let of_page = findings.into_iter().filter(|finding| finding["check"] == "sign_in_page");
        of_page
            .map(|f| format!("{} {}", f["status"].as_str().unwrap(), f["message"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let (url, client) = ("url = \"https://phones.example.test\"", "client_id = \"page\"");
    let good = found(url, client);
    let [line] = good.as_slice() else { panic!("{good:?}") };
    assert!(line.starts_with("ok ") && line.contains("https://phones.example.test/signed-in/corp"), "{line}");
    assert!(found("url = \"http://phones.example.test\"", client)[0].starts_with("failed sign_in_page: url: "));
    assert!(found(url, "")[0].starts_with("failed no provider has a client"));
    let authority = Authority::new();
    let (good, other) = (authority.good(), authority.server("b.example"));
    let with = |certificate: &str, key: &str| {
        let tls = format!("certificate_file = \"{certificate}\"\nkey_file = \"{key}\"");
        found(&format!("{url}\n{tls}"), client).remove(0)
    };
    let path = |file: &Path| file.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path(&good.certificate), path(&good.key));
    assert!(with(&certificate, &key).starts_with("ok "));
    for (certificate, key, begins, says) in [
        ("/nowhere.pem", &*key, "failed certificate_file: /nowhere.pem: ", "No such file"),
        (&key, &key, "failed certificate_file: ", "no BEGIN CERTIFICATE"),
        (&certificate, &certificate, "failed key_file: ", ""),
        (&certificate, &path(&other.key), "failed key_file: ", "mismatch"),
    ] {
        let line = with(certificate, key);
        assert!(line.starts_with(begins) && line.to_lowercase().contains(&says.to_lowercase()), "{line}");
    }
    let mut metadata = discovery(&server.issuer());
    metadata.as_object_mut().unwrap().remove("authorization_endpoint");
    server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    let lines = found(url, client);
    assert!(lines[1].starts_with("failed ") && lines[1].contains("authorization_endpoint"), "{lines:?}");
}

/// Collects sentences; each must be a different one.
#[derive(Default)]
struct Sentences(HashMap<String, String>);

impl Sentences {
    fn expect(&mut self, name: &str, arguments: &[&str], check: &str, message: &str, fix: &str) {
        let (found_check, found, found_fix) = failure(arguments);
        assert_eq!(found_check, check, "{name}: {found}");
        assert!(found.contains(message), "{name}: {found}");
        assert!(found_fix.contains(fix), "{name}: {found}: {found_fix}");
        if let Some(other) = self.0.insert(found.clone(), name.to_owned()) {
            panic!("{name} and {other} have the same sentence: {found}");
        }
    }
}

#[test]
fn every_mistake_in_the_configuration_has_its_own_sentence() {
    let directory = Directory::new("check-config");
    let toml = directory.write("broken.toml", "leeway = 5\nretry_after = \"soon\"\n");
    let cfg = directory.write(
        "broken.cfg",
        "loadmodule \"auth_oauth.so\"\n# the quote is missing\nmodparam(\"auth_oauth\", \"realm, \"x\")\n",
    );
    let typo = directory.write("typo.cfg", "loadmodule \"auth_oauth.so\"\nmodparam(\"auth_oauth\", \"leway\", 3)\n");
    let near = directory
        .write("near.cfg", "loadmodule \"auth_oauth.so\"\nmodparam(\"auth_oauth\", \"locaton_table\", \"x\")\n");
    let path = |file: &std::path::Path| file.to_str().expect("UTF-8").to_owned();
    let good = provider("https://as.example.test", "");
    let mut all = Sentences::default();
    let mut expect = |name: &str, arguments: &[&str], message: &str, fix: &str| {
        all.expect(name, &[arguments, &["--offline"]].concat(), "configuration", message, fix);
    };
    expect(
        "typo",
        &["--provider", "name=corp;isuer=https://as.example"],
        "unknown key 'isuer', did you mean 'issuer'?",
        "",
    );
    expect(
        "no audience",
        &["--provider", "name=corp;issuer=https://as.example;aor={sip}"],
        "provider 'corp': audience: is missing",
        "write the 'aud'",
    );
    expect("http", &["--provider", &provider("http://as.example.test", "")], "is not protected", "write https://");
    expect(
        "no provider",
        &["--set", "leeway=3", "--config", &path(&directory.write("empty.toml", ""))],
        "no provider is configured",
        "add a provider line",
    );
    expect("TOML", &["--config", &path(&toml)], "broken.toml, line 2: invalid value: string \"soon\"", "");
    expect("Kamailio text", &["--kamailio", &path(&cfg)], "broken.cfg:3: the text that begins here", "");
    expect(
        "Kamailio key",
        &["--kamailio", &path(&typo)],
        "typo.cfg:2: modparam: leway: unknown key 'leway', did you mean 'leeway'?",
        "",
    );
    expect(
        "module key",
        &["--kamailio", &path(&near)],
        "near.cfg:2: modparam: unknown key 'locaton_table', did you mean 'location_table'?",
        "",
    );
    expect(
        "store key",
        &["--provider", &good, "--set", "store=/x", "--set", "store_key_file=/nonexistent/key"],
        "cannot read /nonexistent/key",
        "sipoauth keygen store",
    );
    expect("no store key", &["--provider", &good, "--set", "store=/x"], "store_key: is missing", "openssl rand");
    expect(
        "client without store",
        &["--provider", &provider("https://as.example", ";client_id=x")],
        "client_id: needs 'store'",
        "",
    );
    expect(
        "key of the module",
        &["--provider", &format!("{good};ca_file=/x")],
        "unknown key 'ca_file' here: it is a key of the module",
        "",
    );
    expect(
        "key of a provider",
        &["--provider", &good, "--set", "issuer=https://x"],
        "unknown key 'issuer' here: it is a key of a provider",
        "",
    );
    expect(
        "commas",
        &["--provider", &good.replace(';', ",")],
        "name: write a short name",
        "';' separates one key=value from the next",
    );
    expect(
        "nobody's address",
        &["--provider", &good.replace("{sip}", "sip:boss@{domain}")],
        "aor: 'sip:boss@{domain}' names no claim, so every user would own this address",
        "write for example sip:{preferred_username}@{domain}",
    );
    expect("unit", &["--provider", &good, "--set", "leeway=30s"], "not negative, without a unit", "");
    expect("range", &["--provider", &good, "--set", "leeway=9999"], "leeway: 9999 is out of range", "");
    let run = run(&["check-config", "--kamailio", "/nonexistent.cfg"]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("FAILED   configuration  /nonexistent.cfg: cannot be read"), "{}", run.out);
}

#[test]
fn every_provider_gets_its_sentence() {
    let (first, second) =
        ("name=one;issuer=https://one.example;aor={sip}", "name=two;issuer=http://two.example;audience=a;aor={sip}");
    let findings = check(&["--provider", first, "--provider", second, "--offline"]);
    let messages: Vec<&str> = failed(&findings).iter().filter_map(|f| f["message"].as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("'one': audience") && messages[1].contains("'two': issuer"), "{messages:?}");
}

#[test]
fn every_trouble_with_a_server_has_its_own_sentence() {
    let key = TestKey::p256("k");
    let mut server = scripted(&key);
    let issuer = server.issuer();
    let line = provider(&issuer, "");
    let mut all = Sentences::default();
    assert_eq!(failed(&check(&["--provider", &line])), Vec::<&Value>::new());

    let mut expect = |name: &str, line: &str, check: &str, message: &str, fix: &str| {
        all.expect(name, &["--provider", line], check, message, fix);
    };
    let slash = provider(&format!("{issuer}/"), "");
    expect("slash", &slash, "metadata", "the final slash counts", &format!("write issuer={issuer}"));
    expect("algorithms", &format!("{line};algorithms=RS256"), "algorithms", "no token can be accepted", "algorithms");
    expect("name", &provider("https://nobody.invalid", ""), "dns", "nobody.invalid cannot be resolved", "resolv.conf");

    let metadata = |answer| server.set(OPENID_CONFIGURATION, answer);
    metadata(Answer::Html);
    expect("HTML", &line, "metadata", "not a JSON metadata document", "open the address in a browser");
    metadata(Answer::Json(discovery("https://other.example.test")));
    expect(
        "issuer",
        &line,
        "metadata",
        "calls itself issuer 'https://other.example.test'",
        "write exactly what the server says",
    );
    metadata(Answer::Status(404));
    expect("no metadata", &line, "metadata", "HTTP status 404", "discovery_url");
    let date = |time| vec![("Date", httpdate::fmt_http_date(time))];
    metadata(Answer::JsonWith(discovery(&issuer), date(SystemTime::now() - Duration::from_secs(330))));
    expect("clock behind", &line, "clock", "s clock is 5 min behind", "NTP");
    metadata(Answer::JsonWith(discovery(&issuer), date(SystemTime::now() + Duration::from_secs(4000))));
    expect("clock ahead", &line, "clock", "s clock is 66 min ahead", "NTP");
    metadata(Answer::Json(discovery(&issuer)));

    server.set(JWKS, Answer::NoKeys);
    expect("no keys", &line, "keys", "no usable signature key", "must publish a signing key");
    server.set(JWKS, Answer::Status(404));
    expect("no key set", &line, "keys", "/jwks: HTTP status 404", "correct jwks_uri");
    server.set(JWKS, Answer::Status(500));
    expect("keys away", &line, "keys", "/jwks: HTTP status 500", "the server answers with an error of its own");
    server.set(JWKS, Answer::Huge(1_100_000));
    expect("too many keys", &line, "keys", "larger than 1 MiB", "the server answers, but not with a key set");
    server.set(JWKS, Answer::Full(206, vec![], key_set(&[key.jwk()]).to_string().into_bytes()));
    expect("a part of the keys", &line, "keys", "only a part", "the server answers, but not with a key set");
    let fields = (0..130).map(|_| ("X-Field", "a".to_owned())).collect();
    server.set(JWKS, Answer::Full(200, fields, key_set(&[key.jwk()]).to_string().into_bytes()));
    expect("too many fields", &line, "keys", "not HTTP that can be read", "the server answers, but not with a key set");
    server.set(JWKS, Answer::Html);
    expect("keys HTML", &line, "keys", "not a JSON Web Key Set", "must publish");
    server.set_keys(key_set(&[key.jwk()]));

    let directory = Directory::new("check-config-store");
    let store = format!("store={}", directory.file("store").display());
    let with_store = ["--set", store.as_str(), "--set", &format!("store_key={STORE_KEY}")];
    let client = format!("{line};client_id=sip-proxy;client_secret=hush-hush-hush");
    for (name, answer, message) in [
        ("token HTML", Answer::Html, "something else than OAuth"),
        ("token 404", Answer::Status(404), "this is no token endpoint"),
    ] {
        server.set("/token", answer);
        all.expect(
            name,
            &[&["--provider", client.as_str()][..], &with_store].concat(),
            "client",
            message,
            "token_endpoint",
        );
    }
    // A server that looks at the request before the client says nothing about the client.
    server.set("/token", Answer::Full(400, vec![], br#"{"error":"invalid_request"}"#.to_vec()));
    let asked = check(&[&["--provider", client.as_str()][..], &with_store].concat());
    let warned =
        asked.iter().find(|f| f["message"].as_str().is_some_and(|m| m.contains("does not say"))).expect("said");
    assert_eq!((warned["status"].as_str(), failed(&asked).len()), (Some("warning"), 0), "{asked:?}");
    server.stop();
    all.expect("nobody listens", &["--provider", &line], "connection", "does not answer", "whether the server runs");
    // Two providers: the one that works is checked all the same.
    let other = scripted(&key);
    let second = provider(&other.issuer(), "")
        .replace("name=corp", "name=second")
        .replace("domain=example.test", "domain=b.test");
    let findings = check(&["--provider", &line, "--provider", &second]);
    assert!(
        findings.iter().any(|f| f["provider"] == "second" && f["check"] == "keys" && f["status"] == "ok"),
        "{findings:?}"
    );
}

#[test]
fn every_bad_certificate_has_its_own_sentence() {
    let authority = Authority::new();
    let ca = format!("ca_file={}", authority.ca_file().display());
    let mut all = Sentences::default();
    for (name, certificate, trusted, message, fix) in [
        ("wrong name", authority.wrong_name(), true, "certificate is for another name", "write the name"),
        ("expired", authority.expired(), true, "certificate has expired", "renew it"),
        ("untrusted", authority.good(), false, "not from an authority that is trusted here", "in ca_file"),
    ] {
        let options =
            Options { tls: Some(certificate), ca_file: Some(authority.ca_file().into()), ..Options::default() };
        let server = AuthorizationServer::start_with(options);
        let line = provider(server.issuer(), "");
        let mut arguments = vec!["--provider", line.as_str()];
        if trusted {
            arguments.extend(["--set", &ca]);
        }
        all.expect(name, &arguments, "tls", message, fix);
    }
}

/// A cache sends the date on which the server wrote the answer, and the age of the answer.
#[test]
fn a_cached_answer_does_not_say_that_the_clock_is_behind() {
    let server = scripted(&TestKey::p256("k"));
    let (issuer, line) = (server.issuer(), provider(&server.issuer(), ""));
    let clock = |fields: Vec<(&'static str, String)>| {
        server.set(OPENID_CONFIGURATION, Answer::JsonWith(discovery(&issuer), fields));
        let findings = check(&["--provider", &line]);
        let found = findings.iter().find(|f| f["check"] == "clock").expect("looked at");
        format!("{} {}", found["status"], found["message"])
    };
    let date = |time| ("Date", httpdate::fmt_http_date(time));
    let past = SystemTime::now() - Duration::from_secs(1500);
    for (age, words) in [
        ("1500", "comes from a cache"),
        ("1", "comes from a cache"),
        ("86400", "comes from a cache"),
        ("soon", "comes from a cache"),
        ("0", "min behind"),
    ] {
        let told = clock(vec![date(past), ("Age", age.to_owned())]);
        assert!(told.contains(words) && told.contains("failed") == (age == "0"), "{age}: {told}");
    }
    // No age makes up for a date in the future.
    let future = SystemTime::now() + Duration::from_secs(4000);
    let told = clock(vec![date(future), ("Age", "1500".to_owned())]);
    assert!(told.contains("failed") && told.contains("min ahead"), "{told}");
}

/// Each of them is a sentence with the way out, none the name of an error in a library.
#[test]
fn certificates_that_a_server_must_not_have_are_told_with_the_fix() {
    let authority = Authority::new();
    let self_signed = authority.self_signed();
    for (name, certificate, trusted, message, fix) in [
        (
            "self-signed",
            self_signed.clone(),
            self_signed.certificate.as_path(),
            "an authority's own",
            "basicConstraints",
        ),
        ("version 1", authority.version_1(), authority.ca_file(), "X.509 version 1", "subjectAltName"),
        ("for clients", authority.wrong_usage(), authority.ca_file(), "not for servers", "serverAuth"),
        ("another key", authority.bad_signature(), authority.ca_file(), "signature", "ca_file"),
    ] {
        let options = Options { tls: Some(certificate), ca_file: Some(trusted.into()), ..Options::default() };
        let server = AuthorizationServer::start_with(options);
        let ca = format!("ca_file={}", trusted.display());
        let found = failure(&["--provider", &provider(server.issuer(), ""), "--set", &ca]);
        assert_eq!(found.0, "tls", "{name}: {found:?}");
        assert!(found.1.contains(message) && found.2.contains(fix), "{name}: {found:?}");
        assert!(!format!("{found:?}").contains("Other"), "{name}: {found:?}");
    }
}

#[test]
fn the_real_server_and_its_client() {
    let server = AuthorizationServer::start();
    let directory = Directory::new("check-config-real");
    let key = directory.write("store-key", STORE_KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
    let store = [format!("store={}", directory.file("store").display()), format!("store_key_file={}", key.display())];
    let store = ["--set", &store[0], "--set", &store[1]];
    let client = |more: &str| provider(server.issuer(), &format!(";client_id=sip-proxy;{more}"));
    // It speaks http, and answers what it cannot read.
    let https = provider(&server.issuer().replace("http://", "https://"), "");
    let (found, message, _) = failure(&["--provider", &https]);
    assert!(found == "connection" && message.contains("what answers there speaks no TLS: write http://"), "{message}");

    let good = client("client_secret=proxy-secret;required_scopes=openid");
    let arguments = [&["check-config", "--provider", good.as_str()][..], &store].concat();
    let run = run(&arguments);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("Everything is as it should be."), "{}", run.out);
    for line in [
        "client         corp: ",
        "knows the proxy's client",
        "will be made at the proxy's first start",
        "is closed to others",
    ] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    assert!(!run.out.contains("proxy-secret"));
    assert!(!directory.file("store").exists(), "a check makes nothing");
    let probes = |server: &AuthorizationServer| server.stats().get("/token").copied().unwrap_or(0);
    assert_eq!(probes(&server), 2, "{:?}", server.stats());

    let wrong = client("client_secret=a-wrong-secret");
    let (check_name, message, fix) = failure(&[&["--provider", wrong.as_str()][..], &store].concat());
    assert_eq!(check_name, "client");
    assert!(message.contains("refuses the proxy's client") && message.contains("invalid_client"), "{message}");
    assert!(fix.contains("client_id") && !message.contains("a-wrong-secret"), "{fix}");

    let before = probes(&server);
    let unasked = check(&[&["--no-probe", "--provider", wrong.as_str()][..], &store].concat());
    assert_eq!((failed(&unasked).len(), probes(&server)), (0, before));

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("our own file");
    let open = check(&[&["--offline", "--provider", good.as_str()][..], &store].concat());
    let warning = open.iter().find(|f| f["check"] == "files").expect("looked at");
    assert_eq!(warning["status"], "warning");
    assert!(warning["fix"].as_str().is_some_and(|fix| fix.starts_with("chmod o-rwx ")), "{warning}");

    let missing = client("client_secret=proxy-secret;required_scopes=unheard.of");
    let warned = check(&[&["--provider", missing.as_str()][..], &store].concat());
    let scopes = warned.iter().find(|f| f["check"] == "scopes").expect("looked at");
    assert!(scopes["message"].as_str().is_some_and(|m| m.contains("does not list unheard.of")), "{scopes}");
}

#[test]
fn private_keys_that_others_can_read_or_change_are_found() {
    let directory = Directory::new("check-config-decryption");
    let keys = ["old", "new"].map(|name| directory.write(name, Recipient::curve("P-256").private));
    let line = provider("https://as.example.test", "");
    let files = format!("decryption_key_files={},{}", keys[0].display(), keys[1].display());
    for (mode, status, words) in [
        (0o600, "ok", "is closed to others"),
        (0o644, "warning", "every user of this machine can read"),
        (0o602, "failed", "every user of this machine can change"),
    ] {
        fs::set_permissions(&keys[0], fs::Permissions::from_mode(0o600)).expect("our own file");
        fs::set_permissions(&keys[1], fs::Permissions::from_mode(mode)).expect("our own file");
        let findings = check(&["--offline", "--provider", &line, "--set", &files]);
        let found: Vec<&Value> = findings.iter().filter(|f| f["check"] == "files").collect();
        let [old, new] = found.as_slice() else { panic!("{mode:o}: {findings:?}") };
        let message = new["message"].as_str().expect("a text");
        assert_eq!((&old["status"], &new["status"]), (&json!("ok"), &json!(status)), "{mode:o}: {findings:?}");
        assert!(message.starts_with("decryption_key_files: ") && message.contains(words), "{mode:o}: {message}");
    }
}

#[test]
fn a_password_in_the_address_of_the_store_is_a_secret_of_the_configuration() {
    let directory = Directory::new("check-config-password");
    let key = directory.write("store-key", STORE_KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
    let warned = |store: &str, mode: u32| {
        let line =
            "issuer = \"https://as.example.test\"\naudience = \"sip\"\naor = \"{sip}\"\ndomain = \"example.test\"";
        let text = format!("store = \"{store}\"\nstore_key_file = \"{}\"\n[[provider]]\n{line}\n", key.display());
        let file = directory.write("config.toml", text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
        let findings = check(&["--offline", "--config", file.to_str().expect("UTF-8")]);
        let text = format!("{findings:?}");
        assert!(!text.contains("hush"), "{text}");
        text.contains("holds a secret, and every user of this machine can read it")
    };
    for (store, secret) in [
        ("redis://:hush@127.0.0.1:6379/0", true),
        ("rediss://proxy:hush@redis.example.test/0", true),
        ("unix:///run/redis.sock?db=1&pass=hush", true),
        ("redis://127.0.0.1:6379/0", false),
        ("redis://proxy@127.0.0.1:6379/0", false),
        ("/var/lib/sip@home:oauth", false),
    ] {
        assert_eq!(warned(store, 0o644), secret, "{store}");
        assert!(!warned(store, 0o600), "{store}");
    }
}

#[test]
fn the_real_server_must_introspect_for_the_client() {
    let server = AuthorizationServer::start();
    let client = |more: &str| provider(server.issuer(), &format!(";client_id=sip-rs;tokens=opaque;{more}"));
    let good = check(&["--provider", &client("client_secret=rs-secret")]);
    let found = good.iter().find(|f| f["check"] == "introspection").expect("looked at");
    assert_eq!((found["status"].as_str(), failed(&good).len()), (Some("ok"), 0), "{good:?}");
    assert!(found["message"].as_str().is_some_and(|m| m.contains("answers the proxy's client")), "{found}");

    let (name, message, fix) = failure(&["--provider", &client("client_secret=a-wrong-secret")]);
    assert_eq!(name, "introspection");
    assert!(message.contains("refuses to introspect") && message.contains("invalid_client"), "{message}");
    assert!(fix.contains("allow it to introspect") && !message.contains("a-wrong-secret"), "{fix}");

    let elsewhere = client(&format!("client_secret=rs-secret;introspection_endpoint={}/nowhere", server.issuer()));
    let (name, message, _) = failure(&["--provider", &elsewhere]);
    assert!(name == "introspection" && message.contains("404"), "{name}: {message}");

    let before = server.stats().get("/token/introspection").copied();
    let unasked = check(&["--no-probe", "--provider", &client("client_secret=a-wrong-secret")]);
    assert_eq!((failed(&unasked).len(), server.stats().get("/token/introspection").copied()), (0, before));
}

#[test]
fn the_store_must_fit_its_key() {
    let directory = Directory::new("check-config-keys");
    let folder = directory.file("store");
    let line = provider("https://as.example.test", "");
    let mut source = Source::default();
    source.add_provider(&line).expect("good");
    source.set("store", folder.to_str().expect("UTF-8")).expect("good");
    source.set("store_key", STORE_KEY).expect("good");
    let policy = Policy::new(&source.load().expect("good")).expect("good");
    let access = StoreAccess::new(policy.sessions.as_ref().expect("configured")).expect("new");
    let _opened = access.open(&policy).expect("made");
    let store = format!("store={}", folder.display());
    let arguments = ["--offline", "--provider", &line, "--set", &store, "--set"];
    let good = check(&[&arguments[..], &[&format!("store_key={STORE_KEY}")]].concat());
    assert!(good.iter().any(|f| f["check"] == "store" && f["status"] == "ok"), "{good:?}");
    let other = [&arguments[..], &["store_key=another-secret-of-thirty-two-octets"]].concat();
    let (check_name, message, fix) = failure(&other);
    assert_eq!(check_name, "store");
    assert!(
        message.contains("not the one that the sessions") && fix.contains("write the old key again"),
        "{message} {fix}"
    );
    assert!(!message.contains("another-secret"));

    let nowhere = ["--offline", "--provider", &line, "--set", "store=/nonexistent/deep/store", "--set"];
    let (_, message, fix) = failure(&[&nowhere[..], &[&format!("store_key={STORE_KEY}")]].concat());
    assert!(
        message.contains("/nonexistent/deep does not exist")
            && fix.contains("install -d -m 0700 -o kamailio -g kamailio /nonexistent/deep /nonexistent/deep/store"),
        "{message} {fix}"
    );
}

#[test]
fn redis_must_answer_and_know_the_password() {
    let mut redis = Redis::start(&[]);
    let directory = Directory::new("check-config-redis");
    let line = provider("https://as.example.test", ";jwks_file=");
    let keys = directory.write("keys.json", key_set(&[TestKey::p256("k").jwk()]).to_string());
    let line = line.replace("jwks_file=", &format!("jwks_file={}", keys.display()));
    let (right, wrong) = (directory.write("right", PASSWORD), directory.write("wrong", "a-wrong-password"));
    let store = format!("store=redis://127.0.0.1:{}/0", redis.port());
    let key = format!("store_key={STORE_KEY}");
    let with = |password: &std::path::Path| {
        let password = format!("store_password_file={}", password.display());
        check(&["--provider", &line, "--set", &store, "--set", &key, "--set", &password])
    };
    let good = with(&right);
    assert!(
        failed(&good).is_empty()
            && good.iter().any(|f| f["message"].as_str().is_some_and(|m| m.starts_with("Redis can be used"))),
        "{good:?}"
    );
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "0", "a check writes nothing");
    let bad = with(&wrong);
    let refused = failed(&bad)[0]["message"].as_str().expect("a text").to_owned();
    redis.stop();
    let bad = with(&right);
    let away = failed(&bad)[0]["message"].as_str().expect("a text").to_owned();
    assert_ne!(refused, away);
    assert!(!refused.contains("a-wrong-password") && refused.contains("assword"), "{refused}");
}

#[test]
fn every_example_is_good_as_the_proxy_would_start_it() {
    let directory = Directory::new("check-config-examples");
    let key = directory.write("store-key", STORE_KEY);
    let secret = directory.write("secret", "hush-hush-hush");
    for file in [&key, &secret] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
    }
    let store = format!("STORE=\"{}\"", directory.file("store").display());
    let (key_file, key) = (key.clone(), format!("STORE_KEY_FILE=\"{}\"", key.display()));
    let toml = format!("CONFIG_FILE=\"{}\"", kit::path("cfg-examples/kamailio/mixed-fleet.toml").display());
    let line = format!(
        "PROVIDER=\"name=corp;issuer=https://login.example.com/realms/corp;audience=sip;aor=sip:{{preferred_username}}@{{domain}};domain=example.test;client_id=sip-proxy;client_secret_file={}\"",
        secret.display()
    );
    let line_of_tokens = format!("PROVIDER=\"{}\"", provider("https://login.example.com/realms/corp", ""));
    let signing = directory.write("signing.pem", signing_key());
    fs::set_permissions(&signing, fs::Permissions::from_mode(0o600)).expect("our own file");
    let validating = format!(
        "PROVIDER=\"name=corp;issuer=https://login.example.com;domain=example.test;tokens=validation_grant;validation_grant_type=urn:example:sip-token;client_id=sip-proxy;client_secret_file={}\"",
        secret.display()
    );
    let issuing = format!(
        "PROVIDER=\"name=local;issuer=https://sip.example.test;audience=sip;domain=example.test;password_grant=issue;signing_key_files={}\"",
        signing.display()
    );
    let shared = fs::read_to_string(kit::path("cfg-examples/kamailio/sign-in-page.toml")).expect("part of the project");
    let shared = [
        ("/var/lib/kamailio/sipoauth", directory.file("store")),
        ("/etc/kamailio/sipoauth.key", key_file),
        ("/etc/kamailio/client-secret", secret.clone()),
    ]
    .iter()
    .fold(shared, |text, (installed, here)| text.replace(installed, &here.display().to_string()));
    let shared = directory.write("sign-in-page.toml", &shared);
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o600)).expect("our own file");
    let shared = format!("CONFIG_FILE=\"{}\"", shared.display());
    let mut seen = 0;
    for entry in fs::read_dir(kit::path("cfg-examples/kamailio")).expect("part of the project") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        // A part of the others, which load the module before it and are read with it.
        if name == "dialogs.cfg" {
            let common =
                fs::read_to_string(kit::path("cfg-examples/kamailio/common.cfg")).expect("part of the project");
            assert!(common.contains("include_file \"dialogs.cfg\""));
            continue;
        }
        let path = path.to_str().expect("UTF-8");
        let mut arguments = vec!["--kamailio", path, "--offline"];
        match name.as_str() {
            "public-ua.cfg" | "desk-phone-code.cfg" | "master-key.cfg" => {
                arguments.extend(["-A", &store, "-A", &key, "-A", &line]);
            }
            "foreign-tokens.cfg" => arguments.extend(["-A", &store, "-A", &key, "-A", &validating]),
            "password-tokens.cfg" => arguments.extend(["-A", &store, "-A", &key, "-A", &issuing]),
            "key-derivation.cfg" => arguments.extend(["-A", &store, "-A", &key]),
            "cluster.cfg" | "outbound-edge.cfg" => arguments.extend(["-A", &key, "-A", &line]),
            "sign-in-page.cfg" => arguments.extend(["-A", &shared]),
            "mixed-fleet.cfg" | "mixed-websocket.cfg" => arguments.extend(["-A", &toml, "-A", &line_of_tokens]),
            _ => {}
        }
        let findings = check(&arguments);
        assert!(failed(&findings).is_empty(), "{name}: {findings:?}");
        assert!(findings.iter().any(|f| f["check"] == "configuration" && f["status"] == "ok"), "{name}: {findings:?}");
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}

/// A guide is a whole configuration: the example's own provider would be one more, and its keys be fetched in vain.
#[test]
fn a_guide_is_the_only_provider_of_an_example() {
    let directory = Directory::new("check-config-guides");
    let key = directory.write("store-key", STORE_KEY);
    let store = format!("STORE=\"{}\"", directory.file("store").display());
    let key = format!("STORE_KEY_FILE=\"{}\"", key.display());
    let guide = format!("CONFIG_FILE=\"{}\"", kit::path("cfg-examples/providers/keycloak.toml").display());
    for name in [
        "registrar-sso.cfg",
        "browser-websocket.cfg",
        "proxy-407.cfg",
        "per-connection.cfg",
        "public-ua.cfg",
        "desk-phone-code.cfg",
        "mixed-fleet.cfg",
    ] {
        let path = kit::path("cfg-examples/kamailio").join(name);
        let path = path.to_str().expect("UTF-8");
        let findings = check(&["--kamailio", path, "--offline", "-A", &store, "-A", &key, "-A", &guide]);
        let one = |f: &Value| f["message"].as_str().is_some_and(|message| message.contains(": 1 provider(s)"));
        assert!(findings.iter().any(|f| f["check"] == "configuration" && one(f)), "{name}: {findings:?}");
    }
}

/// What an account says of itself is its user's own text until the server has verified it.
#[test]
fn claims_that_nobody_has_verified_are_warned_of() {
    let directory = Directory::new("check-config");
    let warned = |aor: &str, required: &str| {
        let toml = directory.write(
            "unverified.toml",
            format!(
                "[[provider]]\nname = \"corp\"\nissuer = \"https://as.example.test\"\naudience = \"sip\"\naor = {aor}\n\
                 domain = \"example.test\"\ne164 = 49\n{required}\n"
            ),
        );
        let findings = check(&["--config", toml.to_str().expect("UTF-8"), "--offline"]);
        let warnings = findings.iter().filter(|f| f["status"] == "warning");
        warnings.map(|f| format!("{} {}", f["message"], f["fix"])).collect::<Vec<_>>().join("\n")
    };
    for claim in ["phone_number", "contact.phone_number"] {
        let text = warned(&format!("\"sip:{{{claim}|e164}}@{{domain}}\""), "");
        assert!(text.contains(&format!("'{claim}' counts although")) && text.contains("|verified}"), "{text}");
    }
    for aor in ["\"sip:{email}\"", "\"sip:{email|local}@{domain}\"", "[\"{sip}\", \"sip:x-{email}@{domain}\"]"] {
        let text = warned(aor, "");
        assert!(text.contains("'email' counts although") && text.contains("email_verified"), "{aor}: {text}");
    }
    for (aor, required) in [
        ("\"sip:{phone_number|verified|e164}@{domain}\"", ""),
        ("\"sip:{phone_number|e164}@{domain}\"", "required_claims = { phone_number_verified = true }"),
        ("\"sip:{email}\"", "required_claims = { email_verified = \"true\" }"),
        ("\"sip:{email|verified}\"", ""),
        ("\"sip:{preferred_username}@{domain}\"", ""),
    ] {
        let text = warned(aor, required);
        assert!(!text.contains("counts although"), "{aor} {required}: {text}");
    }
    let other = "required_claims = { email_verified = [\"true\", \"false\"] }";
    assert!(warned("\"sip:{email}\"", other).contains("'email' counts although"));
}
