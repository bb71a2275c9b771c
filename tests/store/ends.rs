// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ended sessions while the store fails now and then: nobody stays signed in, and every proxy hears of it in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sipoauth::store::lmdb::LmdbStore;
use sipoauth::store::phones::{AddError, PageSignIn};
use sipoauth::store::session_ends::{Ending, HeardEnds};
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::check::registration::CodeId;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::ports::store::{Page, Store, StoreError, StoreUsage, Write};
use sipoauth_core::records::phone_use::{PhoneUse, call_id_name};
use sipoauth_core::records::seal::Sealer;
use sipoauth_core::records::session::{Identity, sid_name};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
use sipoauth_core::text::secret::SecretText;

use crate::clock;
use crate::support::temporary::Directory;

const AOR: &str = "sip:alice@example.test";
const MOST: usize = 1000;

/// A store of which one call on an ended session's record fails, after so many others.
struct Shaky {
    inner: LmdbStore,
    gets: AtomicUsize,
    puts: AtomicUsize,
}

const NEVER: usize = usize::MAX / 2;

impl Shaky {
    fn fails(count: &AtomicUsize, key: &str) -> Result<(), StoreError> {
        if !key.starts_with("e:") {
            return Ok(());
        }
        match count.fetch_sub(1, Ordering::Relaxed) {
            0 => {
                count.store(NEVER, Ordering::Relaxed);
                Err(StoreError::Away("this once".into()))
            }
            _ => Ok(()),
        }
    }
}

impl Store for Shaky {
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        Shaky::fails(&self.gets, key)?;
        self.inner.get(key, now)
    }
    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        Shaky::fails(&self.puts, write.key)?;
        self.inner.put(write, expected, now)
    }
    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError> {
        self.inner.remove(key, expected)
    }
    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.due(now, limit)
    }
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(prefix, from, limit)
    }
    fn upkeep(&self, now: i64) -> Result<u64, StoreError> {
        self.inner.upkeep(now)
    }
    fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.inner.usage()
    }
}

struct Place {
    store: SessionStore,
    shaky: Arc<Shaky>,
    policy: Policy,
    _directory: Directory,
}

fn place(more: &str) -> Place {
    let directory = Directory::new("ends");
    let folder = directory.file("store");
    let text = format!(
        "store = \"{}\"\nstore_key = \"a-key-of-at-least-32-octets-for-tests\"\n{more}\n[[provider]]\nname = \"corp\"\n\
         issuer = \"https://as.example\"\naudience = \"sip\"\naor = \"{{sip}}\"\ndomain = \"example.test\"\n\
         client_id = \"page\"\nclient_secret = \"secret\"\n",
        folder.display()
    );
    let mut source = Source::default();
    let file = directory.write("sipoauth.toml", text);
    source.set("config_file", file.to_str().expect("UTF-8")).expect("a file");
    let policy = Policy::new(&source.load().expect("a configuration")).expect("a policy");
    let inner = LmdbStore::open(&folder, 16, false).expect("a store");
    let shaky = Arc::new(Shaky { inner, gets: AtomicUsize::new(NEVER), puts: AtomicUsize::new(NEVER) });
    let sealer = Arc::new(Sealer::new(b"a-key-of-at-least-32-octets-for-tests"));
    let store = SessionStore::new(Arc::clone(&shaky) as Arc<dyn Store>, sealer, clock()).expect("a store");
    Place { store, shaky, policy, _directory: directory }
}

impl Place {
    fn sign_in(&self, subject: &str, sid: &str, scope: &str, lifetime: i64) -> PageSignIn {
        let granted = Granted {
            identity: Identity {
                subject: subject.into(),
                aors: vec![AOR.into()],
                client_id: "page".into(),
                scope: scope.into(),
                sid: Some(sid_name(sid)),
            },
            access_token: SecretText("access".into()),
            refresh_token: Some(SecretText("refresh".into())),
            id_token: None,
            expires_at: clock() / 1000 + lifetime,
            master_key: None,
        };
        self.store.keep_page_sign_in(&self.policy, 0, granted, clock()).expect("kept")
    }

    fn add(&self, page: &PageSignIn) -> Result<(), AddError> {
        self.store.add_device(&self.policy, page, "Desk", "example.test", clock()).map(drop)
    }

