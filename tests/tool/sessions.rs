// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth sessions` without a proxy; beside a running one it is tested in `tests/sessions`.

use sipoauth::store::access::StoreAccess;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::records::session::{Session, SignIn, issuer_name};
use sipoauth_core::text::secret::KeyOctets;

use crate::run;
use crate::support::redis::{PASSWORD, Redis};
use crate::support::temporary::Directory;
use crate::support::token::now;

const LINE: &str = "name=corp;issuer=https://as.example.test;audience=sip;aor={sip}";
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn session(number: u8) -> Session {
    Session {
        id: [number; 16],
        provider: "corp".into(),
        issuer: issuer_name("https://as.example.test"),
        sign_in: SignIn::Code,
        reg_id: 0,
        tokens: Vec::new(),
        instance: "<urn:uuid:0>".into(),
        subject: "user-0".into(),
        client_id: "sip-proxy".into(),
        scope: "openid".into(),
        keys: vec![KeyOctets([7; 32])],
        proofs: Vec::new(),
        created_at: now() - 600,
        valid_until: now() + 600,
        ends_at: now() + 6000,
        renewable: true,
        weak: false,
        sid: None,
        parent: None,
        name: String::new(),
        device: String::new(),
    }
}

/// Puts a session for each user into the store of these settings.
fn fill(settings: &[(&str, &str)], users: &[&str]) {
    let mut source = Source::default();
    source.add_provider(LINE).expect("good");
    for (key, value) in settings {
        source.set(key, value).expect("good");
    }
    let policy = Policy::new(&source.load().expect("good")).expect("good");
    let store =
        StoreAccess::new(policy.sessions.as_ref().expect("configured")).expect("new").open(&policy).expect("made");
    for (number, user) in (0..).zip(users) {
        let add = |account: &mut sipoauth_core::records::session::Account| {
            account.sessions.push(session(number));
            true
        };
        store.change_account(&format!("sip:{user}@example.test"), now() * 1000, add).expect("written");
    }
}

fn arguments<'a>(command: &[&'a str], settings: &'a [String]) -> Vec<&'a str> {
    let mut all = [&["sessions"], command, &["--provider", LINE]].concat();
    all.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
    all
}

#[test]
fn sessions_in_redis() {
    let redis = Redis::start(&[]);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", redis.port());
    fill(&[("store", &url), ("store_key", KEY)], &["alice", "bob"]);
    let settings = [format!("store={url}"), format!("store_key={KEY}")];
    let text = run(&arguments(&["list"], &settings));
    assert_eq!(text.code, 0, "{}", text.err);
    for words in ["sip:alice@example.test", "sip:bob@example.test", "2 session(s)", "in the background", "(10 min ago)"]
    {
        assert!(text.out.contains(words), "{words}: {}", text.out);
    }
    assert!(!text.out.contains(PASSWORD) && !text.err.contains(PASSWORD));
    let ended = run(&arguments(&["revoke", "sip:alice@example.test"], &settings));
    assert!(ended.code == 0 && ended.out.contains("1 session(s) ended"), "{}{}", ended.out, ended.err);
    let left = run(&arguments(&["list", "--json"], &settings)).json();
    assert_eq!(left.as_array().map(Vec::len), Some(1));

    let wrong = [format!("store=redis://:a-wrong-password@127.0.0.1:{}/0", redis.port()), settings[1].clone()];
    let refused = run(&arguments(&["list"], &wrong));
    assert!(refused.code == 1 && !refused.err.contains("a-wrong-password"), "{}", refused.err);
    let other = [settings[0].clone(), "store_key=another-secret-of-thirty-two-octets".to_owned()];
    let sealed = run(&arguments(&["list"], &other));
    assert!(sealed.code == 1 && sealed.err.contains("store_key is not the one"), "{}", sealed.err);
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let directory = Directory::new("tool-sessions");
    let folder = directory.file("store");
    let settings = [format!("store={}", folder.display()), format!("store_key={KEY}")];
    let none = run(&arguments(&["list"], &settings));
    assert!(none.code == 1 && none.err.contains("has no sessions yet"), "{}", none.err);
    assert!(!folder.exists());
    let unset = run(&arguments(&["list"], &[]));
    assert!(unset.code == 1 && unset.err.contains("no store"), "{}", unset.err);
    fill(&[("store", folder.to_str().expect("UTF-8")), ("store_key", KEY)], &["alice"]);
    let nobody = run(&arguments(&["show", "alice"], &settings));
    assert!(nobody.code == 1 && nobody.err.contains("not an address-of-record"), "{}", nobody.err);
}

