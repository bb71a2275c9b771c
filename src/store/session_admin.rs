// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operator's view of sessions: who is signed in, and how a session is ended.

use super::session_ends::Ending;
use super::sessions::{SessionError, SessionStore};
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::reason::Reason;
use sipoauth_core::records::session::{Account, CodeRecord, CodeState, Session, encode, id_text};
use sipoauth_core::records::session_end::SessionEnd;
use sipoauth_core::sip::uri::Aor;

/// Accounts on a page of a list.
const PAGE: usize = 100;
/// How long a revoked code is remembered, in milliseconds: the longest code_lifetime.
const REVOKED_CODE: i64 = 86_400_000;

/// A session with its address.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// The address-of-record.
    pub aor: String,
    /// The session.
    pub session: Session,
}

/// Some sessions, and where the next ones begin.
#[derive(Debug, Default)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<ListedSession>,
    /// For the next call; None at the end.
    pub next: Option<String>,
}

impl SessionStore {
    /// The sessions of an address, or of one page of all addresses if `aor` is empty.
    pub fn list(&self, aor: &str, from: &str, now: i64) -> Result<SessionPage, SessionError> {
        let mut page = SessionPage::default();
        let mut add = |account: Account| {
            let Account { aor, sessions, .. } = account.judged();
            let alive = sessions.into_iter().filter(|s| s.ends_at > now / 1000);
            page.sessions.extend(alive.map(|session| ListedSession { aor: aor.clone(), session }));
        };
        if !aor.is_empty() {
            let aor = Aor::parse(aor).ok_or(SessionError::Malformed)?;
            if let Some(account) = self.account(aor.as_str(), now)? {
                add(account);
            }
            return Ok(page);
        }
        let found = self.store.scan("a:", (!from.is_empty()).then_some(from), PAGE)?;
        for key in &found.keys {
            match self.read::<Account>(key, now) {
                Ok(Some((account, _))) => add(account),
                // A record that cannot be read must not hide the others. Nobody can use it anyway.
                Ok(None) | Err(StoreError::Corrupt(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        page.next = found.next;
        Ok(page)
    }

    /// Ends one session of an address, or all of them if `id` is empty.
    pub fn revoke(&self, aor: &str, id: &str, ending: &Ending<'_>, now: i64) -> Result<Vec<SessionEnd>, SessionError> {
        let aor = Aor::parse(aor).ok_or(SessionError::Malformed)?;
        let goes = |session: &Session| id.is_empty() || id_text(&session.id).eq_ignore_ascii_case(id);
        Ok(self.end_sessions(aor.as_str(), ending, now, goes)?)
    }

    /// Ends all sessions, and all codes with which no phone has registered yet.
    pub fn revoke_all(&self, ending: &Ending<'_>, now: i64) -> Result<Vec<SessionEnd>, SessionError> {
        let mut ended = Vec::new();
        let mut from = String::new();
        loop {
            let page = self.list("", &from, now)?;
            let mut last = "";
            for ListedSession { aor, .. } in &page.sessions {
                if std::mem::replace(&mut last, aor) != aor {
                    ended.extend(self.revoke(aor, "", ending, now)?);
                }
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        self.revoke_codes(now)?;
        Ok(ended)
    }

    fn revoke_codes(&self, now: i64) -> Result<(), StoreError> {
        let mut from = None;
        loop {
            let page = self.store.scan("c:", from.as_deref(), PAGE)?;
            for key in &page.keys {
                let Ok(Some((mut record, sealed))) = self.read::<CodeRecord>(key, now) else { continue };
                if !matches!(&record.state, CodeState::Done(exchanged) if exchanged.bound_to.is_empty()) {
                    continue;
                }
                record.state = CodeState::Spent(Reason::SessionEnded.number());
                let value = self.sealer.seal(key, &encode(&record));
                let write = Write { key, value: &value, expires_at: now + REVOKED_CODE, due_at: None };
                // This changes nothing if a phone has registered with the code meanwhile: its session began after
                // the revocation.
                self.store.put(&write, Some(&sealed), now)?;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }
}