    fn end_all(&self) -> Result<Vec<SessionEnd>, StoreError> {
        self.store.end_sessions(AOR, &Ending::new(EndedBy::User), clock(), |_| true)
    }

    fn hear(&self, heard: &mut HeardEnds) -> (Vec<SessionEnd>, Result<bool, StoreError>) {
        let mut ends = Vec::new();
        let done = self.store.hear_some(None, heard, (&mut ends, MOST), clock());
        (ends, done)
    }

    fn records(&self, prefix: &str) -> usize {
        self.store.store().scan(prefix, None, 100_000).expect("a store").keys.len()
    }
}

#[test]
fn an_end_that_cannot_be_read_is_read_later() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    (0..2).for_each(|_| place.add(&page).expect("added"));
    place.end_all().expect("ended");
    let mut heard = HeardEnds::new(clock());
    place.shaky.gets.store(1, Ordering::Relaxed);
    let (ends, done) = place.hear(&mut heard);
    assert!(ends.len() == 1 && done.is_err(), "what was read counts: {ends:?}");
    let (ends, done) = place.hear(&mut heard);
    assert_eq!((ends.len(), done), (1, Ok(true)), "the other one is not lost");
    assert_eq!(place.hear(&mut heard).0.len(), 0, "and nothing is told twice");
}

#[test]
fn no_more_ends_are_read_than_wanted_and_the_rest_stays() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    (0..5).for_each(|_| place.add(&page).expect("added"));
    place.end_all().expect("ended");
    let (mut heard, mut ends) = (HeardEnds::new(clock()), Vec::new());
    let done = place.store.hear_some(None, &mut heard, (&mut ends, 3), clock());
    assert_eq!((ends.len(), done), (3, Ok(false)));
    let (ends, done) = place.hear(&mut heard);
    assert_eq!((ends.len(), done), (2, Ok(true)));
}

#[test]
fn an_end_that_cannot_be_told_is_told_when_it_is_tried_again() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    (0..2).for_each(|_| place.add(&page).expect("added"));
    place.shaky.puts.store(1, Ordering::Relaxed);
    place.end_all().expect_err("the store fails");
    assert!(place.store.phones(AOR, clock()).expect("a store").is_empty(), "nobody is signed in any more");
    assert_eq!(place.end_all().expect("ended").len(), 3, "two phones and the sign-in at the page");
    let (ends, _) = place.hear(&mut HeardEnds::new(clock()));
    let ids: std::collections::BTreeSet<_> = ends.iter().map(|end| end.session.id).collect();
    assert_eq!(ids.len(), 2, "both phones are told of");
    for prefix in ["a:", "d:", "t:", "w:", "n:"] {
        let left = if prefix == "n:" { 1 } else { 0 };
        assert_eq!(place.records(prefix), left, "{prefix}");
    }
    assert!(place.end_all().expect("ended").is_empty());
}

#[test]
fn a_logout_token_tells_what_an_earlier_failure_left() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    place.add(&page).expect("added");
    place.shaky.puts.store(0, Ordering::Relaxed);
    let issuer = place.policy.providers[0].issuer_name;
    let log_out = || place.store.log_out(&issuer, Some("alice"), None, clock());
    log_out().expect_err("the store fails");
    assert_eq!(log_out().expect("ended").len(), 2);
    assert_eq!(place.hear(&mut HeardEnds::new(clock())).0.len(), 1);
}

#[test]
fn a_short_session_does_not_shorten_what_is_known_of_its_user() {
    let place = place("session_lifetime = 60");
    place.sign_in("alice", "one", "sip", 3600);
    let issuer = place.policy.providers[0].issuer_name;
    let later = |seconds: i64| clock() + seconds * 1000;
    // A user whose earlier session ends later: the clock of this sign-in is two minutes ahead.
    let granted = |sid: &str| Granted {
        identity: Identity {
            subject: "bob".into(),
            aors: vec!["sip:bob@example.test".into()],
            client_id: "page".into(),
            scope: "sip".into(),
            sid: Some(sid_name(sid)),
        },
        access_token: SecretText("access".into()),
        refresh_token: None,
        id_token: None,
        expires_at: later(600) / 1000,
        master_key: None,
    };
    place.store.keep_page_sign_in(&place.policy, 0, granted("ahead"), later(120)).expect("kept");
    place.store.keep_page_sign_in(&place.policy, 0, granted("now"), clock()).expect("kept");
    let key = sipoauth_core::records::user_index::user_index_key(&issuer, "bob");
    assert!(place.store.raw(&key, later(150)).expect("a store").is_some(), "it lasts as long as the longest");
    assert!(place.store.raw(&key, later(190)).expect("a store").is_none());
}

