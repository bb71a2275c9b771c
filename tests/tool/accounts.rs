// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth accounts`: users with passwords, one by one and a hundred thousand at once.

use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sipoauth::store::access::StoreAccess;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::keys::pbkdf2::{Kdf, Parameters};
use sipoauth_core::keys::verifier::Verifier;

use crate::support::redis::{PASSWORD, Redis};
use crate::support::temporary::Directory;
use crate::{Run, run_with};

const LINE: &str = "name=corp;issuer=https://as.example.test;audience=sip;aor={sip}";
/// A provider whose server need not be asked.
const KEYS_HERE: &str = "name=corp;issuer=https://as.example.test;audience=sip;aor={sip};domain=example.test;secret=0123456789abcdef0123456789abcdef";
const KEY: &str = "store_key=0123456789abcdef0123456789abcdef";

/// A store that a proxy has made.
struct Site {
    directory: Directory,
    settings: Vec<String>,
}

impl Site {
    fn new(store: &str, directory: Directory) -> Site {
        let settings = [KEY.to_owned(), format!("store={store}"), "kd_iterations=1000".to_owned()].to_vec();
        let mut source = Source::default();
        source.add_provider(LINE).expect("good");
        for setting in &settings {
            let (key, value) = setting.split_once('=').expect("a setting");
            source.set(key, value).expect("good");
        }
        let policy = Policy::new(&source.load().expect("good")).expect("good");
        StoreAccess::new(policy.sessions.as_ref().expect("configured")).expect("new").open(&policy).expect("made");
        Site { directory, settings }
    }

    fn folder() -> Site {
        let directory = Directory::new("accounts");
        let store = directory.file("store");
        Site::new(store.to_str().expect("our own paths are UTF-8"), directory)
    }

