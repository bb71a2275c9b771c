// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sessions of an address, with what each check of a proof needs and what can be prepared once for all checks.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;

use crate::keys::pop::PopKey;
use crate::records::session::{Account, Session, SessionId};
use crate::text::fingerprint::visible;
use crate::text::secret::KeyOctets;

/// A session that a request has proved to belong to its sender, or that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedSession {
    /// Its name.
    pub id: SessionId,
    /// The address-of-record.
    pub aor: String,
    /// `+sip.instance`
    pub instance: String,
    /// `sub`
    pub subject: String,
    /// The proxy's client.
    pub client_id: String,
    /// Granted scopes.
    pub scope: String,
    /// The tokens are good until then, Unix seconds.
    pub valid_until: i64,
    /// What the session allows ends then, Unix seconds: with its tokens, unless these can be refreshed.
    pub allows_until: i64,
    /// Its phone was added at the sign-in page, which shows when it has registered.
    pub is_of_page: bool,
}

/// An opened account, with its prepared keys.
pub struct KnownAccount {
    account: Account,
    prepared: Vec<PreparedKey>,
}

/// What is prepared for one session.
struct PreparedKey {
    used: Arc<UsedSession>,
    keys: Vec<OnceLock<PopKey>>,
}

/// The keys are not shown.
impl std::fmt::Debug for KnownAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.account.fmt(f)
    }
}

impl Deref for KnownAccount {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

impl KnownAccount {
    /// Prepares an account that was just opened.
    pub fn new(account: Account) -> KnownAccount {
        let account = account.judged();
        let prepared = account.sessions.iter().map(|session| PreparedKey {
            used: Arc::new(used(&account.aor, session)),
            keys: session.keys.iter().map(|_| OnceLock::new()).collect(),
        });
        KnownAccount { prepared: prepared.collect(), account }
    }

    /// About how many octets of memory the account takes.
    pub fn octets(&self) -> usize {
        let session = |session: &Session| {
            let shown = session.instance.len() + session.subject.len() + session.client_id.len() + session.scope.len();
            let shown = size_of::<UsedSession>() + shown + self.account.aor.len();
            let keys = session.keys.len() * (size_of::<KeyOctets>() + PopKey::OCTETS);
            let others = size_of_val(&*session.tokens) + size_of_val(&*session.proofs) + session.provider.len();
            size_of::<Session>() + size_of::<PreparedKey>() + 2 * shown + keys + others
        };
        size_of::<KnownAccount>() + self.account.aor.len() + self.account.sessions.iter().map(session).sum::<usize>()
    }

    /// What is shown of a session that a request uses.
    pub fn used(&self, index: usize) -> Arc<UsedSession> {
        Arc::clone(&self.prepared[index].used)
    }

    /// The key of this session that made the proof, by its place.
    pub fn maker(&self, index: usize, pop: &[u8; 32], digest: &[u8]) -> Option<usize> {
        let mut keys = self.account.sessions[index].keys.iter().zip(&self.prepared[index].keys);
        keys.position(|(key, prepared)| {
            let prepared = prepared.get_or_init(|| PopKey::new(&key.0));
            bool::from(prepared.make_pop(digest).ct_eq(pop))
        })
    }
}

/// What is shown of a session that a request uses.
fn used(aor: &str, session: &Session) -> UsedSession {
    UsedSession {
        id: session.id,
        aor: aor.to_owned(),
        instance: visible(&session.instance).into_owned(),
        subject: visible(&session.subject).into_owned(),
        client_id: visible(&session.client_id).into_owned(),
        scope: session.scope.clone(),
        valid_until: session.valid_until,
        is_of_page: session.parent.is_some(),
        allows_until: if session.renewable { session.ends_at } else { session.valid_until.min(session.ends_at) },
    }
}
