// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sessions of all phones: sealed records in a store, changed only by compare-and-set.

use std::sync::Arc;

use super::session_ends::Ending;
use sha2::{Digest, Sha256};
use sipoauth_core::check::registration::{CodeId, Registration, admit, key_of, may_register};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sessions::Sessions;
use sipoauth_core::keys::pop::make_pop;
use sipoauth_core::ports::store::{Store, StoreError, Write};
use sipoauth_core::records::redemption::{RETRANSMISSION, Redemption};
use sipoauth_core::records::seal::Sealer;
use sipoauth_core::records::session::{
    Account, CodeRecord, CodeState, Exchanged, IssuerName, Record, Session, SessionId, SignIn, decode, encode, id_text,
    is_outdated,
};
use sipoauth_core::records::session_end::EndedBy;
use sipoauth_core::text::fingerprint::push_hex;
use sipoauth_core::text::secret::KeyOctets;

/// If others change a record first this many times in a row, the store counts as away.
pub(super) const ATTEMPTS: usize = 16;
/// Longest record of an address, in octets. A longer record loses the device that signed in first.
const MAX_ACCOUNT: usize = 7 * 1024;
/// The name of the record that tells whether the sealing key is the right one.
const CHECK: &str = "m:key-check";
/// Digest credentials that gave tokens are remembered at least so long, in milliseconds: the host may accept their nonce
/// for longer than a code is valid.
const USED_CREDENTIALS: i64 = 3_600_000;
/// The end of the year 9999 in milliseconds.
pub(super) const FOREVER: i64 = 253_402_300_799_000;

/// Why something cannot be done with sessions.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionError {
    /// Sessions are not configured.
    NotConfigured,
    /// An argument cannot be read: an address, or a ticket.
    Malformed,
    /// What was asked for does not exist.
    NotThere,
    /// The store cannot be read or written.
    Store(StoreError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> SessionError {
        SessionError::Store(error)
    }
}

/// The rules that bound sessions, from the configuration.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Longest life in seconds.
    lifetime: i64,
    /// Most devices of an address.
    devices: usize,
}

fn bounds(policy: &Policy) -> Bounds {
    let settings = &policy.settings;
    Bounds { lifetime: settings.session_lifetime.into(), devices: settings.max_devices as usize }
}

/// How long the fate of a grant is kept, in milliseconds.
pub fn fate_lifetime(policy: &Policy, of_password: bool) -> i64 {
    let lifetime = i64::from(policy.settings.code_lifetime) * 1000;
    if of_password { lifetime.max(USED_CREDENTIALS) } else { lifetime }
}

/// A typed view of a store. Times are Unix milliseconds unless they say otherwise.
pub struct SessionStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) sealer: Arc<Sealer>,
}

/// The key of the record with the sessions of an address.
pub fn account_key(aor: &str) -> String {
    let mut key = String::from("a:");
    push_hex(&mut key, &Sha256::digest(aor.as_bytes())[..16]);
    key
}

/// The key of the record with the fate of a code.
pub fn code_key(id: &CodeId) -> String {
    format!("c:{}", id.0)
}

/// The key under which it is kept that a code was used, until the session ends that it has made.
fn used_code_key(id: &CodeId) -> String {
    format!("u:{}", id.0)
}

/// The key of the record with the tokens of a session.
pub fn tokens_key(session: &SessionId) -> String {
    format!("t:{}", id_text(session))
}

/// The key of the lease, which is the right to refresh the tokens of a session.
pub fn lease_key(tokens_key: &str) -> String {
    format!("l:{}", tokens_key.trim_start_matches("t:"))
}

/// Opens and reads a record. None means that an older version of this program wrote it; such a record counts as
/// absent.
pub fn unseal<T: Record>(sealer: &Sealer, key: &str, sealed: &[u8]) -> Result<Option<T>, StoreError> {
    let octets = sealer.open(key, sealed);
    if octets.as_ref().is_some_and(|octets| is_outdated::<T>(octets)) {
        return Ok(None);
    }
    let record = octets.as_ref().and_then(|octets| decode(octets));
    record
        .map(Some)
        .ok_or_else(|| StoreError::Corrupt("a record was made with another store_key, or was changed".into()))
}

