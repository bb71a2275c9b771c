// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends of sessions, as every proxy hears of them. Whoever ends a session leaves a record of that for some minutes: the
//! page, the tool, a command, another proxy. With a folder every proxy looks for new ones all the time; with Redis it is
//! told.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::phones::phone_use_key;
use super::sessions::{ATTEMPTS, SessionStore, overtaken, tokens_key, unseal};
use sipoauth_core::oauth::logout_token::LogoutToken;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::phone_use::{CallIdName, PhoneUse};
use sipoauth_core::records::session::{Account, IssuerName, Session, SessionId, SidName, SignIn, encode};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd, instance_name};
use sipoauth_core::records::user_index::{UserIndex, user_index_key};
use sipoauth_core::text::fingerprint::{hex, push_hex};

/// How long an end is told, in milliseconds. A proxy that is away for longer has lost its bindings, or finds them expired.
const TOLD: i64 = 600_000;
/// The keys of these records begin with this. The time follows, 13 digits of Unix milliseconds.
pub const PREFIX: &str = "e:";
/// The clocks of proxies may differ by so much, in milliseconds.
const CLOCKS: i64 = 5000;
/// Ends that are read at once.
const PAGE: usize = 256;

/// How sessions are ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// By whom.
    pub by: EndedBy,
    /// A sentence for people.
    pub why: &'a str,
    /// The proxy whose host is told by the caller; 0: none.
    pub origin: u64,
}

impl Ending<'static> {
    /// An end that no proxy knows of yet.
    pub fn new(by: EndedBy) -> Ending<'static> {
        Ending { by, why: by.why(), origin: 0 }
    }
}

/// The ends that were heard of.
#[derive(Debug, Default)]
pub struct HeardEnds {
    heard: HashMap<String, i64>,
    since: i64,
}

impl HeardEnds {
    /// What has ended shortly before counts, too: the location service may have brought its bindings back from a database.
    pub fn new(now: i64) -> HeardEnds {
        HeardEnds { heard: HashMap::new(), since: now - TOLD }
    }

    /// False when the record of an end is known, or too old.
    fn is_new(&self, key: &str) -> bool {
        time_of(key).is_some_and(|at| at >= self.since) && !self.heard.contains_key(key)
    }

    /// Notes that the record was read.
    fn note(&mut self, key: &str) {
        self.heard.extend(time_of(key).map(|at| (key.to_owned(), at)));
    }

    /// Forgets what will not turn up again.
    fn forget(&mut self, now: i64) {
        self.heard.retain(|_, at| *at >= now - TOLD - CLOCKS);
    }
}

fn time_of(key: &str) -> Option<i64> {
    key.strip_prefix(PREFIX)?.get(..13)?.parse().ok()
}

impl SessionStore {
    /// Tells every proxy of the sessions of an address that have ended untold, and removes what is left of them: their tokens,
    /// device passwords and last uses. If it fails, whoever ends something at this address tells of them again.
    pub(super) fn tell_untold(
        &self,
        account: Account,
        ending: &Ending<'_>,
        now: i64,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        if account.untold.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.tell_ended(&account, account.untold.clone(), ending, now)?;
        told.iter().for_each(|end| self.clear_away(&end.session, &end.aor, now));
        let is_told = |s: &Session| told.iter().any(|end| end.session.id == s.id);
        // If this fails they are told of twice, and nothing is left of them to go.
        let _ = self.change_account(&account.aor, now, |account| {
            let before = account.untold.len();
            account.untold.retain(|s| !is_told(s));
            account.untold.len() != before
        });
        Ok(told)
    }

    /// Tells every proxy of ended sessions of an address. `account` is what the address has now.
    pub fn tell_ended(
        &self,
        account: &Account,
        ended: Vec<Session>,
        ending: &Ending<'_>,
        now: i64,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let mut told = Vec::new();
        for session in ended {
            let id = session.id;
            let known = self.phone_use(&id, now)?.unwrap_or_default();
            let all_but = known.may_have_others(now / 1000);
            let nameless = |s: &Session| s.sign_in != SignIn::Page && s.instance.is_empty() && s.id != id;
            let end = SessionEnd {
                aor: account.aor.clone(),
                call_ids: if all_but { self.names_of_others(account, &id, now)? } else { known.call_ids },
                all_but,
                last_nameless: !account.sessions.iter().any(nameless),
                session: Session {
                    valid_until: 0,
                    keys: Vec::new(),
                    proofs: Vec::new(),
                    tokens: Vec::new(),
                    ..session
                },
                by: ending.by,
                why: ending.why.to_owned(),
                origin: ending.origin,
            };
            // Nobody holds the session of the page itself.
            if end.session.sign_in != SignIn::Page {
                self.put_end(&end, now)?;
            }
            told.push(end);
        }
        Ok(told)
    }