    fn run(&self, command: &[&str], input: &str) -> Run {
        let mut all = [&["accounts"], command, &["--provider", LINE]].concat();
        all.extend(self.settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        run_with(&all, input)
    }

    fn write(&self, name: &str, text: &str) -> String {
        self.directory.write(name, text).to_str().expect("our own paths are UTF-8").to_owned()
    }
}

fn one_by_one(site: &Site) {
    let set = site.run(&["set", "alice@example.test"], "a secret\nand more\n");
    assert!(set.code == 0 && set.out == "written: sip:alice@example.test\n", "{}{}", set.out, set.err);
    let file = site.write("password", "another secret\n");
    assert_eq!(site.run(&["set", "sip:bob@example.test", "--password-file", &file], "").code, 0);
    let shown = site.run(&["show", "alice@EXAMPLE.test"], "");
    assert!(shown.code == 0 && shown.out.contains("PBKDF2-HMAC-SHA-256, 1000 iterations, 256 bits"), "{}", shown.out);
    let listed = site.run(&["list", "--json"], "").json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert!(listed.as_array().is_some_and(|all| all.iter().all(|account| account["stands_out"] == false)), "{listed}");
    assert_eq!(site.run(&["remove", "alice@example.test"], "").code, 0);
    assert_eq!(site.run(&["remove", "alice@example.test"], "").code, 3);
    assert_eq!(site.run(&["show", "alice@example.test"], "").code, 3);
    assert!(site.run(&["list"], "").out.ends_with("1 account(s)\n"));
}

#[test]
fn accounts_one_by_one() {
    let site = Site::folder();
    one_by_one(&site);
    let long = "x".repeat(4097);
    for (command, input, words) in [
        (&["set", "alice@example.test"][..], "", "the password is empty"),
        (&["set", "alice@example.test"], long.as_str(), "the password is too long"),
        (&["set", "tel:1"], "secret", "is not an address-of-record"),
        (&["set", "a@example.test", "--verifier", "secret"], "", "a verifier looks like"),
        (&["set", "a@example.test", "--password-file", "/nonexistent"], "", "cannot be read"),
    ] {
        let run = site.run(command, input);
        assert!(run.code == 1 && run.err.contains(words) && !run.err.contains("secret"), "{words}: {}", run.err);
    }
}

#[test]
fn accounts_in_redis() {
    let redis = Redis::start(&[]);
    let store = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", redis.port());
    one_by_one(&Site::new(&store, Directory::new("accounts")));
}

/// Five accounts by the settings, one each with another hash, count, length of key, length of salt.
fn some_stand_out(site: &Site) {
    for number in 0..5 {
        let address = format!("same{number}@example.test");
        assert_eq!(site.run(&["set", &address], "a secret\n").code, 0);
    }
    let check = |site: &Site, more: &[&str]| {
        let mut all = vec!["check-config", "--json", "--provider", KEYS_HERE, "--no-probe"];
        all.extend(site.settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        all.extend(more);
        let found = run_with(&all, "").json();
        let of_accounts = found.as_array().into_iter().flatten().filter(|f| f["check"] == "accounts");
        let texts = of_accounts.map(|f| (f["status"].clone(), f["message"].as_str().unwrap_or_default().to_owned()));
        texts.collect::<Vec<_>>()
    };
    let found = check(site, &[]);
    assert!(found.len() == 1 && found[0].0 == "ok" && found[0].1.starts_with("5 Key-Derivation"), "{found:?}");
    for (name, kdf, iterations, salt, bits) in [
        ("hash", Kdf::Sha512, 1000, 16, 256),
        ("count", Kdf::Sha256, 1001, 16, 256),
        ("key", Kdf::Sha256, 1000, 16, 512),
        ("salt", Kdf::Sha256, 1000, 17, 256),
    ] {
        let parameters = Parameters::new(kdf, iterations, vec![1; salt], bits).expect("good");
        let line = Verifier::derive(parameters, b"a secret").to_text();
        let set = site.run(&["set", &format!("{name}@example.test"), "--verifier", &line], "");
        assert!(set.code == 0 && set.err.contains("can be told from"), "{}", set.err);
    }
    let found = check(site, &[]);
    let [(status, message)] = found.as_slice() else { panic!("{found:?}") };
    assert!(status == "warning" && message.starts_with("4 of 9 Key-Derivation"), "{message}");
    for name in ["hash", "count", "key", "salt"] {
        assert!(message.contains(&format!("sip:{name}@example.test")) && !message.contains("sip:same"), "{message}");
    }
    let listed = site.run(&["list", "--json"], "").json();
    let marked = listed.as_array().expect("a list").iter().filter(|account| account["stands_out"] == true);
    assert_eq!(marked.count(), 4, "{listed}");
    assert!(site.run(&["list"], "").err.contains("4 account(s) stand out"));
    // The settings have changed: all but the one that was made so before.
    let found = check(site, &["--set", "kd_iterations=1001"]);
    assert!(found[0].1.starts_with("8 of 9 Key-Derivation") && found[0].1.ends_with(", …"), "{found:?}");
}

#[test]
fn accounts_that_stand_out_are_named() {
    some_stand_out(&Site::folder());
}

#[test]
fn accounts_in_redis_that_stand_out_are_named() {
    let redis = Redis::start(&[]);
    let store = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", redis.port());
    some_stand_out(&Site::new(&store, Directory::new("accounts")));
}

#[test]
fn a_verifier_for_a_database_of_ones_own() {
    let site = Site::folder();
    let derived = site.run(&["derive"], "a secret\n");
    let verifier = Verifier::parse(derived.out.trim()).expect("a line that the proxy reads");
    assert_eq!(verifier.parameters.iterations(), 1000, "as the configuration says");
    assert!(verifier.parameters.derive(b"a secret") == verifier.key);
    let again = site.run(&["derive"], "a secret\n");
    assert_ne!(derived.out, again.out, "another salt");
    let set = site.run(&["set", "alice@example.test", "--verifier", derived.out.trim()], "");
    assert!(set.code == 0 && set.err.is_empty(), "{}", set.err);
    let other = derived.out.replace("i=1000", "i=2000");
    let set = site.run(&["set", "alice@example.test", "--verifier", other.trim()], "");
    assert!(set.code == 0 && set.err.contains("can be told from users who do not exist"), "{}", set.err);
}

#[test]
fn a_file_with_passwords_and_one_with_bad_lines() {
    let site = Site::folder();
    let file = site.write("users", "alice@example.test a secret\n# nobody\nbob@example.test\tanother secret\n");
    let dry = site.run(&["load", &file, "--passwords", "--dry-run"], "");
    assert!(dry.code == 0 && dry.out == "2 good line(s), 0 bad; nothing was written\n", "{}{}", dry.out, dry.err);
    assert_eq!(site.run(&["show", "alice@example.test"], "").code, 3);
    let loaded = site.run(&["load", &file, "--passwords", "--json"], "");
    assert_eq!((loaded.code, &loaded.json()["written"]), (0, &2.into()), "{}", loaded.err);
    assert!(!loaded.err.contains("secret"));

    let verifier = site.run(&["derive"], "third\n").out;
    let file = site.write("bad", &format!("carol@example.test {verifier}dave@example.test secret\nnobody {verifier}"));
    let loaded = site.run(&["load", &file], "");
    assert!(loaded.code == 1 && loaded.out.starts_with("1 account(s) written, 2 bad line(s)\n"), "{}", loaded.out);
    assert!(loaded.err.contains("line 2: a verifier looks like") && loaded.err.contains("line 3: "), "{}", loaded.err);
    assert!(!loaded.err.contains("secret"), "{}", loaded.err);
    assert_eq!(site.run(&["show", "carol@example.test"], "").code, 0, "a bad line costs no other its account");
    assert_eq!(site.run(&["load", "/nonexistent"], "").code, 1);
}

/// Run it with --nocapture to see what it took.
#[test]
fn a_hundred_thousand_accounts() {
    let site = Site::folder();
    let mut text = String::new();
    for number in 0..100_000u32 {
        let mut octets = [7; 48];
        octets[..4].copy_from_slice(&number.to_be_bytes());
        let (salt, key) = (STANDARD_NO_PAD.encode(&octets[..16]), STANDARD_NO_PAD.encode(&octets[16..]));
        writeln!(text, "sip:user{number}@example.test $pbkdf2-sha256$i=1000,l=32${salt}${key}").expect("memory");
    }
    let file = site.write("users", &text);
    let loaded = site.run(&["load", &file], "");
    println!("{}{}", loaded.err, loaded.out);
    assert_eq!(loaded.code, 0, "{}", loaded.err);
    let words = ["100000 account(s) written, 0 bad", "seconds", "per second", "store before", "store after", " octets"];
    assert!(words.iter().all(|words| loaded.out.contains(words)), "{}", loaded.out);
    assert_eq!(loaded.err.lines().filter(|line| line.contains(" %: ")).count(), 10, "{}", loaded.err);
    assert!(loaded.err.contains("100 %: 100000 of 100000 accounts") && loaded.err.contains(" left"), "{}", loaded.err);
    let shown = site.run(&["show", "user99999@example.test"], "");
    assert_eq!(shown.code, 0);
    let file = fs::metadata(site.directory.file("store").join("data.mdb")).expect("the store");
    println!(
        "data.mdb: {} octets, of which on the disk {}",
        file.len(),
        std::os::unix::fs::MetadataExt::blocks(&file) * 512
    );
}