/// Tells whether the store's records were sealed under this secret; None when the store has no secret yet. Changes
/// nothing.
pub fn is_sealed_by(store: &dyn Store, sealer: &Sealer, now: i64) -> Result<Option<bool>, StoreError> {
    Ok(store.get(CHECK, now)?.map(|found| found == sealer.check().as_bytes()))
}

impl SessionStore {
    /// Takes a store into use. If its records were sealed under another secret, this fails and leaves the store as
    /// it is.
    pub fn new(store: Arc<dyn Store>, sealer: Arc<Sealer>, now: i64) -> Result<SessionStore, StoreError> {
        let own = sealer.check().as_bytes();
        for _ in 0..ATTEMPTS {
            match store.get(CHECK, now)? {
                Some(found) if found == own => return Ok(SessionStore { store, sealer }),
                Some(_) => {
                    return Err(StoreError::Corrupt(
                        "store_key is not the one that its sessions were sealed with; nothing was changed".into(),
                    ));
                }
                None => {
                    let write = Write { key: CHECK, value: own, expires_at: FOREVER, due_at: None };
                    store.put(&write, None, now)?;
                }
            }
        }
        Err(overtaken())
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The sealed record.
    pub fn raw(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key, now)
    }

    pub(super) fn read<T: Record>(&self, key: &str, now: i64) -> Result<Option<(T, Vec<u8>)>, StoreError> {
        let sealed = self.store.get(key, now)?;
        sealed.map_or(Ok(None), |sealed| self.opened(key, sealed))
    }

    /// A sealed record and what is in it. One of another version is removed.
    pub(super) fn opened<T: Record>(&self, key: &str, sealed: Vec<u8>) -> Result<Option<(T, Vec<u8>)>, StoreError> {
        match unseal(&self.sealer, key, &sealed)? {
            Some(record) => Ok(Some((record, sealed))),
            None => {
                self.store.remove(key, Some(&sealed))?;
                Ok(None)
            }
        }
    }

    /// The sessions of an address.
    pub fn account(&self, aor: &str, now: i64) -> Result<Option<Account>, StoreError> {
        Ok(self.read(&account_key(aor), now)?.map(|(account, _)| account))
    }

    /// The fate of a code, and its sealed record for a change.
    pub fn code(&self, id: &CodeId, now: i64) -> Result<Option<(CodeRecord, Vec<u8>)>, StoreError> {
        self.read(&code_key(id), now)
    }

    /// Writes the fate of a code if its sealed record is still `expected`. Only the claim, which is the first record
    /// of a code, may fail for lack of room, because nothing has been sent then.
    pub fn put_code(
        &self,
        id: &CodeId,
        record: &CodeRecord,
        expected: Option<&[u8]>,
        expires_at: i64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let key = code_key(id);
        let sealed = self.sealer.seal(&key, &encode(record));
        let write = Write { key: &key, value: &sealed, expires_at, due_at: None };
        match expected {
            Some(_) => self.store.put_owed(&write, expected, now),
            None => self.store.put(&write, None, now),
        }
    }

    /// True when a session lives, or could live, that this code has made.
    pub fn is_used(&self, id: &CodeId, now: i64) -> Result<bool, StoreError> {
        Ok(self.store.get(&used_code_key(id), now)?.is_some())
    }