    /// The Call-IDs and instances of the phones of an address but this one.
    fn names_of_others(&self, account: &Account, but: &SessionId, now: i64) -> Result<Vec<CallIdName>, StoreError> {
        let mut names = Vec::new();
        for session in account.phones().filter(|s| s.id != *but) {
            names.extend(self.phone_use(&session.id, now)?.unwrap_or_default().call_ids);
            names.extend((!session.instance.is_empty()).then(|| instance_name(&session.instance)));
        }
        Ok(names)
    }

    fn put_end(&self, end: &SessionEnd, now: i64) -> Result<(), StoreError> {
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::Away("no random numbers".into()))?;
        let mut key = format!("{PREFIX}{now:013}");
        push_hex(&mut key, &random);
        let value = self.sealer.seal(&key, &encode(end));
        self.store.put_owed(&Write { key: &key, value: &value, expires_at: now + TOLD, due_at: None }, None, now)?;
        Ok(())
    }

    /// Removes what is kept beside a session that is no more. If that fails, it expires.
    pub(super) fn clear_away(&self, session: &Session, aor: &str, now: i64) {
        let _ = self.store.remove(&tokens_key(&session.id), None);
        if session.sign_in == SignIn::Device {
            self.remove_device(&session.device);
        }
        if session.parent.is_some() {
            self.forget_use(&session.id);
        }
        if session.sign_in == SignIn::Page {
            self.forget_browser(session, aor, now);
        }
    }

    /// The end of a session that another process has told of under this key. None when it is known. What cannot be read now
    /// may be asked for again.
    fn hear(&self, key: &str, heard: &mut HeardEnds, now: i64) -> Result<Option<SessionEnd>, StoreError> {
        if !heard.is_new(key) {
            return Ok(None);
        }
        let sealed = self.store.get(key, now)?;
        heard.note(key);
        match sealed.map(|sealed| unseal(&self.sealer, key, &sealed)).transpose() {
            Ok(end) => Ok(end.flatten()),
            // One record that nobody can read must not hide the others.
            Err(StoreError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ends of sessions that were not heard of yet: those of these keys, or all. At most `most` of them; true when there
    /// are no more. What was heard before a failure is in `ends`.
    pub fn hear_some(
        &self,
        keys: Option<&[String]>,
        heard: &mut HeardEnds,
        (ends, most): (&mut Vec<SessionEnd>, usize),
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut hear = |keys: &[String]| {
            for key in keys {
                if ends.len() >= most {
                    return Ok(false);
                }
                ends.extend(self.hear(key, heard, now)?);
            }
            Ok(true)
        };
        let Some(keys) = keys else {
            let mut from = None;
            loop {
                let page = self.store.scan(PREFIX, from.as_deref(), PAGE)?;
                if !hear(&page.keys)? {
                    return Ok(false);
                }
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
            heard.forget(now);
            return Ok(true);
        };
        hear(keys)
    }

    /// Ends the sessions of an address that `goes` picks, and those that hang on them.
    pub fn end_sessions(
        &self,
        aor: &str,
        ending: &Ending<'_>,
        now: i64,
        goes: impl Fn(&Session) -> bool,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let account = self.change_account(aor, now, |account| {
            let mut ended: Vec<Session> = account.sessions.extract_if(.., |session| goes(session)).collect();
            ended.extend(account.prune(usize::MAX));
            let is_changed = !ended.is_empty();
            account.owe(ended);
            is_changed
        })?;
        self.tell_untold(account, ending, now)
    }

    /// Ends the sessions that a logout token of this issuer is about (Back-Channel Logout 1.0 section 2.6): those of one
    /// browser session if it names one, otherwise all of its user.
    pub fn log_out(
        &self,
        issuer: &IssuerName,
        subject: Option<&str>,
        sid: Option<&SidName>,
        now: i64,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let by_user = subject.map(|subject| user_index_key(issuer, subject));
        let by_sid = sid.map(|sid| user_index_key(issuer, &sid_text(sid)));
        let mut aors: Vec<String> = Vec::new();
        for key in [by_user, by_sid].into_iter().flatten() {
            if let Some((index, _)) = self.read::<UserIndex>(&key, now)? {
                aors.extend(index.aors.into_iter().filter(|aor| !aors.contains(aor)).collect::<Vec<_>>());
            }
        }
        let goes = |session: &Session| {
            let of_user = subject.is_none_or(|subject| session.subject == subject);
            let of_browser = match (sid, &session.sid) {
                (Some(sid), Some(known)) => sid == known,
                // Nothing tells which browser session this one came from.
                (Some(_), None) => subject.is_some(),
                (None, _) => subject.is_some(),
            };
            session.parent.is_none() && session.issuer == *issuer && of_user && of_browser
        };
        let mut told = Vec::new();
        for aor in aors {
            told.extend(self.end_sessions(&aor, &Ending::new(EndedBy::Logout), now, goes)?);
        }
        Ok(told)
    }

    /// Like [`SessionStore::log_out`], for a verified logout token. None: it was used before.
    pub fn log_out_once(&self, token: &LogoutToken, now: i64) -> Result<Option<Vec<SessionEnd>>, StoreError> {
        let key = logout_token_key(&token.issuer, &token.jti);
        let write = Write { key: &key, value: b"1", expires_at: token.good_until * 1000, due_at: None };
        if !self.store.put_owed(&write, None, now)? {
            return Ok(None);
        }
        let told = self.log_out(&token.issuer, token.subject.as_deref(), token.sid.as_ref(), now);
        if told.is_err() {
            // The server may send it again.
            let _ = self.store.remove(&key, None);
        }
        told.map(Some)
    }

    /// Notes at which address a user has a session, until `expires_at`.
    pub(super) fn note_user(
        &self,
        issuer: &IssuerName,
        (subject, sid): (&str, Option<&SidName>),
        aor: &str,
        expires_at: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let by_sid = sid.map(sid_text);
        for name in std::iter::once(subject).chain(by_sid.as_deref()).filter(|name| !name.is_empty()) {
            self.note_name(&user_index_key(issuer, name), aor, expires_at, now)?;
        }
        Ok(())
    }

    fn note_name(&self, key: &str, aor: &str, expires_at: i64, now: i64) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let (mut index, sealed) = match self.read::<UserIndex>(key, now)? {
                Some((index, sealed)) => (index, Some(sealed)),
                None => (UserIndex::default(), None),
            };
            index.add(aor);
            // Another session of this user may last longer than this one.
            index.until = index.until.max(expires_at);
            let value = self.sealer.seal(key, &encode(&index));
            let write = Write { key, value: &value, expires_at: index.until, due_at: None };
            if self.store.put_owed(&write, sealed.as_deref(), now)? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    /// Forgets at which address a browser's session has signed in. If that fails, it expires.
    pub(super) fn forget_browser(&self, page: &Session, aor: &str, now: i64) {
        let Some(sid) = &page.sid else { return };
        let key = user_index_key(&page.issuer, &sid_text(sid));
        if let Ok(Some((index, sealed))) = self.read::<UserIndex>(&key, now)
            && index.aors == [aor]
        {
            let _ = self.store.remove(&key, Some(&sealed));
        }
    }

    /// The last registration of a phone.
    pub fn phone_use(&self, session: &SessionId, now: i64) -> Result<Option<PhoneUse>, StoreError> {
        Ok(self.read(&phone_use_key(session), now)?.map(|(seen, _)| seen))
    }
}

/// The key under which it is kept that a logout token was used.
fn logout_token_key(issuer: &IssuerName, jti: &str) -> String {
    let mut key = String::from("j:");
    push_hex(&mut key, &Sha256::new().chain_update(issuer).chain_update(jti).finalize()[..16]);
    key
}

/// The name of a browser session in the index. No `sub` begins so, because that is what servers choose.
fn sid_text(sid: &SidName) -> String {
    format!("\0sid {}", hex(sid))
}
