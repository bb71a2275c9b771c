// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a user does at the sign-in page: signs in with a browser, adds phones, sees them and signs them out.
//!
//! The sign-in is a session without a phone. The server's tokens belong to it, and the phones that its user adds hang on
//! it. Whoever signs in again renews it, so phones outlive the browser.

use zeroize::Zeroizing;

use super::session_admin::ListedSession;
use super::session_ends::Ending;
use super::session_tokens::{keeps_access_token, refresh_due};
use super::sessions::{ATTEMPTS, SessionError, SessionStore, account_key, fits, overtaken, tokens_key};
use sipoauth_core::check::registration::CodeId;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::exchange::Granted;
use sipoauth_core::oauth::typed_code;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::device::{Device, device_key};
use sipoauth_core::records::phone_use::PhoneUse;
use sipoauth_core::records::redemption::Redemption;
use sipoauth_core::records::session::{
    Account, CodeRecord, CodeState, Exchanged, Identity, Session, SessionId, SignIn, Tokens, encode, id_text,
};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::fingerprint::visible;
use sipoauth_core::text::secret::SecretText;

/// How long a typed code is good, in milliseconds.
pub const TYPED_CODE: i64 = 300_000;
/// Longest name of a phone in characters.
pub const MAX_NAME: usize = 40;
/// Sign-ins at the page that an address has at once: one for each provider, or each user that owns it.
const MOST_PAGES: usize = 4;
/// Letters and digits that nobody takes for others.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Characters of a device password: 104 bits.
const PASSWORD: usize = 21;
/// Random characters at the end of a device's user name.
const SUFFIX: usize = 4;
/// Longest part of the user name that comes from the address.
const MAX_USER: usize = 27;
/// If this many random names or codes are taken already, the store counts as away.
const TRIES: usize = 16;

/// Whose sign-in at the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSignIn {
    /// The address-of-record, canonical.
    pub aor: String,
    /// Its session.
    pub id: SessionId,
}

/// A phone as its user sees it.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Its session.
    pub session: Session,
    /// Its last registration, where that is known.
    pub last_use: Option<PhoneUse>,
}

/// A phone with its address.
#[derive(Clone, Debug)]
pub struct ListedPhone {
    /// The address-of-record.
    pub aor: String,
    /// The phone.
    pub phone: Phone,
}

/// Some phones, and where the next ones begin.
#[derive(Debug, Default)]
pub struct PhonePage {
    /// The phones.
    pub phones: Vec<ListedPhone>,
    /// For the next call; None at the end.
    pub next: Option<String>,
}

/// A new device password, which is shown once.
#[derive(Debug)]
pub struct NewDevice {
    /// `username` of the credentials.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// The phone's session.
    pub session: SessionId,
}

/// A new typed code, which is shown once.
#[derive(Debug)]
pub struct NewCode {
    /// Nine digits.
    pub code: Zeroizing<String>,
    /// It is good until then, in Unix milliseconds.
    pub expires_at: i64,
}

/// Why a phone cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub enum AddError {
    /// The sign-in at the page has ended.
    SignedOut,
    /// The address has as many phones as it may (`max_devices`).
    TooMany,
    /// The store cannot be read or written.
    Store(StoreError),
}

impl From<StoreError> for AddError {
    fn from(error: StoreError) -> AddError {
        AddError::Store(error)
    }
}

/// The key of the record with the last registration of a phone.
pub fn phone_use_key(session: &SessionId) -> String {
    format!("w:{}", id_text(session))
}

/// The key of the record that names the open typed code of an address.
fn open_code_key(aor: &str) -> String {
    account_key(aor).replacen("a:", "y:", 1)
}

fn random_text(length: usize) -> Result<Zeroizing<String>, StoreError> {
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        let mut octets = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *octets).map_err(|_| StoreError::Away("no random numbers".into()))?;
        // What is left over after whole rounds of the letters would favour some of them.
        let fair =
            octets.iter().map(|octet| usize::from(*octet)).filter(|octet| *octet < 256 / LETTERS.len() * LETTERS.len());
        for octet in fair.take(length - text.len()) {
            text.push(char::from(LETTERS[octet % LETTERS.len()]));
        }
    }
    Ok(text)
}

fn new_id(now: i64) -> Result<SessionId, StoreError> {
    let mut id = SessionId::default();
    id[..6].copy_from_slice(&now.to_be_bytes()[2..]);
    aws_lc_rs::rand::fill(&mut id[6..]).map_err(|_| StoreError::Away("no random numbers".into()))?;
    Ok(id)
}

