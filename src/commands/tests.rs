// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands against a host that writes down what it is told.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::{COMMANDS, Fault, Full, Host, run};
use crate::clock::now_millis;
use crate::process::context::Context;
use crate::shared::counters;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::records::session::{Session, SignIn, issuer_name};
use sipoauth_core::records::session_end::SessionEnd;
use sipoauth_core::text::secret::KeyOctets;

const ALICE: &str = "sip:alice@example.test";
const VERIFIER: &str = "$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM";

#[derive(Default)]
struct Lines(Mutex<String>);

impl Log for Lines {
    fn log(&self, level: Level, line: &str) {
        *self.0.lock().unwrap() += &format!("{level:?} {line}\n");
    }
}

/// A proxy with or without a store.
struct World {
    context: Context,
    log: Arc<Lines>,
    folder: PathBuf,
}

impl World {
    fn new(with_store: bool) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sipoauth-commands-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        let mut source = Source::default();
        if with_store {
            source.set("store", folder.to_str().unwrap()).unwrap();
            source.set("store_size", "8").unwrap();
            source.set("store_key", "0123456789abcdef0123456789abcdef").unwrap();
            source.set("kd_iterations", "1000").unwrap();
        }
        source.add_provider("name=corp;issuer=https://as.example;audience=sip;aor={sip}").unwrap();
        let log = Arc::new(Lines::default());
        World { context: Context::new(source, Arc::clone(&log) as Arc<dyn Log>).unwrap(), log, folder }
    }

    fn sign_in(&self, aor: &str, sessions: &[(u8, &str)]) {
        let placed = self.context.policy().unwrap();
        let store = self.context.sessions().unwrap().open(&placed.policy).unwrap();
        let now = now_millis();
        let add = |account: &mut sipoauth_core::records::session::Account| {
            account.sessions.extend(sessions.iter().map(|(id, instance)| session(*id, instance, now / 1000)));
            true
        };
        store.change_account(aor, now, add).unwrap();
    }

    fn ask(&self, name: &str, arguments: &[&str]) -> (Result<(), Fault>, Scribe) {
        self.ask_as(Scribe::default(), name, arguments)
    }

    fn ask_as(&self, mut host: Scribe, name: &str, arguments: &[&str]) -> (Result<(), Fault>, Scribe) {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        (run(&self.context, name, &arguments, &mut host), host)
    }

    fn answer(&self, name: &str, arguments: &[&str]) -> String {
        let (done, host) = self.ask(name, arguments);
        done.unwrap();
        host.answer
    }

    fn fault(&self, name: &str, arguments: &[&str]) -> (u32, String) {
        let (done, host) = self.ask(name, arguments);
        let Fault { code, sentence } = done.unwrap_err();
        assert_eq!(host.answer, "", "{name}: {sentence}");
        (code, sentence)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn session(id: u8, instance: &str, now: i64) -> Session {
    Session {
        id: [id; 16],
        provider: "corp".into(),
        issuer: issuer_name("https://as.example"),
        sign_in: SignIn::Code,
        instance: instance.into(),
        reg_id: 0,
        subject: "alice\n".into(),
        client_id: "proxy".into(),
        scope: "openid sip".into(),
        keys: vec![KeyOctets([1; 32])],
        tokens: Vec::new(),
        proofs: Vec::new(),
        created_at: 1,
        valid_until: -1,
        ends_at: now + 60,
        renewable: true,
        weak: false,
        sid: None,
        parent: None,
        name: String::new(),
        device: String::new(),
    }
}

/// A host that has two bindings for everything that is removed.
#[derive(Default)]
struct Scribe {
    answer: String,
    events: String,
    room: Option<usize>,
    handles_sip: bool,
    no_bindings: bool,
}

impl Scribe {
    fn write(&mut self, text: &str) -> Result<(), Full> {
        match &mut self.room {
            Some(0) => return Err(Full),
            Some(room) => *room -= 1,
            None => {}
        }
        self.answer += text;
        Ok(())
    }
}

impl Host for Scribe {
    fn handles_sip(&self) -> bool {
        self.handles_sip
    }
    fn item(&mut self) -> Result<(), Full> {
        self.write("|")
    }
    fn text(&mut self, name: &CStr, value: &str) -> Result<(), Full> {
        self.write(&format!("{}={value};", name.to_str().unwrap()))
    }
    fn number(&mut self, name: &CStr, value: u64) -> Result<(), Full> {
        self.write(&format!("{}:{value};", name.to_str().unwrap()))
    }
    fn line(&mut self, text: &str) -> Result<(), Full> {
        self.write(text)
    }
    fn has_bindings(&self) -> bool {
        !self.no_bindings
    }
    fn remove_bindings(&mut self, end: &SessionEnd) -> u64 {
        let bindings = end.bindings();
        let nameless = if bindings.nameless { " and those without" } else { "" };
        self.events += &format!("{} loses '{}'{nameless}\n", end.aor, bindings.instance);
        2
    }
    fn ended(&mut self, end: &SessionEnd) {
        assert_eq!(end.why, "The operator has ended the session.");
        self.events += &format!("{} {}\n", end.by.reason_code().to_str().unwrap(), end.session.id[0]);
    }
}

#[test]
fn the_table_can_be_registered() {
    for command in COMMANDS {
        let first_optional = command.arguments.iter().position(|a| !a.is_required).unwrap_or(command.arguments.len());
        assert!(command.arguments[first_optional..].iter().all(|a| !a.is_required), "{:?}", command.name);
        assert_eq!(COMMANDS.iter().filter(|other| other.name == command.name).count(), 1);
        assert!(!command.help.is_empty());
    }
    let world = World::new(false);
    assert_eq!(world.fault("nothing", &[]).0, 404);
    assert_eq!(world.fault("stats", &["x"]), (400, "There are too many arguments, at most 0 are possible".into()));
}

#[test]
fn providers_keys_and_counters() {
    let world = World::new(false);
    assert_eq!(
        world.answer("providers", &[]),
        "|name=corp;issuer=https://as.example;tokens=jwt;jwks_uri=;state=no keys yet;keys:0;fetched_at:0;\
         next_fetch_at:0;fetches:0;failures:0;last_error=;"
    );
    assert_eq!(world.answer("keys", &[]), "");
    assert_eq!(world.answer("refresh_keys", &[]), "|started:1;");
    assert_eq!(world.fault("refresh_keys", &["x"]), (500, "no provider is called 'x'; there are: corp".into()));
    assert_eq!(world.fault("jwks", &[]), (404, "no such provider has signing_key_files".into()));
    assert_eq!(world.answer("reload", &[]), "reloaded");
    let stats = world.answer("stats", &[]);
    assert!(stats.starts_with("|accepted:0;") && stats.contains("reloads:1;"), "{stats}");
    assert_eq!(stats.matches(';').count(), counters::COUNT);
}

#[test]
fn a_reload_that_fails_is_logged() {
    let mut world = World::new(false);
    let file = world.folder.with_extension("toml");
    std::fs::write(&file, "[[provider]]\nname='corp'\nissuer='https://as.example'\naudience='sip'\naor='{sip}'\n")
        .unwrap();
    let mut source = Source::default();
    source.set("config_file", file.to_str().unwrap()).unwrap();
    world.context = Context::new(source, Arc::clone(&world.log) as Arc<dyn Log>).unwrap();
    std::fs::write(&file, "leeway = 'x'").unwrap();
    let (code, sentence) = world.fault("reload", &[]);
    let _ = std::fs::remove_file(&file);
    assert!(code == 500 && sentence.contains("line 1: invalid value"), "{sentence}");
    assert!(world.log.0.lock().unwrap().contains(&format!("Error reload: {sentence}\n")));
}

#[test]
fn an_address_may_lack_its_scheme() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(1, "")]);
    for written in ["alice@example.test", ALICE, "SIP:alice@example.test"] {
        assert!(world.answer("sessions_show", &[written]).starts_with(&format!("|aor={ALICE};id=0101")), "{written}");
    }
    for name in ["sessions_show", "sessions_revoke", "accounts_show", "accounts_set", "accounts_remove"] {
        let needed = "An address is needed, for example alice@example.com";
        assert_eq!(world.fault(name, &[]), (400, needed.into()), "{name}");
        assert_eq!(world.fault(name, &[""]), (400, needed.into()), "{name}");
    }
    for name in ["sessions_show", "sessions_revoke", "accounts_show", "accounts_remove"] {
        for wrong in ["sip:", "sips:", "example.test", "\u{fffd}", "sip:alice@example.test\0x"] {
            assert_eq!(world.fault(name, &[wrong]), (404, "This is not a SIP address".into()), "{name} {wrong:?}");
        }
    }
}

