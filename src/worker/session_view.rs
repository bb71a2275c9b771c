// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stored records as a worker sees them without waiting. They come from a local store, or from what the I/O
//! service has put into shared memory.

use std::borrow::Cow;
use std::sync::Arc;

use super::Handling;
use crate::process::context::Context;
use crate::shared::record_cache::Lookup;
use crate::store::access::{DECOY, StoreAccess};
use crate::store::account_cache::{OpenedAccount, Seal};
use crate::store::accounts::{key_account_key, unseal_account};
use crate::store::sessions::{account_key, code_key, unseal};
use sipoauth_core::check::device::KnownDevices;
use sipoauth_core::check::key_derivation_check::KnownAccounts;
use sipoauth_core::check::known_account::KnownAccount;
use sipoauth_core::check::known_sessions::{Known, KnownSessions};
use sipoauth_core::check::registration::{CodeId, Registration, key_of};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sessions::Sessions;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::device::{Device, device_key};
use sipoauth_core::records::session::{CodeRecord, CodeState, Record};
use sipoauth_core::sip::sender::Network;

/// How long after its deadline a parked request may still go on, in milliseconds.
const LATE: i64 = 5000;

/// The view of one call.
pub struct SessionView<'a> {
    /// Shared by all processes.
    pub context: &'a Context,
    /// The configuration.
    pub policy: &'a Policy,
    /// Unix milliseconds.
    pub now: i64,
    /// Text of the sender's address.
    pub source: &'a str,
    /// This request has asked for what the I/O service put into shared memory, or must be content with it.
    pub asked: bool,
    /// A request has waited until the records were there.
    has_waited: bool,
}

impl<'a> SessionView<'a> {
    /// The view of a request. A parked request has asked already, and a request that cannot wait must be content
    /// with what is known.
    pub fn new(context: &'a Context, policy: &'a Policy, handling: &Handling<'a>, now: i64) -> SessionView<'a> {
        let asked = handling.resumed || handling.no_wait;
        SessionView { context, policy, now, source: handling.source, asked, has_waited: handling.resumed }
    }

    /// The view for a call that takes what is known now and does not belong to a request.
    pub fn as_known(context: &'a Context, policy: &'a Policy, now: i64) -> SessionView<'a> {
        SessionView { context, policy, now, source: "", asked: true, has_waited: false }
    }

    /// The same for a call that follows from a request which may have waited.
    pub fn as_known_after_wait(context: &'a Context, policy: &'a Policy, now: i64) -> SessionView<'a> {
        SessionView { has_waited: true, ..SessionView::as_known(context, policy, now) }
    }

    /// Does the work that an account would have caused, so that the time tells less about who has no account.
    fn open_decoy(&self) {
        if let Some(access) = self.context.sessions() {
            let account = unseal_account(access.sealer(), DECOY, access.decoy());
            std::hint::black_box(account.ok().and_then(|account| account.verifier()));
        }
    }

    /// Reads a record.
    pub(super) fn read<T: Record>(&self, key: &str) -> Known<T> {
        self.read_by(key, |access, sealed| unseal(access.sealer(), key, sealed))
    }

    fn read_by<T>(
        &self,
        key: &str,
        mut open: impl FnMut(&StoreAccess, &[u8]) -> Result<Option<T>, StoreError>,
    ) -> Known<T> {
        let Some(access) = self.context.sessions() else {
            return Known::Absent;
        };
        let opened = if access.is_local() {
            access.open(self.policy).and_then(|store| {
                let mut opened = Ok(None);
                store.store().look(key, self.now, &mut |sealed| opened = open(access, sealed))?;
                opened
            })
        } else {
            let longest = u64::from(self.policy.settings.store_cache) * 1000;
            match self.context.arena().records().look(key, self.now, longest, self.has_waited) {
                Lookup::Hit(sealed) => open(access, &sealed),
                Lookup::Absent => Ok(None),
                Lookup::Unknown => return Known::NotHere,
            }
        };
        match opened {
            Ok(Some(record)) => Known::Found(record),
            Ok(None) => Known::Absent,
            Err(error) => {
                self.context.note_store(self.context.log(), Some(&error));
                Known::Failed
            }
        }
    }

    /// True when the key of a registration with this To tag is stored.
    pub fn has_key(&self, settings: &Sessions, registration: &Registration, to_tag: &[u8]) -> bool {
        let Known::Found(CodeRecord { state: CodeState::Done(exchanged), .. }) =
            self.code(&CodeId(registration.code.clone()))
        else {
            return false;
        };
        let Known::Found(account) = self.account(&registration.aor) else {
            return false;
        };
        let session = account.sessions.iter().find(|s| s.id == exchanged.session);
        let key = key_of(settings, &exchanged, registration, to_tag);
        session.zip(key).is_some_and(|(session, key)| session.keys.contains(&key))
    }
}

impl KnownSessions for SessionView<'_> {
    fn account(&self, aor: &str) -> Known<Arc<KnownAccount>> {
        let opened = self.context.sessions().and_then(|access| access.accounts(self.policy).get(aor));
        let key = opened.as_ref().map_or_else(|| account_key(aor).into(), |opened| Cow::from(&opened.key));
        self.read_by(&key, |access, sealed| {
            let seal = Seal::of(sealed);
            if let Some(opened) = opened.as_ref().filter(|opened| seal == Some(opened.seal)) {
                return Ok(Some(Arc::clone(&opened.account)));
            }
            let Some(account) = unseal(access.sealer(), &key, sealed)? else {
                return Ok(None);
            };
            let account = Arc::new(KnownAccount::new(account));
            if let Some(seal) = seal {
                let opened = OpenedAccount { key: key.to_string(), seal, account: Arc::clone(&account) };
                access.accounts(self.policy).put(opened);
            }
            Ok(Some(account))
        })
    }

    fn code(&self, id: &CodeId) -> Known<CodeRecord> {
        self.read(&code_key(id))
    }

    fn is_fresh(&self) -> bool {
        self.asked || self.context.sessions().is_none_or(|access| access.is_local())
    }

    fn network(&self) -> Network {
        Network::of(self.source)
    }

    fn arrived(&self, name: u64) -> i64 {
        let noted = self.context.arena().shared().arrivals.get(name).filter(|_| self.asked);
        // The table has the low 24 bits of the time. They are enough, because a request does not wait for hours.
        let waited = noted.map_or(0, |noted| (self.now - noted as i64) & 0xFF_FFFF);
        let longest = i64::from(self.policy.settings.pending_timeout) * 1000 + LATE;
        if waited <= longest { self.now - waited } else { self.now }
    }

    fn has_waited(&self) -> bool {
        self.has_waited
    }
}

impl KnownDevices for SessionView<'_> {
    fn device(&self, username: &str) -> Known<Device> {
        self.read(&device_key(username))
    }
}

impl KnownAccounts for SessionView<'_> {
    fn verifier(&self, aor: &str) -> Known<Verifier> {
        let key = key_account_key(aor);
        match self.read_by(&key, |access, sealed| unseal_account(access.sealer(), &key, sealed).map(Some)) {
            Known::Found(account) => account.verifier().map_or(Known::Failed, Known::Found),
            Known::Absent => {
                self.open_decoy();
                Known::Absent
            }
            Known::NotHere => Known::NotHere,
            Known::Failed => Known::Failed,
        }
    }

    fn is_fresh(&self) -> bool {
        KnownSessions::is_fresh(self)
    }
}