/// The part of a device's user name that people recognize.
fn recognizable(aor: &str) -> String {
    let user = Aor::parse(aor).map(|aor| aor.user().to_ascii_lowercase()).unwrap_or_default();
    let plain: String =
        user.chars().filter(|c| c.is_ascii_alphanumeric() || "+._-".contains(*c)).take(MAX_USER).collect();
    if plain.is_empty() { "phone".into() } else { plain }
}

/// The name of a phone, without what has no place in a line.
pub fn phone_name(text: &str) -> String {
    let shown = visible(text.trim());
    shown.chars().take(MAX_NAME).collect()
}

impl SessionStore {
    /// Keeps what a browser's sign-in was granted. The same user's earlier sign-in is renewed, together with the phones
    /// that hang on it. The identity has an address.
    pub fn keep_page_sign_in(
        &self,
        policy: &Policy,
        provider: usize,
        granted: Granted,
        now: i64,
    ) -> Result<PageSignIn, StoreError> {
        let provider = &policy.providers[provider];
        let Granted { identity, access_token, refresh_token, expires_at, .. } = granted;
        let aor = identity.aors.first().cloned().unwrap_or_default();
        let ends_at = now / 1000 + i64::from(policy.settings.session_lifetime);
        let (mut kept, fresh) = (None, new_id(now)?);
        let (mut devices, mut before) = (Vec::new(), None);
        let account = self.change_account(&aor, now, |account| {
            let is_same = |s: &Session| {
                s.sign_in == SignIn::Page
                    && s.provider == provider.name
                    && s.issuer == provider.issuer_name
                    && s.subject == identity.subject
            };
            let place = account.sessions.iter().position(is_same);
            let earlier = place.map(|place| account.sessions.remove(place));
            before.clone_from(&earlier);
            // Without a new refresh token the earlier one goes on to serve.
            let keeps = refresh_token.is_none() && earlier.as_ref().is_some_and(|s| s.renewable && s.valid_until > 0);
            let session = Session {
                id: earlier.as_ref().map_or(fresh, |s| s.id),
                provider: provider.name.clone(),
                issuer: provider.issuer_name,
                sign_in: SignIn::Page,
                instance: String::new(),
                reg_id: 0,
                subject: identity.subject.clone(),
                client_id: identity.client_id.clone(),
                scope: identity.scope.clone(),
                keys: Vec::new(),
                tokens: Vec::new(),
                proofs: Vec::new(),
                created_at: now / 1000,
                valid_until: expires_at.max(earlier.as_ref().map_or(0, |s| if keeps { s.valid_until } else { 0 })),
                ends_at,
                renewable: refresh_token.is_some() || keeps,
                weak: false,
                sid: identity.sid,
                parent: None,
                name: String::new(),
                device: String::new(),
            };
            account.sessions.retain(|s| s.ends_at > now / 1000);
            for phone in account.sessions.iter_mut().filter(|s| s.parent == Some(session.id)) {
                phone.ends_at = ends_at;
            }
            devices = account.phones().filter(|s| s.parent == Some(session.id)).map(|s| s.device.clone()).collect();
            kept = Some(session.clone());
            account.sessions.insert(0, session);
            drop_pages(account);
            true
        })?;
        self.tell_untold(account, &Ending::new(EndedBy::Displaced), now)?;
        let session = kept.expect("the change was made");
        self.put_page_tokens(policy, &session, &aor, (access_token, refresh_token, expires_at), now)?;
        if let Some(before) = before.filter(|before| before.sid != session.sid) {
            self.forget_browser(&before, &aor, now);
        }
        let names = (session.subject.as_str(), session.sid.as_ref());
        self.note_user(&provider.issuer_name, names, &aor, ends_at * 1000, now)?;
        for username in devices.iter().filter(|username| !username.is_empty()) {
            self.keep_device(username, ends_at * 1000, now)?;
        }
        Ok(PageSignIn { aor, id: session.id })
    }