#[test]
fn a_session_has_its_fields() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(7, "<urn:uuid:7>")]);
    let answer = world.answer("sessions_list", &[]);
    let (before, after) = answer.split_once("ends_at:").unwrap();
    assert_eq!(
        before,
        "|aor=sip:alice@example.test;id=07070707070707070707070707070707;instance=<urn:uuid:7>;provider=corp;\
         subject=alice?;scope=openid sip;created_at:1;valid_until:0;"
    );
    assert_eq!(after.split_once(';').unwrap().1, "keys:1;renewable:1;weak:0;");
}

#[test]
fn a_long_list_says_where_it_goes_on() {
    let world = World::new(true);
    for user in 0..101 {
        world.sign_in(&format!("sip:user{user}@example.test"), &[(1, "")]);
    }
    let first = world.answer("sessions_list", &[]);
    let (sessions, next) = first.split_once("|next=").unwrap();
    assert_eq!(sessions.matches("|aor=").count(), 100);
    let rest = world.answer("sessions_list", &[next.strip_suffix(';').unwrap()]);
    assert!(rest.matches("|aor=").count() == 1 && !rest.contains("next="), "{rest}");
}

#[test]
fn a_revocation_removes_the_bindings_of_what_it_ends() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(1, "<1>"), (2, "<2>"), (3, "")]);
    let id = "01".repeat(16);
    // A binding without an instance may be that of session 3.
    let (done, host) = world.ask("sessions_revoke", &["alice@EXAMPLE.test", &id]);
    done.unwrap();
    assert_eq!(host.answer, "|revoked:1;bindings_removed:2;");
    assert_eq!(host.events, "sip:alice@example.test loses '<1>'\nsession_revoked 1\n");
    let (_, host) = world.ask("sessions_revoke", &[ALICE, &id]);
    assert_eq!((host.answer.as_str(), host.events.as_str()), ("|revoked:0;bindings_removed:0;", ""));
    // Nobody is left whose it could be.
    let (_, host) = world.ask("sessions_revoke", &[ALICE]);
    assert_eq!(host.answer, "|revoked:2;bindings_removed:4;");
    assert_eq!(
        host.events,
        "sip:alice@example.test loses '<2>' and those without\nsession_revoked 2\n\
         sip:alice@example.test loses '' and those without\nsession_revoked 3\n"
    );
}