    /// Notes until when a code counts as used. Without room for it, the code is forgotten with its record.
    fn keep_used(&self, id: &CodeId, expires_at: i64, now: i64) -> Result<(), StoreError> {
        let write = Write { key: &used_code_key(id), value: b"1", expires_at, due_at: None };
        match self.store.put_owed(&write, None, now) {
            Ok(_) | Err(StoreError::Full) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the record of a code whose exchange has certainly not begun.
    pub fn remove_code(&self, id: &CodeId, expected: &[u8]) -> Result<bool, StoreError> {
        self.store.remove(&code_key(id), Some(expected))
    }

    /// Changes the sessions of an address, and returns them. `change` returns whether there is something to write. A record
    /// in which nothing is left is removed.
    pub fn change_account(
        &self,
        aor: &str,
        now: i64,
        mut change: impl FnMut(&mut Account) -> bool,
    ) -> Result<Account, StoreError> {
        let key = account_key(aor);
        for _ in 0..ATTEMPTS {
            let found = self.read::<Account>(&key, now)?;
            let (mut account, sealed) = match found {
                Some((account, sealed)) => (account, Some(sealed)),
                None => (Account { aor: aor.to_owned(), ..Account::default() }, None),
            };
            if !change(&mut account) {
                return Ok(account);
            }
            // What is owed to proxies that can no longer have such bindings is forgotten.
            account.untold.retain(|s| s.ends_at > now / 1000);
            let end = account.sessions.iter().chain(&account.untold).map(|s| s.ends_at).max();
            let done = match (end, &sealed) {
                (Some(end), _) => {
                    let mut octets = encode(&account);
                    // With a store over the network, the workers' cache has no room for longer records.
                    while octets.len() > MAX_ACCOUNT && account.phones().count() > 1 {
                        let gone = account.prune(account.phones().count() - 1);
                        account.owe(gone.into_iter().filter(|s| s.parent.is_some()));
                        octets = encode(&account);
                    }
                    let value = self.sealer.seal(&key, &octets);
                    let write = Write { key: &key, value: &value, expires_at: end.saturating_mul(1000), due_at: None };
                    // A session follows from a claim, so it may use the room that is kept back.
                    self.store.put_owed(&write, sealed.as_deref(), now)?
                }
                (None, Some(sealed)) => self.store.remove(&key, Some(sealed))?,
                (None, None) => true,
            };
            if done {
                return Ok(account);
            }
        }
        Err(overtaken())
    }

    /// Stores the session and the key of a registration. Its user must be the one for whom the code, or the other
    /// grant that it signs in with, was exchanged.
    ///
    /// The session is written first, then the owner of its tokens, then the owner of the code. If the process dies
    /// in between, the same code finds what was written.
    pub fn bind(
        &self,
        policy: &Policy,
        registration: &Registration,
        to_tag: &[u8],
        now: i64,
    ) -> Result<(), SessionError> {
        let settings = policy.sessions.as_ref().ok_or(SessionError::NotConfigured)?;
        let bounds = bounds(policy);
        let id = CodeId(registration.code.clone());
        for _ in 0..ATTEMPTS {
            let Some((mut record, sealed)) = self.code(&id, now)? else {
                return Err(SessionError::NotThere);
            };
            // The record may have changed since the check: only a phone that the present record admits gets a key.
            let admitted = admit(policy, &record, registration, now).is_ok();
            let CodeState::Done(exchanged) = &mut record.state else {
                return Err(SessionError::NotThere);
            };
            let provider = policy.providers.iter().find(|p| p.name == record.provider);
            let may = provider.is_some_and(|p| may_register(&p.rules, &exchanged.identity, registration).is_ok());
            let issuer = provider.map_or_else(IssuerName::default, |p| p.issuer_name);
            if !may || !admitted || !exchanged.bound_to.is_empty() && exchanged.bound_to != registration.aor {
                return Err(SessionError::NotThere);
            }
            let key = key_of(settings, exchanged, registration, to_tag);
            let first = exchanged.bound_to.is_empty();
            let (mut ended, mut ends_at, mut left) = (false, 0, Vec::new());
            let account = self.change_account(&registration.aor, now, |account| {
                let place = account.sessions.iter().position(|s| s.id == exchanged.session);
                let has_key = |s: &Session| key.as_ref().is_none_or(|key| s.keys.contains(key));
                if !first && place.is_some_and(|place| has_key(&account.sessions[place])) {
                    return false;
                }
                let mut session = match place {
                    Some(place) => account.sessions.remove(place),
                    None if first => Session {
                        id: exchanged.session,
                        provider: record.provider.clone(),
                        issuer,
                        sign_in: exchanged.sign_in,
                        instance: registration.instance.clone(),
                        reg_id: registration.reg_id,
                        subject: exchanged.identity.subject.clone(),
                        client_id: exchanged.identity.client_id.clone(),
                        scope: exchanged.identity.scope.clone(),
                        keys: Vec::new(),
                        tokens: exchanged.token.into_iter().collect(),
                        proofs: Vec::new(),
                        created_at: now / 1000,
                        valid_until: exchanged.valid_until,
                        ends_at: end_of(exchanged, now / 1000 + bounds.lifetime),
                        renewable: exchanged.renewable,
                        weak: registration.weak && exchanged.master_key.is_none(),
                        sid: exchanged.identity.sid,
                        parent: exchanged.parent,
                        name: exchanged.name.clone(),
                        device: String::new(),
                    },
                    None => {
                        ended = true;
                        return false;
                    }
                };
                ends_at = session.ends_at;
                if let Some(key) = &key {
                    add_proof(&mut session, registration, key);
                    session.add_key(key.clone());
                }
                // A phone that signs in again replaces its own session; each of its flows (RFC 5626) replaces its own.
                let flow = |s: &Session| (s.instance.clone(), s.reg_id);
                let same_phone = |s: &Session| !s.instance.is_empty() && flow(s) == flow(&session);
                left = account.sessions.extract_if(.., |s| same_phone(s) || s.ends_at <= now / 1000).collect();
                account.sessions.insert(0, session);
                let pruned = account.prune(bounds.devices);
                account.owe(pruned.iter().filter(|s| s.parent.is_some()).cloned());
                left.extend(pruned);
                true
            })?;
            // The registration counts all the same: the next change of this address tells what is owed.
            let _ = self.tell_untold(account, &Ending::new(EndedBy::Displaced), now);
            // The proxy does not refresh tokens that the phone holds, so nothing else removes them. If this fails,
            // they expire.
            for session in left.iter().filter(|s| s.sign_in.phone_holds_tokens() || s.parent.is_some()) {
                self.clear_away(session, &registration.aor, now);
            }
            if ended {
                return Err(SessionError::NotThere);
            }
            let for_answer = key.as_ref().map(|_| confirmed_at(settings, now));
            let noted = note_key(&mut record.redemption, registration, first, for_answer);
            if !first && !noted {
                return Ok(());
            }
            let session = exchanged.session;
            if first && policy.settings.back_channel_logout {
                let names = (exchanged.identity.subject.as_str(), exchanged.identity.sid.as_ref());
                self.note_user(&issuer, names, &registration.aor, ends_at * 1000, now)?;
            }
            if first && !self.keep_tokens(&session, &registration.aor, ends_at, now)? {
                // Another address of the same user was faster.
                self.change_account(&registration.aor, now, |account| {
                    let before = account.sessions.len();
                    account.sessions.retain(|s| s.id != session);
                    account.sessions.len() != before
                })?;
                return Err(SessionError::NotThere);
            }
            exchanged.bound_to.clone_from(&registration.aor);
            if first && exchanged.sign_in == SignIn::Code {
                self.keep_used(&id, ends_at * 1000, now)?;
            }
            // A phone shows a token from elsewhere again and again. At the end of the session, its server is asked
            // again.
            let expires_at = match exchanged.sign_in {
                SignIn::ForeignToken => ends_at * 1000,
                sign_in => now + fate_lifetime(policy, sign_in == SignIn::Password),
            };
            if self.put_code(&id, &record, Some(&sealed), expires_at, now)? {
                return Ok(());
            }
        }
        Err(overtaken().into())
    }

    /// The 2xx to a registration leaves. From now on its code serves nobody else. With Redis, the code serves nobody
    /// else since its key was stored.
    pub fn confirm(&self, policy: &Policy, registration: &Registration, now: i64) -> Result<(), StoreError> {
        self.change_redemption(policy, registration, now, |redemption| {
            let is_new = redemption.confirmed_at == 0 || now < redemption.confirmed_at;
            if is_new {
                redemption.confirmed_at = now;
            }
            is_new
        })
    }

    /// Removes the key of a registration that was refused after all. The phone may come again with the same code.
    pub fn unbind(
        &self,
        policy: &Policy,
        registration: &Registration,
        to_tag: &[u8],
        now: i64,
    ) -> Result<(), SessionError> {
        let Some(settings) = &policy.sessions else { return Ok(()) };
        let Some((record, _)) = self.code(&CodeId(registration.code.clone()), now)? else {
            return Ok(());
        };
        let CodeState::Done(exchanged) = &record.state else {
            return Ok(());
        };
        self.change_redemption(policy, registration, now, |redemption| {
            let is_first = registration.claim.is_some_and(|claim| redemption.claim.is_same_request(&claim));
            // A 2xx that was reported counts, whatever another copy of the request was answered.
            let was_told = settings.place.is_local() && redemption.confirmed_at <= now;
            let taken_back = is_first && redemption.confirmed_at != 0 && !was_told;
            if taken_back {
                redemption.confirmed_at = 0;
            }
            taken_back
        })?;
        // A key that does not depend on the To tag of this answer serves other registrations as well, so it stays.
        let Some(key) = key_of(settings, exchanged, registration, to_tag).filter(|_| registration.tagged) else {
            return Ok(());
        };
        // The session stays: the same code may complete a later registration.
        self.change_account(&registration.aor, now, |account| {
            let session = account.sessions.iter_mut().find(|s| s.id == exchanged.session);
            session.is_some_and(|session| {
                let before = session.keys.len();
                session.keys.retain(|k| *k != key);
                if let Some(proof) = proof_of(registration, &key) {
                    session.proofs.retain(|p| *p != proof);
                }
                session.keys.len() != before
            })
        })?;
        Ok(())
    }

    /// Changes what the record of a code says about its redemption.
    fn change_redemption(
        &self,
        policy: &Policy,
        registration: &Registration,
        now: i64,
        change: impl Fn(&mut Redemption) -> bool,
    ) -> Result<(), StoreError> {
        let id = CodeId(registration.code.clone());
        for _ in 0..ATTEMPTS {
            let Some((mut record, sealed)) = self.code(&id, now)? else { return Ok(()) };
            let of_password = matches!(&record.state, CodeState::Done(done) if done.sign_in == SignIn::Password);
            let expires_at = now + fate_lifetime(policy, of_password);
            if !record.redemption.as_mut().is_some_and(&change)
                || self.put_code(&id, &record, Some(&sealed), expires_at, now)?
            {
                return Ok(());
            }
        }
        Err(overtaken())
    }
}

/// True when the record of an address has room for all its sessions.
pub(super) fn fits(account: &Account) -> bool {
    encode(account).len() <= MAX_ACCOUNT
}

/// When a registration whose key is stored now counts as confirmed, unless the host reports the 2xx before. With
/// Redis a worker could not store that the answer has left, so the registration counts as confirmed at once: its
/// answer leaves right after the key is stored.
fn confirmed_at(settings: &Sessions, now: i64) -> i64 {
    if settings.place.is_local() { now + RETRANSMISSION } else { now }
}

/// Notes that a registration was stored. `for_answer` is the time at which it counts as confirmed; None if it has no
/// key. True when that time is new.
fn note_key(
    redemption: &mut Option<Redemption>,
    registration: &Registration,
    first: bool,
    for_answer: Option<i64>,
) -> bool {
    let Some((redemption, claim)) = redemption.as_mut().zip(registration.claim) else {
        return false;
    };
    if first {
        *redemption = Redemption::first(claim);
    }
    match for_answer {
        Some(confirmed_at) if redemption.confirmed_at == 0 => {
            redemption.confirmed_at = confirmed_at;
            true
        }
        _ => false,
    }
}

/// The end of a new session, Unix seconds. With a token from elsewhere, it lasts at most as long as the token's
/// server said.
fn end_of(exchanged: &Exchanged, latest: i64) -> i64 {
    match exchanged.sign_in {
        SignIn::ForeignToken => exchanged.valid_until.min(latest),
        SignIn::Code | SignIn::Password | SignIn::Page | SignIn::Device => latest,
    }
}

fn add_proof(session: &mut Session, registration: &Registration, key: &KeyOctets) {
    if let Some(proof) = proof_of(registration, key).filter(|proof| !session.proofs.contains(proof)) {
        session.proofs.insert(0, proof);
        session.proofs.truncate(sipoauth_core::records::session::MAX_KEYS);
    }
}

/// The proof of the registration itself, if the configuration lets proofs be repeated.
fn proof_of(registration: &Registration, key: &KeyOctets) -> Option<KeyOctets> {
    let digest = registration.digest.as_ref()?;
    Some(KeyOctets(*make_pop(&key.0, digest.as_bytes())))
}

pub(super) fn overtaken() -> StoreError {
    StoreError::Away("a record is changed by others all the time".into())
}