/// A store in a folder with sessions of these users, and what names it.
fn folder_store(directory: &Directory, users: &[&str]) -> [String; 2] {
    let folder = directory.file("store");
    fill(&[("store", folder.to_str().expect("UTF-8")), ("store_key", KEY)], users);
    [format!("store={}", folder.display()), format!("store_key={KEY}")]
}

#[test]
fn an_empty_address_is_refused_and_ends_nothing() {
    let directory = Directory::new("tool-sessions-empty");
    let settings = folder_store(&directory, &["alice", "bob"]);
    for command in [&["revoke", ""][..], &["revoke", "  "], &["revoke", "", "00"], &["show", ""]] {
        let refused = run(&arguments(command, &settings));
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{command:?}: {}", refused.err);
        assert!(refused.err.contains("an address is needed, for example"), "{command:?}: {}", refused.err);
    }
    assert_eq!(run(&arguments(&["list", "--json"], &settings)).json().as_array().map(Vec::len), Some(2));
    let asked = run(&arguments(&["revoke-all"], &settings));
    assert!(asked.code == 1 && asked.err.contains("--yes"), "{}", asked.err);
    let all = run(&arguments(&["revoke-all", "--yes", "--json"], &settings)).json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
}

#[test]
fn an_address_without_a_scheme_is_a_sip_address_as_in_the_rpc_commands() {
    let directory = Directory::new("tool-sessions-scheme");
    let settings = folder_store(&directory, &["alice", "bob", "sip"]);
    for (written, found) in
        [("alice@example.test", 1), ("SIP:alice@EXAMPLE.test", 1), ("sip@example.test", 1), ("carol@example.test", 0)]
    {
        let shown = run(&arguments(&["show", written, "--json"], &settings));
        assert_eq!(shown.json().as_array().map(Vec::len), Some(found), "{written}: {}", shown.err);
        assert_eq!(shown.code, if found == 0 { 3 } else { 0 }, "{written}");
    }
    let ended = run(&arguments(&["revoke", "bob@example.test", "--json"], &settings)).json();
    assert_eq!(ended[0]["aor"], "sip:bob@example.test");
}

/// Nothing else is read then: no configuration need be there, nor be one that this user may read.
#[test]
fn a_store_that_the_options_name_needs_no_configuration() {
    let directory = Directory::new("tool-sessions-set");
    let folder = directory.file("store");
    let folder = folder.to_str().expect("UTF-8");
    fill(&[("store", folder), ("store_key", KEY)], &["alice"]);
    let (store, key) = (format!("store={folder}"), format!("store_key={KEY}"));
    for command in [&["sessions", "list"][..], &["sessions", "show", "alice@example.test"]] {
        let run = run(&[command, &["--set", &store, "--set", &key]].concat());
        assert!(run.code == 0 && run.out.contains("alice@example.test"), "{}{}", run.out, run.err);
    }
    // The key alone, or the store alone, goes with a configuration.
    for one in [&store, &key] {
        let run = run(&["sessions", "list", "--kamailio", "/nonexistent.cfg", "--set", one]);
        assert!(run.code == 1 && run.err.contains("/nonexistent.cfg"), "{}{}", run.out, run.err);
    }
    let listed = run(&["accounts", "list", "--set", &store, "--set", &key]);
    assert_eq!(listed.code, 0, "{}{}", listed.out, listed.err);
}