#[test]
fn nothing_is_left_of_all_sessions() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(1, "<1>")]);
    let (done, host) = world.ask("sessions_revoke_all", &[]);
    done.unwrap();
    assert_eq!(host.answer, "|revoked:1;bindings_removed:2;");
    assert_eq!(host.events, "sip:alice@example.test loses '<1>' and those without\nsession_revoked 1\n");
    let (_, host) = world.ask_as(Scribe { no_bindings: true, ..Scribe::default() }, "sessions_revoke_all", &[]);
    assert_eq!(host.answer, "|revoked:0;bindings_removed:0;note=the module usrloc is not loaded here;");
}

#[test]
fn phones_of_the_page_are_told_from_others() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(1, "<1>"), (2, ""), (3, ""), (4, "")]);
    let store = world.context.sessions().unwrap().open(&world.context.policy().unwrap().policy).unwrap();
    let change = |account: &mut sipoauth_core::records::session::Account| {
        let [_, page, desk, kitchen] = &mut account.sessions[..] else { panic!("four") };
        page.sign_in = SignIn::Page;
        page.valid_until = 7;
        for (phone, name) in [(desk, "Desk"), (kitchen, "Kitchen")] {
            (phone.sign_in, phone.parent) = (SignIn::Device, Some(page.id));
            (phone.name, phone.device) = (name.into(), format!("alice-{name}"));
        }
        true
    };
    store.change_account(ALICE, now_millis(), change).unwrap();
    let shown = world.answer("devices_show", &["alice@example.test"]);
    assert!(shown.starts_with("|aor=sip:alice@example.test;id=0303") && shown.matches('|').count() == 2, "{shown}");
    assert!(shown.contains(";name=Desk;username=alice-Desk;provider=corp;created_at:1;valid_until:7;"), "{shown}");
    assert_eq!(world.answer("devices_list", &[]), shown);
    let (_, host) = world.ask("devices_revoke", &[ALICE, "alice-Desk"]);
    assert_eq!(
        (host.answer.as_str(), host.events.as_str()),
        ("|revoked:1;bindings_removed:2;", "sip:alice@example.test loses ''\nsession_revoked 3\n")
    );
    assert_eq!(world.answer("devices_revoke", &[ALICE, &"01".repeat(16)]), "|revoked:0;bindings_removed:0;");
    assert_eq!(world.answer("devices_revoke", &[ALICE]), "|revoked:2;bindings_removed:4;");
    assert_eq!(world.answer("sessions_show", &[ALICE]).matches('|').count(), 1, "the phone that is not of the page");
}

