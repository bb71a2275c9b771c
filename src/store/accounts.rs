// SPDX-License-Identifier: MIT OR Apache-2.0
//! The accounts of the Key-Derivation scheme in the store. They never expire, and they hold no password.

use sha2::{Digest, Sha256};

use super::sessions::{ATTEMPTS, FOREVER, SessionError, SessionStore, overtaken};
use sipoauth_core::config::new_accounts::NewAccounts;
use sipoauth_core::keys::pbkdf2::{DEFAULT_SALT, Parameters};
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::key_account::KeyAccount;
use sipoauth_core::records::seal::Sealer;
use sipoauth_core::sip::uri::Aor;
use sipoauth_core::text::fingerprint::hex;

/// Accounts on a page of a list.
const PAGE: usize = 100;
/// The keys of account records begin with this.
const PREFIX: &str = "k:";

/// An account as the operator sees it: without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedAccount {
    /// The address-of-record.
    pub aor: String,
    /// How its key is derived.
    pub parameters: Parameters,
}

/// Accounts whose challenges reveal that they exist. The challenge of an unknown user looks like that of a new
/// account; those of these accounts do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conspicuous {
    /// The number of all accounts that could be read.
    pub all: u64,
    /// The number of accounts that stand out.
    pub count: u64,
    /// The addresses of some of them.
    pub some: Vec<String>,
}

/// At most this many addresses are named.
const NAMED: usize = 5;

/// Some accounts, and where the next ones begin.
#[derive(Debug, Default)]
pub struct AccountPage {
    /// The accounts.
    pub accounts: Vec<ListedAccount>,
    /// For the next call; None at the end.
    pub next: Option<String>,
}

/// The key under which the account of an address is stored.
pub fn key_account_key(aor: &str) -> String {
    format!("{PREFIX}{}", hex(&Sha256::digest(aor.as_bytes())[..16]))
}

/// Opens and reads the record of an account. A record that cannot be read is an error; it never counts as a missing
/// account.
pub fn unseal_account(sealer: &Sealer, key: &str, sealed: &[u8]) -> Result<KeyAccount, StoreError> {
    let account = sealer.open(key, sealed).and_then(|octets| KeyAccount::decode(&octets));
    account.ok_or_else(|| StoreError::Corrupt("an account was made with another store_key, or was changed".into()))
}

/// Derives the verifier of a new account with a salt of its own. Slow by design.
pub fn derive_verifier(new: &NewAccounts, password: &[u8]) -> Result<Verifier, StoreError> {
    let mut salt = vec![0; DEFAULT_SALT];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| StoreError::Away("no random numbers".into()))?;
    let parameters = Parameters::new(new.kdf, new.iterations, salt, new.key_size);
    Ok(Verifier::derive(parameters.expect("the settings were checked"), password))
}

impl SessionStore {
    /// The account of an address.
    pub fn key_account(&self, aor: &str, now: i64) -> Result<Option<KeyAccount>, StoreError> {
        self.key_account_of(&key_account_key(aor), now)
    }

    fn key_account_of(&self, key: &str, now: i64) -> Result<Option<KeyAccount>, StoreError> {
        let sealed = self.store.get(key, now)?;
        sealed.map(|sealed| unseal_account(&self.sealer, key, &sealed)).transpose()
    }

    /// Writes an account, also over an earlier one.
    pub fn put_key_account(&self, aor: &Aor, verifier: &Verifier, now: i64) -> Result<(), StoreError> {
        let key = key_account_key(aor.as_str());
        let value = self.sealer.seal(&key, &KeyAccount::new(aor.as_str(), verifier).encode());
        let write = Write { key: &key, value: &value, expires_at: FOREVER, due_at: None };
        for _ in 0..ATTEMPTS {
            let before = self.store.get(&key, now)?;
            if self.store.put(&write, before.as_deref(), now)? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    /// Removes an account; false when there was none.
    pub fn remove_key_account(&self, aor: &Aor) -> Result<bool, StoreError> {
        self.store.remove(&key_account_key(aor.as_str()), None)
    }

    /// Reads all accounts and counts those that were not made as `new` says, because they have other settings or
    /// come from elsewhere.
    pub fn conspicuous_accounts(&self, new: &NewAccounts, now: i64) -> Result<Conspicuous, SessionError> {
        let (mut found, mut from) = (Conspicuous::default(), String::new());
        loop {
            let page = self.list_key_accounts("", &from, now)?;
            for account in page.accounts {
                found.all += 1;
                if !new.look_like(&account.parameters) {
                    found.count += 1;
                    if found.some.len() < NAMED {
                        found.some.push(account.aor);
                    }
                }
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(found),
            }
        }
    }

    /// The account of an address, or one page of all accounts if `aor` is empty.
    pub fn list_key_accounts(&self, aor: &str, from: &str, now: i64) -> Result<AccountPage, SessionError> {
        let mut page = AccountPage::default();
        let mut add = |account: KeyAccount| {
            if let Some(verifier) = account.verifier() {
                page.accounts.push(ListedAccount { aor: account.aor, parameters: verifier.parameters });
            }
        };
        if !aor.is_empty() {
            let aor = Aor::parse(aor).ok_or(SessionError::Malformed)?;
            self.key_account(aor.as_str(), now)?.into_iter().for_each(add);
            return Ok(page);
        }
        let found = self.store.scan(PREFIX, (!from.is_empty()).then_some(from), PAGE)?;
        for key in &found.keys {
            match self.key_account_of(key, now) {
                Ok(account) => account.into_iter().for_each(&mut add),
                // A record that cannot be read must not hide the others. Nobody can use it anyway.
                Err(StoreError::Corrupt(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        page.next = found.next;
        Ok(page)
    }
}