    fn put_page_tokens(
        &self,
        policy: &Policy,
        session: &Session,
        aor: &str,
        (access_token, refresh_token, expires_at): (SecretText, Option<SecretText>, i64),
        now: i64,
    ) -> Result<(), StoreError> {
        let key = tokens_key(&session.id);
        for _ in 0..ATTEMPTS {
            let earlier = self.tokens(&key, now)?;
            let kept = earlier.as_ref().and_then(|(tokens, _)| tokens.refresh_token.clone());
            let mut tokens = Tokens {
                provider: session.provider.clone(),
                issuer: session.issuer,
                aor: aor.to_owned(),
                sign_in: SignIn::Page,
                access_token: Some(access_token.clone()).filter(|_| keeps_access_token(policy, SignIn::Page)),
                refresh_token: refresh_token.clone().or(kept),
                expires_at,
                ends_at: session.ends_at,
                refresh_at: 0,
                failures: 0,
            };
            let due = refresh_due(&tokens, now);
            tokens.refresh_at = due.unwrap_or(0);
            let expected = earlier.as_ref().map(|(_, sealed)| sealed.as_slice());
            if self.put_tokens(&key, &tokens, expected, session.ends_at * 1000, due, now)? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    /// The session of a sign-in at the page, if it still counts.
    pub fn page_session(&self, page: &PageSignIn, now: i64) -> Result<Option<Session>, StoreError> {
        let account = self.account(&page.aor, now)?.unwrap_or_default();
        let found = account.sessions.into_iter().find(|s| s.sign_in == SignIn::Page && s.id == page.id);
        Ok(found.filter(|s| s.valid_until > 0 && s.ends_at > now / 1000))
    }

    /// The phones of an address, the latest first.
    pub fn phones(&self, aor: &str, now: i64) -> Result<Vec<Phone>, StoreError> {
        let account = self.account(aor, now)?.unwrap_or_default().judged();
        let alive = account.sessions.into_iter().filter(|s| s.sign_in != SignIn::Page && s.ends_at > now / 1000);
        alive.map(|session| Ok(Phone { last_use: self.phone_use(&session.id, now)?, session })).collect()
    }

    /// The phones that users have added at the page: those of an address, or those of one page of all addresses if `aor`
    /// is empty.
    pub fn list_devices(&self, aor: &str, from: &str, now: i64) -> Result<PhonePage, SessionError> {
        let found = self.list(aor, from, now)?;
        let of_page = found.sessions.into_iter().filter(|listed| listed.session.parent.is_some());
        let phones = of_page.map(|ListedSession { aor, session }| {
            let last_use = self.phone_use(&session.id, now)?;
            Ok(ListedPhone { aor, phone: Phone { session, last_use } })
        });
        Ok(PhonePage { phones: phones.collect::<Result<_, StoreError>>()?, next: found.next })
    }

    /// Signs out the phone of an address that has this id or user name; with an empty text all that were added at the page,
    /// and the sign-ins there.
    pub fn revoke_devices(
        &self,
        aor: &str,
        device: &str,
        ending: &Ending<'_>,
        now: i64,
    ) -> Result<Vec<SessionEnd>, SessionError> {
        let aor = Aor::parse(aor).ok_or(SessionError::Malformed)?;
        let is_named = |s: &Session| s.device == device || id_text(&s.id).eq_ignore_ascii_case(device);
        let goes = |s: &Session| match device {
            "" => s.parent.is_some() || s.sign_in == SignIn::Page,
            _ => s.parent.is_some() && is_named(s),
        };
        Ok(self.end_sessions(aor.as_str(), ending, now, goes)?)
    }

    /// Adds a phone that signs in with a device password by Digest.
    pub fn add_device(
        &self,
        policy: &Policy,
        page: &PageSignIn,
        name: &str,
        realm: &str,
        now: i64,
    ) -> Result<NewDevice, AddError> {
        let parent = self.may_add(policy, page, now)?;
        let id = new_id(now)?;
        let password = random_text(PASSWORD)?;
        let mut username = String::new();
        let mut is_put = false;
        for _ in 0..TRIES {
            username = format!("{}-{}", recognizable(&page.aor), &*random_text(SUFFIX)?);
            let device = Device::new(&username, realm, &page.aor, id, &password);
            let key = device_key(&username);
            let value = self.sealer.seal(&key, &encode(&device));
            let write = Write { key: &key, value: &value, expires_at: parent.ends_at * 1000, due_at: None };
            is_put = self.store.put(&write, None, now)?;
            if is_put {
                break;
            }
        }
        if !is_put {
            return Err(overtaken().into());
        }
        let mut added = Err(AddError::SignedOut);
        let changed = self.change_account(&page.aor, now, |account| {
            added = room_for_phone(policy, account, page, now);
            if added.is_ok() {
                let session = Session {
                    id,
                    sign_in: SignIn::Device,
                    created_at: now / 1000,
                    parent: Some(page.id),
                    name: phone_name(name),
                    device: username.clone(),
                    ..parent.clone()
                };
                account.sessions.insert(0, session);
                // Another phone would have to go.
                if !fits(account) {
                    account.sessions.remove(0);
                    added = Err(AddError::TooMany);
                }
            }
            added.is_ok()
        });
        if let Err(error) = changed.map_err(AddError::from).and(added) {
            self.remove_device(&username);
            return Err(error);
        }
        Ok(NewDevice { username, password, session: id })
    }

    /// Makes a code that a phone of this address may redeem once. An earlier one that nobody has typed yet is good no
    /// longer.
    pub fn add_typed_code(
        &self,
        policy: &Policy,
        page: &PageSignIn,
        name: &str,
        now: i64,
    ) -> Result<NewCode, AddError> {
        let parent = self.may_add(policy, page, now)?;
        let expires_at = now + TYPED_CODE;
        for _ in 0..TRIES {
            let mut number = [0; 4];
            aws_lc_rs::rand::fill(&mut number).map_err(|_| StoreError::Away("no random numbers".into()))?;
            let code = Zeroizing::new(typed_code::make(u32::from_be_bytes(number)));
            let id = CodeId::of_typed_code(&page.aor, &code);
            let record = CodeRecord {
                provider: parent.provider.clone(),
                state: CodeState::Done(Box::new(Exchanged {
                    session: new_id(now)?,
                    identity: Identity {
                        subject: parent.subject.clone(),
                        aors: vec![page.aor.clone()],
                        client_id: parent.client_id.clone(),
                        scope: parent.scope.clone(),
                        sid: parent.sid,
                    },
                    bound_to: String::new(),
                    sign_in: SignIn::Code,
                    code: SecretText(code.to_string()),
                    master_key: None,
                    token: None,
                    valid_until: parent.valid_until,
                    renewable: parent.renewable,
                    parent: Some(page.id),
                    name: phone_name(name),
                })),
                redemption: Some(Redemption::open()),
            };
            if self.put_code(&id, &record, None, expires_at, now)? {
                self.replace_open_code(&page.aor, &id, expires_at, now)?;
                return Ok(NewCode { code, expires_at });
            }
        }
        Err(overtaken().into())
    }

    /// Lets only one typed code of an address be open, because each of them can be guessed.
    fn replace_open_code(&self, aor: &str, id: &CodeId, expires_at: i64, now: i64) -> Result<(), StoreError> {
        let key = open_code_key(aor);
        let value = self.sealer.seal(&key, id.0.as_bytes());
        for _ in 0..ATTEMPTS {
            let earlier = self.store.get(&key, now)?;
            let write = Write { key: &key, value: &value, expires_at, due_at: None };
            if !self.store.put_owed(&write, earlier.as_deref(), now)? {
                continue;
            }
            if let Some(earlier) = earlier.and_then(|sealed| self.open_code(&key, &sealed)) {
                self.close_code(&earlier, now)?;
            }
            return Ok(());
        }
        Err(overtaken())
    }

    /// Takes back the typed code of an address, if nobody has used it.
    pub fn close_open_code(&self, aor: &str, now: i64) -> Result<(), StoreError> {
        let key = open_code_key(aor);
        match self.store.get(&key, now)?.and_then(|sealed| self.open_code(&key, &sealed)) {
            Some(id) => self.close_code(&id, now),
            None => Ok(()),
        }
    }

    /// Which code the record of an address's open one names.
    fn open_code(&self, key: &str, sealed: &[u8]) -> Option<CodeId> {
        let name = self.sealer.open(key, sealed)?;
        String::from_utf8(name.to_vec()).ok().map(CodeId)
    }

    /// Takes back a typed code that nobody has used.
    fn close_code(&self, id: &CodeId, now: i64) -> Result<(), StoreError> {
        let Some((record, sealed)) = self.code(id, now)? else { return Ok(()) };
        match &record.state {
            CodeState::Done(exchanged) if exchanged.bound_to.is_empty() => self.remove_code(id, &sealed).map(drop),
            _ => Ok(()),
        }
    }

    /// Gives a phone another name. False when there is no such phone.
    pub fn rename_phone(&self, aor: &str, id: &SessionId, name: &str, now: i64) -> Result<bool, StoreError> {
        let (mut found, name) = (false, phone_name(name));
        self.change_account(aor, now, |account| {
            let phone = account.sessions.iter_mut().find(|s| s.sign_in != SignIn::Page && s.id == *id);
            found = phone.is_some();
            phone.is_some_and(|phone| std::mem::replace(&mut phone.name, name.clone()) != name)
        })?;
        Ok(found)
    }

    /// Notes that a phone has registered.
    pub fn note_use(&self, session: &SessionId, seen: &PhoneUse, expires_at: i64, now: i64) -> Result<(), StoreError> {
        let key = phone_use_key(session);
        for _ in 0..ATTEMPTS {
            let earlier = self.store.get(&key, now)?;
            let (value, earlier) = self.sealed_use(&key, seen, earlier)?;
            let write = Write { key: &key, value: &value, expires_at, due_at: None };
            if self.store.put_owed(&write, earlier.as_deref(), now)? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    /// Notes that phones have registered, each with the time until which that is kept. After an error, some may have been
    /// noted.
    pub fn note_uses(&self, uses: &[(SessionId, &PhoneUse, i64)], now: i64) -> Result<(), StoreError> {
        let keys: Vec<String> = uses.iter().map(|(session, ..)| phone_use_key(session)).collect();
        let mut earlier = vec![None; keys.len()];
        self.store.look_each(&keys, now, &mut |place, sealed| earlier[place] = Some(sealed.to_vec()))?;
        let sealed = keys.iter().zip(uses).zip(earlier);
        let sealed = sealed.map(|((key, (_, seen, _)), earlier)| self.sealed_use(key, seen, earlier));
        let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
        let swaps = keys.iter().zip(&sealed).zip(uses).map(|((key, (value, earlier)), (.., expires_at))| {
            (Write { key, value, expires_at: *expires_at, due_at: None }, earlier.as_deref())
        });
        let written = self.store.put_owed_each(&swaps.collect::<Vec<_>>(), now)?;
        // Another one of these may be of the same phone.
        let overtaken = uses.iter().zip(written).filter(|(_, written)| !written);
        overtaken.map(|(used, _)| used).try_for_each(|(session, seen, end)| self.note_use(session, seen, *end, now))
    }

    /// Removes what was noted of a phone. If that fails, it expires.
    pub fn forget_use(&self, session: &SessionId) {
        let _ = self.store.remove(&phone_use_key(session), None);
    }

    /// The record of a registration, sealed, and the sealed one that it follows.
    fn sealed_use(
        &self,
        key: &str,
        seen: &PhoneUse,
        earlier: Option<Vec<u8>>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        let earlier = earlier.map_or(Ok(None), |sealed| self.opened::<PhoneUse>(key, sealed))?;
        let seen = match &earlier {
            Some((earlier, _)) => seen.clone().after(earlier),
            None => seen.clone(),
        };
        Ok((self.sealer.seal(key, &encode(&seen)), earlier.map(|(_, sealed)| sealed)))
    }

    /// The device password of a user name.
    pub fn device(&self, username: &str, now: i64) -> Result<Option<Device>, StoreError> {
        Ok(self.read(&device_key(username), now)?.map(|(device, _)| device))
    }

    /// Lets a device password be kept for longer.
    fn keep_device(&self, username: &str, expires_at: i64, now: i64) -> Result<(), StoreError> {
        let key = device_key(username);
        for _ in 0..ATTEMPTS {
            let Some(value) = self.store.get(&key, now)? else { return Ok(()) };
            let write = Write { key: &key, value: &value, expires_at, due_at: None };
            if self.store.put_owed(&write, Some(&value), now)? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    /// Removes a device password. If that fails, it expires; without its session it is of no use.
    pub(super) fn remove_device(&self, username: &str) {
        let _ = self.store.remove(&device_key(username), None);
    }

    fn may_add(&self, policy: &Policy, page: &PageSignIn, now: i64) -> Result<Session, AddError> {
        let parent = self.page_session(page, now)?.ok_or(AddError::SignedOut)?;
        let account = self.account(&page.aor, now)?.unwrap_or_default();
        room_for_phone(policy, &account, page, now)?;
        Ok(parent)
    }
}

fn room_for_phone(policy: &Policy, account: &Account, page: &PageSignIn, now: i64) -> Result<(), AddError> {
    if !account.sessions.iter().any(|s| s.sign_in == SignIn::Page && s.id == page.id) {
        return Err(AddError::SignedOut);
    }
    let most = policy.settings.max_devices as usize;
    let alive = account.phones().filter(|s| s.ends_at > now / 1000).count();
    if alive < most { Ok(()) } else { Err(AddError::TooMany) }
}

/// Ends the oldest sign-ins at the page, and what hangs on them, as long as there are too many.
fn drop_pages(account: &mut Account) {
    let mut gone = Vec::new();
    while account.sessions.iter().filter(|s| s.sign_in == SignIn::Page).count() > MOST_PAGES {
        let Some(last) = account.sessions.iter().rposition(|s| s.sign_in == SignIn::Page) else { break };
        gone.push(account.sessions.remove(last));
    }
    gone.extend(account.prune(usize::MAX));
    account.owe(gone);
}