#[test]
fn a_full_answer_ends_and_the_work_does_not() {
    let world = World::new(true);
    world.sign_in(ALICE, &[(1, "<1>"), (2, "<2>")]);
    let small = |room| Scribe { room: Some(room), ..Scribe::default() };
    let (done, host) = world.ask_as(small(2), "sessions_list", &[]);
    assert_eq!((done, host.answer.as_str()), (Ok(()), "|aor=sip:alice@example.test;"));
    let (done, host) = world.ask_as(small(0), "sessions_revoke", &[ALICE]);
    assert_eq!((done, host.answer.as_str()), (Ok(()), ""));
    assert_eq!(host.events.matches("session_revoked").count(), 2);
    assert_eq!(world.answer("sessions_list", &[]), "");
}

#[test]
fn an_account_is_written_shown_and_removed() {
    let world = World::new(true);
    assert_eq!(world.fault("accounts_show", &[ALICE]), (404, "This address has no account".into()));
    assert_eq!(world.answer("accounts_set", &["alice@example.test", VERIFIER]), "written");
    let shown = "|aor=sip:alice@example.test;kdf=sha256;iterations:1000;key_size:256;stands_out=no;";
    assert_eq!(world.answer("accounts_show", &[ALICE]), shown);
    // What comes behind a verifier is not looked at.
    assert_eq!(world.answer("accounts_set", &[ALICE, VERIFIER, "password"]), "written");
    assert_eq!(world.answer("accounts_list", &[]), shown);
    assert_eq!(world.answer("accounts_remove", &[ALICE]), "|removed:1;");
    assert_eq!(world.answer("accounts_remove", &[ALICE]), "|removed:0;");
    assert_eq!(world.answer("accounts_list", &[]), "");
    for (aor, verifier, sentence) in [
        (ALICE, "", "either a verifier or a password is needed"),
        ("example.test", VERIFIER, "this is not a SIP address"),
    ] {
        assert_eq!(world.fault("accounts_set", &[aor, verifier]), (400, sentence.into()));
    }
    let not_text = run(&world.context, "accounts_set", &[ALICE.as_bytes(), b"\xff"], &mut Scribe::default());
    assert_eq!(not_text, Err(Fault::new(400, "verifier: is not UTF-8 text; write it as such")));
}

#[test]
fn a_password_is_taken_where_nobody_waits() {
    let world = World::new(true);
    assert_eq!(world.answer("accounts_set", &[ALICE, "password", "a secret"]), "written");
    let (code, sentence) = world.fault("accounts_set", &[ALICE, "password"]);
    assert!(code == 400 && sentence.ends_with("must be a text: s:0123 for kamcmd, \"0123\" in JSON"), "{sentence}");
    let sip_worker = || Scribe { handles_sip: true, ..Scribe::default() };
    let (done, _) = world.ask_as(sip_worker(), "accounts_set", &[ALICE, "password", "a secret"]);
    assert_eq!(done.unwrap_err().code, 403);
    let (done, _) = world.ask_as(sip_worker(), "accounts_set", &[ALICE, VERIFIER]);
    assert_eq!(done, Ok(()));
    assert!(!world.log.0.lock().unwrap().contains("a secret"));
}

#[test]
fn without_a_store_there_are_no_sessions_and_accounts() {
    let world = World::new(false);
    for (name, arguments) in [("sessions_list", &[][..]), ("sessions_show", &[ALICE]), ("sessions_revoke_all", &[])] {
        assert_eq!(world.fault(name, arguments), (404, "Sessions are not configured (store)".into()));
    }
    for (name, arguments) in [("accounts_list", &[][..]), ("accounts_show", &[ALICE]), ("accounts_remove", &[ALICE])] {
        assert_eq!(world.fault(name, arguments), (404, "Accounts are not configured (store)".into()));
    }
    let (code, sentence) = world.fault("accounts_set", &[ALICE, VERIFIER]);
    assert!(code == 400 && sentence.ends_with("'store' is not configured"), "{sentence}");
}

#[test]
fn a_store_that_is_away_is_not_empty() {
    let world = World::new(true);
    std::fs::write(&world.folder, "in the place of the folder").unwrap();
    assert_eq!(world.fault("sessions_list", &[]), (503, "The session store cannot be reached".into()));
    assert_eq!(world.fault("accounts_list", &[]), (503, "The store cannot be reached".into()));
    assert_eq!(world.fault("accounts_set", &[ALICE, VERIFIER]).0, 503);
    let _ = std::fs::remove_file(&world.folder);
}