#[test]
fn signing_in_again_and_again_leaves_no_records() {
    let place = place("");
    (0..50).for_each(|i| drop(place.sign_in("alice", &format!("browser {i}"), "sip", 3600)));
    assert_eq!(place.records("n:"), 2, "the user, and the latest browser session");
    place.end_all().expect("ended");
    assert_eq!(place.records("n:"), 1, "the user's record ends with the session's time");
}

#[test]
fn no_phone_vanishes_to_make_room_for_another_untold() {
    let place = place("max_devices = 64");
    let page = place.sign_in("alice", "one", &"scope-of-some-length ".repeat(20), 3600);
    let mut added = 0;
    while place.add(&page).is_ok() {
        added += 1;
        assert_eq!(place.store.phones(AOR, clock()).expect("a store").len(), added);
    }
    assert!((8..64).contains(&added), "{added}");
    assert_eq!(place.add(&page), Err(AddError::TooMany));
    assert_eq!(place.records("d:"), added, "no password of a phone that was not added");
}

#[test]
fn sign_ins_that_make_room_for_others_are_told_of() {
    let place = place("");
    let first = place.sign_in("alice 0", "0", "sip", 3600);
    place.add(&first).expect("added");
    (1..5).for_each(|i| drop(place.sign_in(&format!("alice {i}"), &i.to_string(), "sip", 3600)));
    assert!(place.store.phones(AOR, clock()).expect("a store").is_empty());
    let (ends, _) = place.hear(&mut HeardEnds::new(clock()));
    assert_eq!(ends.iter().map(|end| end.by).collect::<Vec<_>>(), [EndedBy::Displaced]);
    assert_eq!(place.records("d:"), 0);
}

#[test]
fn a_code_that_was_taken_back_is_none() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    let add = || place.store.add_typed_code(&place.policy, &page, "Phone", clock()).expect("a code").code;
    let known = |code: &str| place.store.code(&CodeId::of_typed_code(AOR, code), clock()).expect("a store").is_some();
    let (earlier, code) = (add(), add());
    assert!(!known(&earlier) && known(&code), "only the last one is good");
    place.store.close_open_code(AOR, clock()).expect("closed");
    place.store.close_open_code(AOR, clock()).expect("nothing to close");
    assert!(!known(&code));
}

#[test]
fn a_phone_with_many_call_ids_keeps_no_binding() {
    let place = place("");
    let page = place.sign_in("alice", "one", "sip", 3600);
    (0..2).for_each(|_| place.add(&page).expect("added"));
    let phones = place.store.phones(AOR, clock()).expect("a store");
    let (thief, other) = (phones[0].session.id, phones[1].session.id);
    let note = |id, call_id: &str| {
        let seen = PhoneUse::new(clock() / 1000, "192.0.2.1", "Phone", call_id_name(call_id.as_bytes()));
        place.store.note_use(id, &seen, clock() + 3_600_000, clock()).expect("noted");
    };
    let [first, second] = ["of the other phone", "of the other phone, later"]
        .map(|call_id| PhoneUse::new(clock() / 1000, "192.0.2.1", "Phone", call_id_name(call_id.as_bytes())));
    let until = clock() + 3_600_000;
    place.store.note_uses(&[(other, &first, until), (other, &second, until)], clock()).expect("noted");
    (0..40).for_each(|i| note(&thief, &format!("call-id {i}")));
    let ended = place.store.end_sessions(AOR, &Ending::new(EndedBy::User), clock(), |s| s.id == thief).expect("ended");
    let bindings = ended[0].bindings();
    assert!((0..40).all(|i| bindings.have("", format!("call-id {i}").as_bytes())));
    assert!(bindings.have("<urn:uuid:of-the-thief>", b"call-id 0"));
    assert!(!bindings.have("", b"of the other phone") && !bindings.have("", b"of the other phone, later"));
}
