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
use sipoauth_core::records::phone_use::PhoneUse;
use sipoauth_core::records::session::{Account, IssuerName, Session, SessionId, SidName, SignIn, encode};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
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
    /// What ended before `now` does not count, because the caller had no bindings then.
    pub fn new(now: i64) -> HeardEnds {
        HeardEnds { heard: HashMap::new(), since: now - CLOCKS }
    }

    /// Notes the record of an end; false when it is known, or too old.
    fn note(&mut self, key: &str) -> bool {
        let at = time_of(key).filter(|at| *at >= self.since);
        at.is_some_and(|at| self.heard.insert(key.to_owned(), at).is_none())
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
    /// Tells every proxy of ended sessions of an address, and removes what is left of them: their tokens, device
    /// passwords and last uses. `left` is what the address has now.
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
            let known = self.phone_use(&id, now).ok().flatten().unwrap_or_default();
            let nameless = |s: &Session| s.sign_in != SignIn::Page && s.instance.is_empty() && s.id != id;
            let end = SessionEnd {
                aor: account.aor.clone(),
                call_ids: known.call_ids,
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
    pub(super) fn clear_away(&self, session: &Session) {
        let _ = self.store.remove(&tokens_key(&session.id), None);
        if session.sign_in == SignIn::Device {
            self.remove_device(&session.device);
        }
        if session.parent.is_some() {
            let _ = self.store.remove(&phone_use_key(&session.id), None);
        }
    }

    /// The end of a session that another process has told of under this key. None when it is known.
    pub fn hear(&self, key: &str, heard: &mut HeardEnds, now: i64) -> Result<Option<SessionEnd>, StoreError> {
        if !heard.note(key) {
            return Ok(None);
        }
        let Some(sealed) = self.store.get(key, now)? else { return Ok(None) };
        unseal(&self.sealer, key, &sealed)
    }

    /// The ends of sessions that were not heard of yet.
    pub fn hear_all(&self, heard: &mut HeardEnds, now: i64) -> Result<Vec<SessionEnd>, StoreError> {
        let (mut ends, mut from) = (Vec::new(), None);
        loop {
            let page = self.store.scan(PREFIX, from.as_deref(), PAGE)?;
            for key in &page.keys {
                ends.extend(self.hear(key, heard, now)?);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        heard.forget(now);
        Ok(ends)
    }

    /// Ends the sessions of an address that `goes` picks, and those that hang on them.
    pub fn end_sessions(
        &self,
        aor: &str,
        ending: &Ending<'_>,
        now: i64,
        goes: impl Fn(&Session) -> bool,
    ) -> Result<Vec<SessionEnd>, StoreError> {
        let (mut ended, mut left) = (Vec::new(), Account::default());
        self.change_account(aor, now, |account| {
            ended = account.sessions.extract_if(.., |session| goes(session)).collect();
            ended.extend(account.prune(usize::MAX));
            left.clone_from(account);
            !ended.is_empty()
        })?;
        left.aor = aor.to_owned();
        let told = self.tell_ended(&left, ended, ending, now)?;
        for end in &told {
            self.clear_away(&end.session);
        }
        Ok(told)
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
            let value = self.sealer.seal(key, &encode(&index));
            let write = Write { key, value: &value, expires_at, due_at: None };
            if self.store.put_owed(&write, sealed.as_deref(), now)? {
                return Ok(());
            }
        }
        Err(overtaken())
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
